"""Sample Video: the motion of the clip, rendered with another prompt."""

from __future__ import annotations

from comfy_api.latest import io

from ..tav_core.diffusion.settings import SAMPLE
from . import host
from .schema_compat import advanced, search_aliases
from .setting_inputs import setting_input


class SampleVideo(io.ComfyNode):
    """Sample a video by DDIM from the inverted clip, as published."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVSampleVideo",
            display_name="Sample Video",
            category="Tune-A-Video",
            **search_aliases(
                "render video", "edit video", "video to video", "vid2vid", "style transfer", "restyle", "tune a video"
            ),
            description="Renders the clip again with another prompt, starting from the noise of DDIM Invert.",
            inputs=[
                io.Model.Input("model", tooltip="The tuned video model from One-Shot Tune or Load Tuned Video Model."),
                io.Latent.Input("latent", tooltip="From DDIM Invert."),
                io.Conditioning.Input("positive", tooltip="The new prompt: 'spider man is skiing on the beach'."),
                io.Conditioning.Input("negative", tooltip="What to keep away from. Published: an empty prompt."),
                setting_input(SAMPLE["steps"], tooltip="Published: 50, as in DDIM Invert."),
                setting_input(SAMPLE["guidance_scale"], "guidance"),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=False,
                    optional=True,
                    tooltip="Seed of the noise of a variation; without one it has no effect.",
                ),
                io.Float.Input(
                    "variation",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Share of new noise in the clip's noise. 0: the published result, always the same. "
                    "0.02 to 0.1: another take. 1: nothing of the clip's layout is left.",
                ),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    default="",
                    optional=True,
                    **advanced(),
                    tooltip="Several prompts in place of positive, one per line: a video of each, one after another. "
                    "Needs clip. Compare Videos names each video after its prompt.",
                ),
                io.Clip.Input("clip", optional=True, tooltip="The checkpoint's CLIP, for prompts."),
                setting_input(SAMPLE["structure"], optional=True),
                setting_input(SAMPLE["feather"], optional=True, **advanced()),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White may change, black stays as in the clip: one mask, or one per frame. Needs "
                    "keep_trajectory in DDIM Invert.",
                ),
                setting_input(SAMPLE["spacing"], optional=True),
            ],
            outputs=[io.Latent.Output(is_output_list=True, tooltip="The video's latents, for VAE Decode.")],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
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
        seed: int = 0,
        variation: float = 0.0,
        prompts: str = "",
        clip: io.Clip.Type | None = None,
        structure: float = 0.0,
        feather: int = 0,
        mask: io.Mask.Type | None = None,
        spacing: str = "auto",
    ) -> io.NodeOutput:
        lines = host.prompt_lines(prompts)
        if lines and clip is None:
            raise ValueError("The prompts cannot be encoded: connect the checkpoint's CLIP to clip, or clear prompts.")
        conds = [host.encode_prompt(clip, line) for line in lines] or [positive]
        files = host.model_files(cls.hidden.prompt, cls.hidden.unique_id, "model")
        options = steps, guidance, variation, seed, structure, feather, mask, spacing, files
        videos = [host.sample(model, latent, cond, negative, *options) for cond in conds]
        return io.NodeOutput(videos)
