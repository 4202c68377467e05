"""The file of an inverted clip: where sampling starts, and the clean latents it came from."""

from __future__ import annotations

import json
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .files import replacing

_KIND = "tune_a_video_inverted"


def save_inverted(path: str | os.PathLike, inverted: Tensor, clean: Tensor, metadata: dict) -> None:
    """Write latents ``[b, c, f, h, w]``, inverted and clean, as safetensors.

    Args:
        path: ends in ``.safetensors``.
        metadata: anything JSON holds; by custom ``prompt``, ``fps`` and ``steps``.
    """
    tensors = {"inverted": inverted, "clean": clean}
    tensors = {name: tensor.detach().float().to("cpu").contiguous() for name, tensor in tensors.items()}
    with replacing(path) as partial:
        save_file(tensors, partial, {"format": "pt", _KIND: json.dumps(metadata)})


def load_inverted(path: str | os.PathLike) -> tuple[Tensor, Tensor, dict]:
    """Read what :func:`save_inverted` wrote: inverted latents, clean latents, metadata.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file of inverted latents {path}: invert the clip first.")
    try:
        with safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {})[_KIND])
            return file.get_tensor("inverted"), file.get_tensor("clean"), metadata
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{path} holds no inverted latents: give the file that inverting a clip wrote.") from error
