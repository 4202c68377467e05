"""Properties on a GPU; skipped on machines without CUDA."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")

from networks import inputs, relative_error, small_unet
from test_reference import CONFIG, SCHEDULE, make_video_unet, recorded

import tav_core

DEVICE = "cuda"
BENCH = Path(__file__).parents[2] / "bench" / "bench.py"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU (CUDA)")


@pytest.fixture(autouse=True)
def full_float32() -> Iterator[None]:
    """Switch off TensorFloat-32, which has 10 bits of precision and is the default of convolutions."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def on_gpu(part: str) -> dict[str, torch.Tensor]:
    return {name: tensor.to(DEVICE) for name, tensor in recorded(part).items()}


def gpu_video_unet(dtype: torch.dtype, v2: bool = False, **options) -> tav_core.VideoUNet:
    return tav_core.inflate(small_unet(v2=v2).to(DEVICE, dtype), **options)


@pytest.mark.parametrize("layout", ["diffusers", "ldm"])
def test_published_inversion_and_sampling(layout):
    x, settings = on_gpu("ddim."), CONFIG["ddim"]
    video_unet = make_video_unet(layout)
    video_unet.unet.to(DEVICE)
    trajectory = tav_core.ddim_invert(video_unet, SCHEDULE, x["clean"], x["empty_context"], settings["steps"])
    assert max(map(relative_error, trajectory, x["inverted"])) < 1e-3
    contexts = x["prompt_context"], x["empty_context"]
    sampled = tav_core.ddim_sample(
        video_unet, SCHEDULE, x["start"], *contexts, settings["steps"], settings["guidance_scale"]
    )
    assert relative_error(sampled, x["sampled"]) < 1e-3


def losses_of(video_unet: tav_core.VideoUNet, device: str = "cpu", **options) -> list[float]:
    x, _, context = (tensor.to(device) for tensor in inputs(videos=1))
    settings = tav_core.TuneSettings(steps=8, learning_rate=1e-3, **options)
    return tav_core.tune(video_unet, SCHEDULE, x, context, settings).losses


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float16, "fp16"), (torch.bfloat16, "bf16")])
def test_tuning_in_half_precision(dtype, precision):
    """Frozen weights stay as they were loaded, learned ones are float32, and the losses are those of float32."""
    reference = losses_of(tav_core.inflate(small_unet()))
    video_unet = gpu_video_unet(dtype)
    frozen = {name: parameter.clone() for name, parameter in video_unet.unet.named_parameters()}
    learned = {id(parameter) for parameter in video_unet.trainable_parameters().values()}
    losses = losses_of(video_unet, DEVICE, precision=precision)
    assert losses == pytest.approx(reference, rel=0.03)
    assert {parameter.dtype for parameter in video_unet.trainable_parameters().values()} == {torch.float32}
    for name, parameter in video_unet.unet.named_parameters():
        if id(parameter) not in learned and parameter.dtype == dtype:
            assert torch.equal(parameter, frozen[name]), name


@pytest.mark.skipif(find_spec("xformers") is None, reason="needs xformers")
def test_xformers_computes_what_torch_computes():
    """With heads of 8 channels: in 16 bit, xformers takes multiples of that only."""
    x, timesteps, context = (tensor.to(DEVICE) for tensor in inputs())
    outputs = []
    for kernel in ("sdpa", "xformers"):
        video_unet = gpu_video_unet(torch.float16, v2=True, kernel=kernel)
        with torch.no_grad():
            outputs.append(video_unet(x.half(), timesteps, context.half()).float())
    assert relative_error(outputs[1], outputs[0]) < 1e-2


def test_the_published_setting_takes_less_than_8_gb(tmp_path):
    """24 frames of 512x512 on a network of full SD 1.5 size."""
    arguments = ["--device", DEVICE, "--frames", "24", "--size", "512", "--precision", "fp16", "--way", "ours"]
    report = tmp_path / "report.json"
    subprocess.run([sys.executable, BENCH, *arguments, "--steps", "1", "--json", report], check=True)
    assert json.loads(report.read_text())["figures"]["ours"]["peak memory in all, GB"] < 8
