"""The demo model in the repository: it loads as any other checkpoint, is small, and draws what captions say."""

from pathlib import Path

import pytest
import torch
from einops import rearrange

import tav_core
from tav_core.demo.judge import read
from tav_core.demo.world import all_words
from tav_core.pipeline import Pipeline

MODEL = Path(tav_core.__file__).parent / "demo" / "model"


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.load(MODEL, device="cpu")


def test_the_model_is_small_and_in_stable_diffusions_layout(pipeline):
    assert sum(file.stat().st_size for file in MODEL.rglob("*")) < 20e6
    assert (pipeline.unet.config.in_channels, pipeline.pixels_per_latent) == (4, 4)
    expected = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    torch.testing.assert_close(
        pipeline.schedule.alphas_cumprod.float(), (1 - expected).cumprod(0), rtol=1e-3, atol=1e-5
    )
    assert pipeline.encode_prompt("a red circle on a blue background").shape == (1, 24, 64)


def test_it_draws_the_colours_that_captions_name(pipeline):
    words = all_words()[::25]
    context = torch.cat(pipeline.encode_prompts([w.caption for w in words]))
    noise = torch.randn(len(words), 4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    nothing = pipeline.encode_prompt("")
    latents = tav_core.ddim_sample(
        pipeline.inflate(), pipeline.schedule, noise, context, nothing, steps=15, guidance_scale=4.0
    )
    pictures = pipeline.decode_video(rearrange(latents, "b c 1 h w -> 1 c b h w"))
    verdicts = [reading.right(said) for reading, said in zip(read(pictures), words)]
    for name in ("colour", "background"):
        assert sum(verdict[name] for verdict in verdicts) >= 0.8 * len(words), name
