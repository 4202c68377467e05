"""SDXL from the terminal: both text encoders, the pooled embedding and the sizes, from a folder and from a file."""

from pathlib import Path

import pytest
import torch
import yaml

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from diffusers import StableDiffusionXLPipeline
from networks import relative_error
from tiny_checkpoint import make_sdxl_file, make_sdxl_folder

import tav_core
from tav_core.terminal import cli

PROMPT, SIZE = "a man is skiing, fast", (16, 24)
FRAMES = torch.rand(3, *SIZE, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_sdxl_folder(tmp_path_factory.mktemp("sdxl") / "model")


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    return make_sdxl_file(folder.parent / "model.safetensors", folder)


def test_prompts_are_encoded_as_diffusers_does(folder: Path):
    ours = tav_core.Pipeline.load(folder, "cpu")
    (condition,) = ours.encode_prompts([PROMPT], (768, 512), (1024, 640), (8, 16))
    one, two = ours.text_encoders
    theirs = StableDiffusionXLPipeline(
        ours.vae, one.model, two.model, one.tokenizer, two.tokenizer, ours.unet, scheduler=None
    )
    embeddings, _, pooled, _ = theirs.encode_prompt(PROMPT, device="cpu", do_classifier_free_guidance=False)
    torch.testing.assert_close(condition["context"], embeddings)
    torch.testing.assert_close(condition["added_cond_kwargs"]["text_embeds"], pooled)
    assert condition["added_cond_kwargs"]["time_ids"].tolist() == [[1024, 640, 8, 16, 768, 512]]


def test_single_file_computes_what_the_folder_does(folder: Path, file: Path):
    """Encoding, forward pass, tuning, inversion and sampling, whole and of low rank."""
    results = []
    for path in (folder, file):
        pipeline = tav_core.Pipeline.load(path, "cpu", tokenizer=folder / "tokenizer")
        assert pipeline.is_sdxl and pipeline.schedule.timesteps(50)[-1] == 1
        empty, prompt = pipeline.encode_prompts(["", PROMPT], SIZE)
        latents = pipeline.encode_video(FRAMES)
        torch.manual_seed(0)
        video_unet = pipeline.inflate()
        made = [prompt["context"], prompt["added_cond_kwargs"]["text_embeds"], latents]
        made.append(video_unet(latents, 500, **prompt))
        settings = tav_core.TuneSettings(steps=3, learning_rate=1e-2)
        made.append(torch.tensor(tav_core.tune(video_unet, pipeline.schedule, latents, prompt, settings).losses))
        inverted = tav_core.ddim_invert(video_unet, pipeline.schedule, latents, empty, 3)[-1]
        sampled = tav_core.ddim_sample(video_unet, pipeline.schedule, inverted, prompt, empty, 3)
        made += [inverted, sampled, pipeline.decode_video(sampled)]
        video_unet.deflate()
        low = tav_core.TuneSettings(steps=3, learning_rate=1e-2, rank=2)
        tuned = tav_core.tune(pipeline.inflate(), pipeline.schedule, latents, prompt, low)
        results.append([*made, torch.tensor(tuned.losses)])
    assert max(map(relative_error, *results)) < 1e-5


def test_sizes_and_pooled_embedding_reach_the_network(folder: Path):
    pipeline = tav_core.Pipeline.load(folder, "cpu")
    video_unet, latents = pipeline.inflate(), pipeline.encode_video(FRAMES)
    (small,), (large,) = (pipeline.encode_prompts([PROMPT], SIZE, original) for original in (SIZE, (1024, 1024)))
    one, other = (video_unet(latents, 500, **condition) for condition in (small, large))
    assert relative_error(one, other) > 1e-4


def test_the_autoencoder_computes_in_float32_where_float16_would_overflow(folder: Path):
    pipeline = tav_core.Pipeline.load(folder, "cpu", torch.float16)
    with torch.no_grad():
        pipeline.vae.encoder.conv_in.weight.mul_(1e4)
    assert pipeline.encode_video(FRAMES).isfinite().all()


def test_the_whole_run(folder: Path, file: Path, tmp_path: Path):
    model, output = file, tmp_path / "out"
    tav_core.save_video(tmp_path / "clip.gif", FRAMES, 8)
    clip = ["--video", tmp_path / "clip.gif", "--frames", 3, "--width", SIZE[1], "--height", SIZE[0]]
    common = ["--model", model, "--output", output, "--device", "cpu", "--tokenizer", folder / "tokenizer"]
    settings = ["--set", "validation_data.num_inv_steps=2", "--set", "validation_data.num_inference_steps=2"]
    words = ["--source-prompt", "a square", "--prompt", "a circle", "--rank", 2, "--set", "sdxl.original_width=1024"]
    (tmp_path / "run.yaml").write_text("sdxl: {original_height: 1024}")
    run = ["run", tmp_path / "run.yaml", *common, *clip, *words, "--steps", 2, *settings]
    assert cli.main([str(part) for part in run]) == 0
    assert list(output.rglob("*circle*.mp4"))
    sample = ["sample", *common, "--prompt", "a triangle", "--steps", 2]
    assert cli.main([str(part) for part in sample]) == 0
    evaluate = ["evaluate", "--run", output, "--device", "cpu", "--reconstruction"]
    assert cli.main([str(part) for part in evaluate]) == 0


def test_ablation_and_sweep(folder: Path, file: Path, tmp_path: Path):
    """From the folder and from the file; where no rank is given, SDXL is tuned at rank 16."""
    tav_core.save_video(tmp_path / "clip.gif", FRAMES, 8)
    clip = {"video_path": str(tmp_path / "clip.gif"), "prompt": "a square", "n_sample_frames": 3}
    steps = {"prompts": ["a circle"], "num_inference_steps": 1, "num_inv_steps": 1}
    settings = {"train_data": clip | {"width": SIZE[1], "height": SIZE[0]}, "validation_data": steps}
    (tmp_path / "items").mkdir()
    (tmp_path / "items" / "one.yaml").write_text(yaml.safe_dump(settings | {"max_train_steps": 1}))
    ablate = ["ablate", "--config", tmp_path / "items" / "one.yaml", "--model", folder, "--rows", "untuned", "full"]
    assert cli.main([*map(str, ablate), "--output", str(tmp_path / "rows"), "--device", "cpu"]) == 0
    sweep = ["sweep", tmp_path / "items", "--model", file, "--tokenizer", folder / "tokenizer", "--device", "cpu"]
    assert cli.main([*map(str, sweep), "--output", str(tmp_path / "sweep")]) == 0
    for tuned in (tmp_path / "rows" / "full", tmp_path / "sweep" / "one"):
        assert tav_core.load_tuned(tuned / "tuned.safetensors")[1]["rank"] == 16
        assert list(tuned.glob("a-circle*.mp4"))
