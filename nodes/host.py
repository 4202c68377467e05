"""What the nodes need of ComfyUI: its folders, model patcher, memory manager, progress and interruption."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.sampler_helpers
import comfy.samplers
import comfy.utils
import folder_paths
import latent_preview
import torch
from comfy.patcher_extension import WrappersMP
from einops import rearrange
from server import PromptServer
from torch import Tensor, nn

from .. import tav_core

KEY = "tune_a_video"
"""Names the model folder, and what this pack adds to a MODEL or a LATENT."""


@dataclass(frozen=True)
class Inflation:
    """What makes a MODEL a video model; ComfyUI calls it around every call of the U-Net.

    The overrides are on the network during that call only, so every other branch of a graph finds it untouched.
    """

    attention: str
    temporal_attention: bool
    joint_norm: bool
    temporal: nn.ModuleList | None = None
    """The tuned temporal attention; before tuning it would add nothing, so there is none."""

    def video_unet(self, unet: nn.Module, temporal: bool | nn.ModuleList | None = None) -> tav_core.VideoUNet:
        """``unet`` as a video U-Net, not attached yet."""
        kernel = "xformers" if comfy.model_management.xformers_enabled() else "sdpa"
        return tav_core.VideoUNet(unet, self.attention, temporal or self.temporal or False, self.joint_norm, kernel)

    def __call__(self, executor, x, timesteps=None, context=None, y=None, control=None, transformer_options=None, **kw):
        videos = len(transformer_options["cond_or_uncond"])
        if self.temporal is not None:
            self.temporal.to(x.device)  # a model that is loaded in part only streams ComfyUI's own layers
        with self.video_unet(executor.class_obj).attached(frames=x.shape[0] // videos):
            return executor(x, timesteps, context, y, control, transformer_options, **kw)


@dataclass(frozen=True)
class TunedVideo:
    """What the type TAV_TUNED carries: learned weights by published name, and what to know of them."""

    state: dict[str, Tensor]
    metadata: dict


def register_model_folder() -> None:
    """Make models/tune_a_video known to ComfyUI, beside what extra_model_paths.yaml says of it."""
    folder_paths.add_model_folder_path(KEY, os.path.join(folder_paths.models_dir, KEY), is_default=True)
    folder_paths.folder_names_and_paths[KEY] = (folder_paths.folder_names_and_paths[KEY][0], {".safetensors"})


def tuned_files() -> list[str]:
    """Names of the saved motions."""
    return folder_paths.get_filename_list(KEY)


def tuned_path(name: str) -> Path:
    """The file of a saved motion."""
    return Path(folder_paths.get_full_path_or_raise(KEY, name))


def new_tuned_path(name: str) -> Path:
    """Where to save a motion called ``name``: a file that does not exist yet."""
    return tav_core.unused_path(folder_paths.get_folder_paths(KEY)[0], name, ".safetensors")


def input_videos() -> list[str]:
    """Videos and GIFs in the input folder."""
    folder = folder_paths.get_input_directory()
    files = [f for f in os.listdir(folder) if os.path.isfile(os.path.join(folder, f))]
    videos = folder_paths.filter_files_content_types(files, ["video"])
    return sorted({*videos, *(f for f in files if f.lower().endswith(".gif"))})


def input_path(video: str) -> Path:
    """The file behind a choice of :func:`input_videos`."""
    return Path(folder_paths.get_annotated_filepath(video))


def inflate_model(model, attention: str, temporal_attention: bool, joint_norm: bool):
    """A clone of MODEL that renders a batch of latents as one video.

    Raises:
        ValueError: it is inflated already, or no Stable Diffusion U-Net.
    """
    if model.get_attachment(KEY) is not None:
        raise ValueError("This MODEL is inflated already: connect the checkpoint's MODEL, or leave this node out.")
    inflation = Inflation(attention, temporal_attention, joint_norm)
    inflation.video_unet(model.model.diffusion_model)
    _schedule(model)
    return _with_inflation(model.clone(), inflation)


def tune_model(model, latent: dict, positive: list, settings: tav_core.TuneSettings, node_id: str):
    """Tune an inflated MODEL on a clip, with progress on the node ``node_id``.

    Returns:
        The tuned MODEL, the :class:`TunedVideo`, and the loss of every step.

    Raises:
        ValueError: the MODEL is not inflated, or latents or settings do not fit it.
        TuningError: the loss is not a number any more, or the memory does not suffice.
    """
    inflation, schedule, latents = _inflation(model), _schedule(model), _latents(model, latent)
    learner = _trainable_clone(model)
    b, c, f, h, w = latents.shape
    memory = 3 * learner.memory_required([2 * b * f, c, h, w]) + (2 << 30)
    comfy.model_management.load_models_gpu([learner], memory_required=memory, force_full_load=True)
    unet, device = learner.model.diffusion_model.to(learner.load_device), learner.load_device
    progress = comfy.utils.ProgressBar(settings.steps)

    def on_step(step: int, loss: float) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        progress.update_absolute(step)
        PromptServer.instance.send_progress_text(f"step {step} of {settings.steps}, loss {loss:.4f}", node_id)

    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        conds = _model_conds(learner, positive, latents.to(device))
        with inflation.video_unet(unet, inflation.temporal_attention).attached(f) as video_unet:
            video_unet.compute_dtype = _compute_dtype(learner)
            if inflation.temporal is not None:
                video_unet.temporal.load_state_dict(inflation.temporal.state_dict())
            result = tav_core.tune(
                video_unet, schedule, latents.to(device), settings=settings, on_step=on_step, **conds
            )
            state = {name: tensor.to("cpu", copy=True) for name, tensor in video_unet.tuned_state_dict().items()}
    deltas = {
        f"diffusion_model.{own_name}": state[name] - weight.to("cpu", torch.float32)
        for name, (own_name, weight) in video_unet.query_weights().items()
    }
    tuned = _with_tuning(model, inflation, deltas, 1.0, video_unet.temporal)
    metadata = {
        "base_architecture": tav_core.architecture(unet),
        "base_fingerprint": tav_core.fingerprint(unet),
        "frames": f,
        "width": w * 8,
        "height": h * 8,
        "steps": settings.steps,
        "learning_rate": settings.learning_rate,
        "attention": inflation.attention,
        "temporal_attention": inflation.temporal_attention,
        "joint_norm": inflation.joint_norm,
        "date": date.today().isoformat(),
    }
    return tuned, TunedVideo(state, metadata), result.losses


def apply_tuned(model, state: dict[str, Tensor], metadata: dict, strength: float):
    """A clone of MODEL with a saved motion; one that is not inflated is inflated as it was for the tuning.

    Raises:
        ValueError: the weights do not fit the MODEL, or the strength is out of range.
    """
    temporal = any(".attn_temp." in name for name in state)
    if getattr(model.get_attachment(KEY), "temporal", None) is not None:
        raise ValueError("This MODEL is tuned already: connect the checkpoint's MODEL or that of Inflate UNet.")
    inflation = model.get_attachment(KEY) or Inflation(
        metadata.get("attention", "sparse_causal"), temporal, metadata.get("joint_norm", True)
    )
    video_unet = inflation.video_unet(model.model.diffusion_model, inflation.temporal_attention)
    video_unet.load_tuned_state_dict(state, strength)
    weights = model.get_key_patches("diffusion_model.")
    deltas = {}
    for name, (own_name, _) in video_unet.query_weights().items():
        key = f"diffusion_model.{own_name}"
        base, convert = weights[key][0]
        deltas[key] = state[name].float() - convert(base, inplace=False).to("cpu", torch.float32)
    return _with_tuning(model, inflation, deltas, strength, video_unet.temporal)


def invert(model, latent: dict, positive: list, steps: int) -> dict:
    """DDIM inversion of a clip's LATENT, with the MODEL as ComfyUI samples it.

    Raises:
        ValueError: the MODEL is not inflated, or the latents do not fit it.
    """
    _inflation(model)
    schedule = _schedule(model)
    _latents(model, latent)
    last = schedule.timesteps(steps)[0]

    def run(predict: Callable, latents: Tensor, on_step: Callable) -> Tensor:
        trajectory = tav_core.ddim_invert(predict, schedule, latents, None, steps, on_step)
        return trajectory[-1] / schedule.alpha(last) ** 0.5

    samples = _run(model, {"positive": positive}, 1.0, latent["samples"], steps, run)
    return {"samples": samples, KEY: {"timestep": last}}


def sample(model, latent: dict, positive: list, negative: list, steps: int, guidance: float) -> dict:
    """DDIM sampling from an inverted LATENT, with the MODEL as ComfyUI samples it.

    Raises:
        ValueError: the MODEL is not inflated, or the latents are empty or do not fit it.
    """
    _inflation(model)
    schedule = _schedule(model)
    _latents(model, latent)
    if not torch.count_nonzero(latent["samples"]):
        raise ValueError(
            "This latent is empty: connect the latent of DDIM Invert, or use KSampler to start from random noise."
        )
    first = latent.get(KEY, {}).get("timestep", schedule.timesteps(steps)[0])

    def run(predict: Callable, latents: Tensor, on_step: Callable) -> Tensor:
        noise = latents * schedule.alpha(first) ** 0.5
        return tav_core.ddim_sample(predict, schedule, noise, None, None, steps, 1.0, on_step)

    conds = {"positive": positive, "negative": negative}
    return {"samples": _run(model, conds, guidance, latent["samples"], steps, run)}


class _Loop(comfy.samplers.Sampler):
    """Runs a loop of the core as a ComfyUI sampler, with its guidance, patches, previews and interruption."""

    def __init__(self, run: Callable, steps: int) -> None:
        self.run, self.steps = run, steps

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, *_args, **_kwargs):
        sampling = model_wrap.inner_model.model_sampling
        denoised = latent_image

        def predict(latents: Tensor, timestep: int, _context: None) -> Tensor:
            """What the network says, told from what ComfyUI makes of it: the clean latents it would lead to."""
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


def _run(model, conds: dict, cfg: float, samples: Tensor, steps: int, run: Callable) -> Tensor:
    guider = comfy.samplers.CFGGuider(model)
    guider.inner_set_conds(conds)
    guider.set_cfg(cfg)
    sigmas = model.get_model_object("model_sampling").sigmas[_schedule(model).timesteps(steps)]
    callback = latent_preview.prepare_callback(model, steps)
    return guider.sample(torch.zeros_like(samples), samples, _Loop(run, steps), sigmas, callback=callback, seed=0)


def _inflation(model) -> Inflation:
    inflation = model.get_attachment(KEY)
    if inflation is None:
        raise ValueError("This MODEL is not inflated: put Inflate UNet between the checkpoint and this node.")
    return inflation


def _with_inflation(model, inflation: Inflation):
    """``model`` with that inflation in place of any other; the memory manager looks after its temporal attention."""
    model.set_attachments(KEY, inflation)
    model.remove_wrappers_with_key(WrappersMP.DIFFUSION_MODEL, KEY)
    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, KEY, inflation)
    if inflation.temporal is not None:
        patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
        model.set_additional_models(KEY, [patcher(inflation.temporal, model.load_device, model.offload_device)])
    return model


def _with_tuning(model, inflation: Inflation, deltas: dict, strength: float, temporal: nn.ModuleList | None):
    """A clone of ``model`` that has learned: weight patches as a LoRA's, and the temporal attention."""
    tuned = model.clone()
    tuned.add_patches({key: ("diff", (delta,)) for key, delta in deltas.items()}, strength)
    if temporal is not None:
        temporal = temporal.to(model.offload_device, _compute_dtype(model) or model.model.get_dtype())
    return _with_inflation(tuned, replace(inflation, temporal=temporal))


