"""The file of an inverted clip: where sampling starts, and the clean latents it came from."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from .safetensors_file import INVERTED, opened, save_tensors


def save_inverted(
    path: str | os.PathLike,
    inverted: Tensor,
    clean: Tensor,
    metadata: dict,
    trajectory: list[Tensor] | None = None,
) -> None:
    """Write latents ``[b, c, f, h, w]``, inverted and clean, as safetensors.

    Args:
        path: ends in ``.safetensors``.
        metadata: anything JSON holds; we write ``prompt``, ``fps`` and ``steps``.
        trajectory: all latents of the inversion, the clean ones first; those between the two are written as float16.

    Raises:
        ValueError: another ending.
        OSError: it cannot be written, because the disk is full for example.
    """
    tensors = {"inverted": inverted.float(), "clean": clean.float()}
    if trajectory:
        tensors["between"] = torch.stack([latents.to("cpu", torch.float16) for latents in trajectory[1:-1]])
    save_tensors(path, tensors, INVERTED, metadata)


def load_inverted(path: str | os.PathLike) -> tuple[Tensor, Tensor, dict, list[Tensor] | None]:
    """Read what :func:`save_inverted` wrote: inverted latents, clean latents, metadata, trajectory (None where it
    was not kept).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else, or is damaged.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file of inverted latents {path}: invert the clip first.")
    with opened(Path(path)) as (file, kind, metadata):
        if kind != INVERTED:
            raise ValueError(f"{path} holds no inverted latents: give the file that inverting a clip wrote.")
        inverted, clean = (file.get_tensor(name) for name in ("inverted", "clean"))
        between = file.get_tensor("between") if "between" in file.keys() else None  # noqa: SIM118
    fits = inverted.ndim == 5 and inverted.shape == clean.shape and {inverted.dtype, clean.dtype} == {torch.float32}
    if not fits or not (inverted.isfinite().all() and clean.isfinite().all()):
        raise ValueError(f"{path} holds no latents [b, c, f, h, w] of a clip: invert the clip again.")
    if between is None:
        return inverted, clean, metadata, None
    if between.ndim != 6 or between.shape[1:] != clean.shape or not between.isfinite().all():
        raise ValueError(f"{path} holds no trajectory of its clip: invert the clip again.")
    return inverted, clean, metadata, [clean, *between, inverted]
