"""Whole clips and files for the campaign, their readers, and ways to damage them."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from networks import SCHEDULE, small_unet, tune
from numbered_clips import flat, write
from PIL import Image

import tav_core
from tav_core.saved.inverted import load_inverted, save_inverted
from tav_core.study.answers import Answer, read_answers
from tav_core.study.folder import read_results
from tav_core.terminal.config import Config

CLIPS = Path(__file__).parent / "data" / "clips"


def damage(data: bytes, chance: random.Random) -> bytes:
    """Change a file in one of the ways that disks, networks and people do."""
    data = bytearray(data)
    if not data:
        return bytes(data)
    way = chance.choice(("cut", "flip", "ones", "zeros", "swap", "repeat", "digits"))
    place, length = chance.randrange(len(data)), chance.choice((1, 4, 16, 256))
    if way == "cut":
        del data[place:]
    elif way == "flip":
        for _ in range(chance.choice((1, 8, 64))):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif way in ("ones", "zeros"):
        data[place : place + length] = (b"\xff" if way == "ones" else b"\0") * len(data[place : place + length])
    elif way == "swap":
        other = chance.randrange(len(data))
        data[place : place + length], data[other : other + length] = (
            data[other : other + length],
            data[place : place + length],
        )
    elif way == "repeat":
        data[place:place] = data[place : place + length] * chance.choice((1, 100))
    else:
        data[place : place + 1] = str(10 ** chance.choice((3, 20, 400))).encode()
    return bytes(data)


def clips(folder: Path) -> Iterator[tuple[bytes, str, Callable[[Path], None]]]:
    """Yield clips in several formats, and their reader: answers before and while loading must agree, or warn."""
    pictures = [flat(number) for number in range(20)]
    formats = {
        "a.mp4": {}, "b.mp4": {"codec": "mpeg4"}, "a.mkv": {}, "a.avi": {"codec": "mpeg4"}, "a.ts": {},
        "a.webm": {"codec": "libvpx-vp9", "deadline": "realtime"}, "a.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    }  # fmt: skip
    files = [write(folder / name, pictures, **options) for name, options in formats.items()]
    images = [Image.fromarray(picture) for picture in pictures]
    images[0].save(folder / "a.webp", save_all=True, append_images=images[1:], duration=100)
    files += [folder / "a.webp", CLIPS / "hdr_pq.mp4"]

    def read(path: Path) -> None:
        promised, error = None, None
        try:
            promised = tav_core.probe_clip(path, 8, 1, width=64, height=48)
        except (ValueError, OSError) as refusal:
            error = refusal
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                clip = tav_core.load_video(path, 8, 1, width=64, height=48)
        except (ValueError, OSError):
            if error is None:
                raise BrokenPromise from None
            raise
        assert torch.isfinite(clip.frames).all() and clip.frames.min() >= 0 and clip.frames.max() <= 1
        if error or (promised.frames != len(clip.frames) and not told):
            raise BrokenPromise

    for file in files:
        yield file.read_bytes(), file.suffix, read


class BrokenPromise(Exception):
    """Raised when reading a clip does not give what probing it promised."""


def sample_masked(path: Path) -> None:
    """Read an inverted clip, and sample from it with its trajectory; a network that predicts nothing will do."""
    noise, _, _, trajectory = load_inverted(path)
    if trajectory is not None:
        kept = {"mask": torch.zeros(1, 1, 1, 1, 1), "trajectory": trajectory}
        steps = len(trajectory) - 1
        latents = tav_core.ddim_sample(_predict_nothing, SCHEDULE, noise, {}, None, steps, guidance_scale=1, **kept)
        assert latents.shape == noise.shape


def _predict_nothing(latents: torch.Tensor, _timestep: int) -> torch.Tensor:
    return torch.zeros_like(latents)


def read_mask(path: Path) -> None:
    """Read a picture as ``--mask`` does: alone, and as a folder of one."""
    folder = path.parent / "masks"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(path, folder / f"0{path.suffix}")
    for place in (folder, path):
        mask = tav_core.load_video(place, tav_core.probe_video(place).frames, width=64, height=48).frames
        assert mask.isfinite().all() and mask.min() >= 0 and mask.max() <= 1


def files(folder: Path) -> Iterator[tuple[bytes, str, Callable[[Path], None]]]:
    """Yield every kind of file that is written or read, and its reader."""
    video_unet, result = tune(small_unet(), steps=1)
    metadata = {
        "prompt": "a cat",
        "frames": 3,
        "width": 64,
        "height": 48,
        "fps": 8.0,
        "steps": 1,
        "learning_rate": 1e-3,
    }
    tav_core.save_tuned(folder / "tuned.safetensors", video_unet.tuned_state_dict(), metadata)
    tav_core.save_tune_state(folder / "state.safetensors", result.state)
    low_rank, low_result = tune(small_unet(), steps=1, rank=2)
    tav_core.save_tuned(folder / "low_rank.safetensors", low_rank.tuned_state_dict(), {**metadata, "rank": 2})
    tav_core.save_tune_state(folder / "low_rank_state.safetensors", low_result.state)
    trajectory = [torch.rand(1, 4, 3, 8, 6) for _ in range(4)]
    for name, kept in (("inverted", None), ("trajectory", trajectory)):
        save_inverted(folder / f"{name}.safetensors", trajectory[-1], trajectory[0], {"fps": 8.0}, kept)
    half = np.repeat(np.array([[0, 255]], np.uint8), 32, axis=1).repeat(48, axis=0)
    mask = Image.fromarray(half)
    transparent = Image.new("RGBA", mask.size, "white")
    transparent.putalpha(mask)
    masks = {
        "grey.png": mask, "alpha.png": transparent, "palette.png": mask.convert("P"), "grey.jpg": mask,
        "grey.tif": mask, "deep.png": Image.fromarray(half.astype(np.uint16) * 257), "alpha.webp": transparent,
        "grey.bmp": mask,
    }  # fmt: skip
    for name, picture in masks.items():
        picture.save(folder / name)
    Config().save(folder / "config.yaml")
    answer = Answer("2026-01-01T00:00:00+00:00", "anna", "cat", "a cat", "quality", "ours", "theirs", "ours")
    (folder / "answers.jsonl").write_text(f"{json.dumps(vars(answer))}\n" * 5)
    (folder / "prompts.json").write_text('{"cat": "a cat"}')
    (folder / "prompts.csv").write_text('name,prompt\ncat,"a cat"\n')

    def load_tuned(path: Path) -> None:
        tav_core.load_tuned_metadata(path)
        state, _ = tav_core.load_tuned(path)
        tav_core.inflate(small_unet()).load_tuned_state_dict(state)

    def resume(path: Path, rank: int = 0) -> None:
        tune(small_unet(), steps=2, rank=rank, state=tav_core.load_tune_state(path))

    def study(path: Path) -> None:
        results = path.parent / f"results{path.suffix}"
        for system in ("ours", "theirs"):
            (results / system).mkdir(parents=True, exist_ok=True)
            (results / system / "cat.mp4").touch()
        (results / f"prompts{path.suffix}").write_bytes(path.read_bytes())
        read_results(results)

    readers = {
        "tuned.safetensors": load_tuned, "state.safetensors": resume, "inverted.safetensors": sample_masked,
        "low_rank.safetensors": load_tuned, "low_rank_state.safetensors": partial(resume, rank=2),
        "trajectory.safetensors": sample_masked, **dict.fromkeys(masks, read_mask),
        "config.yaml": Config.read, "answers.jsonl": read_answers, "prompts.json": study, "prompts.csv": study,
    }  # fmt: skip
    for name, reader in readers.items():
        yield (folder / name).read_bytes(), Path(name).suffix, reader


SOURCES = {"clips": clips, "files": files}
