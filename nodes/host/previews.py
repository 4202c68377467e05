"""Short clips sampled while a tuning runs, so that the user sees it learn, and sees when it overfits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import comfy.model_management
import folder_paths
import latent_preview
import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from ... import tav_core
from ...tav_core.files import replacing
from ...tav_core.pictures.image import to_pil
from .comfy_model import model_conds, schedule_of, vae_scale_factor
from .folders import KEY
from .live import Run
from .tuning_cache import digest
from .videos import shown_video

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from comfy.sd import VAE

    from .learner import Learner

_GUIDANCE = 7.5  # less than published: with few steps, more would burn the colours
_LONGEST_SIDE = 512


@dataclass(frozen=True)
class Previews:
    """The previews that the user asked for."""

    every: int
    """Tuning steps from one preview to the next; 0 for none."""
    steps: int
    """DDIM steps of a preview."""
    positive: list | None
    """CONDITIONING to render the clip with; None for the prompt it is tuned with."""
    negative: list | None
    """CONDITIONING of the empty prompt; None for the prompt it is tuned with."""
    vae: VAE | None
    """Decodes the clips; None for ComfyUI's own latent previews, which are rough."""
    fps: float

    def check(self, latents: Tensor) -> None:
        """Raise ValueError when the previews of a clip with these latents cannot be decoded."""
        channels = getattr(self.vae, "latent_channels", latents.shape[1])
        if self.every > 0 and channels != latents.shape[1]:
            raise ValueError(
                f"The VAE for the previews decodes latents of {channels} channels, this MODEL makes "
                f"{latents.shape[1]}: connect the same checkpoint's VAE."
            )


class PreviewSampler:
    """Render the clip with the weights as they are, the way DDIM Invert and Sample Video would, in fewer steps.

    The clip is inverted with the empty prompt and sampled with the preview's prompt, both with the current weights.
    No random number is drawn, so the tuning continues as if nothing had been sampled.

    Args:
        learner: the MODEL under tuning.
        latents: the clip's clean latents ``[1, c, f, h, w]``.
        conds: the inputs of the U-Net that it is tuned with, besides latents and timestep.
        run: receives the previews, and may end them early.
    """

    def __init__(
        self, previews: Previews, learner: Learner, latents: Tensor, conds: dict[str, Tensor], run: Run
    ) -> None:
        self._previews, self._learner, self._latents, self._run = previews, learner, latents, run
        self._schedule = schedule_of(learner.model)
        self._positive, self._negative = (
            conds if prompt is None else model_conds(learner.model, prompt, latents)
            for prompt in (previews.positive, previews.negative)
        )
        self.key = digest(self._positive, self._negative, previews.vae is None)
        """Digest of the inputs of the previews."""

    def follow(self, step: int, last: int) -> None:
        """Show the preview that is due after ``step`` of ``last``, if one is; step 0 is the untuned model."""
        every = self._previews.every
        if every > 0 and not self._run.stopping and (step % every == 0 or step == last):
            self.show(step)

    def finish(self, last: int) -> None:
        """Show the preview after the last step unless there is one: no step was left, but another prompt is
        previewed."""
        if last not in [preview["step"] for preview in self._run.previews]:
            self.follow(last, last)

    def show(self, step: int) -> None:
        """Sample and store the preview of the weights after ``step``; nothing if the run is stopped meanwhile.

        Raises:
            ComfyUI's InterruptProcessingException: the user pressed Cancel.
        """
        with self._run.sampling(), torch.no_grad():
            latents = self._sample()
            if latents is None:
                return
            if not self._run.previews:
                self._run.add_preview(None, self._write("clip", self._latents))
            files = self._write(f"{step:06}", latents)
        self._run.add_preview(step, files)

    def _sample(self) -> Tensor | None:
        network, schedule, steps = self._learner.video_unet, self._schedule, self._previews.steps
        noise = tav_core.ddim_invert(network, schedule, self._latents, self._negative, steps, self._go_on)[-1]
        if self._run.stopping:
            return None
        guidance = 1.0 if self._positive is self._negative else _GUIDANCE
        clean = tav_core.ddim_sample(
            network, schedule, noise, self._positive, self._negative, steps, guidance, self._go_on
        )
        return None if self._run.stopping else clean

    def _go_on(self, _step: int, _latents: Tensor) -> bool:
        comfy.model_management.throw_exception_if_processing_interrupted()
        return not self._run.stopping

    def _write(self, name: str, latents: Tensor) -> dict:
        """Write latents ``[1, c, f, h, w]`` as a picture that moves and as a sprite sheet; return where they are."""
        frames, fps = self._decode(rearrange(latents, "1 c f h w -> f c h w")), self._previews.fps
        path = Path(folder_paths.get_temp_directory()) / KEY / f"{self._run.id}_{name}.webp"
        _write_clip(path, [to_pil(frame) for frame in frames], fps)
        return {"filename": path.name, "subfolder": KEY, "type": "temp", "video": shown_video(frames, fps, "")}

    def _decode(self, samples: Tensor) -> Tensor:
        """Decode latents ``[f, c, h, w]`` in the scale of the U-Net to frames ``[f, h, w, 3]`` in 0..1."""
        if self._previews.vae is None:
            return _rough_frames(samples, self._learner.model)
        frames = self._previews.vae.decode(self._learner.model.model.process_latent_out(samples))
        self._learner.load()  # the VAE may have taken its place
        return frames


def _write_clip(path: Path, frames: list[Image.Image], fps: float) -> None:
    """Write an animated WebP that loops, no side longer than 512 pixels. It appears whole or not at all."""
    scale = min(1.0, _LONGEST_SIDE / max(frames[0].size))
    if scale < 1:
        frames = [f.resize([max(1, round(side * scale)) for side in f.size], Image.Resampling.LANCZOS) for f in frames]
    with replacing(path) as partial:
        duration = max(20, math.floor(1000 / fps))  # browsers play shorter ones at 100 ms
        frames[0].save(partial, save_all=True, append_images=frames[1:], duration=duration, loop=0, quality=85)


def _rough_frames(samples: Tensor, model: ModelPatcher) -> Tensor:
    """Return frames ``[f, h, w, 3]`` as ComfyUI's own previews show latents, in the size of the clip."""
    latent_format = model.model.latent_format
    previewer = latent_preview.get_previewer(samples.device, latent_format)
    if previewer is None:  # ComfyUI's previews are off, but these were asked for
        factors, bias = latent_format.latent_rgb_factors, latent_format.latent_rgb_factors_bias
        previewer = latent_preview.Latent2RGBPreviewer(factors, bias)
    size = [side * vae_scale_factor(model) for side in (samples.shape[-1], samples.shape[-2])]
    frames = (previewer.decode_latent_to_preview(samples[i : i + 1]) for i in range(len(samples)))
    shown = [np.asarray(frame.convert("RGB").resize(size, Image.Resampling.BICUBIC)) for frame in frames]
    return torch.from_numpy(np.stack(shown)) / 255
