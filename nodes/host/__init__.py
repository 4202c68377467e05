"""The room that knows ComfyUI: its folders, model patcher, memory manager, progress and interruption. No other does."""

from .folders import input_path, input_videos, new_tuned_path, register_model_folder, tuned_files, tuned_path
from .loops import invert, sample
from .models import apply_tuned, inflate_model
from .tuning import TunedVideo, tune_model

__all__ = [
    "TunedVideo",
    "apply_tuned",
    "inflate_model",
    "input_path",
    "input_videos",
    "invert",
    "new_tuned_path",
    "register_model_folder",
    "sample",
    "tune_model",
    "tuned_files",
    "tuned_path",
]