def _latents(model, latent: dict) -> Tensor:
    """A LATENT as clean latents ``[1, c, f, h, w]`` in the model's own scale."""
    samples, channels = latent["samples"], model.model.latent_format.latent_channels
    if samples.ndim != 4 or samples.shape[1] != channels:
        raise ValueError(
            f"These latents have the shape {list(samples.shape)}, this MODEL needs [frames, {channels}, height, "
            "width]: encode the frames with VAE Encode and the same checkpoint's VAE."
        )
    return rearrange(model.model.process_latent_in(samples.float()), "f c h w -> 1 c f h w")


def _schedule(model) -> tav_core.NoiseSchedule:
    """The noise schedule of MODEL.

    Raises:
        ValueError: it predicts neither noise nor velocity over discrete timesteps.
    """
    sampling = model.get_model_object("model_sampling")
    kinds = comfy.model_sampling
    fits = isinstance(sampling, kinds.ModelSamplingDiscrete) and isinstance(sampling, kinds.EPS)
    if not fits or isinstance(sampling, (kinds.EDM, getattr(kinds, "X0", kinds.EDM))):
        raise ValueError("This MODEL is no Stable Diffusion checkpoint: use one of the SD 1.x, SD 2.x or SDXL family.")
    velocity = isinstance(sampling, kinds.V_PREDICTION)
    return tav_core.NoiseSchedule(1 / (sampling.sigmas**2 + 1), "v_prediction" if velocity else "epsilon")


