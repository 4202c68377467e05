"""Tune-A-Video (Wu et al., ICCV 2023, arXiv 2212.11565) on the Stable Diffusion U-Net that is already loaded.

The names below are the public ones. They are imported when first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "ATTENTION_MODES": "choices",
    "EXTENSION_MODES": "choices",
    "RESIZE_MODES": "choices",
    "VIDEO_ENDINGS": "choices",
    "VideoUNet": "network.video_unet",
    "inflate": "network.video_unet",
    "NoiseSchedule": "diffusion.schedule",
    "TuneSettings": "diffusion.settings",
    "TuneState": "diffusion.tune_state",
    "TuneResult": "diffusion.tuning",
    "tune": "diffusion.tuning",
    "TuningError": "errors",
    "SampleSettings": "diffusion.settings",
    "ddim_invert": "diffusion.ddim",
    "ddim_sample": "diffusion.ddim",
    "ddim_sample_autoregressive": "diffusion.extension",
    "extend": "diffusion.extension",
    "vary": "diffusion.variation",
    "latent_mask": "diffusion.masks",
    "word_map": "diffusion.word_mask",
    "word_tokens": "diffusion.word_mask",
    "mask_from_map": "diffusion.word_mask",
    "VideoClip": "video.reading",
    "load_video": "video.reading",
    "save_video": "video.reading",
    "VideoInfo": "video.reading",
    "probe_clip": "video.reading",
    "probe_video": "video.reading",
    "VideoSheet": "pictures.sprite_sheet",
    "sheet_frame_size": "pictures.sprite_sheet",
    "video_sheet": "pictures.sprite_sheet",
    "comparison_labels": "pictures.side_by_side",
    "side_by_side": "pictures.side_by_side",
    "frame_consistency": "scoring.metrics",
    "consecutive_consistency": "scoring.metrics",
    "textual_alignment": "scoring.metrics",
    "pick_score": "scoring.metrics",
    "steadiness": "scoring.metrics",
    "motion_overlap": "scoring.metrics",
    "psnr": "scoring.metrics",
    "ssim": "scoring.metrics",
    "motion_fidelity": "scoring.motion",
    "CLIP_MODEL": "scoring.clip",
    "PICKSCORE_MODEL": "scoring.clip",
    "ClipScorer": "scoring.clip",
    "find_scorer": "scoring.scores",
    "VideoResult": "scoring.scores",
    "score_video": "scoring.scores",
    "score_videos": "scoring.scores",
    "ScoreRow": "scoring.table",
    "ScoreTable": "scoring.table",
    "loss_plot": "pictures.loss_plot",
    "unused_path": "files",
    "check_writable": "files",
    "save_tuned": "saved.tuned",
    "load_tuned": "saved.tuned",
    "load_tuned_metadata": "saved.tuned",
    "tuned_metadata": "saved.tuned",
    "preview_frame": "saved.tuned",
    "save_tune_state": "saved.tune_state",
    "load_tune_state": "saved.tune_state",
    "Pipeline": "checkpoint.pipeline",
    "architecture": "network.structure",
    "default_rank": "network.structure",
    "fingerprint": "network.structure",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
