"""Small U-Nets with random weights in both layouts, and what several tests do with them."""

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from ldm_unet import LDMUNet, ldm_names
from torch import Tensor, nn

import tav_core

LAYOUTS = ("diffusers", "ldm")
MODES = tav_core.ATTENTION_MODES
TOKENS, CONTEXT = 3, 16


def small_unet(layout: str = "diffusers", v2: bool = False, seed: int = 0) -> nn.Module:
    """Build two levels, the finer one with attention, with weights of the seed, the same in both layouts.

    v2: linear projections around the transformers and head counts per level, as in SD 2.x.
    """
    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=CONTEXT,
        attention_head_dim=[2, 4] if v2 else 4,
        use_linear_projection=v2,
    ).eval()
    if layout == "diffusers":
        return unet
    heads = (2, 4) if v2 else (4, 4)
    ldm = LDMUNet((16, 32), (1, 0), heads, CONTEXT, groups=4, linear=v2)
    ldm.load_state_dict(ldm_names(unet.state_dict()))
    return ldm.eval()


def inputs(videos: int = 2, frames: int = 3, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Return (latents [b, 4, f, 8, 6], timesteps [b], context [b, tokens, dim])."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(videos, 4, frames, 8, 6, generator=generator)
    timesteps = torch.tensor([1, 700, 350])[:videos]
    return latents, timesteps, torch.randn(videos, TOKENS, CONTEXT, generator=generator)


def image_prediction(unet: nn.Module, latents: Tensor, timesteps: Tensor, context: Tensor, **extra) -> Tensor:
    """Return the prediction of the network, not inflated, for each frame alone."""
    frames = [call(unet, latents[:, :, i], timesteps, context, **extra) for i in range(latents.shape[2])]
    return torch.stack(frames, dim=2)


def call(unet: nn.Module, x: Tensor, timesteps: Tensor, context: Tensor, **extra) -> Tensor:
    """Call the network as its host would."""
    with torch.no_grad():
        if isinstance(unet, UNet2DConditionModel):
            return unet(x, timesteps, context, return_dict=False, **extra)[0]
        return unet(x, timesteps, context=context, **extra)


def random_tuning(video_unet: tav_core.VideoUNet, seed: int = 2) -> dict[str, Tensor]:
    """Return tuned weights in which every parameter, the temporal output included, differs from the untuned ones."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + torch.randn(tensor.shape, generator=generator) / 4
        for name, tensor in video_unet.tuned_state_dict().items()
    }


def stable_diffusion_schedule(prediction_type: str = "epsilon") -> tav_core.NoiseSchedule:
    return tav_core.NoiseSchedule.stable_diffusion(prediction_type)


def stable_diffusion_scheduler(**changes) -> DDIMScheduler:
    settings = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "steps_offset": 1,
        "clip_sample": False,
        "set_alpha_to_one": False,
    }
    return DDIMScheduler(**settings | changes)


def copy_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


def relative_error(tensor: Tensor, reference: Tensor) -> float:
    """Return the norm of the difference over norm of the reference."""
    return float((tensor - reference).norm() / reference.norm())


SCHEDULE = stable_diffusion_schedule()


def tune(unet: nn.Module | tav_core.VideoUNet, steps: int = 2, learning_rate: float = 1e-3, **options):
    """Tune a few steps on a clip of three frames: (video U-Net, result). ``options`` are for settings or tune()."""
    video_unet = unet if isinstance(unet, tav_core.VideoUNet) else tav_core.inflate(unet)
    x, _, context = inputs(videos=1)
    names = ("draws", "on_step", "state", "schedule", "on_validation")
    call = {name: options.pop(name) for name in names if name in options}
    settings = tav_core.TuneSettings(steps=steps, learning_rate=learning_rate, **options)
    return video_unet, tav_core.tune(video_unet, call.pop("schedule", SCHEDULE), x, context, settings, **call)


def fixed_draw() -> tuple[Tensor, Tensor]:
    return inputs(videos=1, seed=9)[0], torch.tensor([400])


def tuned(video_unet: tav_core.VideoUNet) -> tav_core.VideoUNet:
    """Load random tuned weights, as if the network had learned something; return it."""
    video_unet.load_tuned_state_dict(random_tuning(video_unet))
    return video_unet


def assert_clean(unet: nn.Module, weights: dict[str, Tensor]) -> None:
    """Assert that the network holds what it held, and nothing of the learning."""
    assert all(torch.equal(tensor, weights[name]) for name, tensor in unet.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in unet.parameters())
