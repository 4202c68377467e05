"""Settings of the clip, the network, tuning and sampling: their defaults, ranges and help, each in this one place
(Tune-A-Video, section 4).

The terminal's YAML and flags and the inputs of the nodes are made from these fields. A field that is new in
:class:`OwnTuneSettings` becomes, without further code, a key of the YAML, a flag and an input of One-Shot Tune.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ..choices import ATTENTION_MODES, EXTENSION_MODES, LARGEST_SIDE, RESIZE_MODES, TIMESTEP_SPACINGS
from .rules import check, setting

_SIDE = {"min": 64, "max": 4096, "step": 8}


@dataclass
class ClipSettings:
    """Settings of the clip to learn from; the defaults are the published ones."""

    frames: int = setting(
        24,
        "How many frames to take; 0: all from start on. Published: 24. Memory and time grow with it.",
        least=0,
        widget={"max": 1024},
    )
    start: int = setting(0, "First frame to take, counted from 0.", least=0, widget={"max": 1_000_000})
    stride: int = setting(1, "Take every n-th frame: 2 halves the frame rate.", least=1, widget={"max": 1000})
    width: int = setting(512, "Width in pixels.", least=8, most=LARGEST_SIDE, multiple=8, widget=_SIDE)
    height: int = setting(512, "Height in pixels.", least=8, most=LARGEST_SIDE, multiple=8, widget=_SIDE)
    resize: str = setting(
        "stretch",
        "How the clip gets that size: crop (fill, cut the edges), pad (fit, black bars), or stretch (published), which "
        "distorts it.",
        among=RESIZE_MODES,
    )


@dataclass
class InflateSettings:
    """Settings of the video network; the defaults are the published ones."""

    attention: str = setting(
        "sparse_causal",
        "What a frame sees: the first and the previous frame (sparse_causal, published), itself (spatial), the first, "
        "the previous, or all frames (full, slow).",
        among=ATTENTION_MODES,
    )
    temporal_attention: bool = setting(
        True, "Add temporal attention, which learns the motion. It does nothing before tuning."
    )
    joint_norm: bool = setting(True, "Normalise over all frames together (published). Off: each frame by itself.")


@dataclass(kw_only=True)
class OwnTuneSettings:
    """Settings of tuning that the published code does not have; their defaults switch them off."""

    frames_per_step: int = setting(
        0,
        "Frames that each step learns from, which decide the memory: frame 0 and as many neighbouring frames as fit, "
        "from another place in every step. 0: the window of the network, or all.",
        least=0,
        widget={"max": 10_000},
    )
    rank: int = setting(
        0,
        "0: full tuning (published). Above: queries change by low-rank factors, and temporal attention has this inner "
        "width: less memory, and a file of megabytes.",
        least=0,
        widget={"max": 320},
    )
    validate_every: int = setting(
        0,
        "Steps from one validation loss to the next: the loss at a few fixed timesteps and noises, which falls while "
        "the model learns. Each takes about as long as two steps. 0: none.",
        least=0,
        widget={"max": 100_000},
    )


@dataclass
class TuneSettings(OwnTuneSettings):
    """Settings of tuning; the defaults are the published ones.

    Raises:
        ValueError: a value is out of range (on construction).
    """

    steps: int = setting(
        500,
        "How long to learn. Published: 500. Too few: the motion is lost; too many: edits are.",
        least=1,
        widget={"max": 100_000},
    )
    """Total number of steps, those of a resumed state included."""
    learning_rate: float = setting(
        3e-5,
        "How fast to learn. Published: 0.00003.",
        above=0,
        widget={"min": 1e-8, "max": 1.0, "step": 1e-6, "round": 1e-9},
    )
    betas: tuple[float, float] = setting((0.9, 0.999), "AdamW's decay rates of its two moments.")
    weight_decay: float = setting(1e-2, "AdamW's. Published: 0.01.", least=0.0, widget={"max": 1.0, "step": 0.001})
    eps: float = setting(1e-8, "AdamW's epsilon.", above=0)
    max_grad_norm: float = setting(
        1.0, "Gradients are cut to this.", above=0, widget={"min": 0.01, "max": 1000.0, "step": 0.1}
    )
    warmup_steps: int = setting(0, "Steps over which the learning rate rises.", least=0, widget={"max": 10_000})
    lr_scheduler: str = setting(
        "constant",
        "What the learning rate does after the warm-up: stay (published) or sink to zero.",
        among=("constant", "linear", "cosine"),
    )
    gradient_checkpointing: bool = setting(
        True, "Much less memory for a slower step. Switch it off if the memory suffices."
    )
    precision: str = setting(
        "auto",
        "What the network computes in; auto: as it was loaded (bf16 for fp16 on Apple's and Intel's GPUs). The tuned "
        "weights are float32.",
        among=("auto", "fp32", "fp16", "bf16"),
    )
    """``fp16`` scales the loss. Learned weights, loss and optimizer are always float32."""
    optimizer: str = setting(
        "adamw",
        "adamw8bit needs the package bitsandbytes, and saves about 0.4 GB for SD 1.5.",
        among=("adamw", "adamw8bit"),
    )
    seed: int = setting(
        33,
        "Seed of the noise it learns with. Another seed gives another, equally good, tuning.",
        least=0,
        most=2**64 - 1,
        widget={"control_after_generate": False},
    )
    trainable_modules: tuple[str, ...] | None = setting(
        None,
        "Modules of every block to tune: attn1.to_q, .to_k, .to_v, the same of attn2, attn_temp and norm_temp. "
        "Published: attn1.to_q, attn2.to_q and attn_temp.",
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            check(each.name, getattr(self, each.name), each.metadata)
        if self.frames_per_step == 1:
            raise ValueError("frames_per_step is 1, but must be 0 (all) or at least 2: frame 0 is one of them.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are {self.betas}, but must be at least 0 and below 1.")

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of ``step``, counted from 0."""
        if step < self.warmup_steps:
            return self.learning_rate * step / self.warmup_steps
        if self.lr_scheduler == "constant":
            return self.learning_rate
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        decay = 1 - progress if self.lr_scheduler == "linear" else (1 + math.cos(math.pi * progress)) / 2
        return self.learning_rate * decay


