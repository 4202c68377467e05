"""Measure long videos of the demo model: windows beside all frames at once, and the ways to go on after the clip.

    python bench/long_demo.py OUT                            # both tables, three seeds
    python bench/long_demo.py OUT --only windows --seeds 1   # the first one, quicker

For each seed the demo model is tuned on a drawn clip, a window of frames in each step. Tuned weights, videos and
figures are kept in OUT, so a run that was stopped goes on where it was.

windows: the clip is inverted, rebuilt without guidance (PSNR), and sampled with an edited prompt. Seams: the mean
change from frame to frame at the seams of windows over that inside windows; "to at once" divides it by the same of all
frames at once, where nothing but the motion changes there.
extend: the inverted clip is extended and sampled with the edited prompt. Right: frames that show what the prompt says,
in all, and in the first, middle and last third. Repeats: PSNR of each frame to that one period of the mode later
(mirror: forward and back, others: one clip): high where the video loops. Moves: how far the figure's limbs move in the
frames behind the clip's, as a share of those in the clip's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))
import tav_core
from tav_core.checkpoint.pipeline import Pipeline
from tav_core.demo import MODEL
from tav_core.demo.clips import draw_clip
from tav_core.demo.demo import CLIP, EDITS, FRAMES, SEED, demo_config
from tav_core.demo.judge import drift, read
from tav_core.files import write_text
from tav_core.network.windows import split_frames
from tav_core.text_table import text_table

EDIT, FPS = EDITS[0], 12
Figures = dict[str, float]


class TunedDemo:
    """The demo model, tuned with one seed; made when first used."""

    def __init__(self, args: argparse.Namespace, seed: int) -> None:
        self.args, self.seed = args, seed
        config = demo_config()
        self.rate, self.data = config.learning_rate, config.validation_data
        self.source = draw_clip(CLIP, args.frames, SEED, cycles=args.frames / FRAMES)

    @cached_property
    def pipeline(self) -> Pipeline:
        pipeline = Pipeline.load(MODEL, "cpu")
        self.latents = pipeline.encode_video(self.source)
        self.nothing, self.said, self.edit = pipeline.encode_prompts(["", CLIP.caption, EDIT.caption])
        torch.manual_seed(self.seed)
        self.video_unet, self.schedule = pipeline.inflate(), pipeline.schedule
        saved = self.args.output / f"tuned-{self.seed}.safetensors"
        if saved.exists():
            self.video_unet.load_tuned_state_dict(tav_core.load_tuned(saved)[0])
        else:
            settings = tav_core.TuneSettings(
                steps=self.args.steps, learning_rate=self.rate, gradient_checkpointing=False, seed=self.seed,
                frames_per_step=self.args.window,
            )  # fmt: skip
            tav_core.tune(self.video_unet, self.schedule, self.latents, self.said, settings)
            tav_core.save_tuned(saved, self.video_unet.tuned_state_dict(), {})
        return pipeline

    def set_window(self, window: int, overlap: int) -> None:
        _ = self.pipeline
        self.video_unet.window, self.video_unet.kept.overlap = window, overlap

    def invert(self) -> Tensor:
        steps = self.args.ddim_steps
        return tav_core.ddim_invert(self.video_unet, self.schedule, self.latents, self.nothing, steps)[-1]

    def decode(self, latents: Tensor, name: str) -> Tensor:
        frames = self.pipeline.decode_video(latents)
        tav_core.save_video(self.args.output / f"{name}.mp4", frames, FPS)
        return frames

    def conditions(self) -> tuple:
        return self.edit, self.nothing, self.args.ddim_steps, self.data.guidance_scale


def seam_ratio(frames: Tensor, window: int) -> float:
    """Return the mean change from frame to frame at the seams over that elsewhere, for frames ``[f, h, w, 3]``."""
    change = frames.diff(dim=0).abs().mean(dim=(1, 2, 3))
    at = torch.tensor([frames.start - 1 for frames in split_frames(len(frames), window)[1:]])
    elsewhere = torch.ones(len(change), dtype=torch.bool)
    elsewhere[at] = False
    return float(change[at].mean() / change[elsewhere].mean())


def windows(demo: TunedDemo, name: str, window: int, overlap: int) -> Figures:
    demo.set_window(window, overlap)
    noise, steps = demo.invert(), demo.args.ddim_steps
    back = tav_core.ddim_sample(demo.video_unet, demo.schedule, noise, demo.said, None, steps, guidance_scale=1)
    edited = tav_core.ddim_sample(demo.video_unet, demo.schedule, noise, *demo.conditions())
    edited = demo.decode(edited, name)
    return {
        "PSNR": tav_core.psnr(demo.pipeline.decode_video(back), demo.source),
        "steadiness": tav_core.steadiness(edited),
        "motion": tav_core.motion_fidelity(demo.source, edited),
        "drift": drift(edited),
        "seams": seam_ratio(edited, demo.args.window),
    }


def movement(video: Tensor, own: int) -> float:
    """Return the spread of the figure's joints over the frames behind the first ``own`` ones, over that in these."""
    points = torch.stack([reading.points for reading in read(video)])
    return float(points[own:].std(dim=0).mean() / points[:own].std(dim=0).mean())


