"""Recorded figures of the published implementation (tests/data/sd1-small), on both layouts."""

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")

from diffusers import DDIMScheduler, UNet2DConditionModel
from ldm_unet import LDMUNet, ldm_names
from networks import LAYOUTS, relative_error
from safetensors.torch import load_file

import tav_core

FOLDER = Path(__file__).parents[1] / "data" / "sd1-small"
CONFIG = json.loads((FOLDER / "config.json").read_text())
WEIGHTS = {name: tensor.float() for name, tensor in load_file(FOLDER / "unet.safetensors").items()}
RECORDED = load_file(FOLDER / "recorded.safetensors")
SCHEDULE = tav_core.NoiseSchedule.from_scheduler(DDIMScheduler(**CONFIG["scheduler"]))
LEARNED = sorted(name.removeprefix("tune.final.") for name in RECORDED if name.startswith("tune.final."))

# A group norm with one channel per group follows the last block, and takes every constant out again: the gradient of
# that block's last bias is zero, the recorded one (norm 1e-8) is rounding, and Adam turns rounding into full steps.
NO_GRADIENT = [name for name in LEARNED if RECORDED[f"tune.first_gradient.{name}"].norm() < 1e-6]


@pytest.fixture(params=LAYOUTS)
def video_unet(request) -> tav_core.VideoUNet:
    return make_video_unet(request.param)


def make_video_unet(layout: str) -> tav_core.VideoUNet:
    image_weights = {name: tensor for name, tensor in WEIGHTS.items() if "_temp" not in name}
    config = dict(CONFIG["unet"])
    if layout == "ldm":
        heads = (config["attention_head_dim"],) * 4
        unet = LDMUNet(tuple(config["block_out_channels"]), (1, 1, 1, 0), heads, config["cross_attention_dim"])
        unet.load_state_dict(ldm_names(image_weights))
    else:
        for key in ("down_block_types", "up_block_types"):
            config[key] = [name.replace("3D", "2D") for name in config[key]]
        unet = UNet2DConditionModel(**config | {"mid_block_type": "UNetMidBlock2DCrossAttn"})
        unet.load_state_dict(image_weights)
    video_unet = tav_core.inflate(unet.eval())
    video_unet.load_tuned_state_dict({name: WEIGHTS[name] for name in video_unet.tuned_state_dict()})
    return video_unet


def recorded(part: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(part): tensor for name, tensor in RECORDED.items() if name.startswith(part)}


def test_published_names(video_unet):
    learned = {n for n in WEIGHTS if "_temp" in n or ".attn1.to_q." in n or ".attn2.to_q." in n}
    assert set(video_unet.tuned_state_dict()) == learned
    assert sorted(video_unet.trainable_parameters()) == LEARNED


@pytest.mark.parametrize("part", ["forward.", "forward_one_frame."])
def test_forward(video_unet, part):
    x = recorded(part)
    with torch.no_grad():
        output = video_unet(x["sample"], x["timestep"], x["context"])
    assert relative_error(output, x["output"]) < 1e-4


def test_schedule():
    assert SCHEDULE.timesteps(CONFIG["ddim"]["steps"]) == RECORDED["ddim.timesteps"].tolist()
    torch.testing.assert_close(SCHEDULE.alphas_cumprod, RECORDED["ddim.alphas_cumprod"], rtol=1e-6, atol=0)


def test_inversion(video_unet):
    x = recorded("ddim.")
    trajectory = tav_core.ddim_invert(video_unet, SCHEDULE, x["clean"], x["empty_context"], CONFIG["ddim"]["steps"])
    assert len(trajectory) == len(x["inverted"])
    assert max(map(relative_error, trajectory, x["inverted"])) < 1e-4


def test_sampling(video_unet):
    x, settings = recorded("ddim."), CONFIG["ddim"]
    sampled = tav_core.ddim_sample(
        video_unet,
        SCHEDULE,
        x["start"],
        x["prompt_context"],
        x["empty_context"],
        settings["steps"],
        settings["guidance_scale"],
    )
    assert relative_error(sampled, x["sampled"]) < 1e-4


@pytest.mark.parametrize("checkpointing", [True, False], ids=["checkpointing", "plain"])
def test_first_gradients(video_unet, checkpointing):
    x = recorded("tune.")
    video_unet.gradient_checkpointing = checkpointing
    parameters = video_unet.trainable_parameters()
    noise, timesteps = x["noise"][0], x["timesteps"][0]
    prediction = video_unet(SCHEDULE.add_noise(x["clean"], noise, timesteps), timesteps, x["context"])
    torch.nn.functional.mse_loss(prediction, SCHEDULE.target(x["clean"], noise, timesteps)).backward()

    assert len(NO_GRADIENT) == 1
    for name in LEARNED:
        gradient, reference = parameters[name].grad, x[f"first_gradient.{name}"]
        if name in NO_GRADIENT:
            assert gradient.norm() < 1e-6, name
        else:
            assert relative_error(gradient, reference) < 1e-3, name


@pytest.mark.parametrize(("layout", "checkpointing"), [("diffusers", True), ("diffusers", False), ("ldm", True)])
def test_tuning(layout, checkpointing):
    x, published = recorded("tune."), CONFIG["tuning"]
    video_unet = make_video_unet(layout)
    result = tav_core.tune(
        video_unet,
        SCHEDULE,
        x["clean"],
        x["context"],
        tav_core.TuneSettings(
            steps=published["steps"],
            learning_rate=published["lr"],
            betas=tuple(published["betas"]),
            weight_decay=published["weight_decay"],
            eps=published["eps"],
            max_grad_norm=published["max_grad_norm"],
            gradient_checkpointing=checkpointing,
            trainable_modules=tuple(published["trainable"]),
        ),
        draws=zip(x["noise"], x["timesteps"]),
    )
    torch.testing.assert_close(torch.tensor(result.losses, dtype=torch.float64), x["losses"], rtol=1e-5, atol=0)
    tuned = video_unet.tuned_state_dict()
    for name in LEARNED:
        distance = (x[f"final.{name}"] - WEIGHTS[name]).norm()
        if name in NO_GRADIENT:
            assert (tuned[name] - WEIGHTS[name]).abs().max() <= 1.01 * published["steps"] * published["lr"], name
        else:
            assert (tuned[name] - x[f"final.{name}"]).norm() < 1e-3 * distance, name
    for name, tensor in tuned.items():
        if name not in LEARNED:
            assert torch.equal(tensor, WEIGHTS[name]), name
