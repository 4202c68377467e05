"""Compare ranks and recipes of tuning on the demo world: judged motion and steadiness against tuning steps.

    python tools/compare_recipes.py                      # every recipe on 4 clips; prints the tables, draws the curves
    python tools/compare_recipes.py --recipes published rate-3 --clips 2 --points 20 40 --work outputs/recipes-small

Every clip of tools/judge_demo_edits.py is tuned once per recipe, and rendered with its four other captions at several
points along that run, from the inverted clip with new noise in it. What the judge sees is kept in --work, one file per
recipe and clip, and a second start goes on from there. The videos of the tuned file, which is float16, are compared
with those of the weights as they were learned. With --third, recipes that are no rank end after a third of the steps.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from judge_demo_edits import Clip, Renderer, clips, judged, keep_settings
from judged_tables import FIGURES, by_clip, difference, head, interval, line, resampled
from torch import Tensor, nn

import tav_core
from tav_core.demo.demo import MODEL, demo_config
from tav_core.files import replacing

SEED, START = 0, "mix"
DECAY = 0.9
"""Decay of the running average of the weights, per step."""
POINTS = (20, 40, 80, 120)
CURVES = (
    "frames right, %",
    "motion fidelity",
    "order of poses",
    "pose off, % of the height",
    "drift above the clip's own",
    "away from the clip",
)


class Recipe(NamedTuple):
    """One way to tune."""

    label: str
    rank: int = 0
    rate: float = 1.0
    """Learning rate, as a multiple of the demo's."""
    noisy: bool = False
    """Draw timesteps toward the noisy end: their density rises in proportion to the timestep."""
    averaged: bool = False
    """Render with a running average of the weights."""
    curve: bool = True
    """Judge at every point, not only at the last."""


RECIPES = {
    "published": Recipe("published (full)"),
    "rank-4": Recipe("rank 4", rank=4, curve=False),
    "rank-16": Recipe("rank 16", rank=16),
    "rank-64": Recipe("rank 64", rank=64, curve=False),
    "rate-3": Recipe("three times the learning rate", rate=3.0),
    "noisy": Recipe("timesteps toward the noisy end", noisy=True),
    "rate-3-averaged": Recipe("three times the rate, averaged weights", rate=3.0, averaged=True),
}
RANKS = ("rank-4", "rank-16", "rank-64", "published")


class Average:
    """Keep a running average of weights, younger ones counting more."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        self.parameters = parameters
        self.mean = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    def add(self, step: int) -> None:
        decay = min(DECAY, step / (step + 10))  # the first steps would weigh too much
        for name, mean in self.mean.items():
            mean.lerp_(self.parameters[name].detach(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        learned = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self._set(self.mean)
        try:
            yield
        finally:
            self._set(learned)

    @torch.no_grad()
    def _set(self, weights: dict[str, Tensor]) -> None:
        for name, weight in weights.items():
            self.parameters[name].copy_(weight)


def draws(latents: Tensor, timesteps: int, noisy: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield noise and timesteps of every step, the noise the same for every recipe."""
    generator = torch.Generator().manual_seed(SEED)
    while True:
        noise, place = torch.randn(latents.shape, generator=generator), torch.rand(1, generator=generator)
        yield noise, ((place**0.5 if noisy else place) * timesteps).long()


def learn(renderer: Renderer, clip: Clip, recipe: Recipe, points: Sequence[int]) -> dict:
    """Tune on a clip, render and judge its edits at every one of ``points``; return figures, CPU time and file size."""
    pipeline, args = renderer.pipeline, renderer.args
    latents, prompt = pipeline.encode_video(clip.frames), renderer.context([clip.words.caption])
    torch.manual_seed(SEED)
    video_unet = pipeline.inflate()
    video_unet.tuned.begin(recipe.rank, SEED)
    average = Average(video_unet.trainable_parameters())
    timesteps = pipeline.schedule.train_timesteps
    drawn_steps = draws(latents, timesteps, recipe.noisy)
    entries, seconds, state = [], 0.0, None

    def on_step(step: int, loss: float) -> None:
        average.add(step)

    try:
        for point in points:
            settings = tav_core.TuneSettings(
                steps=point,
                learning_rate=args.learning_rate * recipe.rate,
                gradient_checkpointing=False,
                seed=SEED,
                rank=recipe.rank,
            )
            watch = on_step if recipe.averaged else None
            began = time.process_time()
            result = tav_core.tune(
                video_unet, pipeline.schedule, latents, prompt, settings, drawn_steps, watch, state=state
            )
            seconds, state = seconds + time.process_time() - began, result.state
            with average.applied() if recipe.averaged else nullcontext():
                videos = renderer.render(video_unet, clip, latents, SEED, [START])
            entries += [{"step": point} | entry for entry in judged(videos, clip)]
        with TemporaryDirectory() as folder:
            file = Path(folder) / "tuned.safetensors"
            tav_core.save_tuned(file, video_unet.tuned_state_dict(), {})
            size = file.stat().st_size
            video_unet.load_tuned_state_dict(tav_core.load_tuned(file)[0])
        measured = recipe in (RECIPES[name] for name in RANKS)  # the others learn the same weights at another pace
        rounded = renderer.render(video_unet, clip, latents, SEED, [START]) if measured else videos
        apart = torch.stack([(rounded[name].int() - videos[name].int()).abs() for name in videos])
    finally:
        video_unet.deflate()
    return {
        "entries": entries,
        "seconds_per_step": seconds / points[-1],
        "file_bytes": size,
        "float16": float(apart.float().mean()),
    }


