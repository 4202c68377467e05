"""Reading clips: which frames come, and how they come to their size."""

import re
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from numbered_clips import flat, numbers, write

import tav_core
from tav_core.video.reading import load_video, probe_clip, probe_video, save_video

pytestmark = pytest.mark.filterwarnings("error:.*breaks off")

MARKS = np.array([[[220, 40, 40], [40, 200, 40]], [[40, 40, 220], [230, 230, 230]]], np.uint8)  # red green / blue white


def quarters(width: int, height: int) -> np.ndarray:
    return MARKS.repeat(height // 2, 0).repeat(width // 2, 1)


def corners(frame: torch.Tensor) -> np.ndarray:
    """Return the colours of the four quarters, in the layout of MARKS."""
    h, w, _ = frame.shape
    return frame[h // 4 :: h // 2, w // 4 :: w // 2].numpy() * 255


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "fps"),
    [
        ("clip.mp4", "libx264", "yuv420p", 10),
        ("clip.mp4", "libx264", "yuv420p", Fraction(30000, 1001)),
        ("clip.webm", "libvpx-vp9", "yuv420p", Fraction(30000, 1001)),
        ("clip.gif", "gif", "rgb8", 10),
    ],
)
def test_a_constant_rate_gives_exactly_the_decoded_frames(tmp_path, name, codec, pix_fmt, fps):
    pictures = [flat(number) for number in range(30)]
    if codec == "gif":
        pictures = [np.full((48, 64, 3), 36 * (number % 7), np.uint8) for number in range(30)]
    path = write(tmp_path / name, pictures, codec, fps, pix_fmt=pix_fmt)
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    assert len(decoded) == 30

    clip = load_video(path, frames=30, width=64, height=48)
    assert clip.frames.shape == (30, 48, 64, 3)
    assert clip.frames.dtype == torch.float32
    assert clip.source_frames == 30
    assert clip.fps == pytest.approx(float(fps))
    np.testing.assert_allclose(clip.frames.mean((1, 2, 3)).numpy() * 255, decoded, atol=3)

    part = load_video(path, frames=7, start=3, stride=4, width=64, height=48)
    assert torch.equal(part.frames, clip.frames[3:30:4])
    assert part.fps == pytest.approx(float(fps) / 4)
    assert part.source_fps == pytest.approx(float(fps))

    info = probe_video(path)
    assert (info.frames, info.width, info.height) == (30, 64, 48)
    assert info.fps == pytest.approx(float(fps))
    assert info.duration == pytest.approx(30 / float(fps), abs=0.02)


@pytest.mark.parametrize(
    "name, codec, pix_fmt, options",
    [
        ("clip.mp4", "libx264", "yuv420p", {"g": 25, "bf": 3, "x264-params": "open-gop=1"}),
        ("clip.ts", "libx264", "yuv420p", {"g": 25, "bf": 3}),
        ("clip.webm", "libvpx-vp9", "yuv420p", {"g": 25, "deadline": "realtime"}),
        ("clip.gif", "gif", "rgb8", {}),
    ],
)
def test_far_into_a_video(tmp_path, name, codec, pix_fmt, options):
    """Frames are the same ones wherever decoding begins, at a keyframe or at the first frame."""
    count, period = 300, 30
    pictures = [flat(number % period) for number in range(count)]
    path = write(tmp_path / name, pictures, codec, pix_fmt=pix_fmt, **options)
    for start in (240, 263, count - 9):
        clip = load_video(path, frames=3, start=start, stride=4)
        assert numbers(clip.frames) == [(start + 4 * i) % period for i in range(3)]


def test_a_variable_rate_keeps_the_speed_of_the_motion(tmp_path):
    times = [number / 5 for number in range(6)] + [1 + number / 20 for number in range(1, 17)]  # 1 s slow, 0.8 s fast
    path = write(tmp_path / "clip.mp4", [flat(number) for number in range(22)], times=times)
    clip = load_video(path, frames=22, width=64, height=48)
    assert clip.fps == pytest.approx(21 / 1.8)
    assert probe_video(path).fps == pytest.approx(clip.fps)
    shown_at = np.array(times)[numbers(clip.frames)]
    assert np.abs(shown_at - np.arange(22) / clip.fps).max() < 0.16  # within a slow frame and half a step
    assert numbers(clip.frames)[0] == 0
    assert numbers(clip.frames)[-1] == 21
    assert numbers(clip.frames)[12] in (6, 7)  # 1.03 s; counting decoded frames would show number 12, of 1.35 s


def test_jitter_changes_nothing_and_a_dropped_frame_leaves_the_one_before_on_display(tmp_path):
    jitter = np.random.default_rng(0).uniform(-0.01, 0.01, 30)
    kept = [number for number in range(30) if number != 17]
    path = write(tmp_path / "a.mp4", [flat(n) for n in range(30)], times=[n / 20 + 0.01 + jitter[n] for n in range(30)])
    assert numbers(load_video(path, frames=30, width=64, height=48).frames) == list(range(30))
    path = write(tmp_path / "b.mp4", [flat(number) for number in kept], times=[number / 20 for number in kept])
    clip = load_video(path, frames=30, width=64, height=48)
    assert numbers(clip.frames) == [16 if number == 17 else number for number in range(30)]
    assert clip.fps == pytest.approx(20)


