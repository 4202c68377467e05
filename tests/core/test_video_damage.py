"""Clips that are damaged, cut out of others, or odd in another way."""

import av
import numpy as np
import pytest
import torch
from numbered_clips import flat, numbers, write

from tav_core.video.reading import load_video, probe_video

pytestmark = pytest.mark.filterwarnings("error:.*breaks off")


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("a.mp4", "libx264", "yuv420p"), ("a.webm", "libvpx-vp9", "yuv420p"), ("a.gif", "gif", "rgb8")],
)
def test_a_file_that_breaks_off_gives_what_can_be_read(tmp_path, name, codec, pix_fmt):
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8)
    b_frames = {"bf": 3, "b_strategy": 0, "sc_threshold": 0} if codec == "libx264" else {}
    path = write(tmp_path / name, list(noise), codec, pix_fmt=pix_fmt, **b_frames)
    whole = load_video(path, frames=40, width=64, height=48)
    broken = tmp_path / f"broken{path.suffix}"
    for percent in (45, 50, 55, 60, 65):  # B-frames are cut off in different ways
        broken.write_bytes(path.read_bytes()[: path.stat().st_size * percent // 100])
        with pytest.warns(UserWarning, match="breaks off: only"):
            clip = load_video(broken, frames=40, width=64, height=48)
        assert 12 < len(clip.frames) == clip.source_frames < 30
        assert torch.equal(clip.frames, whole.frames[: len(clip.frames)])
        assert clip.fps == pytest.approx(whole.fps)
    assert torch.equal(load_video(broken, frames=12, width=64, height=48).frames, whole.frames[:12])  # and no warning
    with pytest.raises(ValueError, match="breaks off before frame 35"):
        load_video(broken, frames=2, start=35)


@pytest.mark.parametrize("name", ["late.mkv", "late.mp4"])
def test_a_whole_file_that_does_not_begin_at_zero_is_whole(tmp_path, name):
    times = [100 + number / 10 for number in range(12)]
    path = write(tmp_path / name, [flat(number) for number in range(12)], times=times)
    with pytest.raises(ValueError, match="has 12 frames"):
        load_video(path, frames=13)
    assert numbers(load_video(path, frames=12, width=64, height=48).frames) == list(range(12))


@pytest.mark.parametrize(
    ("codec", "open_groups", "left"), [("libx264", {"x264-params": "open-gop=1"}, 20), ("mpeg2video", {}, 22)]
)
def test_a_file_cut_out_of_another_begins_where_it_can_be_decoded(tmp_path, codec, open_groups, left):
    noise = np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), np.uint8)
    path = write(tmp_path / "a.ts", list(noise), codec, fps=25, g=10, bf=3, b_strategy=0, sc_threshold=0, **open_groups)
    whole = load_video(path, frames=30, width=64, height=48)
    packets = path.read_bytes()
    path.write_bytes(packets[188 * (len(packets) // 188 // 5) :])  # from within the first group of pictures on
    with pytest.raises(ValueError, match=f"has {left} frames"):
        load_video(path, frames=30)
    assert torch.equal(load_video(path, frames=left, width=64, height=48).frames, whole.frames[-left:])


def test_damage_in_the_middle_matters_only_to_those_who_need_what_follows(tmp_path):
    path = write(tmp_path / "clip.mp4", [flat(number % 30) for number in range(100)], preset="ultrafast", g=10)
    data = bytearray(path.read_bytes())
    half = (len(data) + data.index(b"mdat")) // 2
    data[half:] = bytes(len(data) - half)
    path.write_bytes(data)
    assert numbers(load_video(path, frames=30, width=64, height=48).frames) == list(range(30))
    with pytest.warns(UserWarning, match="breaks off: only"):
        clip = load_video(path, frames=100, width=64, height=48)
    assert 30 < len(clip.frames) < 70


def test_a_frame_that_lasts_for_days_is_a_damaged_time(tmp_path):
    """Not a reason to count millions of frames."""
    times = [number / 90000 for number in range(20)] + [10_000.0]
    path = write(tmp_path / "clip.mp4", [flat(number) for number in range(21)], times=times)
    assert probe_video(path).frames == 21


def test_a_title_in_another_encoding_is_no_matter(tmp_path):
    path = write(tmp_path / "clip.avi", [flat(0), flat(1)], "mpeg4", title="CAFE")
    path.write_bytes(path.read_bytes().replace(b"CAFE", b"CAF\xe9"))
    assert b"CAF\xe9" in path.read_bytes()
    assert len(load_video(path, frames=2, width=None, height=None).frames) == 2


def test_a_playlist_is_no_video(tmp_path):
    write(tmp_path / "a.ts", [flat(0)] * 30, fps=25)
    (tmp_path / "a.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\na.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(ValueError, match="only names other files, as a playlist: give the video itself"):
        load_video(tmp_path / "a.m3u8", frames=1)


def test_what_is_no_video_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no video file .*missing\.mp4"):
        load_video(tmp_path / "missing.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("This is not a video. " * 100)
    with pytest.raises(ValueError, match="is not a video that can be read"):
        load_video(text)
    with pytest.raises(ValueError, match="is not a video that can be read"):
        probe_video(tmp_path)
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match="no video stream"):
        load_video(sound)
