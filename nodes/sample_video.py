"""Sample Video: the motion of the clip, rendered with other words."""

from __future__ import annotations

from comfy_api.latest import io

from ..tav_core.diffusion.settings import SAMPLE
from . import host
from .schema_compat import search_aliases
from .setting_inputs import setting_input


class SampleVideo(io.ComfyNode):
    """DDIM sampling from the inverted clip, as published."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVSampleVideo",
            display_name="Sample Video",
            category="Tune-A-Video",
            **search_aliases(
                "render video", "edit video", "video to video", "vid2vid", "style transfer", "restyle", "tune a video"
            ),
            description="Renders the clip again with other words, starting from the noise of DDIM Invert.",
            inputs=[
                io.Model.Input("model", tooltip="The tuned video model from One-Shot Tune or Load Tuned Video Model."),
                io.Latent.Input("latent", tooltip="From DDIM Invert."),
                io.Conditioning.Input("positive", tooltip="The new words: 'spider man is skiing on the beach'."),
                io.Conditioning.Input("negative", tooltip="What to keep away from. Published: an empty prompt."),
                setting_input(SAMPLE["steps"], tooltip="Published: 50, as in DDIM Invert."),
                setting_input(SAMPLE["guidance_scale"], "guidance"),
            ],
            outputs=[io.Latent.Output(tooltip="The video's latents, for VAE Decode.")],
        )

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        latent: io.Latent.Type,
        positive: io.Conditioning.Type,
        negative: io.Conditioning.Type,
        steps: int,
        guidance: float,
    ) -> io.NodeOutput:
        return io.NodeOutput(host.sample(model, latent, positive, negative, steps, guidance))
