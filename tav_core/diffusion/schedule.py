"""The noise schedule of the checkpoint, and the arithmetic between clean latents, noise, velocity and predictions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..choices import TIMESTEP_SPACINGS

PREDICTION_TYPES = ("epsilon", "v_prediction")
BETAS = (0.00085, 0.012)
"""First and last beta of Stable Diffusion's 1000 timesteps, whose square roots are evenly spaced."""


class NoiseSchedule:
    """A variance-preserving schedule: latents at timestep t are ``sqrt(a_t) clean + sqrt(1 - a_t) noise``.

    Args:
        alphas_cumprod: ``[T]``, 1 >= a_0 >= a_1 >= ... >= 0 (DDPM, arXiv 2006.11239, equation 4).
        prediction_type: what the network predicts, ``epsilon`` (noise) or ``v_prediction`` (velocity,
            arXiv 2202.00512: ``sqrt(a_t) noise - sqrt(1 - a_t) clean``).
        steps_offset: added to the timesteps of ``leading``; 1 for Stable Diffusion.
        final_alpha_cumprod: what the last sampling step lands on; a_0 when None (published behaviour).
        spacing: which timesteps DDIM steps take, one of :data:`.TIMESTEP_SPACINGS`.

    Raises:
        ValueError: the prediction type or the spacing is unknown, or the alphas do not fall from at most 1, or to 0
            (zero terminal SNR) for a network that predicts noise.
    """

    def __init__(
        self,
        alphas_cumprod: Tensor,
        prediction_type: str = "epsilon",
        steps_offset: int = 1,
        final_alpha_cumprod: float | None = None,
        spacing: str = "leading",
    ) -> None:
        if prediction_type not in PREDICTION_TYPES:
            raise ValueError(
                f"The prediction type {prediction_type!r} is not supported: the checkpoint must predict noise "
                "(epsilon) or velocity (v_prediction), as SD 1.x, SD 2.x and SDXL do."
            )
        alphas = torch.as_tensor(alphas_cumprod).detach().to("cpu", torch.float32)
        if alphas.ndim != 1 or len(alphas) < 2 or alphas[0] > 1 or alphas[-1] < 0 or not (alphas.diff() <= 0).all():
            shown = f"{alphas.flatten()[:3].tolist()}..." if alphas.ndim == 1 else f"a tensor {list(alphas.shape)}"
            raise ValueError(f"alphas_cumprod must be a list of values that fall from at most 1 to 0, not {shown}.")
        if alphas[-1] == 0 and prediction_type == "epsilon":
            raise ValueError(
                "A schedule that ends in pure noise (zero terminal SNR) needs a checkpoint that predicts velocity: set "
                "the prediction type to v_prediction."
            )
        if spacing not in TIMESTEP_SPACINGS:
            raise ValueError(f"The spacing {spacing!r} is unknown: choose {', '.join(TIMESTEP_SPACINGS)}.")
        self.alphas_cumprod = alphas
        self.spacing = spacing
        self.prediction_type = prediction_type
        self.steps_offset = steps_offset
        self.final_alpha_cumprod = float(alphas[0] if final_alpha_cumprod is None else final_alpha_cumprod)

    @classmethod
    def from_scheduler(cls, scheduler: Any) -> NoiseSchedule:
        """Take over the schedule of a diffusers scheduler (DDIM, DDPM, PNDM, ... of a Stable Diffusion checkpoint)."""
        config = scheduler.config
        return cls(
            scheduler.alphas_cumprod,
            config.get("prediction_type", "epsilon"),
            config.get("steps_offset", 0),
            1.0 if config.get("set_alpha_to_one", False) else None,
            config.get("timestep_spacing", "leading"),
        )

    @classmethod
    def stable_diffusion(
        cls, prediction_type: str = "epsilon", spacing: str = "leading", zero_terminal_snr: bool = False
    ) -> NoiseSchedule:
        """Make the schedule of Stable Diffusion 1.x, 2.x and SDXL.

        Args:
            zero_terminal_snr: scale it to end in pure noise (arXiv 2305.08891, algorithm 1).
        """
        first, last = BETAS
        betas = torch.linspace(first**0.5, last**0.5, 1000) ** 2
        sqrt_alphas = (1 - betas).cumprod(0).sqrt()
        if zero_terminal_snr:
            sqrt_alphas = (sqrt_alphas - sqrt_alphas[-1]) * sqrt_alphas[0] / (sqrt_alphas[0] - sqrt_alphas[-1])
        return cls(sqrt_alphas**2, prediction_type, spacing=spacing)

    def spaced(self, spacing: str) -> NoiseSchedule:
        """Return this schedule with another spacing of the timesteps."""
        return NoiseSchedule(
            self.alphas_cumprod, self.prediction_type, self.steps_offset, self.final_alpha_cumprod, spacing
        )

    @property
    def train_timesteps(self) -> int:
        """Return the number of training timesteps T."""
        return len(self.alphas_cumprod)

    def timesteps(self, steps: int) -> list[int]:
        """Return the ``steps`` timesteps of a DDIM trajectory, noisiest first.

        Raises:
            ValueError: fewer than 1 or more than T steps.
        """
        count = self.train_timesteps
        if not 1 <= steps <= count:
            raise ValueError(f"The number of steps lies between 1 and {count}, not {steps}.")
        if self.spacing == "trailing":
            return [round(count - i * count / steps) - 1 for i in range(steps)]
        if self.spacing == "linspace":
            return torch.linspace(count - 1, 0, steps, dtype=torch.float64).round().int().tolist()
        stride = count // steps
        return [min(i * stride + self.steps_offset, count - 1) for i in reversed(range(steps))]

    def steps(self, steps: int) -> list[tuple[int, float, float]]:
        """Return the steps of a DDIM trajectory, noisiest first: timestep, cumulative alpha, that of the level below.

        The level below the last timestep is the final alpha. Sampling walks the list as it is, inversion backwards.

        Raises:
            ValueError: fewer than 1 or more than T steps.
        """
        timesteps = self.timesteps(steps)
        alphas = [self.alpha(timestep) for timestep in timesteps]
        return list(zip(timesteps, alphas, [*alphas[1:], self.final_alpha_cumprod], strict=True))

    def alpha(self, timestep: int) -> float:
        """Return the cumulative alpha a_t of ``timestep``, 0 to T - 1."""
        return float(self.alphas_cumprod[timestep])

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return latents at ``timesteps`` ``[b]``; ``clean`` and ``noise`` are ``[b, ...]``."""
        sqrt_alpha, sqrt_one_minus_alpha = self._scales(timesteps, clean)
        return sqrt_alpha * clean + sqrt_one_minus_alpha * noise

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noise or velocity that the network should predict at ``timesteps`` ``[b]``."""
        if self.prediction_type == "epsilon":
            return noise
        sqrt_alpha, sqrt_one_minus_alpha = self._scales(timesteps, clean)
        return sqrt_alpha * noise - sqrt_one_minus_alpha * clean

    def ddim_step(self, latents: Tensor, prediction: Tensor, alpha: float, alpha_next: float) -> Tensor:
        """Take one deterministic DDIM step (arXiv 2010.02502, equation 12 with eta 0), up or down.

        Args:
            latents: latents at the noise level ``alpha`` (a cumulative alpha).
            prediction: the network's output for them.
            alpha_next: the level to move to.
        """
        sqrt_alpha, sqrt_one_minus_alpha = alpha**0.5, (1 - alpha) ** 0.5
        if self.prediction_type == "epsilon":
            noise = prediction
            clean = (latents - sqrt_one_minus_alpha * noise) / sqrt_alpha
        else:
            clean = sqrt_alpha * latents - sqrt_one_minus_alpha * prediction
            noise = sqrt_alpha * prediction + sqrt_one_minus_alpha * latents
        return alpha_next**0.5 * clean + (1 - alpha_next) ** 0.5 * noise

    def _scales(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        alphas = self.alphas_cumprod[timesteps.to("cpu")].to(like.device)
        alphas = alphas.view(-1, *[1] * (like.ndim - 1))
        return alphas.sqrt(), (1 - alphas).sqrt()
