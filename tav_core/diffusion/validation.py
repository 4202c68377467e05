"""Validation loss: the loss of tuning at fixed timesteps and noises, so that it shows what the model has learned.

The loss of a single step depends mostly on the timestep that was drawn. This one falls while the model learns, and
rises when it overfits to the noises of its steps.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import TuningError
from ..network.video_unet import VideoUNet
from .schedule import NoiseSchedule

_TIMESTEPS = 4  # evenly spaced; a validation takes about as long as two steps of tuning


class Validation:
    """The validation loss of a tuning on clean latents ``[b, c, f, h, w]``.

    Args:
        condition: text embeddings and further inputs of the network, by name.
        seed: seed of the noises. The random numbers of the tuning itself do not change.
    """

    def __init__(self, schedule: NoiseSchedule, latents: Tensor, condition: dict, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        length = schedule.train_timesteps
        self._schedule, self._latents, self._condition = schedule, latents, condition
        self._draws = [
            (torch.randn(latents.shape, generator=generator).to(latents), (2 * i + 1) * length // (2 * _TIMESTEPS))
            for i in range(_TIMESTEPS)
        ]

    @torch.no_grad()
    def loss(self, video_unet: VideoUNet) -> float:
        """Return the mean loss over the fixed timesteps and noises with the weights as they are.

        Raises:
            TuningError: it is NaN or infinite.
        """
        total = 0.0
        for noise, timestep in self._draws:
            timesteps = torch.full(self._latents.shape[:1], timestep)
            noisy = self._schedule.add_noise(self._latents, noise, timesteps)
            prediction = video_unet(noisy, timesteps, **self._condition)
            total += F.mse_loss(prediction.float(), self._schedule.target(self._latents, noise, timesteps)).item()
        if not math.isfinite(total):
            raise TuningError("The validation loss is not finite: lower the learning rate, or use precision fp32.")
        return total / len(self._draws)
