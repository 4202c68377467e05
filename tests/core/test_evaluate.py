"""Scoring videos: with a CLIP of random weights, from the command line, and as a table."""

import json
import math
import re

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn.functional import interpolate

pytest.importorskip("transformers")

from tiny_clip import make_clip
from transformers import CLIPModel, CLIPTokenizer

import tav_core
from tav_core.terminal import cli

PROMPT = "a robot is running on the beach"


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("models") / "clip")


def moving(dx: int, frames: int, height: int = 64, width: int = 96) -> torch.Tensor:
    """Return a random texture that moves to the right by dx pixels from frame to frame."""
    grain = torch.rand(1, 3, 12, 24, generator=torch.Generator().manual_seed(0))
    texture = interpolate(grain, (height, 2 * width), mode="bicubic")[0].clamp(0, 1).permute(1, 2, 0)
    return torch.stack([texture[:, width - i * dx : 2 * width - i * dx] for i in range(frames)])


def test_clip_scores_are_what_the_model_says(clip_folder):
    scorer = tav_core.ClipScorer.load(clip_folder)
    model, tokenizer = CLIPModel.from_pretrained(clip_folder).eval(), CLIPTokenizer.from_pretrained(clip_folder)
    frames = torch.rand(18, 32, 32, 3, generator=torch.Generator().manual_seed(1)).mul(255).round() / 255
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    with torch.no_grad():
        pixels = ((frames - mean) / std).permute(0, 3, 1, 2)
        logits = model(**tokenizer(PROMPT, return_tensors="pt"), pixel_values=pixels).logits_per_image
    result = tav_core.VideoResult("", frames, PROMPT)
    scores = tav_core.score_video(result, clip=scorer, pickscore=scorer)
    assert scores["pick_score"] == pytest.approx(float(logits.mean()), abs=1e-4)
    assert scores["textual_alignment"] == pytest.approx(100 * float(logits.mean()) / scorer.logit_scale, abs=1e-4)

    still = tav_core.VideoResult("", frames[:1].expand(5, -1, -1, -1))
    assert tav_core.score_video(still, clip=scorer) == {
        "frame_consistency": pytest.approx(100),
        "consecutive_consistency": pytest.approx(100),
        "steadiness": 100,
    }
    assert scores["frame_consistency"] < 99.99


def test_frames_are_cut_to_a_square_in_the_middle(clip_folder):
    scorer = tav_core.ClipScorer.load(clip_folder)
    wide = torch.rand(1, 48, 80, 3, generator=torch.Generator().manual_seed(1))
    outside = wide.clone()
    outside[:, :, :12] = outside[:, :, -12:] = 1
    (image, text), (same, _) = scorer.embed(wide, PROMPT), scorer.embed(outside, PROMPT)
    assert torch.allclose(image, same)
    assert image.shape == (1, 16) and text.shape == (16,)
    assert float(image.norm()) == pytest.approx(1) and float(text.norm()) == pytest.approx(1)
    scorer.embed(wide, "beach " * 200)  # longer than CLIP takes


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (lambda folder: (folder / "vocab.json").unlink(), FileNotFoundError, "lacks vocab.json"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "model.bin"), FileNotFoundError, "safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"cut off"), ValueError, "get it again"),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "siglip"}'),
            ValueError,
            "siglip, not clip",
        ),
        (lambda folder: drop(folder / "model.safetensors", "text_projection"), ValueError, "text_projection"),
    ],
)
def test_unusable_weights_are_named(tmp_path, damage, error, says):
    folder = make_clip(tmp_path / "clip")
    damage(folder)
    with pytest.raises(error, match=says) as raised:
        tav_core.ClipScorer.load(folder)
    assert str(folder) in str(raised.value)


def drop(path, part: str) -> None:
    save_file({name: tensor for name, tensor in load_file(path).items() if part not in name}, path, {"format": "pt"})


