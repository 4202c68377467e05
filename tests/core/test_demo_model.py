"""The demo model in the repository: it loads as any other checkpoint, is small, and draws what captions say."""

import json

import numpy as np
import pytest
import torch
from einops import rearrange

import tav_core
from tav_core.checkpoint.pipeline import Pipeline
from tav_core.demo import MODEL
from tav_core.demo.clips import clip_scenes, draw_clip
from tav_core.demo.demo import BESIDE, CLIP, EDITS, SEED, WAYS, demo_config
from tav_core.demo.judge import WEIGHTS, compare, read
from tav_core.demo.world import Words, all_words, mask
from tav_core.terminal import cli


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.load(MODEL, device="cpu")


def test_the_model_is_small_and_in_stable_diffusions_layout(pipeline):
    assert sum(file.stat().st_size for file in MODEL.rglob("*")) + WEIGHTS.stat().st_size < 20e6
    assert pipeline.vae_scale_factor == 8
    expected = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    torch.testing.assert_close(
        pipeline.schedule.alphas_cumprod.float(), (1 - expected).cumprod(0), rtol=1e-3, atol=1e-5
    )
    assert pipeline.encode_prompts([CLIP.caption])[0].shape == (1, 24, 96)


@pytest.mark.slow
def test_it_draws_what_captions_say(pipeline):
    words = [w for w in all_words() if not w.held_out][::70]
    context = torch.cat(pipeline.encode_prompts([w.caption for w in words]))
    channels, side = pipeline.unet.config.in_channels, pipeline.unet.config.sample_size
    noise = torch.randn(len(words), channels, 1, side, side, generator=torch.Generator().manual_seed(0))
    (nothing,) = pipeline.encode_prompts([""])
    video_unet = pipeline.inflate()
    latents = tav_core.ddim_sample(video_unet, pipeline.schedule, noise, context, nothing, steps=12, guidance_scale=3.0)
    video_unet.deflate()
    pictures = pipeline.decode_video(rearrange(latents, "b c 1 h w -> 1 c b h w"))
    verdicts = [reading.right(said) for reading, said in zip(read(pictures), words)]
    for name in ("figure", "verb", "place", "style"):
        assert sum(verdict[name] for verdict in verdicts) >= 0.75 * len(words), name
    worn = [verdict["clothes"] for verdict in verdicts if "clothes" in verdict]
    assert sum(worn) >= 0.7 * len(worn)


@pytest.mark.slow
def test_the_demo_writes_what_it_tells(tmp_path, capsys):
    few = ["train_data.n_sample_frames=4", "validation_data.num_inv_steps=2", "validation_data.num_inference_steps=2"]
    prompts = ["--prompt", EDITS[0].caption, "--prompt", "a cat"]
    settings = [flag for setting in few for flag in ("--set", setting)]
    assert cli.main(["demo", "--output", str(tmp_path), "--steps", "1", "--device", "cpu", *prompts, *settings]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert list(figures) == [way.label for way in WAYS] and figures["tuned"]["a cat"] is None
    assert len({tuple(of_way[EDITS[0].caption]) for of_way in figures.values()}) == 1
    printed = capsys.readouterr().out
    assert EDITS[0].caption in printed and "no caption of the drawn world" in printed
    written = {path.name for path in tmp_path.iterdir()}
    assert {"loss.png", "source.mp4", "untuned", "a-cat.mp4", "contact-sheet.png", "tuned.safetensors"} <= written
    assert (tmp_path / "untuned" / "a-cat.mp4").is_file() and len(list((tmp_path / BESIDE).glob("*.gif"))) == 3
    assert tav_core.probe_video(tmp_path / "source.mp4").frames == 4


@pytest.mark.slow
def test_tuning_fits_the_clip_and_edits_follow_their_words_and_its_poses(pipeline):
    """Another subject, background, attribute and style: as `make demo` shows it, with a third of the steps."""
    config, frames = demo_config(), 6
    source = draw_clip(CLIP, frames, SEED)
    latents = pipeline.encode_video(source)
    nothing, said, *edits = pipeline.encode_prompts(["", CLIP.caption, *(words.caption for words in EDITS)])
    steps, guidance = config.validation_data.num_inference_steps, config.validation_data.guidance_scale
    torch.manual_seed(0)
    video_unet, schedule = pipeline.inflate(), pipeline.schedule
    settings = tav_core.TuneSettings(steps=40, learning_rate=config.learning_rate, gradient_checkpointing=False, seed=0)
    noise, timesteps = torch.randn(1, *latents.shape[1:]), (100, 300, 500, 700)

    @torch.no_grad()
    def error() -> float:
        """Return the loss of the network on the clip, at the same timesteps and noise before and after."""
        return sum(
            torch.nn.functional.mse_loss(video_unet(schedule.add_noise(latents, noise, t), t, said), noise).item()
            for t in torch.tensor(timesteps)[:, None]
        )

    before = error()
    tav_core.tune(video_unet, schedule, latents, said, settings)
    assert error() < 0.95 * before
    noise = tav_core.ddim_invert(video_unet, schedule, latents, nothing, steps)[-1]
    rendered = tav_core.ddim_sample(
        video_unet, schedule, noise.expand(len(edits), -1, -1, -1, -1), torch.cat(edits), nothing, steps, guidance
    )
    video_unet.deflate()
    pictures = pipeline.decode_video(rearrange(rendered, "b c f h w -> 1 c (b f) h w"))
    videos = rearrange(pictures, "(b f) h w c -> b f h w c", b=len(EDITS))
    seen = [compare(video, source, words, CLIP) for words, video in zip(EDITS, videos)]
    assert sum(one.frames_right for one in seen) / len(seen) >= 0.6, seen
    assert sum(one.pose_distance for one in seen) / len(seen) < 0.1, seen


def test_the_figure_is_found_by_its_word(pipeline):
    """Within the true mask, as far as a network of 12x12 places tells a thin figure from what is behind it."""
    tokenizer, found = pipeline.text_encoders[0].tokenizer, []
    for words in (CLIP, Words("frog", "running", "desert"), Words("robot", "jumping", "beach")):
        context = pipeline.encode_prompts([words.caption])[0]
        tokens = tav_core.word_tokens(tokenizer(words.caption).input_ids, [tokenizer(words.figure).input_ids[1:-1]])
        video_unet = pipeline.inflate()
        latents = pipeline.encode_video(draw_clip(words, 6, SEED))
        seen = tav_core.word_map(video_unet, video_unet.blocks, pipeline.schedule, latents, context, tokens)
        video_unet.deflate()
        inside = tav_core.mask_from_map(seen, 96, 96) > 0.5
        true = torch.from_numpy(np.stack([mask(scene) for scene in clip_scenes(words, 6, SEED)])) > 0.5
        found.append(float((inside & true).sum() / (inside | true).sum()))
    assert sorted(found)[1] > 0.4 and min(found) > 0.3, found
