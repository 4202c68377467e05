"""The last tuning of each node, kept in memory so that tuning again with more steps goes on from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ... import tav_core

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from .models import Inflation


@dataclass(frozen=True)
class KeptTuning:
    """Where a tuning stands."""

    key: str
    """See :func:`tuning_key`."""
    state: tav_core.TuneState
    previews: list[dict]
    preview_key: str
    """Digest of what the previews were sampled with."""

    @property
    def bytes(self) -> int:
        """What the optimizer's tensors take; for SD 1.5, 0.6 GB."""
        return sum(tensor.nbytes for values in self.state.optimizer.values() for tensor in values.values())


_MOST_BYTES = 2.5e9
"""Of the kept tunings together, besides what the graph holds of them; the newest is kept whatever it takes."""
_kept: dict[tuple[str | None, str], KeptTuning] = {}
"""By workflow and node, the oldest first; of one workflow at a time."""


def keep(workflow: str | None, node: str, tuning: KeptTuning) -> None:
    """Keep this tuning in place of the node's last one, and of those of other workflows."""
    for other in [key for key in _kept if key[0] != workflow or key[1] == node]:
        del _kept[other]
    _kept[workflow, node] = tuning
    while len(_kept) > 1 and sum(kept.bytes for kept in _kept.values()) > _MOST_BYTES:
        del _kept[next(iter(_kept))]


def find(key: str, steps: int) -> KeptTuning | None:
    """The kept tuning, if tuning ``steps`` steps with that key goes through where it stands."""
    going_on = [k for k in _kept.values() if k.key == key and len(k.state.losses) <= steps]
    return max(going_on, key=lambda tuning: len(tuning.state.losses), default=None)


def tuning_key(
    learner: ModelPatcher,
    inflation: Inflation,
    latents: Tensor,
    conds: dict[str, Tensor],
    settings: tav_core.TuneSettings,
) -> str:
    """Digest of all that decides what a tuning learns in its next step.

    The number of steps is part of it only where the learning rate depends on it.

    Args:
        learner: the MODEL as it is loaded for tuning, its patches merged into its weights.
        conds: the inputs of the network besides the latents.
    """
    choices = asdict(settings)
    if settings.lr_scheduler == "constant":
        del choices["steps"]
    options = ("attention", "temporal_attention", "joint_norm")
    inflated = {name: getattr(inflation, name) for name in options}
    patches = str(learner.patches_uuid) if learner.model.model_lowvram else ""  # then they are merged when in use
    computed_in = learner.model.manual_cast_dtype
    network = learner.model.diffusion_model
    return digest(choices, inflated, patches, computed_in, latents, conds, network, inflation.temporal)


def digest(*values: object) -> str:
    """SHA-256 over tensors, networks, and whatever has an honest ``repr``; dictionaries in their own order."""
    sha = hashlib.sha256()
    for piece in _pieces(values):
        sha.update(piece)
    return sha.hexdigest()


def _pieces(value: object) -> Iterator[bytes | memoryview]:
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
