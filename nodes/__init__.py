"""The nodes: thin schemas over tav_core. Only host knows ComfyUI's internals."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import host
from .compare_videos import CompareVideos
from .ddim_invert import DDIMInvert
from .demo import DemoClip, LoadDemoModel
from .evaluate_video import EvaluateVideo
from .extend_video_latent import ExtendVideoLatent
from .inflate_unet import InflateUNet
from .load_video import LoadVideo
from .mask_from_prompt import MaskFromPrompt
from .one_shot_tune import OneShotTune
from .sample_video import SampleVideo
from .tuned_files import LoadTuned, SaveTuned


class TuneAVideoExtension(ComfyExtension):
    """List the nodes of this pack for ComfyUI."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        host.register_model_folder()
        return [
            LoadVideo,
            InflateUNet,
            OneShotTune,
            DDIMInvert,
            SampleVideo,
            ExtendVideoLatent,
            CompareVideos,
            EvaluateVideo,
            SaveTuned,
            LoadTuned,
            LoadDemoModel,
            DemoClip,
            MaskFromPrompt,
        ]
