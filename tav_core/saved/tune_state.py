"""The file that a stopped tuning resumes from."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch

from ..diffusion.tune_state import TuneState
from ..errors import short
from .safetensors_file import STATE, opened, save_tensors


def save_tune_state(path: str | os.PathLike, state: TuneState, base_fingerprint: str = "") -> None:
    """Write the state that tuning resumes from.

    Args:
        path: ends in ``.safetensors``.
        base_fingerprint: :func:`fingerprint` of the checkpoint that is tuned; empty if unknown.

    Raises:
        ValueError, OSError: as for :func:`save_tuned`.
    """
    tensors = {f"weights/{name}": tensor for name, tensor in state.weights.items()}
    for name, values in state.optimizer.items():
        tensors |= {f"optimizer/{name}/{key}": value for key, value in values.items()}
    tensors["generator"] = state.generator
    metadata = {
        "scaler": state.scaler,
        "losses": state.losses,
        "validation": state.validation,
        "base_fingerprint": base_fingerprint,
    }
    save_tensors(path, tensors, STATE, metadata)


def load_tune_state(path: str | os.PathLike, base_fingerprint: str = "") -> TuneState:
    """Read the file of :func:`save_tune_state`.

    Args:
        base_fingerprint: :func:`fingerprint` of the checkpoint to resume on; empty if unknown.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds something else, is damaged, or comes from another checkpoint.
    """
    with opened(Path(path)) as (file, kind, metadata):
        if kind != STATE:
            raise ValueError(f"{path} is not a saved tuning state: give the file that an interrupted tuning left.")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    try:
        saved_on = metadata.pop("base_fingerprint")
        metadata["validation"] = [(int(step), float(loss)) for step, loss in metadata.get("validation", [])]
        state = TuneState({}, {}, tensors.pop("generator"), **metadata)
        # fail here, rather than when the tuning is under way
        torch.Generator().set_state(state.generator)
        numbers = *state.losses, *dict(state.validation).values(), *state.scaler.values()
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("a number is NaN or infinite")
        for key, tensor in tensors.items():
            part, name = key.split("/", 1)
            if part == "weights":
                state.weights[name] = tensor
            else:
                name, value = name.rsplit("/", 1)
                state.optimizer.setdefault(name, {})[value] = tensor
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{path} is an incomplete tuning state ({short(str(error))}): start anew.") from error
    damaged = state.find_not_finite()
    if damaged:
        raise ValueError(f"{path} contains NaN or infinite values (first in {short(damaged)}): start anew.")
    if saved_on and base_fingerprint and saved_on != base_fingerprint:
        raise ValueError(f"{path} comes from another checkpoint: resume with the one it was saved with, or start anew.")
    return state
