"""The tuned weights, kept beside the network: float32 copies of projections, and the temporal attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import short
from .overrides import Overrides
from .structure import Block

PUBLISHED_MODULES = ("attn1.to_q", "attn2.to_q", "attn_temp")
"""The modules of every block that the published code tunes."""
_PROJECTIONS = tuple(f"{attention}.to_{x}" for attention in ("attn1", "attn2") for x in "qkv")
_TEMPORAL = ("attn_temp", "norm_temp")


class TunedWeights:
    """Tuned versions of the projections of every block, and the temporal attention, by published name.

    The network's own projections are never written to: while attached, a tuned weight takes the place of the module's
    own. It is created when first asked for, so an untuned network carries no copies. :class:`.VideoUNet` documents the
    methods that it shares with this class.
    """

    def __init__(self, blocks: list[Block], temporal: nn.ModuleList | None) -> None:
        self.blocks = blocks
        self.temporal = temporal
        if temporal is not None:
            temporal.requires_grad_(False)
        self._projections: dict[str, nn.Parameter] = {}
        self._overrides = Overrides()
        self._attached = False

    def attach(self) -> None:
        """Let the tuned projections take effect."""
        self._attached = True
        for name in self._projections:
            self._override(name)

    def detach(self) -> None:
        """Let the network's own projections take effect again."""
        self._overrides.clear()
        self._attached = False

    def move(self, device: torch.device) -> None:
        """Move all tuned weights to ``device``."""
        if self.temporal is not None and next(self.temporal.parameters()).device != device:
            self.temporal.to(device)
        for parameter in self._projections.values():
            if parameter.device != device:
                parameter.data = parameter.data.to(device)

    def learning(self) -> bool:
        """Return whether gradients of tuned weights are being recorded."""
        temporal = self.temporal.parameters() if self.temporal is not None else ()
        return torch.is_grad_enabled() and any(p.requires_grad for p in (*self._projections.values(), *temporal))

    def trainable_parameters(self, modules: tuple[str, ...] | None = None) -> dict[str, nn.Parameter]:
        if modules is None:
            modules = PUBLISHED_MODULES if self.temporal is not None else PUBLISHED_MODULES[:2]
        choices = _PROJECTIONS + (_TEMPORAL if self.temporal is not None else ())
        unknown = [m for m in modules if m not in choices]
        if unknown or not modules:
            names = ", ".join(map(repr, unknown)) or "(empty list)"
            raise ValueError(f"Unknown trainable modules {names}: choose from {', '.join(choices)}.")
        for module in modules:
            if module in _PROJECTIONS:
                for block in self.blocks:
                    self._tuned_projection(f"{block.published_name}.{module}.weight")
        everything = self._projections | dict(self._temporal_parameters())
        trainable = {}
        for name, parameter in everything.items():
            parameter.requires_grad_(any(f".{module}." in name for module in modules))
            if parameter.requires_grad:
                trainable[name] = parameter
        return trainable

    @torch.no_grad()
    def state_dict(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self._current().items()}

    def projection_weights(self) -> dict[str, tuple[str, Tensor]]:
        names = ((b, m, f"{b.published_name}.{m}.weight") for b in self.blocks for m in _PROJECTIONS)
        return {
            name: (f"{block.name}.{module}.weight", block.module.get_submodule(module).weight)
            for block, module, name in names
            if module in PUBLISHED_MODULES or name in self._projections
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor], strength: float) -> None:
        if not 0 <= strength <= 1:
            raise ValueError(f"The strength of a tuned model lies between 0 and 1, not {strength}.")
        self._check_fit(state)
        for name in dict.fromkeys(n for n in (*state, *self._projections) if _is_projection(n)):
            parameter = self._tuned_projection(name)
            base = self._module(name).weight.to(parameter)
            tuned = state[name].to(parameter) if name in state else base
            parameter.copy_(tuned if strength == 1 else torch.lerp(base, tuned, strength))
        for name, parameter in self._temporal_parameters():
            scale = strength if ".attn_temp.to_out." in name else 1
            parameter.copy_(state[name].to(parameter.device, torch.float32) * scale)

    def _current(self) -> dict[str, Tensor]:
        """Return the tensors in use: tuned ones, or the network's own where there are none yet."""
        names = [f"{b.published_name}.{module}.weight" for b in self.blocks for module in PUBLISHED_MODULES[:2]]
        names += [name for name in self._projections if name not in names]
        state = {name: self._projections.get(name, self._module(name).weight).detach() for name in names}
        return state | {name: parameter.detach() for name, parameter in self._temporal_parameters()}

    def _temporal_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for block, temporal in zip(self.blocks, self.temporal if self.temporal is not None else ()):
            for name, parameter in temporal.named_parameters():
                yield f"{block.published_name}.{name}", parameter

    def _module(self, name: str) -> nn.Module:
        """Return the projection in the network that the published parameter ``name`` belongs to."""
        for block in self.blocks:
            if name.startswith(block.published_name + "."):
                return block.module.get_submodule(name[len(block.published_name) + 1 : -len(".weight")])
        raise KeyError(name)

    def _tuned_projection(self, name: str) -> nn.Parameter:
        if name not in self._projections:
            with torch.inference_mode(False):
                weight = self._module(name).weight.detach().to(torch.float32, copy=True)
                self._projections[name] = nn.Parameter(weight, requires_grad=False)
            if self._attached:
                self._override(name)
        return self._projections[name]

    def _override(self, name: str) -> None:
        self._overrides.set(self._module(name), "forward", _projection, self._projections[name])

    def _check_fit(self, state: dict[str, Tensor]) -> None:
        expected = self._current()
        optional = {n for n in self._projections if not n.endswith(("attn1.to_q.weight", "attn2.to_q.weight"))}
        missing = sorted(expected.keys() - state.keys() - optional)
        unexpected = sorted(n for n in state.keys() - expected.keys() if not self._fits_projection(n, state[n]))
        wrong = [
            f"{n} {list(state[n].shape)} instead of {list(expected[n].shape)}"
            for n in sorted(expected.keys() & state.keys())
            if state[n].shape != expected[n].shape
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

    def _fits_projection(self, name: str, tensor: Tensor) -> bool:
        if not _is_projection(name):
            return False
        try:
            return self._module(name).weight.shape == tensor.shape
        except (KeyError, AttributeError):
            return False


def _projection(weight: Tensor, module: nn.Module, original: Callable, x: Tensor) -> Tensor:
    """Project with a tuned weight in place of the module's own, as a patch of its forward."""
    return F.linear(x, weight.to(x), module.bias)


def _is_projection(name: str) -> bool:
    return name.endswith(tuple(f".{p}.weight" for p in _PROJECTIONS))