def tables(done: dict[str, dict[int, dict]]) -> str:
    """Return Markdown: ranks beside each other at the last point, and every recipe at every point."""
    lines: list[str] = []
    last = steps_of(done)[-1]
    lines += head(f"rank, after {last} steps", [*CURVES, "file", "CPU seconds per step", "float16 changes, of 255"])
    for name in (name for name in RANKS if name in done):
        runs = done[name].values()
        size = np.mean([run["file_bytes"] for run in runs]) / 1e6
        seconds = np.array([[run["seconds_per_step"]] for run in runs])
        values = [interval(at(done[name], last, figure)) for figure in CURVES]
        rounding = np.mean([run["float16"] for run in runs])
        lines.append(line(RECIPES[name].label, [*values, f"{size:.2f} MB", interval(seconds), f"{rounding:.3f}"]))
    curves = [name for name in done if RECIPES[name].curve]
    points = steps_of(done)
    for figure in CURVES:
        lines += ["", *head(f"{figure}, after steps", [*map(str, points)])]
        for name in curves:
            values = [at(done[name], point, figure) for point in points]
            lines.append(line(RECIPES[name].label, [interval(v) if len(v) else "" for v in values]))
    if "published" in done:
        for point in (p for p in points if p <= last / 3 or p == last):
            lines += ["", *head(f"after {point} steps, less published after {last}", CURVES)]
            others = [name for name in done if name != "published"]
            for name in others if point == last else curves:
                pairs = [(at(done[name], point, f), at(done["published"], last, f)) for f in CURVES]
                lines.append(line(RECIPES[name].label, [difference(*pair) for pair in pairs]))
    return "\n".join(lines)


def steps_of(done: dict[str, dict[int, dict]]) -> list[int]:
    """Return the numbers of steps after which something was judged."""
    return sorted({e["step"] for runs in done.values() for run in runs.values() for e in run["entries"]})


def at(runs: dict[int, dict], step: int, figure: str) -> np.ndarray:
    """[clips, edits] of a figure after ``step`` steps."""
    key, scale = FIGURES[figure]
    entries = [{"clip": i} | e for i, run in runs.items() for e in run["entries"] if e["step"] == step]
    return by_clip(entries, key) * scale


def draw_curves(done: dict[str, dict[int, dict]], path: Path) -> None:
    """Draw every figure of CURVES against tuning steps; bars are 95 % intervals by bootstrap over the clips."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(2, 3, figsize=(15, 8), layout="constrained")
    shown = [name for name in done if RECIPES[name].curve]
    for title, panel in zip(CURVES, panels.flat):
        for i, name in enumerate(shown):
            points = steps_of({name: done[name]})
            values = [at(done[name], point, title) for point in points]
            means = np.array([np.nanmean(v) for v in values])
            draws = [np.nanmean(v[resampled(len(v))], axis=(1, 2)) for v in values]
            low, high = np.array([np.percentile(d, (2.5, 97.5)) for d in draws]).T
            places = np.array(points) * 1.02 ** (i - len(shown) / 2)  # bars beside each other
            panel.errorbar(places, means, [means - low, high - means], label=RECIPES[name].label, capsize=2, lw=1.5)
        ticks = steps_of(done)
        panel.set(title=title, xlabel="tuning steps", xscale="log", xticks=ticks, xticklabels=ticks)
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(shown))
    with replacing(path) as partial:
        figure.savefig(partial, dpi=90)
    plt.close(figure)


def main() -> None:
    demo = demo_config()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the demo model")
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES), metavar="RECIPE")
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--points", type=int, nargs="+", default=POINTS, help="tuning steps to judge after, rising")
    parser.add_argument("--third", action="store_true", help="judge the quick recipes up to a third of the steps only")
    parser.add_argument("--learning-rate", type=float, default=demo.learning_rate)
    parser.add_argument("--sampling-steps", type=int, default=demo.validation_data.num_inference_steps)
    parser.add_argument("--guidance", type=float, default=demo.validation_data.guidance_scale)
    parser.add_argument("--work", type=Path, default=Path("outputs/recipes"), help="folder of what is done")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    try:
        keep_settings(args, ("model", "points", "third", "learning_rate", "sampling_steps", "guidance"))
    except ValueError as error:
        parser.error(str(error))
    renderer = Renderer(args)
    for (i, clip), name in product(enumerate(clips(args.clips)), args.recipes):
        file = run_file(args.work, name, i)
        if not file.exists():
            run = learn(renderer, clip, RECIPES[name], points_of(name, args))
            with replacing(file) as partial:
                partial.write_text(json.dumps(run))
            print(file.name, flush=True)
    done: dict[str, dict[int, dict]] = {}
    for i, name in product(range(args.clips), args.recipes):
        done.setdefault(name, {})[i] = json.loads(run_file(args.work, name, i).read_text())
    if any(RECIPES[name].curve for name in done):
        draw_curves(done, args.work / "curves.png")
    print(f"\n{json.dumps(vars(args), default=str)}\n\n{tables(done)}")


def points_of(name: str, args: argparse.Namespace) -> list[int]:
    """Return the numbers of steps to judge a recipe after."""
    if not RECIPES[name].curve:
        return args.points[-1:]
    return [p for p in args.points if p <= args.points[-1] / 3 or not args.third or name in RANKS]


def run_file(work: Path, name: str, clip: int) -> Path:
    return work / f"{name}-{clip:02}.json"


if __name__ == "__main__":
    main()
