"""One-shot tuning: the U-Net learns the motion of a single clip (Tune-A-Video, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import clear_frames

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ..errors import TuningError, is_out_of_memory
from ..network.casting import PRECISIONS
from ..network.video_unet import VideoUNet, map_tensors
from .ddim import Condition, by_name
from .schedule import NoiseSchedule
from .settings import TuneSettings
from .tune_state import TuneState
from .validation import Validation


@dataclass
class TuneResult:
    """Result of :func:`tune`; the tuned weights are in the video U-Net."""

    losses: list[float]
    """One per step, those of a resumed state included."""
    state: TuneState
    stopped: bool
    """True when ``on_step`` ended it early."""

    @property
    def validation(self) -> list[tuple[int, float]]:
        """Return (step, validation loss) for each validation, those of a resumed state included; step 0 is untuned."""
        return self.state.validation


def tune(
    video_unet: VideoUNet,
    schedule: NoiseSchedule,
    latents: Tensor,
    context: Condition,
    settings: TuneSettings | None = None,
    draws: Iterable[tuple[Tensor, Tensor]] | None = None,
    on_step: Callable[[int, float], bool | None] | None = None,
    state: TuneState | None = None,
    on_validation: Callable[[int, float], None] | None = None,
) -> TuneResult:
    """Tune an inflated U-Net on one clip, or on a few of the same shape.

    One timestep per video per step, independent noise per frame, mean squared error in float32 against noise or
    velocity. The pretrained weights are not written to.

    On a clip longer than ``settings.frames_per_step``, or than the window that the U-Net was inflated with, each step
    learns from frame 0 and a run of neighbouring frames that begins at a random one.

    Args:
        video_unet: from :func:`inflate`; it keeps the tuned weights.
        schedule: noise schedule of the checkpoint.
        latents: clean latents of the clip ``[b, c, f, h, w]``, encoded once; where a step learns from a part of them,
            they may stay in main memory.
        context: text embeddings of its prompt ``[b, tokens, dim]``, or a dictionary of conditions (see :mod:`.ddim`).
        settings: the published ones when None.
        draws: (noise like ``latents``, timesteps ``[b]``) for each step; drawn from the seed when None.
        on_step: called with (step counted from 1, loss) after each step; returning False stops early and keeps what
            was learned.
        state: resume from here; the step count and the losses continue.
        on_validation: called with (step, validation loss) before the first step, as step 0, and with
            ``settings.validate_every`` after every so many steps and the last, before ``on_step``.

    Raises:
        ValueError: a setting, the latents, the context, the draws or the state do not fit the network, the optimizer or
            each other, the state is damaged, bitsandbytes is missing, or there are fewer draws than steps (what was
            learned from these stays).
        TuningError: the loss, a weight or a moment is NaN or infinite, or the device is out of memory.
    """
    settings = settings or TuneSettings()
    with torch.inference_mode(False), torch.enable_grad():
        latents = _usable(latents.detach().float())
        condition = map_tensors(by_name(context), lambda value: _usable(value.detach()))
        device = condition["context"].device
        frames_per_step = settings.frames_per_step or video_unet.window
        video_unet.tuned.begin(settings.rank, settings.seed)
        parameters = video_unet.trainable_parameters(settings.trainable_modules)
        video_unet.tuned.move(device)  # before the optimizer takes them up
        generator = torch.Generator().manual_seed(settings.seed)
        losses = list(state.losses) if state is not None else []
        validation = list(state.validation) if state is not None else []
        steps = range(len(losses), settings.steps)
        draws = iter(draws) if draws is not None else _draw(schedule, latents, generator)
        stopped = False
        with _prepared(video_unet, settings, device):
            optimizer = _make_optimizer(settings, list(parameters.values()))
            scaler = torch.amp.GradScaler(device.type, enabled=video_unet.dtype == torch.float16)
            if state is not None:
                state.restore(parameters, optimizer, generator, scaler)
            validate = _validator(video_unet, schedule, latents, condition, settings, validation, on_validation)
            validate(len(losses))
            for step, (noise, timesteps) in zip(steps, draws):
                _check_draw(noise, timesteps, latents, schedule)
                for group in optimizer.param_groups:
                    group["lr"] = settings.learning_rate_at(step)
                frames = _frames_of_step(latents.shape[2], frames_per_step, generator)
                clean, noise = (x[:, :, frames].to(device) for x in (latents, noise))
                with _explaining_out_of_memory(clean):
                    loss = _learn(video_unet, schedule, clean, condition, noise, timesteps, optimizer, scaler, settings)
                if not math.isfinite(loss):
                    raise TuningError(
                        f"The loss of step {step + 1} is {loss}: lower the learning rate, or use precision fp32 or "
                        "bf16."
                    )
                losses.append(loss)
                validate(step + 1)
                if on_step is not None and on_step(step + 1, loss) is False:
                    stopped = True
                    break
        if not stopped and len(losses) < settings.steps:
            raise ValueError(
                f"The draws ended after step {len(losses)} of {settings.steps}: give noise and timesteps for each."
            )
        result_state = TuneState.capture(parameters, optimizer, generator, scaler, losses, validation)
    return TuneResult(losses, result_state, stopped)


def _learn(
    video_unet: VideoUNet,
    schedule: NoiseSchedule,
    latents: Tensor,
    condition: dict,
    noise: Tensor,
    timesteps: Tensor,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    settings: TuneSettings,
) -> float:
    """Take one step and return its loss; weights are left alone where that is not finite.

    A function of its own, so that the activations are freed when it fails.
    """
    noise = _usable(noise.to(latents))
    prediction = video_unet(schedule.add_noise(latents, noise, timesteps), timesteps, **condition)
    loss = F.mse_loss(prediction.float(), schedule.target(latents, noise, timesteps))
    scaler.scale(loss).backward()
    value = loss.item()
    if math.isfinite(value):
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], settings.max_grad_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
    return value


def _validator(
    video_unet: VideoUNet,
    schedule: NoiseSchedule,
    latents: Tensor,
    condition: dict,
    settings: TuneSettings,
    losses: list[tuple[int, float]],
    on_validation: Callable[[int, float], None] | None,
) -> Callable[[int], None]:
    """Return a function that appends (step, validation loss) to ``losses`` after the steps that want one."""
    every = settings.validate_every
    if not every:
        return lambda step: None
    frames = settings.frames_per_step or video_unet.window or latents.shape[2]  # as many as a step learns from
    validation = Validation(schedule, latents[:, :, :frames].to(condition["context"].device), condition, settings.seed)

    def validate(step: int) -> None:
        if (step % every and step != settings.steps) or step in dict(losses):
            return
        losses.append((step, validation.loss(video_unet)))
        if on_validation is not None:
            on_validation(*losses[-1])

    return validate


def _check_draw(noise: Tensor, timesteps: Tensor, latents: Tensor, schedule: NoiseSchedule) -> None:
    if noise.shape != latents.shape or timesteps.shape != latents.shape[:1]:
        raise ValueError(
            f"Noise {list(noise.shape)} and timesteps {list(timesteps.shape)} were drawn for latents "
            f"{list(latents.shape)}: noise has their shape, and there is one timestep per video."
        )
    if timesteps.is_floating_point() or not ((timesteps >= 0) & (timesteps < schedule.train_timesteps)).all():
        raise ValueError(f"Timesteps are whole numbers from 0 to {schedule.train_timesteps - 1}, not {timesteps}.")


@contextmanager
def _explaining_out_of_memory(latents: Tensor) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        clear_frames(error.__traceback__)  # a kept error would keep the activations in memory
        _, _, f, h, w = latents.shape
        raise TuningError(
            f"The device ran out of memory while tuning on {f} frames with latents of {h}x{w}: use fewer or smaller "
            "frames, or switch gradient checkpointing on."
        ) from error


def _usable(tensor: Tensor) -> Tensor:
    """Return ``tensor``, cloned if it was made in inference mode and could not take part in learning."""
    return tensor.clone() if tensor.is_inference() else tensor


def _leave_inference_mode(network: nn.Module) -> None:
    """Clone weights that were loaded in inference mode, one by one: no gradient can pass through those."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            # quantized weights of ComfyUI stay what they are: each call multiplies with a dequantized copy
            if parameter.is_inference() and not is_traceable_wrapper_subclass(parameter):
                plain = parameter.as_subclass(Tensor)  # GGUF's class of parameters gives itself as its clone
                setattr(module, name, nn.Parameter(plain.clone(), requires_grad=False))


