"""Measure the memory and time of one guided DDIM step on videos of growing length, through windows of frames.

    python bench/long_video.py                            # 24 to 384 frames, window 16, overlap 4
    python bench/long_video.py --window 0 --frames 24 48  # all frames at once, for comparison

Each length runs in a process of its own, on a small network with random weights, temporal attention and joint norms.
Memory is the peak of all tensors that a step makes, latents and predictions of the whole video included, weights not;
time is CPU seconds, of the faster of two steps.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))
from gpu_memory import AliveBytes

import tav_core

SIZE = 16
"""Height and width of the latents."""


def small_video_unet(window: int, overlap: int) -> tav_core.VideoUNet:
    """Return a video U-Net of 3 levels with random weights."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        block_out_channels=(128, 256, 256),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=32,
        cross_attention_dim=64,
        attention_head_dim=8,
    )
    return tav_core.inflate(unet.eval(), window=window, overlap=overlap)


def measure(frames: int, window: int, overlap: int) -> dict[str, float]:
    """Return the peak memory and CPU seconds per frame of a guided step on ``frames`` frames."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    video_unet = small_video_unet(window, overlap)
    schedule = tav_core.NoiseSchedule(torch.linspace(0.999, 0.005, 1000))
    noise, context = torch.randn(1, 4, frames, SIZE, SIZE), torch.randn(1, 16, 64)

    def step() -> None:
        tav_core.ddim_sample(video_unet, schedule, noise, context, context, steps=1)

    seconds = []
    for _ in range(2):
        start = time.process_time()
        step()
        seconds.append(time.process_time() - start)
    with AliveBytes("cpu") as alive:
        step()
    return {"memory": alive.peak / 1e6, "seconds": min(seconds) / frames}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[24, 48, 96, 192, 384])
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--overlap", type=int, default=4)
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inner:
        print(json.dumps(measure(args.frames[0], args.window, args.overlap)))
        return
    print(f"window {args.window}, overlap {args.overlap}, latents of {SIZE}x{SIZE}, torch {torch.__version__}")
    print(f"{'frames':>6} {'memory, MB':>11} {'CPU s per frame':>16}")
    for frames in args.frames:
        options = ["--frames", str(frames), "--window", str(args.window), "--overlap", str(args.overlap), "--inner"]
        done = subprocess.run([sys.executable, __file__, *options], stdout=subprocess.PIPE, check=True)
        figures = json.loads(done.stdout.splitlines()[-1])
        print(f"{frames:6} {figures['memory']:11.1f} {figures['seconds']:16.4f}", flush=True)


if __name__ == "__main__":
    main()
