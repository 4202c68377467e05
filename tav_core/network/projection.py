"""A tuned projection: its whole weight in float32, or low-rank factors beside the network's own (arXiv 2106.09685)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

WEIGHT, DOWN, UP = "weight", "lora_down.weight", "lora_up.weight"
"""Names of the parameters below the projection's: of the whole weight ``[out, in]``, and of the factors ``[rank, in]``
and ``[out, rank]`` of its change."""
Change = Tensor | tuple[Tensor, Tensor]
"""The change of a weight: ``[out, in]``, or its factors (down, up)."""


class TunedProjection:
    """The change of one projection by tuning; the projection's own weight is never written to.

    It has no parameters, and changes nothing, until :meth:`create` or :meth:`load`.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.parameters: dict[str, nn.Parameter] = {}

    def create(self, rank: int, generator: torch.Generator) -> None:
        """Create the parameters that tuning changes, without an effect yet: factors, or for rank 0 the whole weight.

        Factors start so that a step of the optimizer changes the weight by about as much as it would change the whole
        weight at the same learning rate.
        """
        if self.parameters:
            return
        weight = self.module.weight
        if rank == 0:
            self._set({WEIGHT: plain(weight).to(torch.float32)})
        else:
            out, width = weight.shape
            down = torch.randn(rank, width, generator=generator) * rank**-0.5
            self._set({DOWN: down.to(weight.device), UP: torch.zeros(out, rank, device=weight.device)})

    def load(self, state: dict[str, Tensor], strength: float) -> None:
        """Load parameters, their effect scaled by ``strength``."""
        device = self.module.weight.device
        state = {name: tensor.to(device, torch.float32) for name, tensor in state.items()}
        if UP in state:
            state[UP] = state[UP] * strength
        elif WEIGHT in state and strength != 1:
            state[WEIGHT] = torch.lerp(plain(self.module.weight).float(), state[WEIGHT], strength)
        self._set(state)

    def state(self) -> dict[str, Tensor]:
        """Return the parameters, or the network's own weight where there are none."""
        return {name: p.detach() for name, p in self.parameters.items()} or {WEIGHT: plain(self.module.weight)}

    def change(self) -> Change:
        """Return the change of the network's own weight, in float32 in main memory."""
        state = {name: tensor.to("cpu", torch.float32) for name, tensor in self.state().items()}
        return (state[DOWN], state[UP]) if UP in state else state[WEIGHT] - plain(self.module.weight).to("cpu").float()

    def _set(self, state: dict[str, Tensor]) -> None:
        if {n: t.shape for n, t in state.items()} == {n: p.shape for n, p in self.parameters.items()}:
            with torch.no_grad():
                for name, tensor in state.items():
                    self.parameters[name].copy_(tensor)
            return
        with torch.inference_mode(False):
            self.parameters = {n: nn.Parameter(t.clone(), requires_grad=False) for n, t in state.items()}


def plain(weight: Tensor) -> Tensor:
    """Return a weight of the network as an ordinary tensor: ComfyUI keeps those of scaled fp8 in a class of its own."""
    weight = weight.detach()
    return weight.dequantize() if is_traceable_wrapper_subclass(weight) else weight


def dense(change: Change) -> Tensor:
    """Return a change of a weight as a tensor ``[out, in]``."""
    return change if isinstance(change, Tensor) else change[1] @ change[0]


def combined(first: Change | None, second: Change, strength: float) -> Change:
    """Return the sum of a change (None for none) and a second one at ``strength``; factors stay factors."""
    if isinstance(second, Tensor):
        return strength * second + (0 if first is None else dense(first))
    down, up = second
    if first is None:
        return down, strength * up
    if isinstance(first, Tensor):
        return first + strength * dense(second)
    return torch.cat([first[0], down]), torch.cat([first[1], strength * up], dim=1)


def project(tuned: TunedProjection, module: nn.Module, original: Callable, x: Tensor) -> Tensor:
    """Project with the tuned weight, as a patch of the module's forward."""
    parameters = tuned.parameters
    if WEIGHT in parameters:
        return F.linear(x, parameters[WEIGHT].to(x), module.bias)
    if UP in parameters:
        return original(x) + F.linear(F.linear(x, parameters[DOWN].to(x)), parameters[UP].to(x))
    return original(x)