def _draw(schedule: NoiseSchedule, latents: Tensor, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw noise and timesteps from the seed; on the CPU, so that every device gets the same."""
    while True:
        noise = torch.randn(latents.shape, generator=generator)
        yield noise, torch.randint(schedule.train_timesteps, latents.shape[:1], generator=generator)


def _frames_of_step(frames: int, per_step: int, generator: torch.Generator) -> slice | list[int]:
    """Draw the frames of a step: all, or frame 0 and ``per_step - 1`` neighbours from a random place on."""
    neighbours = max(2, per_step) - 1
    if not per_step or frames <= 1 + neighbours:
        return slice(None)
    start = int(torch.randint(1, frames - neighbours + 1, (), generator=generator))
    return [0, *range(start, start + neighbours)]


def _make_optimizer(settings: TuneSettings, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    options = {
        "lr": settings.learning_rate,
        "betas": settings.betas,
        "weight_decay": settings.weight_decay,
        "eps": settings.eps,
    }
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, fused=parameters[0].device.type in ("cpu", "cuda"), **options)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError:
        raise ValueError(
            "The optimizer 'adamw8bit' was asked for, but the package bitsandbytes is not installed: "
            "run 'pip install bitsandbytes' or choose 'adamw'."
        ) from None
    return AdamW8bit(parameters, **options)


def _precision(settings: TuneSettings, loaded: torch.dtype, device: torch.device) -> torch.dtype:
    if settings.precision != "auto":
        return PRECISIONS[settings.precision]
    if loaded == torch.float16 and device.type in ("mps", "xpu"):
        return torch.bfloat16  # the scaling of the loss needs float64, which Intel's Arc and older MPS do not have
    return loaded


@contextmanager
def _prepared(video_unet: VideoUNet, settings: TuneSettings, device: torch.device) -> Iterator[None]:
    """Set the video U-Net up for learning, and back to what it was afterwards, whatever happens."""
    before = video_unet.compute_dtype, video_unet.gradient_checkpointing
    dtype = _precision(settings, video_unet.dtype, device)
    if dtype != video_unet.dtype:
        video_unet.compute_dtype = dtype
    video_unet.gradient_checkpointing = settings.gradient_checkpointing
    _leave_inference_mode(video_unet.unet)
    try:
        with video_unet.text_cache.constant():
            yield
    finally:
        video_unet.compute_dtype, video_unet.gradient_checkpointing = before
        for parameter in video_unet.trainable_parameters(settings.trainable_modules).values():
            parameter.grad = None
            parameter.requires_grad_(False)
