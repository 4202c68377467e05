"""One-shot tuning: the U-Net learns the motion of a single clip (Tune-A-Video, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from traceback import clear_frames

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import TuningError, is_memory_shortage
from ..network.video_unet import Extra, VideoUNet, map_tensors
from .schedule import NoiseSchedule
from .settings import PRECISIONS, TuneSettings


@dataclass
class TuneState:
    """What tuning needs to go on where it stopped; its tensors are copies in main memory."""

    weights: dict[str, Tensor]
    optimizer: dict[str, dict[str, Tensor]]
    """By parameter name, the optimizer's own tensors."""
    generator: Tensor
    """State of the random generator that draws noise and timesteps."""
    scaler: dict[str, float]
    """State of the ``torch.amp.GradScaler``; empty where the loss is not scaled."""
    losses: list[float]
    """Of all steps so far; their number is the step to go on from."""


@dataclass
class TuneResult:
    """What :func:`tune` gives back; the learned weights are in the video U-Net."""

    losses: list[float]
    """One per step, those of a resumed state included."""
    state: TuneState
    stopped: bool
    """True when ``on_step`` ended it early."""


def tune(
    video_unet: VideoUNet,
    schedule: NoiseSchedule,
    latents: Tensor,
    context: Tensor,
    settings: TuneSettings | None = None,
    draws: Iterable[tuple[Tensor, Tensor]] | None = None,
    on_step: Callable[[int, float], bool | None] | None = None,
    state: TuneState | None = None,
    **extra: Extra,
) -> TuneResult:
    """Tune an inflated U-Net on one clip, or on a few of the same shape.

    One timestep per video per step, independent noise per frame, mean squared error in float32 against what the
    network should predict. The network's own weights are not written to.

    Args:
        video_unet: from :func:`inflate`; it keeps what was learned.
        schedule: of the checkpoint.
        latents: the clip's clean latents ``[b, c, f, h, w]``, encoded once.
        context: text states of its prompt ``[b, tokens, dim]``, encoded once.
        settings: the published ones when None.
        draws: (noise like ``latents``, timesteps ``[b]``) for each step; drawn from the seed when None.
        on_step: called with (step counted from 1, loss) after each step; returning False stops early and keeps what
            was learned.
        state: go on from here; the step count and the losses continue.
        extra: further inputs of the network per video, as for :class:`VideoUNet`.

    Raises:
        ValueError: a setting, the latents, the context, the draws or the state do not fit the network, the optimizer or
            each other, the state is damaged, bitsandbytes is missing, or there are fewer draws than steps (what was
            learned from these stays).
        TuningError: the loss is not a number any more, or the memory does not suffice.
    """
    settings = settings or TuneSettings()
    with torch.inference_mode(False), torch.enable_grad():
        latents, context = (_usable(x.detach()) for x in (latents.float(), context))
        extra = map_tensors(extra, lambda value: _usable(value.detach()))
        parameters = video_unet.trainable_parameters(settings.trainable_modules)
        video_unet.tuned.move(latents.device)  # before the optimizer takes them up
        generator = torch.Generator().manual_seed(settings.seed)
        losses = list(state.losses) if state is not None else []
        steps = range(len(losses), settings.steps)
        draws = iter(draws) if draws is not None else _draw(schedule, latents, generator)
        stopped = False
        with _prepared(video_unet, settings, latents.device):
            optimizer = _make_optimizer(settings, list(parameters.values()))
            scaler = torch.amp.GradScaler(latents.device.type, enabled=video_unet.dtype == torch.float16)
            if state is not None:
                _restore(state, parameters, optimizer, generator, settings.optimizer)
                if state.scaler:
                    scaler.load_state_dict(state.scaler)
            for step, (noise, timesteps) in zip(steps, draws):
                for group in optimizer.param_groups:
                    group["lr"] = settings.learning_rate_at(step)
                with _memory_shortage_told(latents):
                    compute = partial(_loss, video_unet, schedule, latents, context, noise, timesteps, extra)
                    losses.append(_learn(compute, step, list(parameters.values()), optimizer, scaler, settings))
                scaler.update()
                optimizer.zero_grad(set_to_none=True)
                if on_step is not None and on_step(step + 1, losses[-1]) is False:
                    stopped = True
                    break
        if not stopped and len(losses) < settings.steps:
            raise ValueError(
                f"The draws ended after step {len(losses)} of {settings.steps}: give noise and timesteps for each."
            )
        result_state = TuneState(
            weights={name: p.detach().to("cpu", copy=True) for name, p in parameters.items()},
            optimizer={name: _as_tensors(optimizer.state[p]) for name, p in parameters.items()},
            generator=generator.get_state(),
            scaler=scaler.state_dict(),
            losses=losses,
        )
    return TuneResult(losses, result_state, stopped)


def _loss(
    video_unet: VideoUNet,
    schedule: NoiseSchedule,
    latents: Tensor,
    context: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    extra: dict[str, Extra],
) -> Tensor:
    if noise.shape != latents.shape or timesteps.shape != latents.shape[:1]:
        raise ValueError(
            f"Noise {list(noise.shape)} and timesteps {list(timesteps.shape)} were drawn for latents "
            f"{list(latents.shape)}: noise has their shape, and there is one timestep per video."
        )
    if timesteps.is_floating_point() or not ((timesteps >= 0) & (timesteps < schedule.train_timesteps)).all():
        raise ValueError(f"Timesteps are whole numbers from 0 to {schedule.train_timesteps - 1}, not {timesteps}.")
    noise = _usable(noise.to(latents))
    prediction = video_unet(schedule.add_noise(latents, noise, timesteps), timesteps, context, **extra)
    return F.mse_loss(prediction.float(), schedule.target(latents, noise, timesteps))


