"""Extend Video Latent: the noise of a clip, made longer than the clip."""

from __future__ import annotations

from comfy_api.latest import io

from ..tav_core.diffusion.settings import LONG
from . import host
from .schema_compat import search_aliases
from .setting_inputs import setting_input


class ExtendVideoLatent(io.ComfyNode):
    """Make inverted latents longer, so that the video goes on after the clip."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVExtendVideoLatent",
            display_name="Extend Video Latent",
            category="Tune-A-Video",
            **search_aliases("longer video", "extend video", "loop video", "tune a video"),
            description="Makes the noise of DDIM Invert longer, so that Sample Video or KSampler render more frames "
            "than the clip has. Set a window on Inflate UNet to keep the memory that of a few frames.",
            inputs=[
                io.Latent.Input("latent", tooltip="The clip's noise, from DDIM Invert."),
                io.Int.Input(
                    "frames",
                    default=48,
                    min=1,
                    max=100_000,
                    tooltip="Frames of the video in all, at least those of the clip.",
                ),
                setting_input(LONG["extension"], "mode"),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=False,
                    tooltip="Seed of the new noise; no matter in the other modes.",
                ),
            ],
            outputs=[io.Latent.Output(tooltip="The longer noise, for Sample Video.")],
        )

    @classmethod
    def execute(cls, latent: io.Latent.Type, frames: int, mode: str, seed: int) -> io.NodeOutput:
        return io.NodeOutput(host.extend_latent(latent, frames, mode, seed))