PRESETS = {
    "published": {name: getattr(TuneSettings, name) for name in ("steps", "learning_rate")},
    "quick": {"steps": 165, "learning_rate": 9e-5},
}
"""Settings of tuning by the name of a recipe: as published, and in a third of the steps (docs/recipes.md)."""


@dataclass
class SampleSettings:
    """Settings of DDIM inversion and sampling; the defaults are the published ones."""

    steps: int = setting(50, "DDIM steps. Published: 50, of inversion and sampling alike.", least=1, most=1000)
    guidance_scale: float = setting(
        12.5,
        "How strongly to follow the prompt. Published: 12.5. 1 switches guidance off.",
        least=0,
        widget={"min": 1.0, "max": 100.0, "step": 0.5},
    )
    spacing: str = setting(
        "auto",
        "Which timesteps the steps take: evenly spaced from the first on (leading, published), from the last on "
        "(trailing: Turbo, Lightning, zero terminal SNR), or from first to last (linspace). auto: as the checkpoint "
        "says.",
        among=("auto", *TIMESTEP_SPACINGS),
    )
    refine: int = setting(
        0,
        "Further passes per inversion step, for an inversion that leads back to the clip more exactly. Published: 0. "
        "2 in 20 steps beats 0 in 50, for about as many passes.",
        least=0,
        most=20,
    )
    structure: float = setting(
        0.0,
        "Share of the steps, from the first one, in which the layout is held: self-attention takes its queries and "
        "keys from a reconstruction of the clip. Costs a further pass in those steps. Published: 0.",
        least=0.0,
        most=1.0,
        widget={"step": 0.05},
    )
    feather: int = setting(
        0, "Pixels of soft edge, inside the mask. Rounded up.", least=0, most=LARGEST_SIDE, widget={"max": 512}
    )


@dataclass
class WordMaskSettings:
    """Settings of masks of what the words of a prompt name."""

    steps: int = setting(5, "Passes of the network. 5 are enough.", least=1, most=500, widget={"max": 100})
    threshold: float = setting(
        0.5, "Lower: a larger mask. What lies above it is inside.", least=0.0, most=1.0, widget={"step": 0.05}
    )
    grow: int = setting(
        0,
        "Pixels to grow by; below 0: to shrink by.",
        least=-LARGEST_SIDE,
        most=LARGEST_SIDE,
        widget={"min": -256, "max": 256},
    )


@dataclass
class LongVideoSettings:
    """Settings for videos that do not fit the memory at once, or that go on after the clip."""

    window: int = setting(
        0,
        "Frames that the network computes at once, which decide the memory. 0: all, as published.",
        least=0,
        widget={"max": 10_000},
    )
    overlap: int = setting(
        15,
        "Frames before a window that its temporal attention sees: one less than the window leaves no seam, fewer take "
        "less memory. Without a window it does nothing.",
        least=0,
        widget={"max": 10_000},
    )
    extension: str = setting(
        "mirror",
        "How the video goes on after the clip: forward and back, from the beginning again, or with new noise that "
        "shares what the frames of the clip share, and hardly moves.",
        among=EXTENSION_MODES,
    )


CLIP = {each.name: each for each in fields(ClipSettings)}
"""The fields of :class:`ClipSettings` by name."""
INFLATE = {each.name: each for each in fields(InflateSettings)}
"""The fields of :class:`InflateSettings` by name."""
TUNE = {each.name: each for each in fields(TuneSettings)}
"""The fields of :class:`TuneSettings` by name."""
OWN_TUNE = {each.name: each for each in fields(OwnTuneSettings)}
"""The fields of :class:`OwnTuneSettings` by name."""
SAMPLE = {each.name: each for each in fields(SampleSettings)}
"""The fields of :class:`SampleSettings` by name."""
WORD_MASK = {each.name: each for each in fields(WordMaskSettings)}
"""The fields of :class:`WordMaskSettings` by name."""
LONG = {each.name: each for each in fields(LongVideoSettings)}
"""The fields of :class:`LongVideoSettings` by name."""