def test_weights_that_are_nowhere_are_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"no model {tmp_path}/nowhere on this machine"):
        tav_core.ClipScorer.load(tmp_path / "nowhere")
    for default, measures in (
        (tav_core.CLIP_MODEL, "frame consistency and textual alignment"),
        (tav_core.PICKSCORE_MODEL, "PickScore"),
    ):
        scorer, missing = tav_core.find_scorer(None, default)
        assert scorer is None and missing.startswith(f"For {measures}, run 'hf download {default} ")
        with pytest.raises(FileNotFoundError, match="nowhere"):
            tav_core.find_scorer(tmp_path / "nowhere", default)


def test_nothing_to_measure_with_is_said_below_the_table():
    table = tav_core.score_videos([tav_core.VideoResult("ours", torch.rand(2, 8, 8, 3))], notes=["CLIP is not there."])
    assert table.columns == [] and table.notes == ["Nothing could be measured.", "CLIP is not there."]
    assert table.text().startswith("ours\n") and table.image().shape[-1] == 3


def test_table_marks_the_best_of_each_column():
    row = tav_core.ScoreRow
    ours = row("ours", {"ssim": 0.91234, "motion_fidelity": 90.004, "psnr": math.inf, "edit_success": 1}, PROMPT)
    theirs = row("theirs", {"motion_fidelity": 90.001, "psnr": 20, "edit_success": 1})
    copy = row("copy", {"motion_fidelity": 50, "edit_success": 1})
    table = tav_core.ScoreTable([ours, theirs, copy], ["PickScore is not there."])
    assert table.columns == ["motion_fidelity", "psnr", "ssim", "edit_success"]
    assert table.best("motion_fidelity") == [ours, theirs]  # alike as far as the figures show
    assert table.best("psnr") == [ours]
    assert table.best("ssim") == table.best("edit_success") == []  # nothing to compare, nothing between them

    lines = table.text().splitlines()
    assert [re.split(r"\s{2,}", line.strip()) for line in lines[1:5]] == [
        ["fidelity", "in dB", "SSIM", "success"],
        ["ours", "90.00*", "inf*", "0.9123", "1.00"],
        ["theirs", "90.00*", "20.00", "-", "1.00"],
        ["copy", "50.00", "-", "-", "1.00"],
    ]
    assert lines[-1] == "Note: PickScore is not there."
    data = json.loads(table.json(), parse_constant=pytest.fail)
    assert data["results"][0] == {
        "name": "ours",
        "prompt": PROMPT,
        "scores": {"motion_fidelity": 90.004, "psnr": "inf", "ssim": 0.91234, "edit_success": 1},
        "best": ["motion_fidelity", "psnr"],
    }
    coloured = (table.image().amax(-1) - table.image().amin(-1)) > 0.1  # the fields of the best; all else is grey
    plain = tav_core.ScoreTable([ours]).image()
    assert coloured.sum() > 1000 and (plain.amax(-1) - plain.amin(-1)).max() < 0.01


def test_evaluate_scores_any_videos(clip_folder, tmp_path, capsys):
    pytest.importorskip("cv2")
    tav_core.save_video(tmp_path / "source.mp4", moving(3, frames=8), 8)
    (tmp_path / "other").mkdir()
    faithful, still = tmp_path / "edit.mp4", tmp_path / "other" / "edit.mp4"
    tav_core.save_video(faithful, 1 - moving(6, frames=3, height=128, width=192), 8)
    tav_core.save_video(still, moving(0, frames=8), 8)
    command = ["evaluate", "--source", str(tmp_path / "source.mp4"), "--prompt", PROMPT, str(faithful), str(still)]
    command += ["--clip", str(clip_folder), "--pickscore", str(clip_folder), "--output", str(tmp_path / "out")]
    status = cli.main(command)
    output = capsys.readouterr()
    assert status == 0, output.err
    data = json.loads((tmp_path / "out" / "scores.json").read_text())
    first, second = data["results"]
    assert (first["name"], second["name"]) == (str(faithful), str(still))  # of the same name otherwise
    assert first["prompt"] == second["prompt"] == PROMPT
    assert first["scores"]["motion_fidelity"] > 90 and second["scores"]["motion_fidelity"] == pytest.approx(0, abs=1)
    assert second["scores"]["frame_consistency"] > first["scores"]["frame_consistency"]
    assert set(first["scores"]) == {
        "frame_consistency", "consecutive_consistency", "textual_alignment", "pick_score", "motion_fidelity",
        "motion_overlap", "steadiness",
    }  # fmt: skip
    assert first["best"].count("motion_fidelity") == 1 and "motion_fidelity" not in second["best"]
    assert data["notes"] == [
        f"{faithful} has 3 frames, source.mp4 has 8: motion is compared over 3 of them, the source's from frame 0 in "
        "steps of 1."
    ]
    assert "* best of its column" in output.out and data["notes"][0] in output.out
    assert np.asarray(Image.open(tmp_path / "out" / "scores.png")).std() > 5


