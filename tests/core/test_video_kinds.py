"""Kinds of files that people have: HDR, HD without tags, animated WebP, folders of frames, and what is no clip."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numbered_clips import flat, numbers, write
from PIL import Image

from tav_core import load_video, probe_clip, probe_video

CLIPS = Path(__file__).parents[1] / "data" / "clips"
COLOURS = [(230, 60, 30), (40, 60, 90), (255, 255, 255), (128, 128, 128), (30, 180, 60)]


def bars(width: int, height: int) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    for number, colour in enumerate(COLOURS):
        picture[:, number * width // 5 : (number + 1) * width // 5] = colour
    return picture


def assert_bars(frame: torch.Tensor) -> None:
    height, width, _ = frame.shape
    for number, colour in enumerate(COLOURS):
        shown = 255 * frame[height // 2, (2 * number + 1) * width // 10]
        assert (shown - torch.tensor(colour)).abs().max() <= 4, (colour, shown)


def test_hdr_is_mapped_to_sdr():
    """10-bit BT.2020 with PQ and diffuse white at 203 cd/m2, as phones record it."""
    assert_bars(load_video(CLIPS / "hdr_pq.mp4", 1, width=None, height=None).frames[0])


def test_hlg_is_mapped_to_sdr(tmp_path):
    """Diffuse white is at 75 % of the signal (ITU-R BT.2408)."""
    grey = np.full((64, 64, 3), round(0.75 * 255), np.uint8)
    path = write(tmp_path / "a.mkv", [grey] * 2, "ffv1", pix_fmt="yuv420p", color_trc="arib-std-b67")
    assert load_video(path, 1, width=64, height=64).frames.mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("width", "height", "matrix"), [(1280, 720, "bt709"), (720, 1280, "bt709"), (640, 360, None)])
def test_untagged_clips_have_the_colours_that_players_show(tmp_path, width, height, matrix):
    """BT.709 from 720 lines on, BT.601 below."""
    import av
    from av.video.reformatter import Colorspace, VideoReformatter

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": "1", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        space = Colorspace.ITU709 if matrix else Colorspace.ITU601
        frame = av.VideoFrame.from_ndarray(bars(width, height), "rgb24")
        frame = VideoReformatter().reformat(frame, format="yuv420p", dst_colorspace=space)
        frame.colorspace = 2
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert_bars(load_video(tmp_path / "a.mp4", 1, width=None, height=None).frames[0])


def test_an_animated_webp_is_read_frame_by_frame(tmp_path):
    frames = [Image.fromarray(flat(number)) for number in range(12)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=100, lossless=True)
    clip = load_video(tmp_path / "a.webp", 6, stride=2, width=64, height=48)
    assert numbers(clip.frames) == [0, 2, 4, 6, 8, 10]
    assert (clip.source_frames, clip.fps) == (12, 5)
    assert probe_video(tmp_path / "a.webp").duration == pytest.approx(1.2)
    with pytest.raises(ValueError, match=r"a\.webp has 12 frames, which gives 12"):
        load_video(tmp_path / "a.webp", 13)
    frames[0].save(tmp_path / "one.webp")
    with pytest.raises(ValueError, match=r"one\.webp has 1 frame, which gives 1"):
        load_video(tmp_path / "one.webp", 2)


@pytest.mark.parametrize("name", [".", "frame_%02d.png"])
def test_numbered_pictures_are_a_clip(tmp_path, name):
    for number in (1, 2, 9, 10, 11):
        Image.fromarray(flat(number)).save(tmp_path / f"frame_{number:02}.png")
    (tmp_path / "notes.txt").touch()
    clip = load_video(tmp_path / name, 5, width=64, height=48)
    assert numbers(clip.frames) == [1, 2, 9, 10, 11]
    assert clip.fps == 8
    assert probe_clip(tmp_path / name, 2, start=3, width=64, height=48).frames == 2


def test_numbered_pictures_that_are_missing_or_damaged_are_named(tmp_path):
    with pytest.raises(ValueError, match="a folder without pictures"):
        load_video(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"expected files such as a_0001\.png"):
        load_video(tmp_path / "a_%04d.png")
    (tmp_path / "a_0001.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a_0001\.png is not a picture that can be read"):
        load_video(tmp_path, 1)


def test_any_name_of_a_picture_is_sorted_and_any_pattern_is_named(tmp_path):
    for name in ("a²10.png", "²2.png", "a²9.png"):  # a digit for str.isdigit, but no number
        Image.fromarray(flat(1)).save(tmp_path / name)
    assert len(load_video(tmp_path, 3, width=64, height=48).frames) == 3
    for name in ("100%_%04d.png", "%04d_%s.png"):
        with pytest.raises(FileNotFoundError, match=r"expected files such as .*0001"):
            load_video(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no video file"):  # written out, a gigabyte
        load_video(tmp_path / "%0999999999d.png")


def test_pictures_of_16_bits_keep_their_greys(tmp_path):
    """As masks and depth maps have them."""
    Image.fromarray(np.full((48, 64), 40_000, np.uint16)).save(tmp_path / "a.png")
    for path in (tmp_path, tmp_path / "a.png"):
        assert load_video(path, 1, width=64, height=48).frames.mean() == pytest.approx(40_000 / 65_535, abs=0.004)
    (tmp_path / "a.png").unlink()
    Image.fromarray(np.ones((48, 64), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif is not a picture that can be read \(its values are floating"):
        load_video(tmp_path, 1)


def test_photos_are_upright(tmp_path):
    """PyAV 18 fails on the EXIF data that FFmpeg 8 gives with a frame."""
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[:32, :32] = 255
    orientation = Image.Exif()
    for number, corner in ((1, (0, 0)), (3, (1, 1)), (6, (0, 1)), (8, (1, 0))):
        orientation[0x112] = number
        Image.fromarray(photo).save(tmp_path / "photo.jpg", exif=orientation)
        for path in (tmp_path / "photo.jpg", tmp_path):
            frame = load_video(path, 1, width=64, height=64).frames[0, ..., 0]
            quarters = frame.reshape(2, 32, 2, 32).mean((1, 3))
            assert divmod(int(quarters.argmax()), 2) == corner, (number, path)


def test_a_picture_of_one_colour_shows_its_alpha(tmp_path):
    """As masks have it that are painted on a transparent layer."""
    levels = np.zeros((48, 64), np.uint8)
    levels[:, 32:] = 200
    picture = Image.new("RGBA", (64, 48), "white")
    for name, alpha in (("2.png", levels), ("3.png", 0 * levels), ("4.png", 0 * levels + 255)):
        picture.putalpha(Image.fromarray(alpha))
        picture.save(tmp_path / name)
    coloured = Image.fromarray(np.dstack([levels, levels, levels, 255 - levels]))
    coloured.save(tmp_path / "5.png")
    frames = load_video(tmp_path, 4, width=64, height=48).frames
    assert [[round(255 * float(v)) for v in frame[5, (5, 60), 0]] for frame in frames] == [
        [0, 200], [0, 0], [255, 255], [0, 200],
    ]  # fmt: skip
    for number, frame in zip((2, 3, 4, 5), frames):
        alone = load_video(tmp_path / f"{number}.png", 1, width=64, height=48).frames[0]
        assert torch.equal(alone, frame)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    for path in (tmp_path / "a.mp4", Path("/dev/zero")):
        with pytest.raises(ValueError, match="is not a file but a pipe or a device"):
            load_video(path)
    (tmp_path / "frames").mkdir()
    os.mkfifo(tmp_path / "frames" / "a.png")
    with pytest.raises(ValueError, match=r"a\.png is not a picture that can be read \(not a file\)"):
        load_video(tmp_path / "frames", 1)


@pytest.mark.skipif(
    sys.platform == "win32" or (os.geteuid() == 0 and not Path("/proc/self").exists()), reason="no rights"
)
def test_a_file_that_must_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", [flat(0)] * 2)

    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", denied)  # root may read everything
    with pytest.raises(PermissionError, match="Permission denied"):
        load_video(path)


def test_a_small_file_that_claims_millions_of_frames_takes_little_memory(tmp_path):
    path = write(tmp_path / "a.mp4", [flat(0)] * 2)
    data = bytearray(path.read_bytes())
    place = data.index(b"stsz") + 8
    data[place : place + 8] = (1).to_bytes(4, "big") + (40_000_000).to_bytes(4, "big")
    path.write_bytes(data)
    code = (
        "import sys, resource; from tav_core import load_video\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: load_video(sys.argv[1])\n"
        "except ValueError as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    sentence, taken = done.stdout.splitlines()
    assert "its header claims millions of frames" in sentence and int(taken) < 300  # MiB


def test_a_clip_larger_than_the_memory_is_refused_before_and_while_reading(tmp_path):
    size = {"width": 4096, "height": 4096}
    frames = resource.getpagesize() * os.sysconf("SC_PHYS_PAGES") // (4096 * 4096 * 12) + 1
    path = write(tmp_path / "long.mp4", [flat(0)] * frames, preset="ultrafast")
    for read in (probe_clip, load_video):
        with pytest.raises(ValueError, match=r"of 4096x4096 take \d+\.\d GB, more than this machine has"):
            read(path, frames, **size)


def test_what_a_damaged_header_claims_is_found_before_reading(tmp_path):
    path = write(tmp_path / "a.gif", [flat(0)] * 3, "gif", pix_fmt="rgb8")
    data = bytearray(path.read_bytes())
    data[6:10] = b"\xff" * 4
    path.write_bytes(data)
    for read in (probe_clip, load_video):
        with pytest.raises(ValueError, match=r"a\.gif breaks off before frame 0"):
            read(path, 2)
