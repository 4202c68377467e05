"""Load Demo Model and Demo Clip: the whole method with nothing to download."""

from __future__ import annotations

from comfy_api.latest import io

from ..tav_core.demo.clips import draw_clip
from ..tav_core.demo.figures import FIGURES, VERBS
from ..tav_core.demo.pen import STYLES
from ..tav_core.demo.places import PLACES
from ..tav_core.demo.world import ANY, COLOURS, Words
from . import host
from .schema_compat import search_aliases

FPS = 8.0


class LoadDemoModel(io.ComfyNode):
    """Load the small Stable Diffusion that comes with the pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVLoadDemoModel",
            display_name="Load Demo Model",
            category="Tune-A-Video",
            **search_aliases("demo", "example checkpoint", "tune a video"),
            description="A tiny Stable Diffusion that comes with this pack, for trying everything without a "
            "checkpoint: it draws figures that run, jump, wave or dance, 96 x 96 pixels, and needs no GPU. It "
            f"understands the captions of Demo Clip: '{Words('man', 'running', 'beach', 'red', 'sketch').caption}'.",
            inputs=[],
            outputs=[
                io.Model.Output(tooltip="An ordinary MODEL, for Inflate UNet, LoRA loaders and KSampler."),
                io.Clip.Output(tooltip="For CLIP Text Encode. It knows the words of Demo Clip and no others."),
                io.Vae.Output(tooltip="For VAE Encode and VAE Decode. A latent stands for 8 x 8 pixels."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(*host.load_demo_model())


class DemoClip(io.ComfyNode):
    """Draw a clip of the world that the demo model knows."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVDemoClip",
            display_name="Demo Clip",
            category="Tune-A-Video",
            **search_aliases("demo", "example video", "test clip", "tune a video"),
            description="Draws a clip for the demo model: a figure that does something somewhere, 96 x 96 pixels.",
            inputs=[
                io.Combo.Input("figure", options=list(FIGURES), default="panda", tooltip="Who is in the clip."),
                io.Combo.Input(
                    "verb",
                    options=list(VERBS),
                    default="jumping",
                    tooltip="What the figure does: the motion that is learned.",
                ),
                io.Combo.Input("place", options=list(PLACES), default="park", tooltip="Where it happens."),
                io.Combo.Input(
                    "clothes",
                    options=[ANY, *COLOURS],
                    default=ANY,
                    tooltip="Colour of the shirt. With any, the caption says nothing of it and the seed decides.",
                ),
                io.Combo.Input("style", options=list(STYLES), default="none", tooltip="How everything is drawn."),
                io.Int.Input("frames", default=12, min=2, max=64, tooltip="How many frames to draw."),
                io.Int.Input(
                    "seed",
                    default=4,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=False,
                    tooltip="Decides what the caption does not say: other clothes, hats, the time of day, props, size.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The frames, in order."),
                io.String.Output(display_name="caption", tooltip="What the clip shows, for CLIP Text Encode."),
                io.Float.Output(display_name="fps", tooltip="Frames per second."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls, figure: str | None, verb: str | None, place: str | None, clothes: str | None, style: str | None
    ) -> bool | str:
        """Refuse what is not in the lists, as workflows saved with an earlier Demo Clip have it; None is a link."""
        lists = ((figure, FIGURES), (verb, VERBS), (place, PLACES), (clothes, (ANY, *COLOURS)), (style, STYLES))
        if all(value is None or value in names for value, names in lists):
            return True
        return (
            "Demo Clip has other inputs than when this workflow was saved: it now draws figures. Choose figure, verb, "
            "place, clothes and style again, and use the captions it gives."
        )

    @classmethod
    def execute(
        cls, figure: str, verb: str, place: str, clothes: str, style: str, frames: int, seed: int
    ) -> io.NodeOutput:
        words = Words(figure, verb, place, clothes, style)
        return io.NodeOutput(draw_clip(words, frames, seed), words.caption, FPS)
