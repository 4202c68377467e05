"""The settings of tuning (Tune-A-Video, section 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass
class TuneSettings:
    """Settings of tuning; the defaults are the published ones.

    Raises:
        ValueError: a value is out of range (on construction).
    """

    steps: int = 500
    """Steps in all, those of a resumed state included."""
    learning_rate: float = 3e-5
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-2
    eps: float = 1e-8
    max_grad_norm: float = 1.0
    warmup_steps: int = 0
    """Steps over which the learning rate rises from 0."""
    lr_scheduler: str = "constant"
    """What the learning rate does after that: ``constant``, or ``linear`` or ``cosine`` down to 0 at the last step."""
    gradient_checkpointing: bool = True
    """Compute activations again in the backward pass instead of keeping them: less memory, a slower step."""
    precision: str = "auto"
    """What the network computes in: ``fp32``, ``fp16`` (with loss scaling), ``bf16``, or ``auto``: as its weights were
    loaded, but bf16 for fp16 on Apple's and Intel's GPUs. Learned weights, loss and optimizer are float32 always."""
    optimizer: str = "adamw"
    """``adamw``, or ``adamw8bit`` where bitsandbytes is installed."""
    seed: int = 33
    trainable_modules: tuple[str, ...] | None = None
    """Which modules of every block to tune: ``attn1.to_q``, ``.to_k``, ``.to_v``, the same of ``attn2``, ``attn_temp``
    and ``norm_temp``. None for the published choice, ``attn1.to_q``, ``attn2.to_q`` and ``attn_temp``."""

    def __post_init__(self) -> None:
        for ok, sentence in (
            (self.steps >= 1, f"Tuning takes at least 1 step, not {self.steps}."),
            (self.learning_rate > 0, f"The learning rate must be above 0, not {self.learning_rate}; try 3e-5."),
            (all(0 <= b < 1 for b in self.betas), f"The betas lie between 0 and 1, not at {self.betas}."),
            (self.weight_decay >= 0, f"The weight decay cannot be negative ({self.weight_decay})."),
            (self.eps > 0, f"The epsilon of the optimizer must be above 0, not {self.eps}; try 1e-8."),
            (self.max_grad_norm > 0, f"The largest gradient norm must be above 0, not {self.max_grad_norm}; try 1."),
            (self.warmup_steps >= 0, f"The number of warm-up steps cannot be negative ({self.warmup_steps})."),
            (
                self.lr_scheduler in ("constant", "linear", "cosine"),
                f"The learning-rate schedule {self.lr_scheduler!r} is unknown: choose constant, linear or cosine.",
            ),
            (
                self.precision == "auto" or self.precision in PRECISIONS,
                f"The precision {self.precision!r} is unknown: choose auto, {', '.join(PRECISIONS)}.",
            ),
            (
                self.optimizer in ("adamw", "adamw8bit"),
                f"The optimizer {self.optimizer!r} is unknown: choose adamw or adamw8bit.",
            ),
        ):
            if not ok:
                raise ValueError(sentence)

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of ``step``, counted from 0."""
        if step < self.warmup_steps:
            return self.learning_rate * step / self.warmup_steps
        if self.lr_scheduler == "constant":
            return self.learning_rate
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        decay = 1 - progress if self.lr_scheduler == "linear" else (1 + math.cos(math.pi * progress)) / 2
        return self.learning_rate * decay
