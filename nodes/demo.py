"""Load Demo Model and Demo Clip: the whole method with nothing to download."""

from __future__ import annotations

from comfy_api.latest import io

from ..tav_core.demo.clips import MOTIONS, example_clip
from ..tav_core.demo.world import COLOURS, SHAPES, STYLES, Words
from . import host
from .schema_compat import search_aliases

FPS = 8.0


class LoadDemoModel(io.ComfyNode):
    """A small Stable Diffusion that comes with the pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVLoadDemoModel",
            display_name="Load Demo Model",
            category="Tune-A-Video",
            **search_aliases("demo", "example checkpoint", "tune a video"),
            description="A tiny Stable Diffusion that comes with this pack, for trying everything without a "
            "checkpoint: it draws coloured shapes, 64 x 64 pixels, and needs no GPU. It understands the captions of "
            f"Demo Clip: '{Words('red', 'circle', 'blue', 'striped').caption}'.",
            inputs=[],
            outputs=[
                io.Model.Output(tooltip="An ordinary MODEL, for Inflate UNet, LoRA loaders and KSampler."),
                io.Clip.Output(tooltip="For CLIP Text Encode. It knows the words of Demo Clip and no others."),
                io.Vae.Output(tooltip="For VAE Encode and VAE Decode. A latent stands for 4 x 4 pixels."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(*host.load_demo_model())


class DemoClip(io.ComfyNode):
    """A drawn clip of the world that the demo model knows."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVDemoClip",
            display_name="Demo Clip",
            category="Tune-A-Video",
            **search_aliases("demo", "example video", "test clip", "tune a video"),
            description="Draws a clip for the demo model: one shape that moves over a background, 64 x 64 pixels.",
            inputs=[
                io.Combo.Input("colour", options=list(COLOURS), default="red", tooltip="Colour of the shape."),
                io.Combo.Input("shape", options=list(SHAPES), default="circle", tooltip="What moves."),
                io.Combo.Input(
                    "background",
                    options=list(COLOURS),
                    default="blue",
                    tooltip="Colour of the background, another than that of the shape.",
                ),
                io.Combo.Input("style", options=list(STYLES), default="plain", tooltip="How the shape is drawn."),
                io.Combo.Input(
                    "motion",
                    options=list(MOTIONS),
                    default="arc",
                    tooltip="The way that the shape takes, left to right.",
                ),
                io.Int.Input("frames", default=8, min=2, max=64, tooltip="How many frames to draw."),
                io.Int.Input(
                    "seed",
                    default=3,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=False,
                    tooltip="Decides what the caption does not say: shades, light, texture, rotation.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The frames, in order."),
                io.String.Output(display_name="caption", tooltip="What the clip shows, for CLIP Text Encode."),
                io.Float.Output(display_name="fps", tooltip="Frames per second."),
            ],
        )

    @classmethod
    def execute(
        cls, colour: str, shape: str, background: str, style: str, motion: str, frames: int, seed: int
    ) -> io.NodeOutput:
        words = Words(colour, shape, background, style)
        return io.NodeOutput(example_clip(words, motion, frames, seed), words.caption, FPS)
