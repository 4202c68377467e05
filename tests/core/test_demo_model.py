"""The demo model in the repository: it loads as any other checkpoint, is small, and draws what captions say."""

import json
from pathlib import Path

import pytest
import torch
from einops import rearrange

import tav_core
from tav_core.checkpoint.pipeline import Pipeline
from tav_core.demo.clips import example_clip
from tav_core.demo.demo import CLIP, EDITS, FRAMES, demo_config
from tav_core.demo.judge import compare, read
from tav_core.demo.world import all_words
from tav_core.terminal import cli

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
    assert pipeline.encode_prompts(["a red circle on a blue background"])[0].shape == (1, 24, 64)


@pytest.mark.slow
def test_it_draws_what_captions_say(pipeline):
    words = [w for w in all_words() if not w.held_out][::12]
    context = torch.cat(pipeline.encode_prompts([w.caption for w in words]))
    noise = torch.randn(len(words), 4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    (nothing,) = pipeline.encode_prompts([""])
    video_unet = pipeline.inflate()
    latents = tav_core.ddim_sample(video_unet, pipeline.schedule, noise, context, nothing, steps=15, guidance_scale=3.0)
    video_unet.deflate()
    pictures = pipeline.decode_video(rearrange(latents, "b c 1 h w -> 1 c b h w"))
    verdicts = [reading.right(said) for reading, said in zip(read(pictures), words)]
    for name in ("colour", "background", "shape", "style"):
        assert sum(verdict[name] for verdict in verdicts) >= 0.85 * len(words), name


def test_the_demo_writes_what_it_tells(tmp_path, capsys):
    few = ["train_data.n_sample_frames=4", "validation_data.num_inv_steps=2", "validation_data.num_inference_steps=2"]
    prompts = ["--prompt", EDITS[0].caption, "--prompt", "a cat"]
    settings = [flag for setting in few for flag in ("--set", setting)]
    assert cli.main(["demo", "--output", str(tmp_path), "--steps", "1", "--device", "cpu", *prompts, *settings]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert list(figures) == ["tuned", "untuned"] and figures["tuned"]["a cat"] is None
    assert set(figures["tuned"][EDITS[0].caption]) == set(figures["untuned"][EDITS[0].caption]) != set()
    printed = capsys.readouterr().out
    assert EDITS[0].caption in printed and "no caption of the drawn world" in printed
    written = {path.name for path in tmp_path.iterdir()}
    assert {"loss.png", "source.mp4", "untuned", "a-cat.mp4", "contact-sheet.png", "tuned.safetensors"} <= written
    assert tav_core.probe_video(tmp_path / "source.mp4").frames == 4


def test_the_clip_comes_back_without_guidance(pipeline):
    source = example_clip(CLIP, "arc", 4, seed=3)
    latents, (nothing,) = pipeline.encode_video(source), pipeline.encode_prompts([""])
    video_unet = pipeline.inflate(temporal_attention=False)
    noise = tav_core.ddim_invert(video_unet, pipeline.schedule, latents, nothing, 8)[-1]
    back = tav_core.ddim_sample(video_unet, pipeline.schedule, noise, nothing, None, 8, guidance_scale=1)
    video_unet.deflate()
    assert tav_core.psnr(pipeline.decode_video(back), source) > 24


@pytest.mark.slow
def test_edits_after_a_short_tuning_follow_their_words_and_the_clips_motion(pipeline):
    """Another subject, background, attribute and style: the method as `make demo` shows it, with half the steps."""
    config, source = demo_config(), example_clip(CLIP, "arc", FRAMES, seed=3)
    latents = pipeline.encode_video(source)
    nothing, said, *edits = pipeline.encode_prompts(["", CLIP.caption, *(words.caption for words in EDITS)])
    steps, guidance = config.validation_data.num_inference_steps, config.validation_data.guidance_scale
    torch.manual_seed(0)
    video_unet, schedule = pipeline.inflate(), pipeline.schedule
    settings = tav_core.TuneSettings(steps=50, learning_rate=config.learning_rate, gradient_checkpointing=False, seed=0)
    noise, timesteps = torch.randn(1, *latents.shape[1:]), (100, 300, 500, 700)

    @torch.no_grad()
    def error() -> float:
        """Loss of the network on the clip, at the same timesteps and noise before and after."""
        return sum(
            torch.nn.functional.mse_loss(video_unet(schedule.add_noise(latents, noise, t), t, said), noise).item()
            for t in torch.tensor(timesteps)[:, None]
        )

    before = error()
    tav_core.tune(video_unet, schedule, latents, said, settings)
    assert error() < 0.9 * before
    noise = tav_core.ddim_invert(video_unet, schedule, latents, nothing, steps)[-1]
    rendered = tav_core.ddim_sample(
        video_unet, schedule, noise.expand(len(edits), -1, -1, -1, -1), torch.cat(edits), nothing, steps, guidance
    )
    video_unet.deflate()
    frames = pipeline.decode_video(rearrange(rendered, "b c f h w -> 1 c (b f) h w"))
    for words, video in zip(EDITS, rearrange(frames, "(b f) h w c -> b f h w c", b=len(EDITS))):
        seen = compare(video, source, words)
        assert seen.frames_right >= 0.75 and seen.track_distance < 0.08 and 0.7 < seen.slope < 1.2, (words, seen)
