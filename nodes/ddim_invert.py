"""DDIM Invert: from a clip to the noise that samples back to it."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..tav_core.diffusion.settings import SAMPLE
from . import host
from .schema_compat import search_aliases
from .setting_inputs import setting_input


class DDIMInvert(io.ComfyNode):
    """Invert a clip by DDIM: its latents become noise that keeps its layout and motion."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVDDIMInvert",
            display_name="DDIM Invert",
            category="Tune-A-Video",
            **search_aliases("inversion", "invert video", "video to noise", "tune a video"),
            description="Finds the noise that leads back to the clip, so that edits keep its motion. Goes on in Sample "
            "Video, or in KSampler (Advanced) with add_noise disabled, sampler ddim, scheduler ddim_uniform and the "
            "same number of steps, one that divides 1000 (20, 25, 40, 50, 100).",
            inputs=[
                io.Model.Input("model", tooltip="The tuned video model from One-Shot Tune."),
                io.Latent.Input("latent", tooltip="The clip, encoded by the checkpoint's VAE (VAE Encode)."),
                io.Conditioning.Input("positive", tooltip="Published: an empty prompt (CLIP Text Encode, no text)."),
                setting_input(SAMPLE["steps"], tooltip="Published: 50. Use the same number for sampling."),
                setting_input(SAMPLE["refine"], optional=True),
                io.Boolean.Input(
                    "keep_trajectory",
                    default=False,
                    optional=True,
                    tooltip="Keep the clip as it is at every step, in main memory: for a mask in Sample Video.",
                ),
                setting_input(SAMPLE["spacing"], optional=True),
            ],
            outputs=[io.Latent.Output(tooltip="The clip's noise, for Sample Video.")],
        )

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        latent: io.Latent.Type,
        positive: io.Conditioning.Type,
        steps: int,
        refine: int = 0,
        keep_trajectory: bool = False,
        spacing: str = "auto",
    ) -> io.NodeOutput:
        inverted, note = host.invert(model, latent, positive, steps, refine, keep_trajectory, spacing)
        return io.NodeOutput(inverted, ui=ui.PreviewText(note) if note else None)
