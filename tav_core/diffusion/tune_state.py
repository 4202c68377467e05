"""The state that a stopped tuning resumes from: how it is taken, and how an optimizer is restored from it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..errors import TuningError


@dataclass
class TuneState:
    """Everything that tuning needs to resume; its tensors are copies in main memory."""

    weights: dict[str, Tensor]
    optimizer: dict[str, dict[str, Tensor]]
    """The optimizer's tensors by parameter name."""
    generator: Tensor
    """State of the random generator that draws noise and timesteps."""
    scaler: dict[str, float]
    """State of the ``torch.amp.GradScaler``; empty where the loss is not scaled."""
    losses: list[float]
    """One per step so far; their number is the step to resume at."""
    validation: list[tuple[int, float]] = field(default_factory=list)
    """(step, validation loss) for each validation so far."""

    @classmethod
    def capture(
        cls,
        parameters: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        scaler: torch.amp.GradScaler,
        losses: list[float],
        validation: list[tuple[int, float]],
    ) -> TuneState:
        """Copy the state of a tuning.

        Raises:
            TuningError: a weight or a moment is NaN or infinite.
        """
        state = cls(
            weights={name: p.detach().to("cpu", copy=True) for name, p in parameters.items()},
            optimizer={name: _as_tensors(optimizer.state[p]) for name, p in parameters.items()},
            generator=generator.get_state(),
            scaler=scaler.state_dict(),
            losses=losses,
            validation=validation,
        )
        damaged = state.find_not_finite()
        if damaged:
            raise TuningError(
                f"After step {len(losses)}, {damaged} contains NaN or infinite values: lower the learning rate, or use "
                "precision fp32 or bf16."
            )
        return state

    def find_not_finite(self) -> str | None:
        """Return the name of the first parameter with a weight or moment that is NaN or infinite; None if all are
        finite."""
        for name, weight in self.weights.items():
            tensors = (weight, *self.optimizer.get(name, {}).values())
            if not all(tensor.isfinite().all() for tensor in tensors):
                return name
        return None

    def restore(
        self,
        parameters: dict[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        scaler: torch.amp.GradScaler,
    ) -> None:
        """Set parameters, optimizer, generator and scaler to this state, which is only read.

        Raises:
            ValueError: the state holds other parameters, comes from another optimizer, or is damaged.
        """
        if {name: w.shape for name, w in self.weights.items()} != {name: p.shape for name, p in parameters.items()}:
            raise ValueError(
                f"The saved tuning state holds {len(self.weights)} parameters, this network tunes {len(parameters)} "
                "others: resume with the checkpoint and the trainable modules that it was saved with."
            )
        saved = {key for values in self.optimizer.values() for key in values}
        adamw = isinstance(optimizer, torch.optim.AdamW)
        if saved and ("exp_avg" in saved) != adamw:
            raise ValueError(
                f"The saved tuning state does not come from the optimizer {type(optimizer).__name__.lower()!r}: resume "
                "with the optimizer that it was saved with, or start anew."
            )
        damaged = self.find_not_finite()
        if damaged:
            raise ValueError(f"The saved tuning state contains NaN or infinite values (in {damaged}): start anew.")
        for name, parameter in parameters.items():
            values = self.optimizer.get(name, {})
            if saved:
                _check_moments(name, parameter, values, adamw)
            with torch.no_grad():
                parameter.copy_(self.weights[name])
            for key, value in values.items():
                device = parameter.device if key != "step" or parameter.is_cuda else "cpu"
                optimizer.state[parameter][key] = (
                    value.item() if value.dtype == torch.int64 else value.to(device, copy=True)
                )
        generator.set_state(self.generator)
        if self.scaler:
            scaler.load_state_dict(self.scaler)


def _as_tensors(values: dict) -> dict[str, Tensor]:
    """Return an optimizer's values for a parameter as a file can hold them.

    bitsandbytes counts its steps in an int, and its parameters share their tables.
    """
    return {key: torch.as_tensor(value).to("cpu", copy=True) for key, value in values.items()}


def _check_moments(name: str, parameter: nn.Parameter, values: dict[str, Tensor], adamw: bool) -> None:
    """Refuse missing moments, and those of another shape: the optimizers' kernels would read beyond them."""
    moments = [values[key] for key in ("exp_avg", "exp_avg_sq", "state1", "state2") if key in values]
    fits = bool(values) and all(moment.shape == parameter.shape for moment in moments)
    if adamw:
        fits &= values.keys() == {"step", "exp_avg", "exp_avg_sq"} and values["step"].shape == ()
        fits &= all(value.dtype == torch.float32 for value in values.values())
    if not fits:
        raise ValueError(f"The saved tuning state is damaged (what it holds for {name} does not fit): start anew.")
