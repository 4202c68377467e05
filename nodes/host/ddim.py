"""DDIM inversion and sampling as a sampler of ComfyUI: with its guidance, patches, previews and interruption."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import comfy.model_sampling
import comfy.samplers
import latent_preview
import torch
from einops import rearrange
from torch import Tensor

from ... import tav_core
from .advice import advise
from .comfy_model import latents_of, schedule_of
from .folders import KEY
from .inflation import inflation_of

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher


def invert(model: ModelPatcher, latent: dict, positive: list, steps: int) -> dict:
    """Invert a clip's LATENT by DDIM, as a sampler of ComfyUI.

    Raises:
        ValueError: the MODEL is not inflated, or the latents do not fit it.
    """
    inflation_of(model)
    schedule = schedule_of(model)
    latents_of(model, latent)
    last = schedule.timesteps(steps)[0]

    def run(predict: Callable, latents: Tensor, on_step: Callable) -> Tensor:
        trajectory = tav_core.ddim_invert(predict, schedule, latents, {}, steps, on_step)
        return trajectory[-1] / schedule.alpha(last) ** 0.5

    samples = _run(model, {"positive": positive}, 1.0, latent["samples"], steps, run)
    return latent | {"samples": samples, KEY: {"timestep": last, "steps": steps}}


def sample(
    model: ModelPatcher,
    latent: dict,
    positive: list,
    negative: list,
    steps: int,
    guidance: float,
    variation: float = 0.0,
    seed: int = 0,
) -> dict:
    """Sample a video by DDIM from an inverted LATENT, as a sampler of ComfyUI.

    Args:
        variation: share of new noise of ``seed`` in the latents, 0 to 1; see :func:`tav_core.vary`.

    Raises:
        ValueError: the MODEL is not inflated, or the latents are empty, masked, or do not fit it.
    """
    inflation_of(model)
    schedule = schedule_of(model)
    latents = latents_of(model, latent)
    if not torch.count_nonzero(latent["samples"]):
        raise ValueError(
            "This latent is empty: connect the latent of DDIM Invert, or use KSampler to start from random noise."
        )
    if "noise_mask" in latent:
        raise ValueError("This latent has a mask, which Sample Video ignores: remove it, or use KSampler (Advanced).")
    first = schedule.timesteps(steps)[0]
    # an inverted latent without a note of DDIM Invert comes from a file; ComfyUI's noise is 1 / sqrt(alpha) strong
    if KEY not in latent and latents.std() < 0.25 / schedule.alpha(first) ** 0.5:
        raise ValueError(
            "This latent is a clip, not its noise: put DDIM Invert between VAE Encode and Sample Video, or use "
            "KSampler."
        )
    inverted = latent.get(KEY, {"timestep": first, "steps": steps})
    advise(
        ""
        if inverted["steps"] == steps
        else f"The clip was inverted in {inverted['steps']} steps and is sampled in {steps}: use the same number in "
        "DDIM Invert and Sample Video, which keeps its motion best."
    )

    def run(predict: Callable, latents: Tensor, on_step: Callable) -> Tensor:
        noise = tav_core.vary(latents * schedule.alpha(inverted["timestep"]) ** 0.5, variation, seed)
        return tav_core.ddim_sample(predict, schedule, noise, {}, None, steps, 1.0, on_step)

    conds = {"positive": positive, "negative": negative}
    return {"samples": _run(model, conds, guidance, latent["samples"], steps, run)}


class _Loop(comfy.samplers.Sampler):
    """Runs a loop of the core as a sampler of ComfyUI."""

    def __init__(self, run: Callable, steps: int) -> None:
        self.run, self.steps = run, steps

    def sample(
        self,
        model_wrap: comfy.samplers.CFGGuider,
        sigmas: Tensor,
        extra_args: dict,
        callback: Callable[[int, Tensor, Tensor, int], None],
        noise: Tensor,
        latent_image: Tensor | None = None,
        *_args: object,
        **_kwargs: object,
    ) -> Tensor:
        sampling = model_wrap.inner_model.model_sampling
        denoised = latent_image

        def predict(latents: Tensor, timestep: int) -> Tensor:
            """Recover the U-Net's raw prediction from ComfyUI's denoised latents."""
            nonlocal denoised
            sigma = sampling.sigmas[timestep].to(latents)
            x = rearrange(latents, "1 c f h w -> f c h w") * (1 + sigma**2).sqrt()
            denoised = model_wrap(x, sigma.expand(len(x)), **extra_args)
            if isinstance(sampling, comfy.model_sampling.V_PREDICTION):
                prediction = (x / (1 + sigma**2) - denoised) * (1 + sigma**2).sqrt() / sigma
            else:
                prediction = (x - denoised) / sigma
            return rearrange(prediction, "f c h w -> 1 c f h w")

        def on_step(step: int, latents: Tensor) -> None:
            callback(step - 1, denoised, rearrange(latents, "1 c f h w -> f c h w"), self.steps)

        latents = rearrange(latent_image, "f c h w -> 1 c f h w")
        return rearrange(self.run(predict, latents, on_step), "1 c f h w -> f c h w")


def _run(model: ModelPatcher, conds: dict, cfg: float, samples: Tensor, steps: int, run: Callable) -> Tensor:
    guider = comfy.samplers.CFGGuider(model)
    guider.inner_set_conds(conds)
    guider.set_cfg(cfg)
    sigmas = model.get_model_object("model_sampling").sigmas[schedule_of(model).timesteps(steps)]
    callback = latent_preview.prepare_callback(model, steps)
    return guider.sample(torch.zeros_like(samples), samples, _Loop(run, steps), sigmas, callback=callback, seed=0)
