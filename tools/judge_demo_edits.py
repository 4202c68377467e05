"""Judge edited clips of the demo world: the full method beside its ablations, and what random noise gives.

python tools/judge_demo_edits.py --noise               # every row on 16 clips x 4 edits x 2 seeds; prints the tables
python tools/judge_demo_edits.py --rows full per-frame --clips 4 --seeds 1 --steps 60 --guidance 4

Every clip is learned, inverted and rendered with four captions: another shape (subject), another background, another
object colour (attribute) and another style. What is done is kept in --work, and a second start goes on from there; two
processes on the same folder share the work.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

import tav_core
from tav_core.ablation_rows import ROWS, Row, choose_rows
from tav_core.demo.demo import FRAMES, MODEL, demo_config
from tav_core.demo.judge import compare, drift
from tav_core.demo.world import COLOURS, SHAPES, STYLES, Words, draw_clip, track
from tav_core.files import replacing
from tav_core.pipeline import Pipeline

EDITS = ("subject", "background", "attribute", "style")


@dataclass(frozen=True)
class Clip:
    """A drawn clip, and the words of its four edits."""

    words: Words
    kind: str
    start: tuple[float, float]
    end: tuple[float, float]
    size: float
    seed: int
    edits: dict[str, Words]

    @property
    def frames(self) -> Tensor:
        """[f, 64, 64, 3] in 0..1."""
        return draw_clip(self.words, track(self.kind, self.start, self.end, FRAMES), self.seed, self.size)


def clips(number: int) -> Iterator[Clip]:
    """Clips of different words, tracks, directions and sizes; neither they nor their edits were held out."""
    generator = torch.Generator().manual_seed(2212)

    def choice(options):
        return options[int(torch.randint(len(options), (), generator=generator))]

    def other(words: Words, field: str, options) -> Words:
        allowed = [replace(words, **{field: option}) for option in options if option != getattr(words, field)]
        return choice([w for w in allowed if w.colour != w.background and not w.held_out])

    places = [(21.0, 21.0), (43.0, 21.0), (43.0, 43.0), (21.0, 43.0), (21.0, 32.0), (43.0, 32.0)]
    colours = tuple(COLOURS)
    for i in range(number):
        while True:
            words = Words(choice(colours), SHAPES[i % 4], choice(colours), STYLES[0] if i % 2 else choice(STYLES))
            if words.colour != words.background and not words.held_out:
                break
        kind = ("line", "arc", "line", "bounce")[(i + i // 4) % 4]
        start = choice(places)
        end = choice([p for p in places if math.dist(p, start) >= 22])
        if kind == "bounce":
            start, end = (start[0], 40.0), (64 - start[0], 40.0)
        elif kind == "arc":
            start, end = (start[0], 32.0), (64 - start[0], 32.0)
        edits = {
            "subject": other(words, "shape", SHAPES),
            "background": other(words, "background", colours),
            "attribute": other(words, "colour", colours),
            "style": other(words, "style", STYLES),
        }
        yield Clip(words, kind, start, end, 12.5 + 2.0 * ((i * 5) % 8) / 7, 100 + i, edits)


class Judged:
    """Renders clips by a row's way, and judges them.

    args: steps and learning rate of tuning, steps and guidance of sampling.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.pipeline = args, Pipeline.load(args.model, "cpu")
        self.contexts: dict[str, Tensor] = {}

    def context(self, captions: list[str]) -> Tensor:
        new = [c for c in captions if c not in self.contexts]
        self.contexts.update(zip(new, self.pipeline.encode_prompts(new)))
        return torch.cat([self.contexts[c] for c in captions])

    def __call__(self, clip: Clip, row: Row, seed: int) -> list[dict]:
        args, pipeline = self.args, self.pipeline
        source, nothing = clip.frames, self.context([""])
        latents = pipeline.encode_video(source)
        captions = [words.caption for words in clip.edits.values()]
        torch.manual_seed(seed)
        video_unet = pipeline.inflate(attention=row.attention, temporal_attention=row.temporal_attention)
        try:
            if row.tuned:
                settings = tav_core.TuneSettings(
                    steps=args.steps, learning_rate=args.learning_rate, gradient_checkpointing=False, seed=seed
                )
                tav_core.tune(video_unet, pipeline.schedule, latents, self.context([clip.words.caption]), settings)
            inverted = tav_core.ddim_invert(video_unet, pipeline.schedule, latents, nothing, args.sampling_steps)[-1]
            noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
            rows = []
            for start, name in ((inverted, "inverted"), (noise, "noise"))[: 2 if args.noise else 1]:
                rendered = tav_core.ddim_sample(
                    video_unet,
                    pipeline.schedule,
                    start.expand(len(captions), -1, -1, -1, -1),
                    self.context(captions),
                    nothing,
                    args.sampling_steps,
                    args.guidance,
                )
                videos = pipeline.decode_video(rearrange(rendered, "b c f h w -> 1 c (b f) h w"))
                for edit, video in zip(clip.edits, rearrange(videos, "(b f) h w c -> b f h w c", f=FRAMES)):
                    rows.append({"start": name, "edit": edit} | self.figures(video, source, clip.edits[edit], name))
        finally:
            video_unet.deflate()
        return rows

    @staticmethod
    def figures(video: Tensor, source: Tensor, words: Words, start: str) -> dict:
        if start == "noise":
            return dict(zip(("object_drift", "background_drift"), drift(video)))
        return asdict(compare(video, source, words))