ORIENTATIONS = {
    "upright": ((1, 0, 0, 1), lambda marks: marks),
    "clockwise": ((0, 1, -1, 0), lambda marks: np.rot90(marks, -1)),
    "half a turn": ((-1, 0, 0, -1), lambda marks: np.rot90(marks, 2)),
    "counterclockwise": ((0, -1, 1, 0), np.rot90),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "upside down": ((1, 0, 0, -1), np.flipud),
    "transposed": ((0, 1, 1, 0), lambda marks: marks.swapaxes(0, 1)),
    "transposed and turned": ((0, -1, -1, 0), lambda marks: np.rot90(marks.swapaxes(0, 1), 2)),
    "a bit askew": ((0.87, 0.5, -0.5, 0.87), lambda marks: marks),
    "nothing": ((0, 0, 0, 0), lambda marks: marks),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_rotation_tag_is_honoured(tmp_path, orientation):
    (a, b, c, d), shown = ORIENTATIONS[orientation]
    path = write(tmp_path / "clip.mp4", [quarters(96, 64)] * 2)
    a, b, c, d = (round(number * (1 << 16)) for number in (a, b, c, d))
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)

    width, height = (64, 96) if abs(b) > abs(a) else (96, 64)
    info = probe_video(path)
    assert (info.width, info.height) == (width, height)
    for clip in (
        load_video(path, frames=2, width=None, height=None),
        load_video(path, frames=2, width=width, height=height, resize="pad"),
    ):
        assert clip.frames.shape == (2, height, width, 3)
        np.testing.assert_allclose(corners(clip.frames[1]), shown(MARKS), atol=12)


def test_stretch_crop_and_pad(tmp_path):
    assert tav_core.RESIZE_MODES == ("stretch", "crop", "pad")
    path = write(tmp_path / "clip.mp4", [quarters(128, 64)])
    stretched = load_video(path, frames=1, width=64, height=64).frames[0]
    np.testing.assert_allclose(corners(stretched), MARKS, atol=12)

    padded = load_video(path, frames=1, width=64, height=64, resize="pad").frames[0]
    assert padded[:16].max() == 0
    assert padded[48:].max() == 0
    np.testing.assert_allclose(corners(padded[16:48]), MARKS, atol=12)

    picture = quarters(128, 64)
    picture[:, :31], picture[:, 97:] = 0, 0
    path = write(tmp_path / "bars.mp4", [picture])
    cropped = load_video(path, frames=1, width=64, height=64, resize="crop").frames[0]
    np.testing.assert_allclose(corners(cropped), MARKS, atol=12)
    assert cropped[[16, 48]][:, [2, -3]].amax(-1).min() > 0.7  # of the black bars nothing is left


def test_no_size_means_the_size_of_the_source_rounded_down(tmp_path):
    path = write(tmp_path / "clip.mp4", [flat(0, 102, 54)])
    assert load_video(path, frames=1, width=None, height=None).frames.shape == (1, 48, 96, 3)
    assert load_video(path, frames=1, width=64, height=None).frames.shape == (1, 48, 64, 3)


def test_pixels_that_are_not_square_are_shown_in_their_shape(tmp_path):
    path = write(tmp_path / "clip.mp4", [flat(0, 48, 64)], pixel_aspect=2)
    assert probe_video(path).width == 96
    assert load_video(path, frames=1, width=None, height=None, resize="pad").frames.shape == (1, 64, 96, 3)
    assert load_video(path, frames=1, width=96, height=64, resize="pad").frames.min() > 0.05  # no bars


def test_full_range_and_limited_range_give_the_same_colours(tmp_path):
    for name, codec, full_range in (
        ("limited.mp4", "libx264", False),
        ("full.mp4", "libx264", True),
        ("full.webm", "libvpx-vp9", True),
    ):
        path = write(tmp_path / name, [quarters(64, 64)], codec, full_range=full_range)
        frame = load_video(path, frames=1, width=64, height=64).frames[0]
        np.testing.assert_allclose(corners(frame), MARKS, atol=8)


def test_too_many_frames_is_an_error_with_the_number_there_is(tmp_path):
    path = write(tmp_path / "clip.mp4", [flat(number) for number in range(20)])
    assert len(load_video(path, frames=6, start=2, stride=3, width=64, height=48).frames) == 6
    with pytest.raises(ValueError, match=r"20 frames.* 6 with start 2 and stride 3.* 7 were"):
        load_video(path, frames=7, start=2, stride=3)
    with pytest.raises(ValueError, match="gives 0 with start 20"):
        load_video(path, frames=1, start=20)


def test_a_name_with_a_colon_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_video("a:b/12:30.mp4", torch.rand(2, 16, 16, 3), 8)
    write(tmp_path / "12:30.mkv", [flat(0)])
    assert len(load_video("a:b/12:30.mp4", frames=2).frames) == 2
    assert len(load_video("12:30.mkv", frames=1).frames) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": -1},
        {"start": -1},
        {"stride": 0},
        {"width": 0},
        {"width": 100},
        {"height": -8},
        {"resize": "squash"},
        {"stride": 10**400},
        {"width": 8 * 10**30},
    ],
)
def test_wrong_arguments_are_named(tmp_path, wrong):
    path = write(tmp_path / "clip.mp4", [flat(0)])
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} is "):
        load_video(path, **{"frames": 1, **wrong})


def test_probing_predicts_what_loading_gives(tmp_path):
    path = write(tmp_path / "a.mp4", [flat(number) for number in range(12)])
    for choice in ({"frames": 5, "start": 2, "stride": 2}, {"frames": 12}, {"frames": 1, "width": 24, "height": 40}):
        clip, info = load_video(path, **choice), probe_clip(path, **choice)
        frames, height, width, _ = clip.frames.shape
        assert clip == tav_core.VideoClip(clip.frames, clip.fps, 10, 12)
        assert info == tav_core.VideoInfo(frames, clip.fps, width, height, frames / clip.fps)
    for choice in ({"start": 12}, {"frames": 30}, {"frames": -1}, {"width": 7}):
        with pytest.raises(ValueError) as loading:
            load_video(path, **choice)
        with pytest.raises(ValueError, match=re.escape(str(loading.value))):
            probe_clip(path, **choice)
