"""Runs inside ComfyUI's own Python: the reference figures through ComfyUI's U-Net class. Prints errors as JSON."""

import json
import sys
from pathlib import Path

import comfy.ldm.modules.diffusionmodules.openaimodel as openaimodel
import comfy.ops
import comfy.utils
import torch
from safetensors.torch import load_file

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))
import tav_core  # noqa: E402

DATA = REPOSITORY / "tests" / "data" / "sd1-small"
UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "channel_mult": (1, 2, 2, 2),
    "num_res_blocks": [1, 1, 1, 1],
    "transformer_depth": [1, 1, 1, 0],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 0, 0],
    "num_heads": 8,
    "num_head_channels": -1,
    "use_spatial_transformer": True,
    "context_dim": 48,
    "use_linear_in_transformer": False,
    "legacy": False,
    "dtype": torch.float32,
}


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def build(weights: dict[str, torch.Tensor]) -> tav_core.VideoUNet:
    unet = openaimodel.UNetModel(**UNET, operations=comfy.ops.disable_weight_init, device="cpu")
    names = comfy.utils.unet_to_diffusers(UNET)
    image_weights = {names[k]: v for k, v in weights.items() if k in names}
    unet.load_state_dict(image_weights, strict=True)
    video_unet = tav_core.inflate(unet)
    own_names = video_unet.tuned_state_dict()
    for name in own_names:
        if name in names:  # ComfyUI's own map agrees on which weight that is
            assert torch.equal(own_names[name], weights[name]), name
    video_unet.load_tuned_state_dict({name: weights[name] for name in own_names})
    return video_unet


def main() -> None:
    torch.set_num_threads(1)  # a small network, beside other tests
    config = json.loads((DATA / "config.json").read_text())
    weights = {k: v.float() for k, v in load_file(DATA / "unet.safetensors").items()}
    recorded = load_file(DATA / "recorded.safetensors")
    betas = config["scheduler"]
    alphas = 1 - torch.linspace(betas["beta_start"] ** 0.5, betas["beta_end"] ** 0.5, 1000) ** 2
    schedule = tav_core.NoiseSchedule(torch.cumprod(alphas, 0))
    empty, prompt = recorded["ddim.empty_context"], recorded["ddim.prompt_context"]
    errors = {}

    video_unet = build(weights)
    with torch.no_grad():
        out = video_unet(recorded["forward.sample"], recorded["forward.timestep"], recorded["forward.context"])
        errors["forward"] = relative(out, recorded["forward.output"])
        one = [recorded[f"forward_one_frame.{x}"] for x in ("sample", "timestep", "context", "output")]
        errors["one frame"] = relative(video_unet(*one[:3]), one[3])
    inverted = tav_core.ddim_invert(video_unet, schedule, recorded["ddim.clean"], empty, 10)
    errors["inversion"] = max(relative(a, b) for a, b in zip(inverted, recorded["ddim.inverted"]))
    sampled = tav_core.ddim_sample(video_unet, schedule, recorded["ddim.start"], prompt, empty, 10, 12.5)
    errors["sampling"] = relative(sampled, recorded["ddim.sampled"])

    start = {name: tensor.clone() for name, tensor in video_unet.tuned_state_dict().items()}
    settings = tav_core.TuneSettings(steps=8, learning_rate=config["tuning"]["lr"])
    draws = list(zip(recorded["tune.noise"], recorded["tune.timesteps"]))
    result = tav_core.tune(video_unet, schedule, recorded["tune.clean"], recorded["tune.context"], settings, draws)
    losses = torch.tensor(result.losses)
    errors["losses"] = ((losses - recorded["tune.losses"]).abs() / recorded["tune.losses"]).max().item()
    final = video_unet.tuned_state_dict()
    moved = []
    for key, expected in recorded.items():
        name = key.removeprefix("tune.final.")
        # a gradient that is zero but for rounding tells AdamW nothing but noise
        if name != key and recorded[f"tune.first_gradient.{name}"].norm() > 1e-6:
            moved.append(((final[name] - expected).norm() / (expected - start[name]).norm()).item())
    errors["final parameters"] = max(moved)
    errors["parameters compared"] = len(moved)
    print(json.dumps(errors))


if __name__ == "__main__":
    main()
