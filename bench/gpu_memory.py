"""Counts the memory that tuning and sampling take on a GPU, without one.

    python bench/gpu_memory.py                                    # 8, 16 and 24 frames of three sizes
    python bench/gpu_memory.py --frames 32 --sizes 512 --precision fp32
    python bench/gpu_memory.py --frames 24 240 --sizes 512 --window 24 --overlap 4

The real code runs on a network of full SD 1.5 size whose tensors have no data (torch's meta device), and the bytes of
those alive are added up: what torch.cuda.max_memory_allocated would say, without the workspaces of cuDNN and cuBLAS.
The CUDA context and what the allocator cannot hand out again come on top. Attention counts as FlashAttention, with what
its backward pass holds for itself.
"""

from __future__ import annotations

import argparse
import math
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

sys.path.insert(0, str(Path(__file__).parent.parent))
import tav_core

DTYPES = {"16 bit": torch.bfloat16, "fp32": torch.float32}
"""By what a value takes; bfloat16 stands for float16 too, whose loss scaling would have to look at values."""


class AliveBytes(TorchDispatchMode):
    """Add up the bytes of all tensors of a device made within it, and of those given to it, while they are alive."""

    def __init__(self, device: str = "meta") -> None:
        super().__init__()
        self.device = device
        self.now = self.peak = 0
        self._known: set[int] = set()

    def add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if tensor.device.type != self.device or key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size

    def __torch_dispatch__(
        self, operation: Callable, types: Sequence[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = kwargs or {}
        if operation is torch.ops.aten._to_copy.default and kwargs.get("device") == torch.device("cpu"):
            return torch.zeros_like(args[0], device="cpu")  # there is no data to copy into main memory
        result = operation(*args, **kwargs)
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self.add(value)
        if operation is torch.ops.aten._scaled_dot_product_flash_attention_backward.default:
            self.peak = max(self.peak, self.now + flash_workspace(args[1]))
        return result


def flash_workspace(query: Tensor) -> int:
    """Bytes that FlashAttention 2 holds during a backward pass: the gradient of the queries ``[b, heads, n, d]`` and a
    sum for each in float32, n rounded up to 128 and d to 32."""
    b, heads, n, d = query.shape
    return 4 * b * heads * (math.ceil(n / 128) * 128) * (math.ceil(d / 32) * 32 + 1)


def sd15_unet(dtype: torch.dtype) -> nn.Module:
    """The U-Net of SD 1.5 without its weights."""
    from diffusers import UNet2DConditionModel
    from diffusers.utils import logging

    logging.set_verbosity_error()  # it warns of casting in general
    with torch.device("meta"):
        return UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8).to(dtype).eval()


def tuning_bytes(
    frames: int, size: int, precision: str = "16 bit", gradient_checkpointing: bool = True, window: int = 0
) -> int:
    """Peak of tuning on ``frames`` frames of ``size`` x ``size`` pixels, weights included, VAE and text encoder not."""
    settings = tav_core.TuneSettings(steps=2, gradient_checkpointing=gradient_checkpointing)
    with _counting(frames, size, precision, window) as (alive, video_unet, schedule, latents, context):
        tav_core.tune(video_unet, schedule, latents, context, settings)
    return alive.peak


def sampling_bytes(frames: int, size: int, precision: str = "16 bit", window: int = 0, overlap: int = 0) -> int:
    """Peak of guided sampling."""
    with _counting(frames, size, precision, window, overlap) as (alive, video_unet, schedule, latents, context):
        tav_core.ddim_sample(video_unet, schedule, latents, context, context, steps=1)
    return alive.peak


@contextmanager
def _counting(frames: int, size: int, precision: str, window: int, overlap: int = 0) -> Iterator[tuple]:
    unet = sd15_unet(DTYPES[precision])
    schedule = tav_core.NoiseSchedule.stable_diffusion()

    def flash_attention(query: Tensor, key: Tensor, value: Tensor, **_: object) -> Tensor:
        return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)[0]

    with (
        patch.object(F, "scaled_dot_product_attention", flash_attention),
        patch.object(Tensor, "item", lambda _: 1.0),  # the loss has no value
        AliveBytes() as alive,
    ):
        for parameter in unet.parameters():
            alive.add(parameter)
        latents = torch.empty(1, unet.config.in_channels, frames, size // 8, size // 8, device="meta")
        context = torch.empty(1, 77, unet.config.cross_attention_dim, device="meta")
        yield alive, tav_core.inflate(unet, window=window, overlap=overlap), schedule, latents, context


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 16, 24])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 384, 512], help="width and height in pixels")
    parser.add_argument("--precision", default="16 bit", choices=list(DTYPES), help="of weights and activations")
    parser.add_argument("--window", type=int, default=0, help="frames computed at once, and learned from in a step")
    parser.add_argument("--overlap", type=int, default=0, help="frames before a window that temporal attention sees")
    parser.add_argument("--part", default="all", choices=["all", "sampling"])
    args = parser.parse_args()
    print(f"GB by count, SD 1.5, {args.precision}, torch {torch.__version__}")
    print(f"{'frames':>6} {'size':>9} {'tuning':>8} {'without checkpointing':>22} {'sampling':>9}")
    for size in args.sizes:
        for frames in args.frames:
            figures = [sampling_bytes(frames, size, args.precision, args.window, args.overlap)]
            if args.part == "all":
                options = frames, size, args.precision
                figures = [tuning_bytes(*options, recompute, args.window) for recompute in (True, False)] + figures
            tuning, plain, sampling = [""] * (3 - len(figures)) + [f"{figure / 1e9:.1f}" for figure in figures]
            print(f"{frames:6} {f'{size}x{size}':>9} {tuning:>8} {plain:>22} {sampling:>9}", flush=True)


if __name__ == "__main__":
    main()
