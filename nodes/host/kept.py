"""The last tuning, kept in memory so that tuning again with more steps goes on from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields

import torch
from torch import Tensor, nn

from ... import tav_core


@dataclass(frozen=True)
class KeptTuning:
    """Where a tuning stands."""

    key: str
    """See :func:`tuning_key`."""
    state: tav_core.TuneState
    previews: list[dict]
    preview_key: str
    """Digest of what the previews were sampled with."""


_last: KeptTuning | None = None


def keep(tuning: KeptTuning) -> None:
    """Keep this tuning in place of the last one."""
    global _last
    _last = tuning


def find(key: str, steps: int) -> KeptTuning | None:
    """The kept tuning, if tuning ``steps`` steps with that key goes through where it stands."""
    return _last if _last is not None and _last.key == key and len(_last.state.losses) <= steps else None


def tuning_key(learner, inflation, latents: Tensor, conds: dict[str, Tensor], settings: tav_core.TuneSettings) -> str:
    """Digest of all that decides what a tuning learns in its next step.

    The number of steps is part of it only where the learning rate depends on it.

    Args:
        learner: the MODEL as it is loaded for tuning, its patches merged into its weights.
        conds: the inputs of the network besides the latents.
    """
    choices = asdict(settings)
    if settings.lr_scheduler == "constant":
        del choices["steps"]
    inflated = {f.name: getattr(inflation, f.name) for f in fields(inflation) if f.name != "temporal"}
    patches = str(learner.patches_uuid) if learner.model.model_lowvram else ""  # then they are merged when in use
    return digest(choices, inflated, patches, latents, conds, learner.model.diffusion_model, inflation.temporal)


def digest(*values) -> str:
    """SHA-256 over tensors, networks, and whatever has an honest ``repr``; dictionaries in their own order."""
    sha = hashlib.sha256()
    for piece in _pieces(values):
        sha.update(piece)
    return sha.hexdigest()


def _pieces(value) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    elif isinstance(value, nn.Module):
        yield from _pieces(value.state_dict())
    elif isinstance(value, dict):
        for name, item in value.items():
            yield f"{name}: ".encode()
            yield from _pieces(item)
    elif isinstance(value, list | tuple):
        yield f"{len(value)} ".encode()
        for item in value:
            yield from _pieces(item)
    else:
        yield repr(value).encode()
