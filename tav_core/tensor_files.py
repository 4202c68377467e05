"""Files of tensors: safetensors, with what a file says of itself as JSON in its header, under the name of its kind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .files import replacing

KINDS = TUNED, STATE, INVERTED = "tune_a_video", "tune_a_video_state", "tune_a_video_inverted"
"""Learned weights, what a stopped tuning resumes from, and an inverted clip."""


def save_tensors(path: str | os.PathLike, tensors: dict[str, Tensor], kind: str, metadata: dict) -> None:
    """Write a file of this kind.

    Args:
        path: ends in ``.safetensors``.
        metadata: anything JSON holds.

    Raises:
        ValueError: another ending.
        OSError: it cannot be written, for want of space for one.
    """
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"Tensors are written as .safetensors, not as {Path(path).name!r}: change the ending.")
    tensors = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    with replacing(path) as partial:
        try:
            save_file(tensors, partial, {"format": "pt", kind: json.dumps(metadata)})
        except SafetensorError as error:
            raise OSError(f"{path} could not be written ({error}): see that there is space for it.") from error


@contextmanager
def opened(path: Path) -> Iterator[tuple[safe_open, str | None, dict]]:
    """A safetensors file, open, its kind, if it is one of ours, and its metadata.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a pickle, no safetensors file, or its metadata are not what we write.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: check the name and the folder.")
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
            yield file, kind, _metadata(path, header.get(kind, "{}"))
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error}): it may be incomplete; get it again.") from error


def _metadata(path: Path, text: str) -> dict:
    try:
        metadata = json.loads(text)
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict):
        raise ValueError(f"{path} does not say of itself what it should (its header is damaged): get it again.")
    return metadata
