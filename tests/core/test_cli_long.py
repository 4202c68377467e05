"""Long clips from the command line: windows, all frames of a file, and videos longer than the clip."""

import os
import signal
from pathlib import Path

import pytest
import torch
from cli_runs import run

import tav_core
from tav_core.files import file_name
from tav_core.terminal import cli, sampling
from tav_core.video.writing import stream_videos

CAT = file_name("a cat")


@pytest.mark.slow
def test_all_frames_through_windows(cli_world: Path, capsys):
    """Tuned, inverted and sampled three frames at a time; the progress says at which window it is."""
    changes = {"validation_data": {"prompts": ["a cat"], "num_inference_steps": 2, "num_inv_steps": 2}}
    folder = run(cli_world, "long", "--frames", "0", "--stride", "1", "--start", "0", "--window", "3", **changes)
    assert "window 3/3" in capsys.readouterr().err
    assert tav_core.probe_video(folder / f"{CAT}.mp4").frames == tav_core.probe_video(folder / f"{CAT}.gif").frames == 8
    assert tav_core.load_tuned(folder / "tuned.safetensors")[1]["frames"] == 8
    options = ["--output", str(folder), "--device", "cpu", "--window", "3", "--extend", "20"]
    for way in ([], ["--autoregressive", "--extension", "noise", "--overlap", "2"]):
        assert cli.main(["sample", "--config", str(folder / "config.yaml"), *options, *way]) == 0
        assert tav_core.probe_video(folder / f"{CAT}.mp4").frames == 20


def test_ctrl_c_between_two_windows_writes_no_part_of_a_preview(cli_world: Path, monkeypatch):
    invert = tav_core.ddim_invert

    def press_in_the_first_step(video_unet, *arguments, **options):
        show = video_unet.on_window
        video_unet.on_window = lambda *window: os.kill(os.getpid(), signal.SIGINT) or show(*window)
        return invert(video_unet, *arguments, **options)

    monkeypatch.setattr(sampling, "ddim_invert", press_in_the_first_step)
    folder = run(cli_world, "pressed-in-a-window", "--window", "2", code=130, validation_steps=1)
    assert (folder / "tune-state.safetensors").is_file() and not list(folder.rglob("*.mp4"))


def test_a_run_holds_the_frames_of_the_contact_sheet_only(cli_world: Path, finished: Path):
    from tav_core.terminal.config import Config
    from tav_core.terminal.session import Session

    config = Config.read(finished / "config.yaml").with_values({"output_dir": str(cli_world / "few")})
    session = Session(config, finished / "tuned.safetensors")
    inverted = sampling.read_inverted(finished / "inverted.safetensors")
    data = {"validation_data.extend": 30, "validation_data.prompts": ["a cat"]}
    session.config = config.with_values(data)
    frames = sampling.sample(session, inverted, whole=False)["a cat"]
    assert len(frames) == 8 and "clip" not in vars(session)
    shown = tav_core.load_video(cli_world / "few" / f"{CAT}.mp4", 30, width=32, height=24).frames
    assert (frames[-1] - shown[-1]).abs().mean() < 0.1


def test_files_of_frames_that_fail_do_not_appear(tmp_path: Path):
    def frames():
        yield torch.zeros(16, 16, 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream_videos([tmp_path / "a.mp4", tmp_path / "a.gif"], frames(), 8)
    assert not list(tmp_path.iterdir())


def test_the_frames_of_a_clip_can_be_streamed(cli_world: Path):
    from tav_core.video.reading import stream_video

    request = cli_world / "clip.mp4", 0, 1, 2, 32, 24, "stretch"
    streamed = torch.stack(list(stream_video(*request)))
    assert torch.equal(streamed, tav_core.load_video(*request).frames) and len(streamed) == 4
