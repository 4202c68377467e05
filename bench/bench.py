"""Time a tuning step, DDIM inversion and sampling on a random network of full SD 1.5 size.

    python bench/bench.py                               # 8 frames of 128x128 on the CPU, ours and the published way
    python bench/bench.py --device cuda --frames 24 --size 512 --precision fp16

The published way of working, for the ratio: the clip and the prompt are encoded in every step, every frame projects
the text again, and the network is float32 throughout, or autocast from float32. Each way runs in a process of its own,
so that its peak memory is its own. Weights are random: they cost what trained ones cost.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import set_checkpoint_early_stop

sys.path.insert(0, str(Path(__file__).parent.parent))
import tav_core
from tav_core.files import replacing
from tav_core.network import patches
from tav_core.network.casting import PRECISIONS
from tav_core.terminal.session import peak_memory

WAYS = ("ours", "published")


class PublishedVideoUNet(tav_core.VideoUNet):
    """A video U-Net that projects the text for every frame, feeds all tokens forward at once, convolves as torch does,
    and saves nothing inside a checkpointed module."""

    def __init__(self, unet: torch.nn.Module, **options: Any) -> None:
        super().__init__(unet, **options)
        self.checkpointing.saving = nullcontext

    def find_patches(self) -> Iterator[tuple]:
        ours = patches.text_projection, patches.feed_forward, patches.first_convolution, patches.frozen_convolution
        return (found for found in super().find_patches() if found[-1] not in ours)


def spelled_out_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute softmax attention with the whole matrix of weights, as diffusers 0.11 does without xformers."""
    weights = torch.softmax(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, dim=-1)
    return weights @ value


def encoders(device: str, dtype: torch.dtype) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Return the autoencoder and the text encoder of SD 1.5, with random weights."""
    from diffusers import AutoencoderKL
    from transformers import CLIPTextConfig, CLIPTextModel

    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
    )
    text = CLIPTextModel(
        CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12)
    )
    return vae.to(device, dtype).eval(), text.to(device, dtype).eval()


def build(args: argparse.Namespace) -> tav_core.VideoUNet:
    """Return the inflated U-Net of SD 1.5 size, as the way of working holds it."""
    from diffusers import UNet2DConditionModel

    published = args.way == "published"
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    unet = unet.to(args.device, torch.float32 if published else PRECISIONS[args.precision]).eval()
    video_unet = (PublishedVideoUNet if published else tav_core.VideoUNet)(unet, kernel=args.kernel).attach()
    if published and args.device == "cpu":
        video_unet.kernel = spelled_out_attention
        for temporal in video_unet.temporal:
            temporal.attn_temp.kernel = spelled_out_attention
    return video_unet


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Return the seconds per step and peak memory of one way of working."""
    torch.manual_seed(0)
    device, latent_size, published = args.device, args.size // 8, args.way == "published"
    schedule = tav_core.NoiseSchedule.stable_diffusion()
    video_unet = build(args)
    latents = torch.randn(1, 4, args.frames, latent_size, latent_size, device=device)
    context = torch.randn(1, 77, 768, device=device)
    encode_seconds: list[float] = []
    if published:
        vae, text = encoders(device, PRECISIONS[args.precision])
        pixels = torch.rand(args.frames, 3, args.size, args.size, device=device).to(vae.dtype)
        tokens = torch.zeros(1, 77, dtype=torch.long, device=device)

    def encode() -> None:
        _wait(device)
        start = time.perf_counter()
        with torch.no_grad(), torch.autocast(device, enabled=False):
            vae.encode(pixels).latent_dist.sample()
            text(tokens)
        _wait(device)
        encode_seconds.append(time.perf_counter() - start)

    marks: list[float] = []

    def on_step(*_: object) -> None:
        if published:
            encode()
        _wait(device)
        marks.append(time.perf_counter())

    settings = tav_core.TuneSettings(
        steps=args.steps + 1,
        gradient_checkpointing=not args.no_checkpointing,
        precision="fp32" if published else args.precision,
    )
    autocast = published and args.precision != "fp32"
    figures = {}
    with (
        torch.autocast(device, PRECISIONS[args.precision]) if autocast else nullcontext(),
        set_checkpoint_early_stop(not published),
    ):
        tav_core.tune(video_unet, schedule, latents, context, settings, on_step=on_step)
    figures["tuning step, s"] = (marks[-1] - marks[0]) / args.steps
    figures["of it encoding, s"] = sum(encode_seconds[1:]) / args.steps
    figures["peak memory tuning, GB"] = _peak(device)
    if args.part == "all":
        with torch.autocast(device, PRECISIONS[args.precision]) if autocast else nullcontext():
            figures["inversion step, s"] = _seconds(
                device, lambda steps: tav_core.ddim_invert(video_unet, schedule, latents, context, steps), args.steps
            )
            figures["sampling step, s"] = _seconds(
                device,
                lambda steps: tav_core.ddim_sample(video_unet, schedule, latents, context, context, steps, 12.5),
                args.steps,
            )
        figures["peak memory in all, GB"] = _peak(device)
    return figures


def _seconds(device: str, work: Callable[[int], object], steps: int) -> float:
    """Return the seconds per step of ``work``, which takes a number of steps, after a step that warms up."""
    work(1)
    _wait(device)
    start = time.perf_counter()
    work(steps)
    _wait(device)
    return (time.perf_counter() - start) / steps


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _peak(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return (peak_memory() or 0) / 1e9


def table(results: dict[str, dict[str, float]]) -> str:
    """Return the figures of every way side by side, and the ratio of the published way to ours."""
    names = list(next(iter(results.values())))
    lines = [
        f"{'':26}" + "".join(f"{way:>12}" for way in results) + ("   published / ours" if len(results) > 1 else "")
    ]
    for name in names:
        values = [figures[name] for figures in results.values()]
        ratio = f"{values[1] / values[0]:>19.2f}" if len(values) > 1 and values[0] else ""
        lines.append(f"{name:26}" + "".join(f"{value:12.2f}" for value in values) + ratio)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=128, help="width and height of the frames in pixels")
    parser.add_argument("--precision", default="fp32", choices=list(PRECISIONS))
    parser.add_argument("--kernel", default="sdpa", choices=["sdpa", "xformers"])
    parser.add_argument("--steps", type=int, default=3, help="steps to time, after one that warms up")
    parser.add_argument("--no-checkpointing", action="store_true", help="keep all activations")
    parser.add_argument("--part", default="all", choices=["all", "tuning"])
    parser.add_argument("--way", choices=WAYS, help="only this way of working")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inner:
        print(json.dumps(measure(args)))
        return
    results = {}
    for way in [args.way] if args.way else WAYS:
        arguments = [a for a in sys.argv[1:] if a != args.way and a != "--way"]
        command = [sys.executable, __file__, *arguments, "--way", way, "--inner"]
        done = subprocess.run(command, stdout=subprocess.PIPE)
        if done.returncode == 0:
            results[way] = json.loads(done.stdout.splitlines()[-1])
        else:
            print(f"There are no figures of {way!r}: it failed, see above.", file=sys.stderr)
    if not results:
        sys.exit(1)
    machine = torch.cuda.get_device_name() if args.device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"{args.frames} frames of {args.size}x{args.size}, {args.precision}, {machine}, torch {torch.__version__}")
    print(table(results))
    if args.json:
        report = {"arguments": vars(args), "machine": machine, "platform": platform.platform(), "figures": results}
        with replacing(args.json) as partial:
            partial.write_text(json.dumps(report, indent=2, default=str))


if __name__ == "__main__":
    main()
