"""Load the clip, the checkpoint and the inflated U-Net that a :class:`Config` names, each once."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint.pipeline import Pipeline, check_exists
from ..diffusion.ddim import Condition
from ..diffusion.distilled import distilled_advice
from ..diffusion.settings import OWN_TUNE, TuneSettings
from ..network.casting import PRECISIONS
from ..network.structure import default_rank, fingerprint
from ..network.video_unet import VideoUNet
from ..saved.tuned import load_tuned
from ..video.reading import VideoClip, VideoInfo, load_video, probe_clip, stream_video
from .config import Config

_PRECISIONS = PRECISIONS | {"no": torch.float32}


class Session:
    """Hold one checkpoint, one clip and one output folder. Each part is loaded on first use.

    Args:
        config: the settings of the run.
        tuned: file of tuned weights, ours or published; None for an untuned network.
        strength: 0 to 1, as for :meth:`VideoUNet.load_tuned_state_dict`.
        clip: frames to use instead of the clip that ``config`` names.

    Raises:
        FileNotFoundError, ValueError: the configuration or the file cannot be used; also when a part is loaded.
    """

    def __init__(
        self, config: Config, tuned: Path | str | None = None, strength: float = 1.0, clip: VideoClip | None = None
    ) -> None:
        if not config.pretrained_model_path:
            raise ValueError("No checkpoint was given: use --model, or pretrained_model_path in the YAML.")
        check_exists(Path(config.pretrained_model_path))
        self.config = config
        self.folder = Path(config.output_dir)
        _tune_settings(config, 0)  # checks them before anything is loaded
        self.device = choose_device(config.device)
        self.dtype = _dtype(config.mixed_precision, self.device)
        self.strength = strength
        self.tuned_weights, self.tuned_metadata = load_tuned(tuned) if tuned else (None, {})
        self.seconds: dict[str, float] = {}
        """Seconds spent, by kind of work."""
        if clip is not None:
            self.clip = clip

    def with_network(self, config: Config) -> Session:
        """Return a session with another network, folder and tuning, by ``config``, that shares this one's checkpoint,
        clip and encoded inputs. Deflate one session's network before using another's."""
        other = Session(config, clip=self.clip)
        other.pipeline, other.latents, other.contexts = self.pipeline, self.latents, self.contexts
        other.tokenizer = self.tokenizer
        other.seconds = self.seconds
        return other

    def load(self) -> None:
        """Load every part now."""
        _ = self.latents, self.contexts, self.video_unet

    @cached_property
    def clip(self) -> VideoClip:
        """Read the clip that the configuration names, whole."""
        with self.stage("reading the clip"):
            return load_video(*self._clip_request())

    @cached_property
    def clip_info(self) -> VideoInfo:
        """Find the number of frames, rate and size of the clip, without decoding it."""
        if "clip" not in vars(self):
            with self.stage("reading the clip"):
                return probe_clip(*self._clip_request())
        frames, height, width, _ = self.clip.frames.shape
        return VideoInfo(frames, self.clip.fps, width, height, frames / self.clip.fps)

    def clip_frames(self) -> Iterable[Tensor]:
        """Return the frames ``[h, w, 3]`` of the clip one by one; they are read from the file again each time."""
        return self.clip.frames if "clip" in vars(self) else stream_video(*self._clip_request())

    def _clip_request(self) -> tuple:
        data = self.config.train_data
        if not data.video_path:
            raise ValueError("No clip was given: use --video, or train_data.video_path in the YAML.")
        frames = data.n_sample_frames, data.sample_start_idx, data.sample_frame_rate
        return data.video_path, *frames, data.width, data.height, data.resize

    @cached_property
    def pipeline(self) -> Pipeline:
        """Load the checkpoint."""
        config = self.config
        kind = None if config.prediction_type == "auto" else config.prediction_type
        with self.stage("loading the checkpoint"):
            pipeline = Pipeline.load(config.pretrained_model_path, self.device, self.dtype, config.tokenizer_path, kind)
        advice = distilled_advice([Path(config.pretrained_model_path).name], config.validation_data.guidance_scale)
        if advice:
            warnings.warn(advice, stacklevel=2)
        if config.timestep_spacing != "auto":
            pipeline.schedule = pipeline.schedule.spaced(config.timestep_spacing)
        return pipeline

    @cached_property
    def settings(self) -> TuneSettings:
        """Return the settings of tuning; without a rank in the configuration, the checkpoint's family decides it."""
        rank = self.config.rank
        return _tune_settings(self.config, default_rank(self.pipeline.unet) if rank is None else rank)

    @cached_property
    def contexts(self) -> dict[str, Condition]:
        """Encode the empty prompt and every prompt of the configuration, as :meth:`.Pipeline.encode_prompts` does.

        All are encoded at once; the text encoders are freed afterwards.
        """
        data, pipeline = self.config.validation_data, self.pipeline
        height, width = (self.tuned_metadata.get(s) or getattr(self.config.train_data, s) for s in ("height", "width"))
        sdxl = self.config.sdxl
        original_size = sdxl.original_height or height, sdxl.original_width or width
        prompts = list(dict.fromkeys(["", self.config.train_data.prompt, data.negative_prompt, *data.prompts]))
        _ = self.tokenizer  # outlives the encoders
        with self.stage("encoding"):
            embeddings = pipeline.encode_prompts(
                prompts, (height, width), original_size, (sdxl.crop_top, sdxl.crop_left)
            )
        pipeline.text_encoders.clear()
        return dict(zip(prompts, embeddings))

    @cached_property
    def tokenizer(self) -> Callable[[str], list[int]]:
        """Return the tokenizer of the (first) text encoder: text -> token ids with begin and end."""
        tokenizer = self.pipeline.text_encoders[0].tokenizer
        return lambda text: tokenizer(text).input_ids

    @cached_property
    def latents(self) -> Tensor:
        """Encode the clip into clean latents ``[1, c, f, h, w]``, in main memory."""
        frames, pipeline = self.clip_frames(), self.pipeline
        with self.stage("encoding"):
            return pipeline.encode_video(frames).cpu()

    @cached_property
    def video_unet(self) -> VideoUNet:
        """Inflate the U-Net, the way the tuned weights were tuned if there are any, and load these."""
        names = ("attention", "temporal_attention", "joint_norm")
        options = {name: getattr(self.config, name) for name in names} | {"rank": self.settings.rank}
        options |= {name: self.tuned_metadata[name] for name in options if name in self.tuned_metadata}
        pipeline = self.pipeline
        options |= {"window": self.config.window, "overlap": self.config.overlap}
        torch.manual_seed(self.config.seed)  # for the random queries, keys and values of temporal attention
        video_unet = pipeline.inflate(**options, kernel=_kernel(self.config, self.device))
        if self.tuned_weights is not None:
            base = self.tuned_metadata.get("base_fingerprint")
            if base and base != fingerprint(video_unet.unet):
                warnings.warn("The tuned weights come from another checkpoint: expect a weaker result.", stacklevel=2)
            video_unet.load_tuned_state_dict(self.tuned_weights, self.strength)
            self.tuned_weights = None
        return video_unet

    def deflate(self) -> None:
        """Restore the U-Net if it was inflated; nothing can be tuned or sampled with this session afterwards."""
        if "video_unet" in vars(self):
            self.video_unet.deflate()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent within this context to ``seconds[name]``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - start

    def summary(self) -> str:
        """Describe in one line where the time went and the peak memory."""
        lines = [f"{name}: {seconds:.1f} s" for name, seconds in self.seconds.items() if seconds >= 0.05]
        if self.device.type == "cuda":
            lines.append(f"peak GPU memory: {torch.cuda.max_memory_allocated(self.device) / 2**30:.1f} GiB")
        peak = peak_memory()
        if peak is not None:
            lines.append(f"peak memory: {peak / 2**30:.1f} GiB")
        return "  ".join(lines)


