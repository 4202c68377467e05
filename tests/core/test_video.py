"""Reading clips. Every file is made here; the number of a frame is written in its brightness."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from tav_core.video import load_video, probe_video, save_video

pytestmark = pytest.mark.filterwarnings("error:.*breaks off")

MARKS = np.array([[[220, 40, 40], [40, 200, 40]], [[40, 40, 220], [230, 230, 230]]], np.uint8)  # red green / blue white


def flat(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), 30 + 6 * number, np.uint8)


def numbers(frames: torch.Tensor) -> list[int]:
    return ((frames.mean((1, 2, 3)) * 255 - 30) / 6).round().int().tolist()


def quarters(width: int, height: int) -> np.ndarray:
    return MARKS.repeat(height // 2, 0).repeat(width // 2, 1)


def corners(frame: torch.Tensor) -> np.ndarray:
    """The colours of the four quarters, in the layout of MARKS."""
    h, w, _ = frame.shape
    return frame[h // 4 :: h // 2, w // 4 :: w // 2].numpy() * 255


def write(
    path,
    pictures,
    codec="libx264",
    fps=10,
    times=None,
    pix_fmt="yuv420p",
    full_range=False,
    pixel_aspect=1,
    title=None,
    **options,
):
    """Encode with PyAV alone; `times` are seconds, for a variable rate."""
    container_options = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=container_options) as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream(codec, rate=fps, options={key: str(value) for key, value in options.items()})
        stream.height, stream.width, _ = pictures[0].shape
        stream.pix_fmt = pix_fmt
        stream.codec_context.sample_aspect_ratio = pixel_aspect
        clock = Fraction(1, 90000)
        if times is not None:
            stream.codec_context.time_base = clock
        if full_range:
            stream.codec_context.color_range = 2
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
                format=pix_fmt, dst_color_range=2 if full_range else None
            )
            if times is not None:
                frame.pts, frame.time_base = round(times[number] / clock), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


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


def test_a_name_with_a_colon_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_video("a:b/12:30.mp4", torch.rand(2, 16, 16, 3), 8)
    write(tmp_path / "12:30.mkv", [flat(0)])
    assert len(load_video("a:b/12:30.mp4", frames=2).frames) == 2
    assert len(load_video("12:30.mkv", frames=1).frames) == 1


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
    with pytest.raises(ValueError, match="is no video that can be read"):
        load_video(text)
    with pytest.raises(ValueError, match="is no video that can be read"):
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


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": 0},
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