def test_evaluate_takes_the_frames_of_the_source_that_were_used(clip_folder, tmp_path):
    pytest.importorskip("cv2")
    source = moving(2, frames=9)
    tav_core.save_video(tmp_path / "source.mp4", torch.cat([source.flip(0), source]), 8)
    tav_core.save_video(tmp_path / "edit.mp4", source[1::2], 4)
    command = ["evaluate", "--source", str(tmp_path / "source.mp4"), str(tmp_path / "edit.mp4")]
    command += ["--clip", str(clip_folder), "--output", str(tmp_path)]
    scores = []
    for options in (["--start", "10", "--stride", "2"], []):
        assert cli.main(command + options) == 0
        scores.append(json.loads((tmp_path / "scores.json").read_text())["results"][0]["scores"])
    assert scores[0]["motion_fidelity"] > 95
    assert scores[1]["motion_fidelity"] < 0
    assert "textual_alignment" not in scores[0]  # there was no prompt


def test_evaluate_a_run_and_how_well_it_rebuilds_its_clip(clip_folder, tmp_path, capsys):
    pytest.importorskip("diffusers")
    from tiny_checkpoint import make_folder

    make_folder(tmp_path / "model")
    tav_core.save_video(tmp_path / "clip.mp4", moving(2, frames=4, height=32, width=32), 8)
    config = {
        "pretrained_model_path": str(tmp_path / "model"),
        "output_dir": str(tmp_path / "run"),
        "train_data": {
            "video_path": str(tmp_path / "clip.mp4"), "prompt": "cat", "n_sample_frames": 4, "width": 32, "height": 32,
        },
        "validation_data": {"prompts": ["a dog / on: the beach?"], "num_inference_steps": 2, "num_inv_steps": 2},
        "max_train_steps": 1,
    }  # fmt: skip
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    assert cli.main(["run", str(tmp_path / "config.yaml")]) == 0
    command = ["evaluate", "--run", str(tmp_path / "run"), "--reconstruction", "--clip", str(clip_folder)]
    assert cli.main(command) == 0, capsys.readouterr().err
    edit, rebuilt = json.loads((tmp_path / "run" / "scores.json").read_text())["results"]
    assert edit["name"] == edit["prompt"] == "a dog / on: the beach?"
    assert "textual_alignment" in edit["scores"] and "psnr" not in edit["scores"]
    assert rebuilt["name"] == "reconstruction" and set(rebuilt["scores"]) == {"psnr", "ssim"}
    video = tav_core.load_video(tmp_path / "run" / "reconstruction.mp4", 4, width=32, height=32).frames
    clip = tav_core.load_video(tmp_path / "clip.mp4", 4, width=32, height=32).frames
    assert rebuilt["scores"]["psnr"] == pytest.approx(tav_core.psnr(video, clip), abs=0.5)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to score"),
        (["a.mp4", "b.mp4", "c.mp4", "--prompt", "one", "--prompt", "two"], "2 prompts for 3 videos"),
        (["a.mp4", "--reconstruction"], "--run"),
        (["/nowhere/a.mp4"], "no video file /nowhere/a.mp4"),
        (["--run", "/nowhere"], "/nowhere/config.yaml"),
        (["a.mp4", "--stride", "2"], "--stride describes how the clip of --source was used"),
        (["a.mp4", "--output", __file__], f"{__file__}: File exists"),
    ],
)
def test_evaluate_says_what_is_wrong(arguments, says, capsys):
    assert cli.main(["evaluate", *arguments]) == 2
    assert says in capsys.readouterr().err
