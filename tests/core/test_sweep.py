"""Sweeps over checkpoints of a few hundred kilobytes: failing items, going on, benchmark lists, and Ray."""

import csv
import json
import os
import shutil
import signal
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import yaml

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from tiny_checkpoint import make_folder
from tiny_clip import make_clip

import tav_core
from tav_core.experiments import sweep as sweeping
from tav_core.experiments import tgve
from tav_core.experiments.sweep import ScoreModels, sweep
from tav_core.experiments.sweep_items import folder_items, tgve_items
from tav_core.experiments.sweep_table import Outcome
from tav_core.terminal import cli, runs
from tav_core.terminal.config import Config
from tav_core.terminal.run_folder import note_prompts, with_prompts

ITEMS = ("a-fine", "b-without-a-clip", "c-fine")
LIST = """\
Video name,Our GT caption,Style Change Caption,Object Change Caption,Background Change Caption,Multiple Changes Caption,
DAVIS Videos:,,,,,,
stunt,A man jumps.,"A man jumps, grayscale.",A dog jumps.,A man jumps on mars.,"A dog jumps on mars, grayscale.",
,,,,,,
Youtube Videos:,,,,,,
swans,Swans swim.,,Ducks swim. ,,,
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Make a checkpoint, a clip, and three configurations of which the second names a clip that is not there."""
    path = tmp_path_factory.mktemp("world")
    make_folder(path / "model")
    make_clip(path / "clip")
    tav_core.save_video(path / "clip.mp4", torch.linspace(0, 1, 2 * 16 * 16 * 3).reshape(2, 16, 16, 3), 10)
    size = {"width": 16, "height": 16}
    for seed, name in enumerate(ITEMS):
        clip = "nowhere.mp4" if "without" in name else "clip.mp4"
        settings = {
            "pretrained_model_path": str(path / "model"),
            "train_data": {"video_path": str(path / clip), "prompt": "a square", "n_sample_frames": 2, **size},
            "validation_data": {"prompts": ["a cat"], "num_inference_steps": 1, "num_inv_steps": 1, **size},
            "max_train_steps": 2,
            "seed": seed,
            "device": "cpu",
        }
        (path / "configs" / "deeper").mkdir(parents=True, exist_ok=True)
        file = path / "configs" / ("deeper/" if name == ITEMS[2] else "") / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="module")
def in_order(world: Path) -> Path:
    """Finish a sweep; return its folder."""
    command = ["sweep", str(world / "configs"), "--clip", str(world / "clip"), "--output", str(world / "in-order")]
    assert cli.main(command) == 1  # as one item fails
    return world / "in-order"


def table(folder: Path) -> list[dict]:
    """Return the figures that do not depend on the machine's speed."""
    return [{**outcome, "seconds": None} for outcome in json.loads((folder / "sweep.json").read_text())]


def frames(folder: Path, name: str) -> torch.Tensor:
    return tav_core.load_video(folder / name / "a-cat.gif", 2, width=None, height=None).frames


