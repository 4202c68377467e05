"""Measure how well edits keep what they should not change, on clips of the demo world.

python tools/measure_edits.py --clips 16 --seeds 2            # prints the tables of docs/edits.md
python tools/measure_edits.py --part reconstruction --clips 4

Every clip is learned, and edited in four ways with and without a mask. The subject, attribute and style are edited
inside the true mask of the figure, grown by a latent, the background outside of it. Rows are kept in --work as they
come, and a second start goes on from there.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from judge_demo_edits import Clip, clips
from torch import Tensor

import tav_core
from tav_core import Pipeline
from tav_core.demo.clips import clip_scenes
from tav_core.demo.demo import FRAMES, MODEL, demo_config
from tav_core.demo.judge import compare, read
from tav_core.demo.world import mask
from tav_core.diffusion.masks import grow
from tav_core.diffusion.word_mask import named
from tav_core.scoring.motion import motion_fidelity
from tav_core.text_table import text_table

REFINE, STEPS = (0, 1, 2, 3, 5), (8, 20, 50)
WAYS = {
    "no mask": {},
    "mask": {"mask": True, "refine": 2},
    "mask from words": {"mask": "words", "refine": 2},
    "structure 0.5": {"structure": 0.5, "refine": 2},
    "mask, structure 0.5": {"mask": True, "structure": 0.5, "refine": 2},
}


def true_mask(clip: Clip) -> Tensor:
    """Return where the figure of a clip is ``[f, h, w]``."""
    return torch.from_numpy(np.stack([mask(scene) for scene in clip_scenes(clip.words, FRAMES, clip.seed)]))


def psnr(a: Tensor, b: Tensor, where: Tensor) -> float:
    error = ((a - b) ** 2).mean(dim=-1)[where > 0.5].mean()
    return float(-10 * torch.log10(error))


def reconstruction(net: tav_core.VideoUNet, pipeline: Pipeline, clip: Clip, latents: Tensor) -> Iterator[dict]:
    empty, everywhere = pipeline.encode_prompts([""])[0], torch.ones(clip.frames.shape[:3])
    yield {"row": "autoencoder", "psnr": psnr(pipeline.decode_video(latents), clip.frames, everywhere)}
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
    both, either = (found > 0.5) & (truth > 0.5), (found > 0.5) | (truth > 0.5)
    yield {"row": "mask from words", "iou": float(both.sum() / either.sum())}
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


def _changed(reading: object, words: object, edit: str) -> bool:
    part = {"subject": "figure", "background": "place", "attribute": "clothes", "style": "style"}[edit]
    return reading.right(words)[part]


def measured(args: argparse.Namespace) -> list[dict]:
    """Return all rows, those of earlier starts included."""
    args.work.mkdir(parents=True, exist_ok=True)
    pipeline, config = Pipeline.load(args.model, "cpu"), demo_config()
    rows = []
    for number, clip in enumerate(clips(args.clips)):
        for seed in range(args.seeds):
            file = args.work / f"{args.part}-{number}-{seed}.json"
            if not file.exists():
                latents = pipeline.encode_video(clip.frames)
                torch.manual_seed(seed)
                net = pipeline.inflate()
                settings = tav_core.TuneSettings(
                    args.tuning_steps, config.learning_rate, seed=seed, gradient_checkpointing=False
                )
                context = pipeline.encode_prompts([clip.words.caption])[0]
                tav_core.tune(net, pipeline.schedule, latents, context, settings)
                if args.part == "reconstruction":
                    new = list(reconstruction(net, pipeline, clip, latents))
                else:
                    new = list(edits(net, pipeline, clip, latents, args.steps, args.guidance))
                net.deflate()
                file.write_text(json.dumps(new))
            rows += json.loads(file.read_text())
            print(f"clip {number}, seed {seed}", flush=True)
    return rows


def table(rows: list[dict]) -> str:
    """Return the mean of every figure by row, with the half-width of its 95 % interval over clips and seeds."""
    names = list(dict.fromkeys(row["row"] for row in rows))
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "row"))
    lines = [["", *columns]]
    for name in names:
        cells = []
        for column in columns:
            values = torch.tensor([row[column] for row in rows if row["row"] == name and column in row])
            values = values[values.isfinite()]
            half = 1.96 * float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
            middle = f", median {float(values.median()):.2f}" if column == "iou" and len(values) else ""
            cells.append(f"{float(values.mean()):.2f} ± {half:.2f}{middle}" if len(values) else "")
        lines.append([name, *cells])
    return "\n".join(text_table(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("edits", "reconstruction"), default="edits")
    parser.add_argument("--model", default=str(MODEL))
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--tuning-steps", type=int, default=demo_config().max_train_steps)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--work", type=Path, default=Path("outputs/measured-edits"))
    args = parser.parse_args()
    rows = measured(args)
    print(f"{args.clips} clips of {FRAMES} frames, {args.seeds} seeds, {args.part}")
    print(table(rows))


if __name__ == "__main__":
    main()
