"""Measure how well edits keep what they should not change, on clips of the demo world.

python tools/measure_edits.py                                     # 16 clips x 4 edits x 2 seeds; prints the tables
python tools/measure_edits.py --parts reconstruction --clips 4 --seeds 1 --work outputs/reconstructed

Every clip is learned, and edited in four ways with and without a mask. The subject, attribute and style are edited
inside the true mask of the figure, grown by a latent, the background outside of it; and the clip is reconstructed from
every kind of inversion. What is measured is kept in --work, and a second start goes on from there; --collect prints the
tables of what there is. Intervals are over the clips.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch
from judge_demo_edits import EDITS, Clip, claimed, clips, keep_settings
from torch import Tensor

import tav_core
from tav_core import Pipeline
from tav_core.demo.clips import clip_scenes
from tav_core.demo.demo import FRAMES, MODEL, demo_config
from tav_core.demo.judge import Reading, compare, read
from tav_core.demo.places import PLACES
from tav_core.demo.world import Words, mask
from tav_core.diffusion.masks import grow
from tav_core.diffusion.word_mask import named
from tav_core.scoring.motion import motion_fidelity
from tav_core.text_table import text_table

REFINE, STEPS = (0, 1, 2, 3, 5), (8, 20, 50)
PARTS = ("edits", "reconstruction")
WAYS = {
    "no mask": {},
    "mask": {"mask": True, "refine": 2},
    "mask from words": {"mask": "words", "refine": 2},
    "structure 0.5": {"structure": 0.5, "refine": 2},
}


def true_mask(clip: Clip) -> Tensor:
    """Return where the figure of a clip is ``[f, h, w]``."""
    return torch.from_numpy(np.stack([mask(scene) for scene in clip_scenes(clip.words, FRAMES, clip.seed)]))


def psnr(a: Tensor, b: Tensor, where: Tensor) -> float:
    error = ((a - b) ** 2).mean(dim=-1)[where > 0.5].mean()
    return float(-10 * torch.log10(error))


def iou(a: Tensor, b: Tensor) -> float:
    a, b = a > 0.5, b > 0.5
    return float((a & b).sum() / (a | b).sum())


def reconstruction(net: tav_core.VideoUNet, pipeline: Pipeline, clip: Clip, latents: Tensor) -> Iterator[dict]:
    empty, everywhere = pipeline.encode_prompts([""])[0], torch.ones(clip.frames.shape[:3])
    yield {"row": "autoencoder alone", "psnr": psnr(pipeline.decode_video(latents), clip.frames, everywhere)}
    for steps in STEPS:
        for refine in REFINE:
            start = time.process_time()
            noise = tav_core.ddim_invert(net, pipeline.schedule, latents, empty, steps, refine=refine)[-1]
            seconds = time.process_time() - start
            result = tav_core.ddim_sample(net, pipeline.schedule, noise, empty, None, steps, 1.0)
            yield {
                "row": f"{steps} steps, refine {refine}",
                "psnr": psnr(pipeline.decode_video(result), clip.frames, everywhere),
                "std": float(noise.std()),
                "seconds": seconds,
            }


def found_mask(net: tav_core.VideoUNet, pipeline: Pipeline, clip: Clip, latents: Tensor, words: str) -> Tensor:
    tokenizer, prompt = pipeline.text_encoders[0].tokenizer, clip.words.caption
    ids = tokenizer(prompt).input_ids
    tokens = tav_core.word_tokens(ids, [tokenizer(word).input_ids[1:-1] for word in named(words)])
    context = pipeline.encode_prompts([prompt])[0]
    seen = tav_core.word_map(net, net.blocks, pipeline.schedule, latents, context, tokens)
    return tav_core.mask_from_map(seen, *clip.frames.shape[1:3])


def edits(
    net: tav_core.VideoUNet, pipeline: Pipeline, clip: Clip, latents: Tensor, steps: int, guidance: float
) -> Iterator[dict]:
    truth = true_mask(clip)
    decoded = pipeline.decode_video(latents)
    found = found_mask(net, pipeline, clip, latents, clip.words.figure)
    behind = found_mask(net, pipeline, clip, latents, PLACES[clip.words.place].split()[-1])
    yield {"row": "word of the figure", "IoU": iou(found, truth)}
    yield {"row": "word of the place", "IoU": iou(behind, 1 - truth)}
    empty = pipeline.encode_prompts([""])[0]
    trajectories = {
        refine: tav_core.ddim_invert(net, pipeline.schedule, latents, empty, steps, refine=refine) for refine in (0, 2)
    }
    for edit, words in clip.edits.items():
        context = pipeline.encode_prompts([words.caption])[0]
        for way, options in WAYS.items():
            trajectory, start = trajectories[options.get("refine", 0)], time.process_time()
            area = _area(truth if options.get("mask") != "words" else found, edit)
            known = {}
            if "mask" in options:
                known = {"mask": tav_core.latent_mask(area, latents), "trajectory": trajectory}
            result = tav_core.ddim_sample(
                net, pipeline.schedule, trajectory[-1], context, empty, steps, guidance,
                structure=options.get("structure", 0.0), **known,
            )  # fmt: skip
            video = pipeline.decode_video(result)
            kept = 1 - _area(truth, edit)
            far = 1 - grow(1 - kept[:, None], 8)[:, 0]
            judged = compare(video, clip.frames, words, clip.words)
            yield {
                "row": f"{edit}: {way}",
                "protected psnr": psnr(video, clip.frames, kept),
                "autoencoder": psnr(decoded, clip.frames, kept),
                "a latent away": psnr(video, clip.frames, far),
                "autoencoder there": psnr(decoded, clip.frames, far),
                "edited %": 100 * sum(_changed(r, words, edit) for r in read(video)) / len(video),
                "all right %": 100 * judged.frames_right,
                "pose off %": 100 * judged.pose_distance,
                "motion fidelity": motion_fidelity(clip.frames, video),
                "seconds": time.process_time() - start,
            }


def _area(inside: Tensor, edit: str) -> Tensor:
    """Return where an edit may change the clip: the figure, with a latent around it, or all but the figure."""
    return 1 - inside if edit == "background" else grow(inside[:, None], 8)[:, 0]


def _changed(reading: Reading, words: Words, edit: str) -> bool:
    part = {"subject": "figure", "background": "place", "attribute": "clothes", "style": "style"}[edit]
    return reading.right(words)[part]


def measure(args: argparse.Namespace) -> None:
    """Measure what nobody has taken yet, all clips of a seed before the next."""
    pipeline, config = Pipeline.load(args.model, "cpu"), demo_config()
    for seed, (number, clip) in product(range(args.seeds), enumerate(clips(args.clips))):
        with claimed(rows_file(args, number, seed)) as partial:
            if not partial:
                continue
            latents = pipeline.encode_video(clip.frames)
            torch.manual_seed(seed)
            net = pipeline.inflate()
            settings = tav_core.TuneSettings(
                args.tuning_steps, config.learning_rate, seed=seed, gradient_checkpointing=False
            )
            tav_core.tune(net, pipeline.schedule, latents, pipeline.encode_prompts([clip.words.caption])[0], settings)
            rows = []
            if "edits" in args.parts:
                rows += edits(net, pipeline, clip, latents, args.steps, args.guidance)
            if "reconstruction" in args.parts:
                rows += reconstruction(net, pipeline, clip, latents)
            net.deflate()
            partial.write_text(json.dumps(rows))


def rows_file(args: argparse.Namespace, clip: int, seed: int) -> Path:
    return args.work / f"{clip:02}-{seed}.json"


def collected(args: argparse.Namespace) -> dict[str, dict[str, list[list[float]]]]:
    """Return the figures of every clip by row and column, one for each seed."""
    done: dict[str, dict[str, list[list[float]]]] = {}
    for number in range(args.clips):
        of_clip: dict[tuple[str, str], list[float]] = {}
        files = [file for seed in range(args.seeds) if (file := rows_file(args, number, seed)).exists()]
        for row in (row for file in files for row in json.loads(file.read_text())):
            for column, value in row.items():
                if column != "row" and math.isfinite(value):
                    of_clip.setdefault((row["row"], column), []).append(value)
        for (name, column), values in of_clip.items():
            done.setdefault(name, {}).setdefault(column, []).append(values)
    for way in WAYS:  # all edits together
        for name in [f"{edit}: {way}" for edit in EDITS if f"{edit}: {way}" in done]:
            for column, values in done[name].items():
                of_way = done.setdefault(f"all: {way}", {}).setdefault(column, [[] for _ in values])
                for clip, more in zip(of_way, values):
                    clip.extend(more)
    return done


def tables(done: dict[str, dict[str, list[list[float]]]]) -> str:
    """Return the means over the clips with the half-width of their 95 % interval, a table for each set of columns."""
    by_columns: dict[tuple[str, ...], list[str]] = {}
    for name, columns in done.items():
        by_columns.setdefault(tuple(columns), []).append(name)
    parts = []
    for columns, names in by_columns.items():
        lines = [["", *columns, "clips"]]
        for name in names:
            cells = []
            for column in columns:
                means = torch.tensor([sum(values) / len(values) for values in done[name][column]])
                half = 1.96 * float(means.std()) / math.sqrt(len(means)) if len(means) > 1 else math.nan
                median = f", median {float(means.quantile(0.5)):.2f}" if column == "IoU" else ""
                cells.append(f"{float(means.mean()):.2f} ± {half:.2f}{median}")
            lines.append([name, *cells, str(len(means))])
        parts.append("\n".join(text_table(lines)))
    return "\n\n".join(parts)


def main() -> None:
    demo = demo_config()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the demo model")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--tuning-steps", type=int, default=demo.max_train_steps)
    parser.add_argument("--steps", type=int, default=demo.validation_data.num_inference_steps, help="of sampling")
    parser.add_argument("--guidance", type=float, default=demo.validation_data.guidance_scale)
    parser.add_argument("--work", type=Path, default=Path("outputs/measured-edits"), help="folder of what is done")
    parser.add_argument("--collect", action="store_true", help="measure nothing more")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    try:
        keep_settings(args, ("model", "parts", "tuning_steps", "steps", "guidance"))
    except ValueError as error:
        parser.error(str(error))
    if not args.collect:
        measure(args)
    print(f"\n{json.dumps(vars(args), default=str)}\n\n{tables(collected(args))}")


if __name__ == "__main__":
    main()
