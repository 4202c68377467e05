"""The tuned weights, kept beside the network: changed projections, and the temporal attention."""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..errors import short
from .overrides import Overrides
from .projection import DOWN, UP, WEIGHT, Change, TunedProjection, project
from .structure import Block

PUBLISHED_MODULES = ("attn1.to_q", "attn2.to_q", "attn_temp")
"""The modules of every block that the published code tunes."""
_PROJECTIONS = tuple(f"{attention}.to_{x}" for attention in ("attn1", "attn2") for x in "qkv")
_TEMPORAL = ("attn_temp", "norm_temp")


class TunedWeights:
    """Tuned versions of the projections of every block, and the temporal attention, by published name.

    The network's own projections are never written to: while attached, a tuned one takes the place of the module's
    forward. :class:`.VideoUNet` documents the methods that it shares with this class.

    Args:
        temporal: of every block, in the order of ``blocks``; None without temporal attention.
        rank: rank of the changes of projections and inner width of the temporal attention; 0 for whole weights and the
            width of the self-attention.
        untuned: False when ``temporal`` was tuned before.
    """

    def __init__(self, blocks: list[Block], temporal: nn.ModuleList | None, rank: int, untuned: bool) -> None:
        self.blocks = blocks
        self.temporal = temporal
        self.rank = rank
        self._seed = 0
        if temporal is not None:
            temporal.requires_grad_(False)
        self._projections = {
            f"{block.published_name}.{name}": TunedProjection(block.module.get_submodule(name))
            for block in blocks
            for name in _PROJECTIONS
        }
        self._overrides = Overrides()
        self._overridden: set[str] = set()
        self._attached = False
        self._untuned = untuned

    def attach(self) -> None:
        """Let the tuned projections take effect."""
        self._attached = True
        for name in self._projections:
            self._override(name)

    def detach(self) -> None:
        """Let the network's own projections take effect again."""
        self._overrides.clear()
        self._overridden.clear()
        self._attached = False

    def move(self, device: torch.device) -> None:
        """Move all tuned weights to ``device``."""
        if self.temporal is not None and next(self.temporal.parameters()).device != device:
            self.temporal.to(device)
        for parameter in self._projection_parameters().values():
            if parameter.device != device:
                parameter.data = parameter.data.to(device)

    def learning(self) -> bool:
        """Return whether gradients of tuned weights are being recorded."""
        temporal = self.temporal.parameters() if self.temporal is not None else ()
        parameters = (*self._projection_parameters().values(), *temporal)
        return torch.is_grad_enabled() and any(p.requires_grad for p in parameters)

    def begin(self, rank: int, seed: int) -> None:
        """Prepare for tuning at ``rank``: weights that are new start from ``seed``, tuned ones keep their form."""
        if self._untuned and rank != self.rank and self.temporal is not None:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                for block, temporal in zip(self.blocks, self.temporal):
                    temporal.resize(block.module.attn1, rank)
        self.rank, self._seed = rank, seed
        self._untuned = False

    def trainable_parameters(self, modules: tuple[str, ...] | None = None) -> dict[str, nn.Parameter]:
        if modules is None:
            modules = PUBLISHED_MODULES if self.temporal is not None else PUBLISHED_MODULES[:2]
        choices = _PROJECTIONS + (_TEMPORAL if self.temporal is not None else ())
        unknown = [m for m in modules if m not in choices]
        if unknown or not modules:
            names = ", ".join(map(repr, unknown)) or "(empty list)"
            raise ValueError(f"Unknown trainable modules {names}: choose from {', '.join(choices)}.")
        generator = torch.Generator().manual_seed(self._seed)
        for name, tuned in self._projections.items():
            if name.endswith(tuple(modules)):
                tuned.create(self.rank, generator)
                self._override(name)
        everything = self._projection_parameters() | dict(self._temporal_parameters())
        trainable = {}
        for name, parameter in everything.items():
            parameter.requires_grad_(any(f".{module}." in name for module in modules))
            if parameter.requires_grad:
                trainable[name] = parameter
        return trainable

    @torch.no_grad()
    def state_dict(self) -> dict[str, Tensor]:
        state = {}
        for name in self._named_in_state():
            state |= {f"{name}.{key}": tensor.clone() for key, tensor in self._projections[name].state().items()}
        return state | {name: parameter.detach().clone() for name, parameter in self._temporal_parameters()}

    @torch.no_grad()
    def projection_changes(self) -> dict[str, tuple[str, Change]]:
        """Return (the network's own name of its weight, the change of it) of every projection in the tuned state, by
        published name without its ending; the change is ``[out, in]`` or its low-rank factors (down, up)."""
        return {name: (own, self._projections[name].change()) for name, own in self.projection_names().items()}

    def projection_names(self) -> dict[str, str]:
        """Return the network's own name of the weight of every projection in the tuned state, by published name without
        its ending."""
        own = {f"{b.published_name}.{m}": f"{b.name}.{m}.weight" for b in self.blocks for m in _PROJECTIONS}
        return {name: own[name] for name in self._named_in_state()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor], strength: float) -> None:
        if not 0 <= strength <= 1:
            raise ValueError(f"The strength of a tuned model lies between 0 and 1, not {strength}.")
        self._check_fit(state)
        self._untuned = False
        for name, tuned in self._projections.items():
            tuned.load(_below(name, state), strength)
            self._override(name)
        for block, temporal in zip(self.blocks, self.temporal if self.temporal is not None else ()):
            temporal.resize(block.module.attn1, _width(state, block, temporal))
        for name, parameter in self._temporal_parameters():
            scale = strength if ".attn_temp.to_out." in name else 1
            parameter.copy_(state[name].to(parameter.device, torch.float32) * scale)

    def _named_in_state(self) -> list[str]:
        """Return the projections that a state holds: the published ones of every block, and any other tuned one."""
        published = [f"{b.published_name}.{module}" for b in self.blocks for module in PUBLISHED_MODULES[:2]]
        return published + [n for n, tuned in self._projections.items() if tuned.parameters and n not in published]

    def _projection_parameters(self) -> dict[str, nn.Parameter]:
        return {f"{name}.{key}": p for name, tuned in self._projections.items() for key, p in tuned.parameters.items()}

    def _temporal_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for block, temporal in zip(self.blocks, self.temporal if self.temporal is not None else ()):
            for name, parameter in temporal.named_parameters():
                yield f"{block.published_name}.{name}", parameter

    def _override(self, name: str) -> None:
        tuned = self._projections[name]
        if self._attached and tuned.parameters and name not in self._overridden:
            self._overrides.set(tuned.module, "forward", project, tuned)
            self._overridden.add(name)

    def _check_fit(self, state: dict[str, Tensor]) -> None:
        blocks = {found[1] for found in (re.match(r"(.*\.transformer_blocks\.\d+)\.", name) for name in state) if found}
        if blocks and len(blocks) != len(self.blocks):
            raise ValueError(
                f"The tuned weights belong to a U-Net of {_family(len(blocks))}, this one is of "
                f"{_family(len(self.blocks))}: use a checkpoint of the family that they were tuned on."
            )
        expected = self._shapes(state)
        missing = sorted(expected.keys() - state.keys())
        unexpected = sorted(state.keys() - expected.keys())
        wrong = [
            f"{n} {list(state[n].shape)} instead of {list(expected[n])}"
            for n in sorted(expected.keys() & state.keys())
            if state[n].shape != expected[n]
        ]
        differences = [
            f"{len(names)} {what} (first: {short(names[0])})"
            for what, names in (("missing", missing), ("not in this network", unexpected), ("of another shape", wrong))
            if names
        ]
        if differences:
            raise ValueError(
                f"The tuned weights do not fit this network: {'; '.join(differences)}; use a checkpoint of the "
                "architecture they were tuned on, inflated with the same temporal_attention."
            )

    def _shapes(self, state: dict[str, Tensor]) -> dict[str, torch.Size]:
        """Return the shapes by name that ``state`` must have: of the published projections and the temporal attention
        of every block, and of any other projection in it, at the ranks that it has."""
        shapes = {}
        for name, tuned in self._projections.items():
            out, width = tuned.module.weight.shape
            given = _below(name, state)
            if UP in given or DOWN in given:
                rank = len(given.get(DOWN, ()))
                shapes |= {f"{name}.{DOWN}": torch.Size((rank, width)), f"{name}.{UP}": torch.Size((out, rank))}
            elif given or name.endswith(PUBLISHED_MODULES):
                shapes[f"{name}.{WEIGHT}"] = tuned.module.weight.shape
        for block, temporal in zip(self.blocks, self.temporal if self.temporal is not None else ()):
            width = _width(state, block, temporal)
            for name, shape in temporal.shapes(width).items():
                shapes[f"{block.published_name}.{name}"] = shape
        return shapes


def _family(blocks: int) -> str:
    name = {16: "the SD 1.x and 2.x family", 70: "the SDXL family"}.get(blocks, "another family")
    return f"{name} ({blocks} transformer blocks)"


def _below(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: state[f"{name}.{key}"] for key in (WEIGHT, DOWN, UP) if f"{name}.{key}" in state}


def _width(state: dict[str, Tensor], block: Block, temporal: nn.Module) -> int:
    """Return the inner width of the temporal attention of ``block`` in ``state``, or its own where that has none."""
    query = state.get(f"{block.published_name}.attn_temp.to_q.weight", temporal.attn_temp.to_q.weight)
    return len(query)