def extended(demo: TunedDemo, name: str, mode: str, autoregressive: bool, frames: int) -> Figures:
    window, overlap = demo.args.window, demo.args.overlap
    demo.set_window(window, overlap)
    noise = tav_core.extend(demo.invert(), frames, mode, demo.seed)
    start = time.process_time()
    if autoregressive:
        demo.set_window(0, 0)  # a call holds a window and the frames it is anchored on
        parts = tav_core.ddim_sample_autoregressive(
            demo.video_unet, demo.schedule, noise, *demo.conditions(), window=window, overlap=overlap
        )
        latents = torch.cat(list(parts), dim=2)
    else:
        latents = tav_core.ddim_sample(demo.video_unet, demo.schedule, noise, *demo.conditions())
    seconds = time.process_time() - start
    video = demo.decode(latents, name)
    right = torch.tensor([all(reading.right(EDIT).values()) for reading in read(video)]).float() * 100
    period = 2 * len(demo.source) - 2 if mode == "mirror" else len(demo.source)
    return {
        "right, %": float(right.mean()),
        **{part: float(some.mean()) for part, some in zip(("first", "middle", "last"), right.tensor_split(3))},
        "steadiness": tav_core.steadiness(video),
        "drift": drift(video),
        "moves": movement(video, len(demo.source)),
        "seams": seam_ratio(video, window),
        "repeats, dB": tav_core.psnr(video[:-period], video[period:]) if len(video) > period else float("nan"),
        "s per frame": seconds / frames,
    }


def measured(args: argparse.Namespace, name: str, measure: Callable[[], Figures]) -> Figures:
    """Return the figures of one point; measured once, and kept."""
    kept = args.output / f"{name}.json"
    if not kept.exists():
        write_text(kept, json.dumps(measure()))
        print(name, kept.read_text(), flush=True)
    return json.loads(kept.read_text())


def show(rows: dict[str, list[Figures]]) -> None:
    """Print the mean and, where there are several seeds, the standard deviation of each row's figures."""
    columns = list(next(iter(rows.values()))[0])
    table = [["", *columns]]
    for name, points in rows.items():
        cells = []
        for column in columns:
            values = torch.tensor([point[column] for point in points])
            spread = f" ± {values.std():.3f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.3f}{spread}")
        table.append([name, *cells])
    print("\n" + "\n".join(text_table(table)) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder for tuned weights, videos and figures")
    parser.add_argument("--only", choices=["windows", "extend", "long"], help="one part; long is 600 frames")
    parser.add_argument("--frames", type=int, default=64, help="of the clip")
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--overlap", type=int, default=15, help="of extended videos")
    parser.add_argument("--overlaps", type=int, nargs="+", default=[15, 4, 0], help="to compare")
    parser.add_argument("--extend", type=int, default=144, help="frames of the extended videos to compare")
    parser.add_argument("--long", type=int, default=600, help="frames of the longest videos, of seed 0")
    parser.add_argument("--steps", type=int, default=120, help="tuning steps")
    parser.add_argument("--ddim-steps", type=int, default=demo_config().validation_data.num_inference_steps)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    demos = [TunedDemo(args, seed) for seed in range(args.seeds)]

    if args.only in (None, "windows"):
        rows: dict[str, list[Figures]] = {}
        ways = {"at once": (0, 0)} | {f"window {args.window}, overlap {n}": (args.window, n) for n in args.overlaps}
        for demo in demos:
            for way, window in ways.items():
                name = f"{way}, seed {demo.seed}"
                figures = measured(args, name, lambda: windows(demo, name, *window))  # noqa: B023
                usual = rows["at once"][-1]["seams"] if rows.get("at once") and way != "at once" else figures["seams"]
                rows.setdefault(way, []).append(figures | {"seams to at once": figures["seams"] / usual})
        show(rows)
    for part, frames, seeds, modes in (
        ("long", args.long, demos[:1], ("mirror",)),
        ("extend", args.extend, demos, ("mirror", "loop", "noise")),
    ):
        if args.only in (None, part):
            rows = {}
            for demo in seeds:
                for mode in modes:
                    for way, autoregressive in (("all windows in every step", False), ("autoregressive", True)):
                        name = f"{mode}, {way}, {frames} frames, seed {demo.seed}"
                        figures = measured(args, name, lambda: extended(demo, name, mode, autoregressive, frames))  # noqa: B023
                        rows.setdefault(f"{mode}, {way}", []).append(figures)
            show(rows)


if __name__ == "__main__":
    main()
