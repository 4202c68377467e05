"""The tuned file: the tuned weights that people share."""

from __future__ import annotations

import base64
import io
import os
import re
from datetime import date
from pathlib import Path

import torch
from torch import Tensor

from ..errors import short
from ..network.casting import PRECISIONS
from ..network.projection import UP
from ..network.structure import architecture
from ..network.tuned_weights import PUBLISHED_MODULES
from ..network.video_unet import VideoUNet
from ..pictures.image import to_pil
from .safetensors_file import STATE, TUNED, opened, save_tensors

FORMAT_VERSION = 2
"""2 where changes of projections are low-rank factors, which version 1 did not know; else 1."""
PREVIEW_SIZE = 256
"""Longest side of a preview frame in pixels."""
_PRECISIONS = (torch.float64, *PRECISIONS.values())
_LEARNED = tuple(f".{module}." for module in (*PUBLISHED_MODULES, "norm_temp"))


def save_tuned(
    path: str | os.PathLike, state: dict[str, Tensor], metadata: dict, dtype: torch.dtype = torch.float16
) -> None:
    """Write the tuned file: safetensors with the published parameter names.

    Low-rank factors carry the names that the LoRA loaders of diffusers and ComfyUI read.

    Args:
        path: ends in ``.safetensors``.
        state: from :meth:`VideoUNet.tuned_state_dict`.
        metadata: anything JSON holds, usually from :func:`tuned_metadata`. It is stored as JSON under the key
            ``tune_a_video`` of the file's header, with the format version.
        dtype: precision of the file.

    Raises:
        ValueError: the path has another ending.
        OSError: the file cannot be written, because the disk is full for example.
    """
    low_rank = any(name.endswith(f".{UP}") for name in state)
    if low_rank:
        state = {_lora_name(name): tensor for name, tensor in state.items()}
    state = {name: tensor.to(dtype) for name, tensor in state.items()}
    save_tensors(path, state, TUNED, {"format_version": FORMAT_VERSION if low_rank else 1, **metadata})


def tuned_metadata(
    video_unet: VideoUNet,
    base_fingerprint: str,
    *,
    frames: int,
    width: int,
    height: int,
    steps: int,
    learning_rate: float,
    prompt: str = "",
    fps: float | None = None,
) -> dict:
    """Return the metadata of a tuned file.

    Args:
        video_unet: the network that was tuned, for the kind of base network and how it was inflated.
        base_fingerprint: :func:`fingerprint` of the checkpoint it was tuned on.
        frames: of the clip.
        width, height: its size in pixels.
        steps: tuning steps taken.
        learning_rate: of the tuning.
        prompt: what the clip was said to show; empty if unknown.
        fps: frame rate of the clip; None if unknown.

    Returns:
        These, and ``base_architecture``, ``attention``, ``temporal_attention``, ``joint_norm``
        and ``date`` (ISO 8601, today). ``preview`` may be added from :func:`preview_frame`.
    """
    return {
        "base_architecture": architecture(video_unet.unet),
        "base_fingerprint": base_fingerprint,
        "prompt": prompt,
        "frames": frames,
        "width": width,
        "height": height,
        "fps": fps,
        "steps": steps,
        "learning_rate": learning_rate,
        "rank": video_unet.tuned.rank,
        "attention": video_unet.attention,
        "temporal_attention": video_unet.temporal is not None,
        "joint_norm": video_unet.joint_norm,
        "date": date.today().isoformat(),
    }


def preview_frame(frame: Tensor) -> str:
    """Encode a frame ``[h, w, 3]``, float 0..1, for the metadata: a JPEG of at most 256 pixels a side in base64."""
    image = to_pil(frame)
    image.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=85)
    return base64.b64encode(data.getvalue()).decode("ascii")


def load_tuned_metadata(path: str | os.PathLike) -> dict:
    """Read the metadata of a file for :func:`load_tuned` from its header, without the weights.

    Raises:
        FileNotFoundError: there is no such file, or none in the folder.
        ValueError: the file is a pickle, is not a safetensors file, or its header is damaged.
    """
    with opened(_weights_file(Path(path))) as (_, kind, metadata):
        return metadata if kind == TUNED else {}


def load_tuned(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict]:
    """Read a tuned file, or the tuned parameters of a published Tune-A-Video checkpoint.

    Args:
        path: a file of :func:`save_tuned`, or a published U-Net in the diffusers layout: its ``.safetensors``, or the
            folder that holds it (the U-Net's or the whole pipeline's). Of a U-Net, what the published code tunes by
            default is read.

    Returns:
        The parameters by published name, and the metadata (empty for a published checkpoint).

    Raises:
        FileNotFoundError: there is no such file, or none in the folder.
        ValueError: the file is a pickle, not a safetensors file, damaged, has no tuned parameters, NaN or infinite
            values, or a newer format.
    """
    with opened(_weights_file(Path(path))) as (file, kind, metadata):
        if kind == STATE:
            raise ValueError(
                f"{path} is the state that a tuning resumes from: give the tuned file that lies beside it."
            )
        if metadata.get("format_version", 0) > FORMAT_VERSION:
            raise ValueError(
                f"{path} has format version {metadata['format_version']}, this program reads up to {FORMAT_VERSION}: "
                "update Tune-A-Video."
            )
        names = list(file.keys())
        if kind != TUNED:
            names = [name for name in names if any(part in name for part in _LEARNED)]
            if not any(".attn_temp." in name for name in names):
                raise ValueError(
                    f"{path} holds no tuned video weights: expected a file saved by Save Tuned Video Model or a "
                    "published Tune-A-Video U-Net."
                )
        state = {_published_name(name): file.get_tensor(name) for name in names}
    for name, tensor in state.items():
        if tensor.dtype not in _PRECISIONS:
            raise ValueError(
                f"{path} holds {short(name)} as {tensor.dtype}: convert it to float32, float16 or bfloat16, which can "
                "be read as tuned weights."
            )
        if not tensor.isfinite().all():
            raise ValueError(
                f"{path} contains NaN or infinite values (first in {short(name)}): get the file again, or tune again "
                "with a lower learning rate."
            )
    return state, metadata


def _lora_name(name: str) -> str:
    """Return the name in a file of low rank, where diffusers' and ComfyUI's LoRA loaders find the factors.

    The temporal attention is not for them: diffusers skips what does not begin with "unet.", but wants "lora" in it.
    """
    factor = re.fullmatch(r"(.*)\.(to_[qkv])\.lora_(down|up)\.weight", name)
    return f"unet.{factor[1]}.processor.{factor[2]}_lora.{factor[3]}.weight" if factor else f"lora_temporal.{name}"


def _published_name(name: str) -> str:
    """Undo :func:`_lora_name`; other names are left alone."""
    factor = re.fullmatch(r"unet\.(.*)\.processor\.(to_[qkv])_lora\.(down|up)\.weight", name)
    return f"{factor[1]}.{factor[2]}.lora_{factor[3]}.weight" if factor else name.removeprefix("lora_temporal.")


def _weights_file(path: Path) -> Path:
    """Return the file of tuned weights when ``path`` is the folder of a run or of a U-Net in the diffusers layout."""
    if not path.is_dir():
        return path
    name = "diffusion_pytorch_model"
    candidates = [path / "tuned.safetensors"]
    candidates += [
        folder / f"{name}{ending}" for ending in (".safetensors", ".bin") for folder in (path / "unet", path)
    ]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(
        f"The folder {path} holds neither tuned.safetensors nor {name}.safetensors: give the folder of a run, or of a "
        "published Tune-A-Video U-Net."
    )
