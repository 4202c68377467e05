"""Train the judge of the demo world on drawn pictures, and test it on others: part "judge" of train_demo_model.py."""

from __future__ import annotations

import argparse
import random
from dataclasses import replace

import numpy as np
import torch
from einops import rearrange
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, interpolate, l1_loss
from training_run import Run

from tav_core.demo.judge import NAMES, WEIGHTS, Judge, truth
from tav_core.demo.world import SIZE, Scene, all_words, draw, random_scene
from tav_core.files import replacing

WORDS = all_words()
BATCH = 64


def drawn(numbers: range, salt: int) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Return pictures [n, 3, 96, 96], the numbers of their names [n] and their points [n, 13, 2]."""
    scenes = [scene(i, salt) for i in numbers]
    pictures = torch.from_numpy(np.stack([draw(s) for s in scenes]))
    named, points = zip(*(truth(s) for s in scenes))
    names = {name: torch.tensor([n[name] for n in named]) for name in NAMES}
    return rearrange(pictures, "n h w c -> n c h w") / 255, names, torch.stack(points)


def scene(number: int, salt: int) -> Scene:
    r = random.Random(salt * 1_000_000_007 + number)
    found = random_scene(r.choice(WORDS), r.randrange(1 << 60))
    return replace(found, x=(r.uniform(38, 58),), ground=r.uniform(86, 92), height=r.uniform(64, 76))


def worsened(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Blur, shrink, fade, tint and add noise, each picture in its own measure."""
    n = len(pictures)

    def chance(*shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator)

    soft = avg_pool2d(pictures, 5, stride=1, padding=2, count_include_pad=False)
    softer = avg_pool2d(soft, 5, stride=1, padding=2, count_include_pad=False)
    small = interpolate(avg_pool2d(pictures, 4), size=SIZE, mode="bilinear")
    which = chance(1, 1, 1)
    pictures = torch.where(
        which < 0.3, pictures, torch.where(which < 0.6, soft, torch.where(which < 0.8, softer, small))
    )
    level, tint = 1 + 0.2 * (chance(1, 1, 1) - 0.5), 0.1 * (chance(3, 1, 1) - 0.5)
    grain = interpolate(torch.randn(n, 3, 24, 24, generator=generator), size=SIZE, mode="bilinear")
    fine = torch.randn(pictures.shape, generator=generator)
    noise = 0.12 * chance(1, 1, 1) * grain + 0.08 * chance(1, 1, 1) * fine
    return ((pictures - 0.5) * level + 0.5 + tint + noise).clamp(0, 1)


def test(judge: Judge) -> None:
    """Print the share right of 600 pictures it was not trained on, exact and worsened."""
    judge.eval()
    pictures, names, points = drawn(range(600), salt=2)
    for title, seen in (("exact", pictures), ("worsened", worsened(pictures, torch.Generator().manual_seed(5)))):
        with torch.no_grad():
            logits, found = judge(seen)
        right = {n: f"{100 * (v.argmax(-1) == names[n]).float().mean():.1f}" for n, v in logits.items()}
        print(title, right, f"points off by {(found - points).norm(dim=-1).mean():.2f} px", flush=True)


def train_judge(args: argparse.Namespace) -> None:
    """Train on pictures that are never shown twice, and print the test."""
    torch.manual_seed(33)
    judge = Judge().to(memory_format=torch.channels_last)
    run = Run("judge", nn.ModuleDict({"judge": judge}), args.steps or 2400, 2e-3, args.work, decay=0.0)
    while run.step < run.steps:
        generator = torch.Generator().manual_seed(run.step)
        pictures, names, points = drawn(range(run.step * BATCH, (run.step + 1) * BATCH), salt=1)
        logits, found = judge(worsened(pictures, generator).contiguous(memory_format=torch.channels_last))
        run.update(sum(cross_entropy(v, names[n]) for n, v in logits.items()) + l1_loss(found, points) / 2)
    weights = {n: v.half() if v.is_floating_point() else v for n, v in judge.state_dict().items()}
    with replacing(WEIGHTS) as partial:
        save_file({n: v.contiguous() for n, v in weights.items()}, partial)
    test(judge)
