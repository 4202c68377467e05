"""The room that knows ComfyUI: its folders, model patcher, memory manager, progress and interruption. No other does."""

from . import clip_route, tuned_route  # noqa: F401  (add their routes to ComfyUI's server)
from .clip_vision import clip_models, score_results
from .demo_model import load_demo_model
from .folders import new_tuned_path, register_model_folder, tuned_files, tuned_name, tuned_path
from .live import live_run
from .loops import invert, sample
from .media import input_path, input_videos, load_clip, shown_video
from .models import apply_tuned, inflate_model, other_base
from .previews import Previews
from .prompts import prompt_text
from .tuning import TunedVideo, tune_model

__all__ = [
    "Previews",
    "TunedVideo",
    "apply_tuned",
    "clip_models",
    "inflate_model",
    "input_path",
    "input_videos",
    "invert",
    "live_run",
    "load_clip",
    "load_demo_model",
    "new_tuned_path",
    "other_base",
    "prompt_text",
    "register_model_folder",
    "sample",
    "score_results",
    "shown_video",
    "tune_model",
    "tuned_files",
    "tuned_name",
    "tuned_path",
]
