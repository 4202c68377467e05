"""The ablation on a checkpoint of a few hundred kilobytes: one network per row, everything else shared."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

import huggingface_hub.constants
from tiny_checkpoint import make_folder
from tiny_clip import make_clip

import tav_core
from tav_core.experiments.ablation import ROWS, RowResult, run_rows
from tav_core.terminal import cli, runs, sampling
from tav_core.terminal.config import Config, TrainData, ValidationData
from tav_core.terminal.session import Session

PROMPTS = ("a cat", "a dog")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("world")
    make_folder(path / "model")
    frames = torch.zeros(3, 16, 16, 3)
    for number, frame in enumerate(frames):
        frame[4:8, 3 * number : 3 * number + 6] = torch.tensor([1.0, 0.5, 0.0])
    tav_core.save_video(path / "clip.mp4", frames, 10)
    return path


def config(world: Path, output: str) -> Config:
    size = {"width": 16, "height": 16}
    return Config(
        pretrained_model_path=str(world / "model"),
        output_dir=str(world / output),
        train_data=TrainData(str(world / "clip.mp4"), "a square", n_sample_frames=3, **size),
        validation_data=ValidationData(PROMPTS, num_inference_steps=2, num_inv_steps=1, **size),
        max_train_steps=2,
        learning_rate=1e-2,
        trainable_modules=("attn1.to_q", "attn2.to_q", "attn_temp"),
        device="cpu",
    )


@pytest.fixture(scope="module")
def session(world: Path) -> Session:
    return Session(config(world, "rows"))


@pytest.fixture(scope="module")
def results(session: Session) -> list[RowResult]:
    """Run all rows, and check that they leave the network as it was."""
    before = {name: tensor.clone() for name, tensor in session.pipeline.unet.state_dict().items()}
    results = list(run_rows(session, rebuild=True))
    after = session.pipeline.unet.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    return results


@pytest.mark.slow
def test_every_row_renders_with_its_own_network(session: Session, results: list[RowResult]):
    assert [result.row for result in results] == list(ROWS)
    for number, result in enumerate(results):
        assert tuple(result.videos) == PROMPTS
        for other in results[:number]:  # were a row's network that of another, so would its videos be
            for one, two in ((result.videos["a cat"], other.videos["a cat"]), (result.rebuilt, other.rebuilt)):
                assert not torch.equal(one, two), (result.row.name, other.row.name)
        folder = session.folder / result.row.name
        assert (folder / "tuned.safetensors").exists() == result.row.tuned
        if result.row.tuned:
            learned, _ = tav_core.load_tuned(folder / "tuned.safetensors")
            assert any("attn_temp" in name for name in learned) == result.row.temporal_attention
        assert (folder / "a-cat.mp4").is_file() and (folder / "a-dog.gif").is_file()
        assert Config.read(folder / "config.yaml").attention == result.row.attention


def test_the_full_row_is_what_run_renders(world: Path, results: list[RowResult]):
    """Nothing that another row did has an influence."""
    (full,) = [result for result in results if result.row.name == "full"]
    alone = runs.run(Session(config(world, "alone")))
    assert alone.keys() == full.videos.keys()
    assert all(torch.equal(alone[prompt], full.videos[prompt]) for prompt in alone)


@pytest.mark.slow
def test_command_stopped_between_rows_keeps_what_is_finished(world: Path, monkeypatch, capsys):
    file, folder, clip = world / "settings.yaml", world / "stopped", make_clip(world / "clip")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(world / "empty"))
    config(world, "stopped").save(file)
    sample, finished = sampling.sample, []

    def sample_once(*arguments):
        if finished:
            raise KeyboardInterrupt
        finished.append(True)
        return sample(*arguments)

    command = ["ablate", "--config", str(file), "--clip", str(clip), "--rows", "untuned", "full"]
    with monkeypatch.context() as patch:
        patch.setattr(sampling, "sample", sample_once)
        assert cli.main(command) == 130
    assert "Finished rows: untuned." in capsys.readouterr().err
    assert [row["name"] for row in json.loads((folder / "ablation.json").read_text())["rows"]] == ["untuned"]
    with Image.open(folder / "ablation.png") as sheet:
        small = sheet.height
    tuned = []
    monkeypatch.setattr(runs, "tune_unet", lambda *a, **o: tuned.append(o["state"]) or tav_core.tune(*a, **o))
    assert cli.main([*command, "--resume"]) == 0
    rows, table = json.loads((folder / "ablation.json").read_text())["rows"], capsys.readouterr().out
    assert [row["name"] for row in rows] == ["untuned", "full"]
    for row in rows:
        alignment = [row["scores"][prompt]["textual_alignment"] for prompt in PROMPTS]
        assert row["mean"]["textual_alignment"] == pytest.approx(sum(alignment) / 2)
        assert row["mean"].keys() == row["scores"]["a cat"].keys() | {"psnr", "ssim"}
        assert row["label"] in table
    assert (folder / "scores.png").is_file() and "PickScore_v1" in table  # said to be missing
    with Image.open(folder / "ablation.png") as sheet:
        assert sheet.height > 1.5 * small
    assert [len(state.losses) for state in tuned] == [2]  # it went on from the saved state, with nothing left to do
    assert cli.main([*command, "--resume", "--learning-rate", "1e-3"]) == 2
    assert "another learning_rate" in capsys.readouterr().err
    assert cli.main(["evaluate", "--run", str(folder)]) == 2
    assert f"holds 2 runs: give one of them, such as {folder / 'full'}." in capsys.readouterr().err