def _compute_dtype(model) -> torch.dtype | None:
    """What ComfyUI computes in where that is not what the weights are stored in."""
    return model.model.manual_cast_dtype


def _model_conds(model, positive: list, latents: Tensor) -> dict[str, Tensor]:
    """CONDITIONING as the inputs of the U-Net, by the names of the core."""
    conds = comfy.sampler_helpers.convert_cond(positive)
    noise = rearrange(latents, "1 c f h w -> f c h w")
    conds = comfy.samplers.encode_model_conds(model.model.extra_conds, conds, noise, latents.device, "positive")
    inputs = {name: cond.cond.to(latents.device) for name, cond in conds[0]["model_conds"].items()}
    return {"context": inputs["c_crossattn"]} | ({"y": inputs["y"]} if "y" in inputs else {})


def _trainable_clone(model):
    """MODEL with weights that stay where they are: ComfyUI's dynamic ones come and go during a backward pass."""
    if not getattr(model, "is_dynamic", bool)():
        return model
    try:
        return model.clone(disable_dynamic=True)
    except RuntimeError as error:
        raise ValueError(
            "This MODEL's loader keeps its weights in dynamic memory, where they cannot be tuned: load the checkpoint "
            "with Load Checkpoint, or start ComfyUI with --disable-dynamic-vram."
        ) from error
