"""Tuning from the command line that is stopped, saved and taken up again."""

import os
import signal
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from cli_runs import NAMES, learned, run

import tav_core
from tav_core.saved.inverted import load_inverted
from tav_core.terminal import cli
from tav_core.terminal.interrupt import StopRequest


def test_ctrl_c_saves_and_resume_equals_uninterrupted(cli_world: Path, finished: Path, monkeypatch, capsys):
    from tav_core.terminal import runs

    def tune_and_press(*arguments, on_step, **options):
        def press(step, loss):
            if step == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return on_step(step, loss)

        return tav_core.tune(*arguments, on_step=press, **options)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "tune_unet", tune_and_press)
        folder = run(cli_world, "resumed", code=130)
    assert "step 3 of 4" in capsys.readouterr().err
    assert not (folder / "tuned.safetensors").exists()
    run(cli_world, "resumed", "--resume")
    assert learned(folder).keys() == learned(finished).keys()
    for name, tensor in learned(finished).items():
        assert torch.equal(learned(folder)[name], tensor), name
    assert (folder / "losses.csv").read_text() == (finished / "losses.csv").read_text()
    start, repeated = (load_inverted(f / "inverted.safetensors")[0] for f in (finished, folder))
    assert torch.equal(start, repeated)


@pytest.mark.parametrize(
    ("flags", "other"),
    [
        (["--start", "2", "--attention", "full"], "train_data, attention"),
        (["--no-temporal-attention"], "temporal_attention"),
        (["--per-frame-norm"], "joint_norm"),
        (["--set", "trainable_modules=[attn2.to_q]"], "trainable_modules"),
        (["--set", "use_8bit_adam=true"], "use_8bit_adam"),
    ],
)
def test_another_tuning_is_not_resumed(cli_world: Path, finished: Path, capsys, flags: list[str], other: str):
    tune = ["tune", "--config", str(finished / "config.yaml"), "--resume", "--device", "cpu"]
    assert cli.main([*tune, *flags]) == 2
    assert f"holds a tuning with another {other}, see" in capsys.readouterr().err


def test_a_tuning_of_another_checkpoint_is_not_resumed(finished: Path, tmp_path: Path, capsys):
    state = tav_core.load_tune_state(finished / "tune-state.safetensors")
    tav_core.save_tune_state(tmp_path / "state.safetensors", state, "another")
    tune = ["tune", "--config", str(finished / "config.yaml"), "--output", str(tmp_path / "out"), "--device", "cpu"]
    assert cli.main([*tune, "--resume-from", str(tmp_path / "state.safetensors")]) == 2
    assert "comes from another checkpoint: resume with the one" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_press_ends_at_once(number: int):
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(each) for each in signals]
    with StopRequest() as stop:
        os.kill(os.getpid(), number)
        assert stop.pressed and [signal.getsignal(each) for each in signals] == [signal.SIG_DFL] * 2
    assert [signal.getsignal(each) for each in signals] == before


def test_ctrl_c_while_a_preview_is_sampled_writes_no_part_of_it(cli_world: Path, monkeypatch):
    from tav_core.terminal import rendering

    def sample_and_press(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return tav_core.ddim_sample(*arguments, **options)

    monkeypatch.setattr(rendering, "ddim_sample", sample_and_press)
    folder = run(cli_world, "pressed", code=130, validation_steps=1)
    assert (folder / "tune-state.safetensors").is_file() and not list(folder.rglob("*.mp4"))


@pytest.mark.slow
def test_ctrl_c_in_a_preview_saves_too(cli_world: Path, finished: Path, monkeypatch, capsys):
    from tav_core.terminal import sampling

    def invert_and_press(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return tav_core.ddim_invert(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(sampling, "ddim_invert", invert_and_press)
        folder = run(cli_world, "previewed", code=130, validation_steps=2)
    assert "step 2 of 4" in capsys.readouterr().err
    run(cli_world, "previewed", "--resume")
    assert "Nothing to resume" not in capsys.readouterr().out
    for name, tensor in learned(finished).items():
        assert torch.equal(learned(folder)[name], tensor), name


@pytest.mark.slow
def test_saving_and_sampling_while_tuning_change_nothing(cli_world: Path, finished: Path):
    folder = run(cli_world, "watched", checkpointing_steps=1, validation_steps=2)
    assert {path.name for path in (folder / "samples").iterdir()} == {"step-2"}
    assert (folder / "samples/step-2" / f"{NAMES[0]}.mp4").is_file()
    for name, tensor in learned(finished).items():
        assert torch.equal(learned(folder)[name], tensor), name


def test_a_failed_tuning_leaves_the_one_before_as_it_was(cli_world: Path, monkeypatch, capsys):
    """With its own configuration: resuming must not go on with what another clip taught."""
    from tav_core.terminal import runs

    folder = run(cli_world, "again")
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def out_of_memory(*arguments, **options):
        raise tav_core.TuningError("The device ran out of memory.")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "tune_unet", out_of_memory)
        run(cli_world, "again", "--start", "2", code=2)
    run(cli_world, "again", "--set", "trainable_modules=[nonsense]", code=2)
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    run(cli_world, "again", "--start", "2", "--resume", code=2)
    assert "holds a tuning with another train_data" in capsys.readouterr().err
