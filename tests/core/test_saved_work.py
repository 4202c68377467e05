"""Saved work can be loaded again, is not lost to another run, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from cli_runs import NAMES, run, settings
from networks import small_unet, tune

import tav_core
from tav_core.files import replacing, scratch_folder, unused_path
from tav_core.saved.inverted import save_inverted
from tav_core.terminal import cli, sampling


def test_a_last_step_that_diverges_is_an_error_and_writes_nothing(cli_world: Path, capsys):
    with pytest.raises(tav_core.TuningError, match=r"After step 1, .* contains NaN or infinite values: lower the"):
        tune(small_unet(), steps=1, learning_rate=1e39)
    folder = run(cli_world, "diverged", "--steps", "1", "--learning-rate", "1e39", code=2)
    assert "contains NaN or infinite values" in capsys.readouterr().err
    assert not list(folder.glob("*.safetensors"))


def test_values_that_are_not_finite_are_neither_saved_nor_resumed(tmp_path: Path):
    _, result = tune(small_unet(), steps=1)
    result.state.optimizer[next(iter(result.state.optimizer))]["exp_avg"].fill_(torch.nan)
    for save in (
        lambda path: tav_core.save_tune_state(path, result.state),
        lambda path: tav_core.save_tuned(path, {"attn_temp.to_q.weight": torch.tensor([torch.inf])}, {}),
        lambda path: save_inverted(path, torch.full((1, 4, 2, 8, 8), torch.nan), torch.zeros(1, 4, 2, 8, 8), {}),
    ):
        with pytest.raises(ValueError, match=r"a.safetensors was not written, because .* contains NaN or infinite"):
            save(tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="state contains NaN or infinite values"):
        tune(small_unet(), steps=2, state=result.state)


def test_a_loss_that_no_float_holds_is_a_damaged_state(tmp_path: Path):
    _, result = tune(small_unet(), steps=1)
    result.state.losses[:] = [10**400]
    tav_core.save_tune_state(tmp_path / "a.safetensors", result.state)
    with pytest.raises(ValueError, match="is an incomplete tuning state"):
        tav_core.load_tune_state(tmp_path / "a.safetensors")


def test_a_folder_is_written_by_one_run_at_a_time(cli_world: Path, capsys):
    """And by the next as soon as the one that has it is gone, killed or not."""
    folder = cli_world / "shared"
    code = (
        "import sys, time; from tav_core.files import only_user\nwith only_user(sys.argv[1]): print(); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        file = str(settings(cli_world, "shared"))
        for command in (["run", file], ["tune", "--config", file]):
            assert cli.main([*command, "--device", "cpu"]) == 2
            assert "Another run is writing to" in capsys.readouterr().err
        other.kill()
    run(cli_world, "shared", "--steps", "1")
    assert {".in-use"} & {path.name for path in folder.iterdir()} == set()


@pytest.mark.slow
def test_samples_of_the_step_that_a_run_was_killed_at_are_made_when_it_resumes(cli_world: Path, monkeypatch):
    def killed(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sampling, "ddim_invert", killed)
        folder = run(cli_world, "killed", code=130, validation_steps=2)
    assert not (folder / "samples/step-2/contact-sheet.png").exists()
    run(cli_world, "killed", "--resume", validation_steps=2)
    whole = run(cli_world, "not-killed", validation_steps=2)
    videos = [f / "samples" / "step-2" / f"{NAMES[0]}.mp4" for f in (folder, whole)]
    one, other = (tav_core.load_video(video, 3, width=None, height=None).frames for video in videos)
    assert (one - other).abs().mean() < 0.01
    assert (folder / "samples/step-2/contact-sheet.png").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process")
def test_what_a_killed_save_left_is_removed_by_the_next(tmp_path: Path):
    code = (
        "import sys, time, torch; from pathlib import Path; from tav_core.files import replacing\n"
        "with replacing(Path(sys.argv[1]) / 'a.safetensors') as partial: print(); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()
        (left,) = tmp_path.iterdir()
        with replacing(tmp_path / "b.txt") as partial:  # it is being written
            partial.write_text("b")
        assert left.exists()
        os.kill(other.pid, signal.SIGKILL)
    os.utime(left, (time.time() - 10,) * 2)
    tav_core.save_tuned(tmp_path / "a.safetensors", {"attn_temp.to_q.weight": torch.zeros(1)}, {})
    assert {path.name for path in tmp_path.iterdir()} == {"a.safetensors", "b.txt"}


def test_an_error_names_the_file_that_was_to_be_written(tmp_path: Path):
    with pytest.raises(OSError) as raised, replacing(tmp_path / "a.txt") as partial:
        (partial.parent / "missing" / "x").touch()
    assert raised.value.filename == str(tmp_path / "a.txt")
    with scratch_folder(tmp_path, ".x") as folder:
        assert folder.is_dir()
    assert not list(tmp_path.iterdir())


def test_a_name_may_lead_into_a_linked_folder_but_not_out(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    path = unused_path(folder, "linked/skiing", ".safetensors")
    assert path == folder / "linked" / "skiing.safetensors"
    for name in ("../skiing", "linked/../../skiing", "/skiing", ".hidden", "a/.hidden"):
        with pytest.raises(ValueError, match="is not a valid file name"):
            unused_path(folder, name, ".safetensors")