def interval(values: list[float], statistic=np.nanmean) -> str:
    """The statistic with its 95 % interval by bootstrap over the values."""
    values = np.array(values, dtype=float)
    draws = np.random.default_rng(0).choice(values, (2000, len(values)))
    low, high = np.nanpercentile(statistic(draws, axis=1), (2.5, 97.5))
    return f"{statistic(values):.3g} ({low:.3g} to {high:.3g})"


def tables(done: dict[str, list[dict]]) -> str:
    """Markdown: the edits by row and by kind of edit, and the drift from random noise. Intervals are over clips."""

    def by_clip(entries: list[dict], key: str) -> list[float]:
        groups: dict[int, list[float]] = {}
        for entry in entries:
            groups.setdefault(entry["clip"], []).append(entry[key])
        return [float(np.nanmean(values)) for values in groups.values()]

    lines = [
        "| | frames right, % | median track distance, % of width | median slope | drift, object | drift, background |",
        "|---|---|---|---|---|---|",
    ]
    for name, entries in done.items():
        entries = [e for e in entries if e["start"] == "inverted"]
        distance, slope = ([e[key] for e in entries] for key in ("track_distance", "slope"))
        lines.append(
            f"| {name} | {interval([100 * v for v in by_clip(entries, 'frames_right')])} "
            f"| {interval([100 * v for v in distance], np.nanmedian)} | {interval(slope, np.nanmedian)} "
            f"| {interval(by_clip(entries, 'object_drift'))} | {interval(by_clip(entries, 'background_drift'))} |"
        )
    lines += ["", "| frames right in all respects, % | " + " | ".join(EDITS) + " |", "|---|" + "---|" * len(EDITS)]
    for name, entries in done.items():
        shares = [
            100 * np.mean([e["frames_right"] for e in entries if e["start"] == "inverted" and e["edit"] == edit])
            for edit in EDITS
        ]
        lines.append(f"| {name} | " + " | ".join(f"{share:.1f}" for share in shares) + " |")
    noise = {name: [e for e in entries if e["start"] == "noise"] for name, entries in done.items()}
    if any(noise.values()):
        lines += ["", "| from random noise | drift, object | drift, background |", "|---|---|---|"]
        for name, entries in noise.items():
            if entries:
                drifts = (interval(by_clip(entries, key)) for key in ("object_drift", "background_drift"))
                lines.append(f"| {name} | " + " | ".join(drifts) + " |")
    return "\n".join(lines)


def main() -> None:
    demo = demo_config()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the demo model")
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW", help=", ".join(names))
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=demo.max_train_steps, help="of tuning")
    parser.add_argument("--learning-rate", type=float, default=demo.learning_rate)
    parser.add_argument("--sampling-steps", type=int, default=demo.validation_data.num_inference_steps)
    parser.add_argument("--guidance", type=float, default=demo.validation_data.guidance_scale)
    parser.add_argument("--noise", action="store_true", help="also start from random noise, and judge the drift")
    parser.add_argument("--work", type=Path, default=Path("outputs/judged"), help="folder of what is done")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    judged, done = Judged(args), {}
    for row in choose_rows(args.rows):
        for i, clip in enumerate(clips(args.clips)):
            for seed in range(args.seeds):
                file = args.work / f"{row.name}-{i:02}-{seed}.json"
                try:
                    os.close(os.open(file.with_suffix(".taken"), os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    pass
                else:
                    entries = [{"clip": i, "seed": seed} | entry for entry in judged(clip, row, seed)]
                    with replacing(file) as partial:
                        partial.write_text(json.dumps(entries))
                    right = np.mean([e["frames_right"] for e in entries if e["start"] == "inverted"])
                    print(f"{row.name}, clip {i}, seed {seed}: {100 * right:.0f} % of frames right", flush=True)
                if file.exists():
                    done.setdefault(row.label, []).extend(json.loads(file.read_text()))
    print(f"\n{json.dumps(vars(args), default=str)}\n\n{tables(done)}")


if __name__ == "__main__":
    main()
