"""Inflate UNet: a text-to-image MODEL becomes a video MODEL."""

from __future__ import annotations

from comfy_api.latest import io

from ..tav_core.diffusion.settings import INFLATE, LONG
from . import host
from .schema_compat import advanced, search_aliases
from .setting_inputs import setting_input


class InflateUNet(io.ComfyNode):
    """Make the frames of a batch attend to each other, as the frames of one video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TAVInflateUNet",
            display_name="Inflate UNet",
            category="Tune-A-Video",
            **search_aliases(
                "video model", "video to video", "sparse-causal attention", "temporal attention", "tune a video"
            ),
            description="Turns a Stable Diffusion checkpoint (SD 1.x, 2.x, SDXL) into a video model. The checkpoint "
            "itself is not changed: other branches of the graph use it as before.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL of a checkpoint, with or without LoRAs."),
                *(setting_input(INFLATE[name]) for name in ("attention", "temporal_attention")),
                setting_input(INFLATE["joint_norm"], **advanced()),
                *(setting_input(LONG[name], optional=True, **advanced()) for name in ("window", "overlap")),
            ],
            outputs=[io.Model.Output(tooltip="The video model: KSampler, LoRAs and ControlNet work on it.")],
        )

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        attention: str,
        temporal_attention: bool,
        joint_norm: bool,
        window: int = 0,
        overlap: int = 0,
    ) -> io.NodeOutput:
        return io.NodeOutput(host.inflate_model(model, attention, temporal_attention, joint_norm, window, overlap))
