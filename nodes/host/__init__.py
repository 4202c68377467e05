"""The room that knows ComfyUI: its folders, model patcher, memory manager, progress, interruption and server."""

from . import routes  # noqa: F401  (adds them to ComfyUI's server)
from .advice import advise
from .comfy_model import encode_prompt
from .ddim import invert, sample
from .demo_model import load_demo_model
from .extension import extend_latent
from .folders import new_tuned_path, register_model_folder, tuned_files, tuned_name, tuned_path
from .graph import model_files, prompt_lines, prompt_text, sampled_prompts
from .inflation import apply_tuned, inflate_model, other_base
from .live import live_run, stops
from .previews import Previews
from .scoring import clip_models, score_results, shown_table
from .tuning import TunedVideo, tune_model
from .videos import input_path, input_videos, load_clip, shown_video, time_changed
from .word_mask import mask_of_words, shown_mask

__all__ = [
    "Previews",
    "TunedVideo",
    "advise",
    "apply_tuned",
    "clip_models",
    "encode_prompt",
    "extend_latent",
    "inflate_model",
    "input_path",
    "input_videos",
    "invert",
    "live_run",
    "load_clip",
    "load_demo_model",
    "mask_of_words",
    "model_files",
    "new_tuned_path",
    "other_base",
    "prompt_lines",
    "prompt_text",
    "register_model_folder",
    "sample",
    "sampled_prompts",
    "score_results",
    "shown_mask",
    "shown_table",
    "shown_video",
    "stops",
    "time_changed",
    "tune_model",
    "tuned_files",
    "tuned_name",
    "tuned_path",
]
