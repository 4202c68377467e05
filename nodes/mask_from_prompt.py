"""Video Mask from Prompt: where in the clip a word of its prompt is seen."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..tav_core.diffusion.settings import WORD_MASK
from . import host
from .schema_compat import search_aliases
from .setting_inputs import setting_input


class MaskFromPrompt(io.ComfyNode):
    """Find one mask per frame, from the attention of the video model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVMaskFromPrompt",
            display_name="Video Mask from Prompt",
            category="Tune-A-Video",
            **search_aliases("segment video", "video mask", "text mask", "tune a video"),
            description="Finds what words of the clip's prompt name, in every frame, from the attention of the video "
            "model itself: nothing to download. For Sample Video.",
            inputs=[
                io.Model.Input("model", tooltip="The tuned video model; an inflated one does, less exactly."),
                io.Clip.Input("clip", tooltip="The checkpoint's CLIP."),
                io.Latent.Input("latent", tooltip="The clip, encoded by the checkpoint's VAE (VAE Encode)."),
                io.String.Input("prompt", multiline=True, default="", tooltip="What the clip shows, as it was tuned."),
                io.String.Input(
                    "words", default="", tooltip="Words of the prompt to find: man, or red shirt. Name the subject."
                ),
                *(setting_input(WORD_MASK[name]) for name in ("steps", "threshold", "grow")),
                io.Int.Input("feather", default=0, min=0, max=256, tooltip="Pixels over which the edge is softened."),
                io.Image.Input("images", optional=True, tooltip="The clip's frames, to show the mask on."),
            ],
            outputs=[io.Mask.Output(tooltip="One mask per frame, for Sample Video. Invert it to change the rest.")],
        )

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        clip: io.Clip.Type,
        latent: io.Latent.Type,
        prompt: str,
        words: str,
        steps: int,
        threshold: float,
        grow: int,
        feather: int,
        images: io.Image.Type | None = None,
    ) -> io.NodeOutput:
        mask = host.mask_of_words(model, clip, latent, prompt, words, steps, threshold, grow, feather)
        if images is None:
            return io.NodeOutput(mask, ui=ui.PreviewMask(mask, cls=cls))
        return io.NodeOutput(mask, ui=ui.PreviewImage(host.shown_mask(images, mask), cls=cls))