def _learn(
    compute_loss: Callable[[], Tensor],
    step: int,
    parameters: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    settings: TuneSettings,
) -> float:
    """One step; returns its loss. What it holds is let go when it fails."""
    loss = compute_loss()
    scaler.scale(loss).backward()
    value = _finite(loss.item(), step)
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
    scaler.step(optimizer)
    return value


@contextmanager
def _memory_shortage_told(latents: Tensor) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not is_memory_shortage(error):
            raise
        clear_frames(error.__traceback__)  # whoever keeps the error would keep the activations in memory
        _, _, f, h, w = latents.shape
        raise TuningError(
            f"The device ran out of memory while tuning on {f} frames with latents of {h}x{w}: use fewer or smaller "
            "frames, or switch gradient checkpointing on."
        ) from error


def _finite(loss: float, step: int) -> float:
    if not math.isfinite(loss):
        raise TuningError(
            f"The loss of step {step + 1} is {loss}: lower the learning rate, or use precision fp32 or bf16."
        )
    return loss


def _usable(tensor: Tensor) -> Tensor:
    """``tensor``, cloned if it was made in inference mode and could not take part in learning."""
    return tensor.clone() if tensor.is_inference() else tensor


def _leave_inference_mode(network: nn.Module) -> None:
    """Clone weights that were loaded in inference mode, one by one: no gradient can pass through those."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.is_inference():
                plain = parameter.as_subclass(Tensor)  # GGUF's class of parameters gives itself as its clone
                setattr(module, name, nn.Parameter(plain.clone(), requires_grad=False))


def _draw(schedule: NoiseSchedule, latents: Tensor, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Noise and timesteps from the seed; on the CPU, so that every device gets the same."""
    while True:
        noise = torch.randn(latents.shape, generator=generator)
        yield noise, torch.randint(schedule.train_timesteps, latents.shape[:1], generator=generator)


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


def _as_tensors(values: dict) -> dict[str, Tensor]:
    """An optimizer's values for a parameter, as a file can hold them: bitsandbytes counts its steps in an int, and its
    parameters share their tables."""
    return {key: torch.as_tensor(value).to("cpu", copy=True) for key, value in values.items()}


def _restore(
    state: TuneState,
    parameters: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    kind: str,
) -> None:
    if {name: w.shape for name, w in state.weights.items()} != {name: p.shape for name, p in parameters.items()}:
        raise ValueError(
            f"The saved tuning state holds {len(state.weights)} parameters, this network tunes {len(parameters)} "
            "others: resume with the checkpoint and the trainable modules that it was saved with."
        )
    saved = {key for values in state.optimizer.values() for key in values}
    if saved and ("exp_avg" in saved) != (kind == "adamw"):
        raise ValueError(
            f"The saved tuning state is not one of the optimizer {kind!r}: resume with the optimizer that it was saved "
            "with, or start anew."
        )
    for name, parameter in parameters.items():
        _check_moments(name, parameter, state.optimizer.get(name, {}))
        with torch.no_grad():
            parameter.copy_(state.weights[name])
        for key, value in state.optimizer.get(name, {}).items():
            device = parameter.device if key != "step" or parameter.is_cuda else "cpu"
            optimizer.state[parameter][key] = (
                value.item() if value.dtype == torch.int64 else value.to(device, copy=True)
            )
    generator.set_state(state.generator)


def _precision(settings: TuneSettings, loaded: torch.dtype, device: torch.device) -> torch.dtype:
    if settings.precision != "auto":
        return PRECISIONS[settings.precision]
    if loaded == torch.float16 and device.type in ("mps", "xpu"):
        return torch.bfloat16  # the scaling of the loss needs float64, which Intel's Arc and older MPS do not have
    return loaded


def _check_moments(name: str, parameter: nn.Parameter, values: dict[str, Tensor]) -> None:
    """The optimizers' kernels read the memory of what they are given as if it fitted."""
    moments = [values[key] for key in ("exp_avg", "exp_avg_sq", "state1", "state2") if key in values]
    fits = all(moment.shape == parameter.shape for moment in moments)
    if "exp_avg" in values:
        fits &= values.keys() == {"step", "exp_avg", "exp_avg_sq"} and values["step"].shape == ()
        fits &= all(value.dtype == torch.float32 for value in values.values())
    if not fits:
        raise ValueError(f"The saved tuning state is damaged (what it holds for {name} does not fit): start anew.")


@contextmanager
def _prepared(video_unet: VideoUNet, settings: TuneSettings, device: torch.device) -> Iterator[None]:
    """The video U-Net set up for learning, and as it was afterwards, whatever happens."""
    before = video_unet.compute_dtype, video_unet.gradient_checkpointing
    dtype = _precision(settings, video_unet.dtype, device)
    if dtype != video_unet.dtype:
        video_unet.compute_dtype = dtype
    video_unet.gradient_checkpointing = settings.gradient_checkpointing
    _leave_inference_mode(video_unet.unet)
    try:
        with video_unet.constant_context():
            yield
    finally:
        video_unet.compute_dtype, video_unet.gradient_checkpointing = before
        for parameter in video_unet.trainable_parameters(settings.trainable_modules).values():
            parameter.grad = None
            parameter.requires_grad_(False)
