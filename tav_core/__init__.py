"""Tune-A-Video (Wu et al., ICCV 2023, arXiv 2212.11565) on the Stable Diffusion U-Net that is already loaded.

The names below are the public ones. They are imported when first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "ATTENTION_MODES": "choices",
    "RESIZE_MODES": "choices",
    "VideoUNet": "inflation",
    "inflate": "inflation",
    "NoiseSchedule": "schedule",
    "TuneSettings": "tune_settings",
    "TuneState": "tuning",
    "TuneResult": "tuning",
    "tune": "tuning",
    "TuningError": "errors",
    "ddim_invert": "inversion",
    "ddim_sample": "sampling",
    "VideoClip": "video",
    "load_video": "video",
    "save_video": "video",
    "VideoInfo": "video",
    "probe_clip": "video",
    "probe_video": "video",
    "VideoSheet": "video_sheets",
    "sheet_frame_size": "video_sheets",
    "video_sheet": "video_sheets",
    "comparison_labels": "video_comparison",
    "side_by_side": "video_comparison",
    "frame_consistency": "metrics",
    "consecutive_consistency": "metrics",
    "textual_alignment": "metrics",
    "pick_score": "metrics",
    "psnr": "metrics",
    "ssim": "metrics",
    "motion_fidelity": "motion",
    "CLIP_MODEL": "scoring.clip_scores",
    "PICKSCORE_MODEL": "scoring.clip_scores",
    "ClipScorer": "scoring.clip_scores",
    "find_scorer": "scoring.evaluate",
    "VideoResult": "scoring.evaluate",
    "score_video": "scoring.evaluate",
    "score_videos": "scoring.evaluate",
    "ScoreRow": "scoring.score_table",
    "ScoreTable": "scoring.score_table",
    "loss_plot": "plots",
    "unused_path": "files",
    "check_writable": "files",
    "save_tuned": "tuned",
    "load_tuned": "tuned",
    "load_tuned_metadata": "tuned",
    "tuned_metadata": "tuned",
    "preview_frame": "tuned",
    "save_tune_state": "tuned",
    "load_tune_state": "tuned",
    "architecture": "layout",
    "fingerprint": "layout",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
