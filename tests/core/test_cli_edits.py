"""Edits from the command line that keep a part of the clip."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from cli_runs import NAMES, run, settings

import tav_core
from tav_core.saved.inverted import load_inverted
from tav_core.terminal import cli


@pytest.fixture(scope="module")
def kept(cli_world: Path) -> Path:
    """Run, and invert with its trajectory and a finer inversion."""
    return run(cli_world, "kept", "--refine", "1", "--keep-trajectory")


def sample(folder: Path, *flags: str, code: int = 0) -> torch.Tensor:
    arguments = ["sample", "--config", str(folder / "config.yaml"), "--device", "cpu", "--guidance", "3"]
    assert cli.main([*arguments, *flags]) == code
    return tav_core.load_video(folder / f"{NAMES[0]}.gif", frames=3, width=None, height=None).frames


def test_a_black_mask_gives_the_clip_and_a_white_one_the_free_edit(kept, tmp_path):
    inverted, clean, _, trajectory = load_inverted(kept / "inverted.safetensors")
    assert len(trajectory) == 3 and trajectory[1].dtype == torch.float16
    assert torch.equal(trajectory[0], clean) and torch.equal(trajectory[2], inverted)
    free = sample(kept)
    for name, grey in (("black", 0), ("white", 255)):
        Image.new("L", (64, 48), grey).save(tmp_path / f"{name}.png")
    masked = ["--mask", str(tmp_path / "white.png"), "--feather", "9"]
    assert torch.equal(sample(kept, *masked), free)
    clip = sample(kept, "--mask", str(tmp_path / "black.png"))
    assert not torch.equal(clip, free)
    assert torch.equal(sample(kept, "--mask", str(tmp_path / "black.png"), "--structure", "1"), clip)
    assert not torch.equal(sample(kept, "--structure", "1"), free)


def test_words_make_masks_that_files_hold(kept, capsys):
    arguments = ["--config", str(kept / "config.yaml"), "--device", "cpu"]
    (kept / "mask").mkdir()
    (kept / "mask" / "0003.png").touch()  # of a mask of more frames
    assert cli.main(["mask", *arguments, "--change", "the square"]) == 0
    pictures = sorted((kept / "mask").iterdir())
    assert [file.name for file in pictures] == ["0000.png", "0001.png", "0002.png"]
    found = np.stack([np.asarray(Image.open(file).convert("L")) for file in pictures])
    assert found.shape == (3, 24, 32) and set(np.unique(found)) == {0, 255}
    assert (kept / "mask.png").is_file()
    by_file, by_words = sample(kept, "--mask", str(kept / "mask")), sample(kept, "--change", "square")
    assert torch.equal(by_file, by_words)
    assert not torch.equal(by_words, sample(kept, "--keep", "square"))
    sample(kept, "--change", "circle", code=2)
    assert "not in the clip's prompt" in capsys.readouterr().err


def test_a_mask_without_a_trajectory_says_how_to_get_one(finished, tmp_path, capsys):
    Image.new("L", (32, 24)).save(tmp_path / "black.png")
    arguments = ["--config", str(finished / "config.yaml"), "--device", "cpu", "--mask", str(tmp_path / "black.png")]
    assert cli.main(["sample", *arguments]) == 2
    assert "run 'tav invert' again with --keep-trajectory" in capsys.readouterr().err


def test_a_run_with_a_mask_needs_no_further_flag(cli_world):
    folder = run(cli_world, "masked", "--change", "square")
    assert (folder / f"{NAMES[0]}.mp4").is_file()
    assert load_inverted(folder / "inverted.safetensors")[3] is not None


def test_masks_in_the_ablation(cli_world):
    """Every row finds the words with its own network."""
    file = settings(cli_world, "ablated", max_train_steps=1)
    flags = ["--rows", "untuned", "full", "--change", "square", "--structure", "0.5", "--device", "cpu"]
    assert cli.main(["ablate", "--config", str(file), *flags]) == 0
    for row in ("untuned", "full"):
        assert load_inverted(cli_world / "ablated" / row / "inverted.safetensors")[3] is not None