def test_a_failing_item_does_not_stop_the_others(in_order: Path):
    first, second, third = table(in_order)
    assert [first["name"], second["name"], third["name"]] == ["a-fine", "b-without-a-clip", "deeper/c-fine"]
    assert not first["error"] and not third["error"] and first["loss"] != third["loss"]
    assert "nowhere.mp4" in second["error"]
    assert (in_order / "deeper/c-fine/a-cat.gif").is_file()
    lines = (in_order / "sweep.txt").read_text().splitlines()
    assert lines[-1] == "2 finished, 1 failed" and second["error"] in lines[2]
    mean = (first["scores"]["a cat"]["frame_consistency"] + third["scores"]["a cat"]["frame_consistency"]) / 2
    assert f"{mean:.2f}" in next(line for line in lines if line.startswith("mean"))
    with (in_order / "sweep.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["prompt"] for line in lines] == ["a cat", "", "a cat"]
    assert float(lines[0]["textual_alignment"]) == first["scores"]["a cat"]["textual_alignment"]


def test_finished_items_are_skipped_unless_their_settings_changed(world: Path, in_order: Path, monkeypatch):
    ran, folder = [], shutil.copytree(in_order, world / "moved")
    monkeypatch.setattr(sweeping, "run_item", lambda item, models: ran.append(item.name) or Outcome(item.name))
    outcomes = sweep(folder_items(world / "configs", folder, {}), folder)
    assert ran == ["b-without-a-clip"]
    config = Config.read(folder / "a-fine" / "config.yaml")
    note_prompts(folder / "a-fine", with_prompts(config, ("a dog",)))  # as "tav sample" there does
    ran.clear()
    outcomes = sweep(folder_items(world / "configs", folder, {}), folder)
    assert ran == ["b-without-a-clip"]
    assert [{**asdict(outcome), "seconds": None} for outcome in outcomes[::2]] == table(in_order)[::2]
    ran.clear()
    sweep(folder_items(world / "configs", folder, {"learning_rate": 1e-4})[:1], folder)
    assert ran == ["a-fine"]


def test_a_repeat_that_cannot_start_keeps_what_is_finished(world: Path, in_order: Path):
    folder = shutil.copytree(in_order, world / "kept")
    items = folder_items(world / "configs", folder, {"pretrained_model_path": "nowhere"})[:1]
    assert "There is no checkpoint" in sweep(items, folder)[0].error
    assert (folder / "a-fine" / "result.json").read_bytes() == (in_order / "a-fine" / "result.json").read_bytes()


def test_stopped_while_tuning_goes_on_there(world: Path, in_order: Path, monkeypatch, capsys):
    folder, tune, resumed = world / "stopped", runs.tune_unet, []
    command = ["sweep", str(world / "configs"), "--output", str(folder), "--set", "checkpointing_steps=1"]

    def press(*arguments, state, **options):
        resumed.append(len(state.losses) if state else 0)
        if state:
            os.kill(os.getpid(), signal.SIGINT)
        return tune(*arguments, state=state, **options)

    monkeypatch.setattr(runs, "tune_unet", press)
    assert cli.main([*command, "--steps", "3"]) == 130
    assert "Stopped with 0 of 3 items finished" in capsys.readouterr().err
    monkeypatch.setattr(runs, "tune_unet", lambda *a, **o: resumed.append(len(o["state"].losses)) or tune(*a, **o))
    items = folder_items(world / "configs", folder, {"checkpointing_steps": 1, "max_train_steps": 3})[:1]
    assert not sweep(items, folder)[0].error
    assert resumed == [0, 1, 2]


def test_published_list(tmp_path: Path):
    (tmp_path / "list.csv").write_text(LIST, encoding="utf-8-sig")
    entries = tgve.read_list(tmp_path / "list.csv")
    assert [(entry.section, entry.name) for entry in entries] == [("DAVIS_480p", "stunt"), ("youtube_480p", "swans")]
    assert entries[1].edits == {"object": "Ducks swim."}
    clip = tmp_path / "videos/DAVIS_480p/480p_videos/stunt.mp4"
    clip.parent.mkdir(parents=True)
    clip.touch()
    base = Config(max_train_steps=7)
    here, missing = tgve_items(tmp_path / "list.csv", base, tmp_path / "videos", tmp_path / "out")
    assert here.config.train_data.video_path == str(clip) and here.config.train_data.prompt == "A man jumps."
    assert here.config.max_train_steps == 7 and here.config.output_dir == str(tmp_path / "out/DAVIS_480p/stunt")
    assert dict(zip(here.kinds, here.config.validation_data.prompts)) == entries[0].edits
    assert list(here.kinds) == ["style", "object", "background", "multiple"]
    assert missing.config is None and "youtube_480p/480p_videos/swans.mp4" in missing.error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a list of clips"),
        ("Video name,Our GT caption\nx,y\n", "Style Change Caption"),
        (LIST + "swans,Swans fly.,,Ducks fly.,,,\n", "swans more than once"),
    ],
)
def test_other_tables_are_refused(text: str, message: str, tmp_path: Path):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        tgve.read_list(tmp_path / "list.csv")


def test_ray_gives_the_same(world: Path, in_order: Path):
    pytest.importorskip("ray.util", reason="needs Ray: pip install ray")  # any folder called ray passes for "ray"
    import ray

    ray.init(
        "local", num_cpus=1, num_gpus=0, object_store_memory=80 * 2**20, include_dashboard=False, log_to_driver=False
    )
    try:
        folder = world / "over-ray"
        models = ScoreModels(clip=str(world / "clip"))
        sweep(folder_items(world / "configs", folder, {}), folder, "local", models)
    finally:
        ray.shutdown()
    assert table(folder) == table(in_order)
    for name in ("a-fine", "deeper/c-fine"):
        assert torch.equal(frames(folder, name), frames(in_order, name))
