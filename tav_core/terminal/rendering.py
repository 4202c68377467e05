"""Run the network from the terminal with a progress bar, and decode what it samples frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ..diffusion.ddim import ddim_sample
from ..diffusion.extension import ddim_sample_autoregressive
from ..network.windows import split_frames
from .interrupt import Interrupted, StopRequest
from .session import Session


def stream(
    session: Session,
    noise: Tensor,
    prompt: str,
    guidance_scale: float,
    label: str,
    stop: StopRequest | None = None,
    **edit: Any,
) -> Iterator[Tensor]:
    """Sample one prompt by DDIM with the session's network, and decode it frame by frame.

    Args:
        noise: latents ``[1, c, f, h, w]`` to start from.
        label: name of the progress bar.
        edit: ``mask`` and ``trajectory`` of :func:`.ddim_sample`; it takes ``structure`` from the configuration.

    Yields:
        frames ``[h, w, 3]`` in 0..1.

    Raises:
        Interrupted: ``stop`` was pressed.
    """
    pipeline, data, config = session.pipeline, session.config.validation_data, session.config
    context, negative = session.contexts[prompt], session.contexts[data.negative_prompt]
    steps, noise = data.num_inference_steps, noise.to(session.device)
    if data.autoregressive and (edit or data.structure):
        raise ValueError("Masks and structure need the whole video at once: leave --autoregressive out, or them.")
    arguments = session.video_unet, pipeline.schedule, noise, context, negative, steps, guidance_scale
    windows = len(split_frames(noise.shape[2], config.window)) if data.autoregressive else 1
    with progress_bar(label, steps * windows) as bar, showing_windows(session, bar, stop):
        on_step = stepping(bar, stop, windows, steps)
        with session.stage("sampling"):
            if data.autoregressive:
                session.video_unet.window = 0  # a call holds a window and the frames it is anchored on
                parts = ddim_sample_autoregressive(
                    *arguments, on_step, config.window or noise.shape[2], max(1, config.overlap)
                )
            else:
                edit["structure"] = data.structure
                parts = iter([ddim_sample(*arguments, on_step=on_step, **edit)])
        while (latents := _next(session, "sampling", parts)) is not None:
            if stop and stop.pressed:
                break
            frames = pipeline.decode_frames(latents)
            while (frame := _next(session, "decoding", frames)) is not None:
                yield frame
    if stop and stop.pressed:
        raise Interrupted("Stopped while sampling.")


def _next(session: Session, work: str, parts: Iterator[Tensor]) -> Tensor | None:
    with session.stage(work):
        return next(parts, None)


def progress_bar(name: str, steps: int, done: int = 0) -> tqdm:
    return tqdm(total=steps, initial=done, desc=name[:40], unit="step", dynamic_ncols=True)


@contextmanager
def showing_windows(session: Session, bar: tqdm, stop: StopRequest | None) -> Iterator[None]:
    """Show at which window of a step the network is, and stop before the next one; restore the network's window."""
    video_unet, window = session.video_unet, session.video_unet.window

    def on_window(number: int, count: int) -> None:
        if stop and stop.pressed:
            raise Interrupted("Stopped while sampling.")
        bar.set_postfix_str(f"window {number}/{count}")

    video_unet.on_window = on_window
    try:
        yield
    finally:
        video_unet.on_window, video_unet.window = None, window


def stepping(bar: tqdm, stop: StopRequest | None, windows: int = 1, steps: int = 1) -> Callable[[int, Tensor], bool]:
    def on_step(step: int, latents: Tensor) -> bool:
        if windows > 1:
            bar.set_postfix_str(f"window {bar.n // steps + 1}/{windows}", refresh=False)
        bar.update()
        return not (stop and stop.pressed)

    return on_step
