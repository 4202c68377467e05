"""Files of tensors: safetensors, with what a file says of itself as JSON in its header, under the name of its kind."""

from __future__ import annotations

import json
import os
import reprlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import NoneType

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import short
from ..files import parse_json, replacing

KINDS = TUNED, STATE, INVERTED = "tune_a_video", "tune_a_video_state", "tune_a_video_inverted"
"""Learned weights, what a stopped tuning resumes from, and an inverted clip."""
_NUMBER = (int, float)
_TYPES = {
    TUNED: {
        "format_version": (int,),
        **dict.fromkeys(("prompt", "base_architecture", "base_fingerprint", "attention", "date", "preview"), (str,)),
        **dict.fromkeys(("frames", "width", "height", "steps", "rank"), (int,)),
        "learning_rate": _NUMBER,
        "fps": (*_NUMBER, NoneType),
        **dict.fromkeys(("temporal_attention", "joint_norm"), (bool,)),
    },
    STATE: {"scaler": (dict,), "losses": (list,), "validation": (list,), "base_fingerprint": (str,)},
    INVERTED: {"prompt": (str,), "fps": _NUMBER, "steps": (int, NoneType)},
}
"""Expected types of our metadata, by key; unknown keys may hold anything."""


def save_tensors(path: str | os.PathLike, tensors: dict[str, Tensor], kind: str, metadata: dict) -> None:
    """Write a file of this kind.

    Args:
        path: ends in ``.safetensors``.
        metadata: anything JSON holds.

    Raises:
        ValueError: another ending, or a value is NaN or infinite.
        OSError: it cannot be written, because the disk is full for example.
    """
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"Tensors are written as .safetensors, not as {Path(path).name!r}: change the ending.")
    tensors = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(
                f"{Path(path).name} was not written, because {name} contains NaN or infinite values: use a lower "
                "learning rate, or precision fp32 or bf16."
            )
    with replacing(path) as partial:
        try:
            save_file(tensors, partial, {"format": "pt", kind: json.dumps(metadata)})
        except SafetensorError as error:
            raise OSError(f"{path} could not be written ({error}): see that there is space for it.") from error


@contextmanager
def opened(path: Path) -> Iterator[tuple[safe_open, str | None, dict]]:
    """Open a safetensors file; yield it, its kind if it is one of ours, and its metadata.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a pickle, not a safetensors file, or its metadata are not what we write.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: check the name and the folder.")
    with path.open("rb"):  # raises what safetensors would report as a missing or an incomplete file
        pass
    if path.suffix in (".bin", ".pt", ".pth", ".ckpt"):
        raise ValueError(
            f"{path.name} is a pickle, which could run code when opened and is never loaded: convert it once, where "
            f"you trust it, with safetensors.torch.save_file(torch.load({path.name!r}, weights_only=True), "
            f"{path.stem + '.safetensors'!r})."
        )
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            kind = next((kind for kind in KINDS if kind in header), None)
            yield file, kind, _metadata(path, header.get(kind, "{}"), kind)
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a safetensors file ({short(str(error))}): it may be incomplete; get it again."
        ) from error


def _metadata(path: Path, text: str, kind: str | None) -> dict:
    try:
        metadata = parse_json(text)
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict):
        raise ValueError(f"The header of {path} is damaged: get the file again.")
    for name, value in metadata.items():
        if not _fits(value, _TYPES.get(kind, {}).get(name)):
            raise ValueError(
                f"The header of {path} is damaged ({short(name)} is {reprlib.repr(value)}): get the file again."
            )
    return metadata


def _fits(value: object, types: tuple[type, ...] | None) -> bool:
    """Return whether ``value`` is of one of these types; numbers must be finite, non-negative and fit a float."""
    if types is None:
        return True
    return type(value) in types and (type(value) not in (int, float) or 0 <= value <= sys.float_info.max)