def peak_memory() -> int | None:
    """Return the peak resident memory of this process in bytes; None where the system does not report it (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _tune_settings(config: Config, rank: int) -> TuneSettings:
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
        **{name: getattr(config, name) for name in OWN_TUNE} | {"rank": rank},
    )


def _trainable_modules(config: Config) -> tuple[str, ...] | None:
    """Return the configured trainable modules, without temporal attention when the network has none: published
    configurations always list it."""
    modules = config.trainable_modules or ()
    return tuple(m for m in modules if config.temporal_attention or not m.endswith("_temp")) or None


def choose_device(name: str) -> torch.device:
    """Return a device by its name; "auto" is CUDA where available, else the CPU.

    Raises:
        ValueError: this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()  # fails for "meta", which computes nothing
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ValueError(
            f"The device {name!r} cannot be used on this machine: choose auto, cpu, cuda, mps (Apple) or xpu (Intel)."
        ) from None
    return device


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if precision == "fp16" and device.type == "cpu":
        warnings.warn("Half precision (fp16) is not faster on a CPU: float32 is used instead.", stacklevel=2)
        return torch.float32
    return _PRECISIONS[precision]


def _kernel(config: Config, device: torch.device) -> str:
    """Choose xformers if it was requested and works here, else SDPA: published configurations always request it."""
    if not config.enable_xformers_memory_efficient_attention:
        return "sdpa"
    if find_spec("xformers") is None or device.type != "cuda":
        warnings.warn(
            "xformers needs a GPU and the package xformers: PyTorch's attention is used instead.", stacklevel=2
        )
        return "sdpa"
    return "xformers"
