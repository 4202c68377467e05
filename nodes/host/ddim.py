"""DDIM inversion and sampling as a sampler of ComfyUI: with its guidance, patches, previews and interruption."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import comfy.model_sampling
import comfy.samplers
import latent_preview
import torch
from einops import rearrange
from torch import Tensor

from ... import tav_core
from ...tav_core.diffusion.distilled import distilled_advice
from .advice import advise
from .comfy_model import latents_of, schedule_of, vae_scale_factor
from .folders import KEY
from .inflation import inflation_of

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...tav_core.network.shared_attention import SharedAttention


def invert(
    model: ModelPatcher, latent: dict, positive: list, steps: int, refine: int, keep_trajectory: bool, spacing: str
) -> tuple[dict, str]:
    """Invert a clip's LATENT by DDIM, as a sampler of ComfyUI.

    Returns:
        The inverted LATENT, and a sentence on the memory that the trajectory takes, "" where it is not kept.

    Raises:
        ValueError: the MODEL is not inflated, or the latents do not fit it.
    """
    inflation_of(model)
    schedule = schedule_of(model, spacing)
    latents_of(model, latent)
    last = schedule.timesteps(steps)[0]
    trajectory: list[Tensor] = []

    def run(predict: Callable, latents: Tensor, on_step: Callable) -> Tensor:
        trajectory[:] = tav_core.ddim_invert(
            predict, schedule, latents, {}, steps, on_step, refine=refine, in_main_memory=True
        )
        return trajectory[-1] / schedule.alpha(last) ** 0.5

    samples = run_loop(model, {"positive": positive}, 1.0, latent["samples"], schedule.timesteps(steps), run)
    inverted = {"timestep": last, "steps": steps}
    if not keep_trajectory:
        return latent | {"samples": samples, KEY: inverted}, ""
    kept = [latents.cpu() for latents in trajectory]
    megabytes = sum(latents.nbytes for latents in kept) / 2**20
    note = f"The trajectory takes {megabytes:.1f} MB of main memory."
    return latent | {"samples": samples, KEY: inverted | {"trajectory": kept}}, note


def sample(
    model: ModelPatcher,
    latent: dict,
    positive: list,
    negative: list,
    steps: int,
    guidance: float,
    variation: float = 0.0,
    seed: int = 0,
    structure: float = 0.0,
    feather: int = 0,
    mask: Tensor | None = None,
    spacing: str = "auto",
    files: Iterable[str] = (),
) -> dict:
    """Sample a video by DDIM from an inverted LATENT, as a sampler of ComfyUI.

    Args:
        variation: share of new noise of ``seed`` in the latents, 0 to 1; see :func:`tav_core.vary`.
        structure: share of the steps whose self-attention follows a reconstruction of the clip.
        feather: width in pixels of the soft edge inside the mask.
        mask: MASK ``[1 or f, h, w]``, 1 where the video may change; None for that of the LATENT, if it has one.
        files: names of the checkpoint and LoRA files behind MODEL, for advice on distilled ones.

    Raises:
        ValueError: the MODEL is not inflated, or the latents are empty, without the trajectory that a mask needs, or do
            not fit it.
    """
    inflation_of(model)
    schedule = schedule_of(model, spacing)
    latents = latents_of(model, latent)
    if not torch.count_nonzero(latent["samples"]):
        raise ValueError(
            "This latent is empty: connect the latent of DDIM Invert, or use KSampler to start from random noise."
        )
    if mask is None and "noise_mask" in latent:
        mask = latent["noise_mask"].reshape(-1, *latent["noise_mask"].shape[-2:])
    first = schedule.timesteps(steps)[0]
    # an inverted latent without a note of DDIM Invert comes from a file; ComfyUI's noise is 1 / sqrt(alpha) strong
    if KEY not in latent and latents.std() < 0.25 / schedule.alpha(first) ** 0.5:
        raise ValueError(
            "This latent is a clip, not its noise: put DDIM Invert between VAE Encode and Sample Video, or use "
            "KSampler."
        )
    inverted = latent.get(KEY, {"timestep": first, "steps": steps})
    advice = [distilled_advice(files, guidance)]
    if inverted["steps"] != steps:
        advice.append(
            f"The clip was inverted in {inverted['steps']} steps and is sampled in {steps}: use the same number in "
            "DDIM Invert and Sample Video, which keeps its motion best."
        )
    elif inverted["timestep"] != first:
        advice.append("The clip was inverted with another spacing of the timesteps: use the same one in both nodes.")
    advise(" ".join(filter(None, advice)))

    trajectory = inverted.get("trajectory")
    if mask is not None and trajectory is None:
        raise ValueError(
            "A mask needs the clip at every step: switch keep_trajectory on in DDIM Invert, or remove the mask."
        )
    if mask is None and not (structure and inverted["steps"] == steps):
        trajectory = None
    if structure and "context_handler" in model.model_options:
        raise ValueError("structure needs all frames at once: set it to 0, or remove the context windows.")

    def run(predict: Callable, latents: Tensor, on_step: Callable) -> Tensor:
        noise = tav_core.vary(latents * schedule.alpha(inverted["timestep"]) ** 0.5, variation, seed)
        area = None if mask is None else tav_core.latent_mask(mask, noise, -(-feather // vae_scale_factor(model)))
        return tav_core.ddim_sample(
            predict,
            schedule,
            noise,
            {},
            {"guided": False},
            steps,
            1.0,
            on_step,
            mask=area,
            trajectory=trajectory,
            structure=structure,
        )

    conds = {"positive": positive, "negative": negative}
    return {"samples": run_loop(model, conds, guidance, latent["samples"], schedule.timesteps(steps), run)}


class _Prediction:
    """The network as the loops of the core call it, behind ComfyUI's guidance and patches.

    Args:
        guider: has the network loaded, and the conditions encoded.
        options: further arguments of its call.
        shared_attention: that of the network's video U-Net.
    """

    def __init__(self, guider: comfy.samplers.CFGGuider, options: dict, shared_attention: SharedAttention) -> None:
        self.guider, self.options, self.shared_attention = guider, options, shared_attention
        self.denoised: Tensor | None = None
        """The clean latents that the last prediction leads to."""

    def __call__(self, latents: Tensor, timestep: int, guided: bool = True) -> Tensor:
        """Recover the U-Net's raw prediction from ComfyUI's denoised latents, or that for the negative alone."""
        sampling = self.guider.inner_model.model_sampling
        sigma = sampling.sigmas[timestep].to(latents)
        x = rearrange(latents, "1 c f h w -> f c h w") * (1 + sigma**2).sqrt()
        sigmas = sigma.expand(len(x))
        if guided:
            denoised = self.denoised = self.guider(x, sigmas, **self.options)
        else:
            conds, options = [self.guider.conds["negative"]], self.options["model_options"]
            denoised = comfy.samplers.calc_cond_batch(self.guider.inner_model, conds, x, sigmas, options)[0]
        if isinstance(sampling, comfy.model_sampling.V_PREDICTION):
            prediction = (x / (1 + sigma**2) - denoised) * (1 + sigma**2).sqrt() / sigma
        else:
            prediction = (x - denoised) / sigma
        return rearrange(prediction, "f c h w -> 1 c f h w")


class _Loop(comfy.samplers.Sampler):
    """Run a loop of the core as a sampler of ComfyUI."""

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
        network = model_wrap.inner_model.diffusion_model
        shared_attention = inflation_of(model_wrap.model_patcher).video_unet_of(network).shared_attention
        predict = _Prediction(model_wrap, extra_args, shared_attention)

        def on_step(step: int, latents: Tensor) -> None:
            callback(step - 1, predict.denoised, rearrange(latents, "1 c f h w -> f c h w"), self.steps)

        latents = rearrange(latent_image, "f c h w -> 1 c f h w")
        return rearrange(self.run(predict, latents, on_step), "1 c f h w -> f c h w")


def run_loop(
    model: ModelPatcher, conds: dict, cfg: float, samples: Tensor, timesteps: list[int], run: Callable
) -> Tensor:
    """Run a loop of the core as a sampler of ComfyUI: ``run(predict, latents, on_step)`` -> latents."""
    guider = comfy.samplers.CFGGuider(model)
    guider.inner_set_conds(conds)
    guider.set_cfg(cfg)
    sigmas = model.get_model_object("model_sampling").sigmas[timesteps]
    callback = latent_preview.prepare_callback(model, len(timesteps))
    return guider.sample(
        torch.zeros_like(samples), samples, _Loop(run, len(timesteps)), sigmas, callback=callback, seed=0
    )
