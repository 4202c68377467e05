"""Windows of frames in ComfyUI's sampling: every input of a call of the network is cut to the window's frames.

ComfyUI, up to 0.33.0, computes a ControlNet and asks for memory for the whole batch before it calls the network.
Within the sampling of a MODEL with a window, ControlNets wait for the window, GLIGEN takes any number of frames, and
memory is asked for as many frames as the window has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any

from comfy.controlnet import ControlBase
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from torch import Tensor, nn

from ...tav_core.network.overrides import Overrides


@dataclass(frozen=True)
class FrameBatch:
    """A batch of ``videos`` videos of ``frames`` frames, video-major."""

    videos: int
    frames: int

    def cut(self, value: Any, window: range) -> Any:
        """Return the rows of a window's frames of every tensor with one row per frame, also of those in lists and
        dictionaries; other values as they are."""
        if isinstance(value, dict):
            return {name: self.cut(each, window) for name, each in value.items()}
        if isinstance(value, list):
            return [self.cut(each, window) for each in value]
        rows = self.videos * self.frames
        if len(window) == self.frames or not isinstance(value, Tensor) or value.ndim == 0 or len(value) != rows:
            return value
        return self.per_video(value)[:, window.start : window.stop].flatten(0, 1)

    def cut_options(self, options: dict, window: range) -> dict:
        """Return ``transformer_options`` for the frames of a window.

        ``sigmas`` has one value per frame of a video. Other tensors are cut where they have more than one dimension,
        as a list of numbers may be as long as the batch by chance. ``ad_params`` is where other packs look up which
        frames a call is about.
        """
        if len(window) == self.frames:
            return options
        of_window, video = dict(options), FrameBatch(1, self.frames)
        for name, value in options.items():
            if isinstance(value, Tensor) and (name == "sigmas" or value.ndim > 1):
                of_window[name] = video.cut(self.cut(value, window), window)
        known = options.get("ad_params") or {}
        numbers = known.get("sub_idxs") or range(self.frames)
        of_window["ad_params"] = {"full_length": self.frames} | known | {"sub_idxs": [numbers[i] for i in window]}
        return of_window

    def per_video(self, rows: Tensor) -> Tensor:
        """Return rows ``[(b f), ...]`` of any number of frames as ``[b, f, ...]``."""
        return rows.unflatten(0, (self.videos, -1))


class WaitingControl:
    """Take the place of a ControlNet in a CONDITIONING, and compute it for one window at a time.

    Args:
        control: the last of a chain of ControlNets.
    """

    def __init__(self, control: ControlBase) -> None:
        self.control = control

    def get_control(
        self, x_noisy: Tensor, t: Tensor, cond: dict, batched_number: int, transformer_options: dict
    ) -> Callable[[range], dict | None]:
        """Return a function that computes the control of a window; arguments as for :class:`ControlBase`."""
        batch, cond = FrameBatch(batched_number, len(x_noisy) // batched_number), dict(cond)

        def control_of(window: range) -> dict | None:
            x, times, inputs = (batch.cut(each, window) for each in (x_noisy, t, cond))
            options = batch.cut_options(transformer_options, window)
            with _hints_of(self.control, window):
                return self.control.get_control(x, times, inputs, batched_number, options)

        return control_of


@contextmanager
def _hints_of(control: ControlBase, window: range) -> Iterator[None]:
    """Give a chain of ControlNets the hints of a window's frames; shorter hints are repeated, as ComfyUI does."""
    chain, originals = [], []
    while control is not None:
        chain.append(control)
        control = control.previous_controlnet
    for each in chain:
        hints = each.cond_hint_original
        originals.append(hints)
        if isinstance(hints, Tensor) and len(hints) > 1:
            each.cond_hint_original = hints[[frame % len(hints) for frame in window]]
            _forget_prepared(each)
    try:
        yield
    finally:
        for each, hints in zip(chain, originals):
            if each.cond_hint_original is not hints:
                each.cond_hint_original = hints
                _forget_prepared(each)


def _forget_prepared(control: ControlBase) -> None:
    """Let a ControlNet or T2I-Adapter prepare its hints anew."""
    control.cond_hint = None
    if hasattr(control, "control_input"):
        control.control_input = None


class WindowedSampling:
    """Wrappers of ComfyUI's sampling for a MODEL whose network computes ``window`` frames at once."""

    def __init__(self, window: int) -> None:
        self.window = window

    def add_to(self, model: ModelPatcher, key: str) -> None:
        """Wrap the sampling of MODEL, in place of earlier wrappers of that key; without a window, remove these."""
        for kind, wrapper in (
            (WrappersMP.PREPARE_SAMPLING, self._prepare_sampling),
            (WrappersMP.CALC_COND_BATCH, self._calc_cond_batch),
        ):
            model.remove_wrappers_with_key(kind, key)
            if self.window:
                model.add_wrapper_with_key(kind, key, wrapper)

    def _prepare_sampling(
        self, executor: WrapperExecutor, model: ModelPatcher, noise_shape: list[int], *args: Any, **kwargs: Any
    ) -> Any:
        """Ask for the memory of a window before sampling."""
        noise_shape = [min(noise_shape[0], self.window), *noise_shape[1:]]
        return executor(model, noise_shape, *args, **kwargs)

    def _calc_cond_batch(
        self, executor: WrapperExecutor, model: Any, conds: list, x_in: Tensor, timestep: Tensor, model_options: dict
    ) -> Any:
        """Let ControlNets and GLIGEN wait for the window, and reckon with the memory of a window."""
        if len(x_in) <= self.window:
            return executor(model, conds, x_in, timestep, model_options)
        waiting: dict[int, WaitingControl] = {}  # ComfyUI batches conditions that have the same one

        def with_waiting_control(cond: dict) -> dict:
            control = cond.get("control")
            if control is None:
                return cond
            return cond | {"control": waiting.setdefault(id(control), WaitingControl(control))}

        conds = [None if each is None else [with_waiting_control(cond) for cond in each] for each in conds]
        overrides = Overrides()
        for gligen in {cond["gligen"][1].model for each in conds for cond in each or () if "gligen" in cond}:
            for method in ("set_position", "set_empty"):
                overrides.set(gligen, method, _for_any_frames, None)
        overrides.set(model, "memory_required", _memory_of_a_window, self.window / len(x_in))
        try:
            return executor(model, conds, x_in, timestep, model_options)
        finally:
            overrides.clear()


def _memory_of_a_window(share: float, model: Any, original: Callable, input_shape: list[int], **kwargs: Any) -> float:
    return original([ceil(input_shape[0] * share), *input_shape[1:]], **kwargs)


def _for_any_frames(
    _state: None, gligen: nn.Module, original: Callable, latent_shape: Sequence[int], *arguments: Any
) -> Callable[[Tensor, dict], Tensor]:
    """Return a patch of GLIGEN that takes tokens of any number of frames; all have the same boxes."""

    @cache
    def patch_for(frames: int) -> Callable[[Tensor, dict], Tensor]:
        return original([frames, *latent_shape[1:]], *arguments)

    return lambda tokens, options: patch_for(len(tokens))(tokens, options)
