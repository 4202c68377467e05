"""Writing clips: what is written plays, loops at its speed, and reads back."""

import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tav_core.video.reading import load_video, probe_video, save_video


def moving_squares(count: int, width: int, height: int) -> torch.Tensor:
    """Return a coloured gradient with a bright square that moves."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    frames = torch.stack([x, y, 0.8 - 0.5 * x], -1).repeat(count, 1, 1, 1)
    for number in range(count):
        frames[number, 8:24, 3 * number : 3 * number + 16] = torch.tensor([1.0, 0.9, 0.1])
    return frames


def test_mp4_plays_in_browsers_and_reads_back(tmp_path):
    frames = moving_squares(12, 96, 64)
    path = tmp_path / "new" / "folder" / "clip.mp4"
    save_video(path, frames * 1.2 - 0.1, fps=30000 / 1001)  # the overshoot is clamped
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.frames, stream.average_rate) == (12, Fraction(30000, 1001))
        assert int(stream.codec_context.colorspace) == 1  # BT.709
        assert int(stream.codec_context.color_range) == 1  # limited
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    clip = load_video(path, frames=12, width=96, height=64)
    assert (clip.frames - (frames * 1.2 - 0.1).clamp(0, 1)).abs().mean() < 0.012
    assert [entry.name for entry in path.parent.iterdir()] == ["clip.mp4"]


def test_mp4_of_an_odd_size_repeats_its_edge(tmp_path):
    frames = moving_squares(3, 63, 49).half()
    save_video(tmp_path / "clip.mp4", frames, fps=8)
    info = probe_video(tmp_path / "clip.mp4")
    assert (info.width, info.height, info.frames) == (64, 50, 3)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        decoded = next(container.decode(video=0)).to_ndarray(format="rgb24") / 255
    assert np.abs(decoded[:49, :63] - frames[0].float().numpy()).mean() < 0.03


@pytest.mark.parametrize(("fps", "shown"), [(8, 12), (24, 12), (60, 8)])
def test_gif_loops_at_the_right_speed_and_reads_back(tmp_path, fps, shown):
    frames = moving_squares(12, 96, 64)
    path = tmp_path / "clip.gif"
    save_video(path, frames, fps)
    with Image.open(path) as picture:
        assert picture.info["loop"] == 0
        assert picture.n_frames == shown
        delays = []
        for number in range(shown):
            picture.seek(number)
            delays.append(picture.info["duration"])
    assert min(delays) >= 20
    assert sum(delays) == pytest.approx(12000 / fps, abs=10)
    clip = load_video(path, frames=shown, width=96, height=64)
    kept = frames if shown == 12 else frames[[0, 1, 3, 4, 6, 7, 9, 10]]
    assert (clip.frames - kept).abs().mean() < 0.02


def test_a_still_clip_keeps_all_its_frames_in_a_gif(tmp_path):
    save_video(tmp_path / "clip.gif", torch.full((5, 16, 16, 3), 0.5), fps=10)
    assert probe_video(tmp_path / "clip.gif").frames == 5


def test_saving_leaves_nothing_behind_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"what was there")
    frames = torch.zeros(2, 16, 16, 3)
    wrong = [(tmp_path / "clip.avi", frames, 8), (path, frames[0], 8), (path, frames.int(), 8), (path, frames, 0)]
    for arguments in wrong:
        with pytest.raises(ValueError, match=r"\.mp4 or \.gif|Expected frames|fps is 0"):
            save_video(*arguments)

    def refuse(*_):
        raise PermissionError("in use")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(PermissionError):
        save_video(path, frames, 8)
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mp4"]
    assert path.read_bytes() == b"what was there"


GROWTH = """
import resource, sys
import torch
from tav_core.video.writing import stream_videos

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def frames():
    picture = torch.linspace(0, 1, 256)[:, None, None].expand(256, 256, 3)
    for number in range(300):
        if number == 80:
            peaks.append(peak())
        yield picture

peaks = []
stream_videos(sys.argv[1:], frames(), 25)
print(peak() - peaks[0])
"""


def test_writers_hold_a_few_frames(tmp_path):
    """Where 220 more frames are 43 MB of pixels, the memory does not grow with them."""
    pytest.importorskip("resource")
    command = [sys.executable, "-c", GROWTH, str(tmp_path / "a.mp4"), str(tmp_path / "a.gif")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 15
