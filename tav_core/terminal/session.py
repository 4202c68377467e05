"""What a command needs, by a :class:`Config`: the clip, the checkpoint and the inflated U-Net, loaded once."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint.pipeline import Pipeline, check_exists
from ..diffusion.settings import OWN_TUNE, TuneSettings
from ..network.casting import PRECISIONS
from ..network.structure import fingerprint
from ..network.video_unet import VideoUNet
from ..saved.tuned import load_tuned
from ..video.reading import VideoClip, load_video
from .config import Config

_PRECISIONS = PRECISIONS | {"no": torch.float32}


class Session:
    """One checkpoint, one clip, one output folder. The parts are loaded when first needed.

    Args:
        config: what the person asked for.
        tuned: tuned weights of an earlier session, or published ones; None for an untuned network.
        strength: 0 to 1, as for :meth:`VideoUNet.load_tuned_state_dict`.

    Raises:
        FileNotFoundError, ValueError: the configuration or the file cannot be used; also when a part is loaded.
    """

    def __init__(self, config: Config, tuned: Path | str | None = None, strength: float = 1.0) -> None:
        if not config.pretrained_model_path:
            raise ValueError("No checkpoint was given: use --model, or pretrained_model_path in the YAML.")
        check_exists(Path(config.pretrained_model_path))
        self.config = config
        self.folder = Path(config.output_dir)
        self.settings = _tune_settings(config)
        self.device = choose_device(config.device)
        self.dtype = _dtype(config.mixed_precision, self.device)
        self.strength = strength
        self.tuned_weights, self.tuned_metadata = load_tuned(tuned) if tuned else (None, {})
        self.seconds: dict[str, float] = {}
        """Time spent, by kind of work."""

    @cached_property
    def clip(self) -> VideoClip:
        """The clip that the configuration names."""
        data = self.config.train_data
        if not data.video_path:
            raise ValueError("No clip was given: use --video, or train_data.video_path in the YAML.")
        with self.stage("reading the clip"):
            return load_video(
                data.video_path,
                data.n_sample_frames,
                data.sample_start_idx,
                data.sample_frame_rate,
                data.width,
                data.height,
                data.resize,
            )

    @cached_property
    def pipeline(self) -> Pipeline:
        """The checkpoint."""
        config = self.config
        kind = None if config.prediction_type == "auto" else config.prediction_type
        with self.stage("loading the checkpoint"):
            return Pipeline.load(config.pretrained_model_path, self.device, self.dtype, config.tokenizer_path, kind)

    @cached_property
    def contexts(self) -> dict[str, Tensor]:
        """Text states ``[1, tokens, dim]`` of the empty prompt and of every prompt that the configuration names.

        All are encoded at once, and the text encoder is freed.
        """
        data, pipeline = self.config.validation_data, self.pipeline
        prompts = list(dict.fromkeys(["", self.config.train_data.prompt, data.negative_prompt, *data.prompts]))
        with self.stage("encoding"):
            states = pipeline.encode_prompts(prompts)
        pipeline.text_encoder = None
        return dict(zip(prompts, states))

    @cached_property
    def latents(self) -> Tensor:
        """The clip's clean latents ``[1, c, f, h, w]``."""
        frames, pipeline = self.clip.frames, self.pipeline
        with self.stage("encoding"):
            return pipeline.encode_video(frames)

    @cached_property
    def video_unet(self) -> VideoUNet:
        """The inflated U-Net, with the tuned weights if there are any, inflated the way these were tuned."""
        options = {name: getattr(self.config, name) for name in ("attention", "temporal_attention", "joint_norm")}
        options |= {name: self.tuned_metadata[name] for name in options if name in self.tuned_metadata}
        pipeline = self.pipeline
        torch.manual_seed(self.config.seed)  # temporal attention starts from random queries, keys and values
        video_unet = pipeline.inflate(**options, kernel=_kernel(self.config, self.device))
        if self.tuned_weights is not None:
            base = self.tuned_metadata.get("base_fingerprint")
            if base and base != fingerprint(video_unet.unet):
                warnings.warn("The tuned weights come from another checkpoint: expect a weaker result.", stacklevel=2)
            video_unet.load_tuned_state_dict(self.tuned_weights, self.strength)
            self.tuned_weights = None
        return video_unet

    def deflate(self) -> None:
        """Give the U-Net back as it was, where it was inflated; the session can only be read from then on."""
        if "video_unet" in vars(self):
            self.video_unet.deflate()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time within this as spent on ``name``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - start

    def summary(self) -> str:
        """Where the time went, and the most memory that was in use; for people."""
        lines = [f"{name}: {seconds:.1f} s" for name, seconds in self.seconds.items() if seconds >= 0.05]
        if self.device.type == "cuda":
            lines.append(f"peak GPU memory: {torch.cuda.max_memory_allocated(self.device) / 2**30:.1f} GiB")
        peak = peak_memory()
        if peak is not None:
            lines.append(f"peak memory: {peak / 2**30:.1f} GiB")
        return "  ".join(lines)


def peak_memory() -> int | None:
    """The most bytes of main memory that this process held; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _tune_settings(config: Config) -> TuneSettings:
    scale = config.gradient_accumulation_steps * config.train_batch_size if config.scale_lr else 1
    return TuneSettings(
        steps=config.max_train_steps,
        learning_rate=config.learning_rate * scale,
        betas=(config.adam_beta1, config.adam_beta2),
        weight_decay=config.adam_weight_decay,
        eps=config.adam_epsilon,
        max_grad_norm=config.max_grad_norm,
        # as published, "constant" is constant from the first step on
        warmup_steps=0 if config.lr_scheduler == "constant" else config.lr_warmup_steps,
        lr_scheduler=config.lr_scheduler.removesuffix("_with_warmup"),
        gradient_checkpointing=config.gradient_checkpointing,
        optimizer="adamw8bit" if config.use_8bit_adam else "adamw",
        seed=config.seed,
        trainable_modules=_trainable_modules(config),
        **{name: getattr(config, name) for name in OWN_TUNE},
    )


def _trainable_modules(config: Config) -> tuple[str, ...] | None:
    """What to tune, of that which there is: published configurations also name the attention over time."""
    modules = config.trainable_modules or ()
    return tuple(m for m in modules if config.temporal_attention or not m.endswith("_temp")) or None


def choose_device(name: str) -> torch.device:
    """A device by its name; "auto" is CUDA where there is one, else the CPU.

    Raises:
        ValueError: this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(
            f"The device {name!r} cannot be used on this machine: choose auto, cpu, cuda, mps (Apple) or xpu (Intel)."
        ) from None
    return device


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if precision == "fp16" and device.type == "cpu":
        warnings.warn("Half precision (fp16) is no gain on a CPU: float32 is used instead.", stacklevel=2)
        return torch.float32
    return _PRECISIONS[precision]


def _kernel(config: Config, device: torch.device) -> str:
    """xformers where it was asked for and can be used: published configurations ask for it on every machine."""
    if not config.enable_xformers_memory_efficient_attention:
        return "sdpa"
    if find_spec("xformers") is None or device.type != "cuda":
        warnings.warn("xformers is not installed or there is no GPU for it: torch's attention is used.", stacklevel=2)
        return "sdpa"
    return "xformers"
