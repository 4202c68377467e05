"""Diffusers folders of Stable Diffusion checkpoints. Nothing here reaches the network or opens a pickle."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..diffusion.schedule import NoiseSchedule
from .refusals import check_channels, check_folders, check_lcm
from .text import TextEncoder
from .tokenizer import load_tokenizer

_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
# What every Stable Diffusion scheduler says; a folder saved with another kind of scheduler may leave it out.
_SCHEDULER_DEFAULTS = {"steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False}


def load_folder(
    path: Path, dtype: torch.dtype, tokenizer: str | os.PathLike | None, prediction_type: str | None
) -> tuple[nn.Module, nn.Module, list[TextEncoder], NoiseSchedule]:
    """Load U-Net, autoencoder, text encoders and noise schedule; errors as for :meth:`.Pipeline.load`."""
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    check_folders(path)
    second = (path / "text_encoder_2").is_dir()
    parts = (*_PARTS, "tokenizer_2") if second else _PARTS
    missing = [part for part in parts if not (path / part).is_dir() and not (part.startswith("token") and tokenizer)]
    if missing:
        raise FileNotFoundError(
            f"{path} is an incomplete diffusers folder, it lacks {', '.join(missing)}: give the folder that holds "
            f"{', '.join(parts)}, or a single .safetensors file."
        )
    light = {"low_cpu_mem_usage": find_spec("accelerate") is not None}
    config = _read_config(path / "unet")
    _check_published(path, config)
    check_lcm(path, config.get("time_cond_proj_dim") is not None)
    check_channels(path, config.get("in_channels", 4), config.get("out_channels", 4))
    schedule = _schedule(path, prediction_type)
    unet = _part(UNet2DConditionModel, path / "unet", torch_dtype=dtype, **light)
    kind = AutoencoderTiny if _read_config(path / "vae").get("_class_name") == "AutoencoderTiny" else AutoencoderKL
    vae = _part(kind, path / "vae", torch_dtype=dtype, **light)
    texts = [_text(CLIPTextModel, path, "", tokenizer, dtype)]
    if second:
        texts.append(_text(CLIPTextModelWithProjection, path, "_2", tokenizer, dtype))
    return unet, vae, texts, schedule


def _text(kind: type, path: Path, number: str, tokenizer: str | os.PathLike | None, dtype: torch.dtype) -> TextEncoder:
    model = _part(kind, path / f"text_encoder{number}", "model").to(dtype)
    found = load_tokenizer(tokenizer or path / f"tokenizer{number}")
    if number and tokenizer:
        found.pad_token = "!"  # what OpenCLIP was trained with
    return TextEncoder(model, found)


def _part(kind: type, folder: Path, stem: str = "diffusion_pytorch_model", **options: Any) -> nn.Module:
    _read_config(folder)
    for index in folder.glob("*.safetensors.index.json"):
        files = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        if not all(str(file).endswith(".safetensors") for file in files):
            raise ValueError(
                f"{index} names other files than .safetensors, which are never loaded: get the folder again."
            )
    options |= {"variant": _variant(folder, stem), "use_safetensors": True, "local_files_only": True}
    model, info = kind.from_pretrained(folder, output_loading_info=True, **options)
    if info["missing_keys"]:  # the libraries would only warn, and leave random weights there
        first = sorted(info["missing_keys"])[0]
        raise ValueError(
            f"{folder} lacks {len(info['missing_keys'])} weights (first: {first}): it is incomplete, or was saved by a "
            "later version of transformers or diffusers; update these, or get the folder again."
        )
    return model.requires_grad_(False).eval()


def _schedule(path: Path, prediction_type: str | None) -> NoiseSchedule:
    from diffusers import DDIMScheduler

    config = _SCHEDULER_DEFAULTS | DDIMScheduler.load_config(path / "scheduler", local_files_only=True)
    if "flow" in f"{config.get('_class_name')} {config.get('prediction_type')}".lower():
        raise ValueError(
            f"{path} is a flow-matching model, which is not sampled by DDIM: use an SD 1.x, SD 2.x or SDXL checkpoint."
        )
    if prediction_type:
        config["prediction_type"] = prediction_type
    return NoiseSchedule.from_scheduler(DDIMScheduler.from_config(config))


def _check_published(path: Path, config: dict) -> None:
    if any("3D" in str(kind) for kind in config.get("down_block_types", ())):
        raise ValueError(
            f"{path} is the output of the published Tune-A-Video code: give it with --tuned, and with --model the "
            "checkpoint that it was tuned on."
        )


def _read_config(folder: Path) -> dict:
    """Read ``config.json``, which must not be the name of a model: the libraries would fetch that."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError(f"{folder / 'config.json'} is not the configuration of a model: get the folder again.")
    return config


def _variant(folder: Path, stem: str) -> str | None:
    """Return which of the usual names the weights have; half-precision ones serve where there are no others."""
    for variant in (None, "fp16"):
        name = f"{stem}.{variant}" if variant else stem
        if (folder / f"{name}.safetensors").is_file() or (folder / f"{stem}.safetensors.index.json").is_file():
            return variant
    if any(folder.glob("*.bin")):
        raise ValueError(
            f"{folder} holds only pickled weights (.bin), which could run code when opened and are never loaded: get "
            "the .safetensors version of this model, or convert it where you trust it."
        )
    raise FileNotFoundError(f"{folder} holds no {stem}.safetensors: the folder is incomplete, get it again.")
