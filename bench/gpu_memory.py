"""Count the memory that tuning and sampling take on a GPU, without one.

    python bench/gpu_memory.py                                    # 8, 16 and 24 frames of three sizes
    python bench/gpu_memory.py --frames 32 --sizes 512 --precision fp32
    python bench/gpu_memory.py --family sdxl --frames 16 --sizes 768 --rank 16 --part checkpointed
    python bench/gpu_memory.py --weights                          # tuned weights and files by family and rank
    python bench/gpu_memory.py --frames 24 240 --sizes 512 --window 24 --overlap 4

The real code runs on a network of full SD 1.5 or SDXL size without data (on the meta device of torch), and the bytes of
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
    """Return the bytes that FlashAttention 2 holds during a backward pass: the gradient of the queries
    ``[b, heads, n, d]`` and a sum for each in float32, n rounded up to 128 and d to 32."""
    b, heads, n, d = query.shape
    return 4 * b * heads * (math.ceil(n / 128) * 128) * (math.ceil(d / 32) * 32 + 1)


FAMILIES = {
    "sd15": {"cross_attention_dim": 768, "attention_head_dim": 8},
    "sdxl": {
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
"""Block types of these families' U-Nets in diffusers."""


def full_size_unet(family: str, dtype: torch.dtype) -> nn.Module:
    """Build the U-Net of a family without its weights."""
    from diffusers import UNet2DConditionModel
    from diffusers.utils import logging

    logging.set_verbosity_error()  # it warns of casting in general
    with torch.device("meta"):
        return UNet2DConditionModel(**FAMILIES[family]).to(dtype).eval()


def tuned_weights(family: str, rank: int) -> tuple[int, int]:
    """Count the learned weights, and the bytes of the tuned file in float16 without its header."""
    video_unet = tav_core.inflate(full_size_unet(family, torch.bfloat16), rank=rank)
    learned = sum(parameter.numel() for parameter in video_unet.trainable_parameters().values())
    return learned, 2 * sum(tensor.numel() for tensor in video_unet.tuned_state_dict().values())


def tuning_bytes(
    frames: int,
    size: int,
    precision: str = "16 bit",
    gradient_checkpointing: bool = True,
    window: int = 0,
    rank: int = 0,
    family: str = "sd15",
) -> int:
    """Return the peak of tuning on ``frames`` frames of ``size`` x ``size`` pixels, without VAE and text encoder."""
    settings = tav_core.TuneSettings(steps=2, gradient_checkpointing=gradient_checkpointing, rank=rank)
    with _counting(family, frames, size, precision, window, rank=rank) as (
        alive,
        video_unet,
        schedule,
        latents,
        context,
    ):
        tav_core.tune(video_unet, schedule, latents, context, settings)
    return alive.peak


def sampling_bytes(
    frames: int, size: int, precision: str = "16 bit", window: int = 0, overlap: int = 0, family: str = "sd15"
) -> int:
    """Return the peak of guided sampling."""
    with _counting(family, frames, size, precision, window, overlap) as (alive, video_unet, schedule, latents, context):
        tav_core.ddim_sample(video_unet, schedule, latents, context, context, steps=1)
    return alive.peak


@contextmanager
def _counting(
    family: str, frames: int, size: int, precision: str, window: int, overlap: int = 0, rank: int = 0
) -> Iterator[tuple]:
    unet = full_size_unet(family, DTYPES[precision])
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
        context = {"context": torch.empty(1, 77, unet.config.cross_attention_dim, device="meta")}
        if family == "sdxl":
            added = {"text_embeds": torch.empty(1, 1280, device="meta"), "time_ids": torch.empty(1, 6, device="meta")}
            context["added_cond_kwargs"] = added
        video_unet = tav_core.inflate(unet, window=window, overlap=overlap, rank=rank)
        yield alive, video_unet, schedule, latents, context


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 16, 24])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 384, 512], help="width and height in pixels")
    parser.add_argument("--precision", default="16 bit", choices=list(DTYPES), help="of weights and activations")
    parser.add_argument("--window", type=int, default=0, help="frames computed at once, and learned from in a step")
    parser.add_argument("--overlap", type=int, default=0, help="frames before a window that temporal attention sees")
    parser.add_argument("--part", default="all", choices=["all", "checkpointed", "sampling"])
    parser.add_argument("--family", default="sd15", choices=list(FAMILIES))
    parser.add_argument("--rank", type=int, default=0, help="of the tuning; 0 for full tuning")
    parser.add_argument("--weights", action="store_true", help="count tuned weights and files only")
    args = parser.parse_args()
    if args.weights:
        print(f"{'family':>6} {'rank':>5} {'learned':>12} {'optimizer, MB':>14} {'file, MB':>9}")
        for family in FAMILIES:
            for rank in (0, 4, 16, 64):
                learned, file = tuned_weights(family, rank)
                print(f"{family:>6} {rank or 'full':>5} {learned:12,} {learned * 8 / 1e6:14.1f} {file / 1e6:9.1f}")
        return
    print(f"GB by count, {args.family}, rank {args.rank or 'full'}, {args.precision}, torch {torch.__version__}")
    print(f"{'frames':>6} {'size':>9} {'tuning':>8} {'without checkpointing':>22} {'sampling':>9}")
    for size in args.sizes:
        for frames in args.frames:
            ways = {"all": (True, False), "checkpointed": (True,), "sampling": ()}[args.part]
            figures = {True: "", False: ""}
            for way in ways:
                peak = tuning_bytes(frames, size, args.precision, way, args.window, args.rank, args.family)
                figures[way] = f"{peak / 1e9:.1f}"
            peak = sampling_bytes(frames, size, args.precision, args.window, args.overlap, args.family)
            tuning, plain, sampling = figures[True], figures[False], f"{peak / 1e9:.1f}"
            print(f"{frames:6} {f'{size}x{size}':>9} {tuning:>8} {plain:>22} {sampling:>9}", flush=True)


if __name__ == "__main__":
    main()
