"""The last tuning of each node, in memory so that more steps continue from it."""

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

    from .inflation import Inflation

_LIMIT_BYTES = 2.5e9


@dataclass(frozen=True)
class CachedTuning:
    """A tuning as it ended."""

    key: str
    """See :func:`tuning_key`."""
    state: tav_core.TuneState
    previews: list[dict]
    preview_key: str
    """Digest of the inputs that the previews were sampled with."""

    @property
    def bytes(self) -> int:
        """Size of the optimizer's tensors: 0.6 GB for SD 1.5. The weights belong to the node's output, too."""
        return sum(tensor.nbytes for values in self.state.optimizer.values() for tensor in values.values())


class TuningCache:
    """Holds the last tuning of each node of one workflow, up to 2.5 GB and always the newest.

    ComfyUI's "unload models and execution cache" clears it.
    """

    def __init__(self) -> None:
        self._tunings: dict[tuple[str | None, str], CachedTuning] = {}
        """By workflow and node, the oldest first."""

    def keep(self, workflow: str | None, node: str, tuning: CachedTuning) -> None:
        """Keep this tuning in place of the node's last one, and drop those of other workflows."""
        tunings = {at: kept for at, kept in self._tunings.items() if at[0] == workflow and at[1] != node}
        tunings[workflow, node] = tuning
        while len(tunings) > 1 and sum(kept.bytes for kept in tunings.values()) > _LIMIT_BYTES:
            del tunings[next(iter(tunings))]
        self._tunings = tunings  # replaced as a whole: the server's thread may clear it meanwhile

    def find(self, key: str, steps: int) -> CachedTuning | None:
        """Return the tuning with that key that is nearest to ``steps`` without being beyond, if there is one."""
        usable = [kept for kept in self._tunings.values() if kept.key == key and len(kept.state.losses) <= steps]
        return max(usable, key=lambda tuning: len(tuning.state.losses), default=None)

    def clear(self) -> None:
        """Drop all tunings; the next run of every node starts at its first step."""
        self._tunings = {}


def tuning_key(
    model: ModelPatcher,
    inflation: Inflation,
    latents: Tensor,
    conds: dict[str, Tensor],
    settings: tav_core.TuneSettings,
) -> str:
    """Return a digest of everything that the next step of a tuning depends on.

    The number of steps is part of it only if the learning rate depends on it.

    Args:
        model: the MODEL as it is loaded for tuning, its patches merged into its weights.
        conds: the inputs of the U-Net besides latents and timestep.
    """
    choices = asdict(settings)
    if settings.lr_scheduler == "constant":
        del choices["steps"]
    options = ("attention", "temporal_attention", "joint_norm")
    inflated = {name: getattr(inflation, name) for name in options}
    patches = str(model.patches_uuid) if model.model.model_lowvram else ""  # merged in use, so not in the weights
    computed_in = model.model.manual_cast_dtype
    network = model.model.diffusion_model
    return digest(choices, inflated, patches, computed_in, latents, conds, network, inflation.temporal)


def digest(*values: object) -> str:
    """Return the SHA-256 of tensors, modules, and values with a complete ``repr``; dictionaries in their own order."""
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
