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
_INFLATION = ("attention", "temporal_attention", "joint_norm", "window")


@dataclass(frozen=True)
class CachedTuning:
    """A tuning as it ended."""

    basis: dict[str, str]
    """See :func:`tuning_basis`."""
    state: tav_core.TuneState
    previews: list[dict]
    preview_key: str
    """Digest of the inputs that the previews were sampled with."""

    @property
    def bytes(self) -> int:
        """Return the size of the optimizer's tensors, 0.6 GB for SD 1.5; the node's output holds the weights."""
        return sum(tensor.nbytes for values in self.state.optimizer.values() for tensor in values.values())


class TuningCache:
    """Hold the last tuning of each node of each workflow, up to 2.5 GB in all and always the newest.

    ComfyUI's "unload models and execution cache" clears it.
    """

    def __init__(self) -> None:
        self._tunings: dict[tuple[str | None, str], CachedTuning] = {}
        """By workflow and node, the oldest first."""
        self._dropped: set[tuple[str | None, str]] = set()

    def keep(self, workflow: str | None, node: str, tuning: CachedTuning) -> None:
        """Keep this tuning in place of the node's last one, and drop the oldest beyond 2.5 GB."""
        at = (workflow, node)
        tunings = {other: kept for other, kept in self._tunings.items() if other != at} | {at: tuning}
        while len(tunings) > 1 and sum(kept.bytes for kept in tunings.values()) > _LIMIT_BYTES:
            oldest = next(iter(tunings))
            del tunings[oldest]
            self._dropped.add(oldest)
        self._tunings = tunings  # replaced as a whole: the server's thread may clear it meanwhile

    def find(self, basis: dict[str, str], steps: int) -> CachedTuning | None:
        """Return the tuning on that basis that is nearest to ``steps`` without being beyond, if there is one."""
        usable = [kept for kept in self._tunings.values() if kept.basis == basis and len(kept.state.losses) <= steps]
        return max(usable, key=lambda tuning: len(tuning.state.losses), default=None)

    def reason_to_start_over(self, workflow: str | None, node: str, basis: dict[str, str]) -> str:
        """Return a sentence on why the node's last tuning is not continued; "" if there was none."""
        last = self._tunings.get((workflow, node))
        if last is None:
            return (
                "Starts over: its last tuning is not in memory any more." if (workflow, node) in self._dropped else ""
            )
        changed = [name for name in basis if basis[name] != last.basis.get(name)]
        if not changed:
            return f"Starts over: the last tuning went on to step {len(last.state.losses)}."
        return f"Starts over, because of another {', '.join(changed)}."

    def clear(self) -> None:
        """Drop all tunings; the next run of every node starts at its first step."""
        self._dropped |= self._tunings.keys()
        self._tunings = {}


def tuning_basis(
    model: ModelPatcher,
    inflation: Inflation,
    latents: Tensor,
    conds: dict[str, Tensor],
    settings: tav_core.TuneSettings,
) -> dict[str, str]:
    """Return digests of everything that the next step of a tuning depends on, by the name that a user knows.

    The number of steps is part of it only if the learning rate depends on it.

    Args:
        model: the MODEL as it is loaded for tuning, its patches merged into its weights.
        conds: the inputs of the U-Net besides latents and timestep.
    """
    choices = asdict(settings)
    del choices["validate_every"]
    if settings.lr_scheduler == "constant":
        del choices["steps"]
    inflated = {name: getattr(inflation, name) for name in _INFLATION}
    patches = str(model.patches_uuid) if model.model.model_lowvram else ""  # merged in use, so not in the weights
    computed_in = model.model.manual_cast_dtype
    network = model.model.diffusion_model
    return {
        "model": digest(inflated, patches, computed_in, network, inflation.temporal),
        "clip": digest(latents),
        "prompt": digest(conds),
        **{name: repr(value) for name, value in choices.items()},
    }


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
