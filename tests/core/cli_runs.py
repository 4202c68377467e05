"""Runs of the command line on a checkpoint of a few hundred kilobytes and a drawn clip."""

from pathlib import Path

import torch
import yaml

import tav_core
from tav_core.files import file_name
from tav_core.terminal import cli

PROMPTS = ["a cat, cartoon style", "a dog / on: the beach?"]
NAMES = [file_name(prompt) for prompt in PROMPTS]
STEPS = 4


def settings(world: Path, output: str, **changes) -> Path:
    """Write a YAML file in the layout and with the keys of the published ones."""
    values = {
        "pretrained_model_path": str(world / "model"),
        "output_dir": str(world / output),
        "train_data": {
            "video_path": str(world / "clip.mp4"),
            "prompt": "a square is moving",
            "n_sample_frames": 3,
            "width": 32,
            "height": 24,
            "sample_start_idx": 1,
            "sample_frame_rate": 2,
        },
        "validation_data": {
            "prompts": PROMPTS,
            "video_length": 3,
            "width": 32,
            "height": 24,
            "num_inference_steps": 2,
            "guidance_scale": 12.5,
            "use_inv_latent": True,
            "num_inv_steps": 2,
        },
        "learning_rate": "3e-5",
        "train_batch_size": 1,
        "max_train_steps": STEPS,
        "checkpointing_steps": 1000,
        "validation_steps": 100,
        "trainable_modules": ["attn1.to_q", "attn2.to_q", "attn_temp"],
        "seed": 33,
        "mixed_precision": "fp16",
        "use_8bit_adam": False,
        "gradient_checkpointing": True,
        "enable_xformers_memory_efficient_attention": True,
    } | changes
    file = world / f"{output}.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def run(world: Path, output: str, *flags: str, code: int = 0, **changes) -> Path:
    assert cli.main(["run", str(settings(world, output, **changes)), "--device", "cpu", *flags]) == code
    return world / output


def learned(folder: Path) -> dict[str, torch.Tensor]:
    return tav_core.load_tuned(folder / "tuned.safetensors")[0]
