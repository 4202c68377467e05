"""Every attention mode and the temporal attention against the plain formula, and the kernels."""

import sys
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("diffusers")

from networks import LAYOUTS, MODES, inputs, random_tuning, small_unet
from torch import Tensor, nn

import tav_core
from tav_core.network import attention, temporal
from tav_core.network.attention import attention_in_parts

VIDEOS, FRAMES = 2, 4


def record(module: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Record (input, output) of every call of ``module`` from now on."""
    calls: list[tuple[Tensor, Tensor]] = []
    module.register_forward_hook(lambda _, args, output: calls.append((args[0], output)))
    return calls


def plain_attention(module: nn.Module, queries: Tensor, keys: Tensor) -> Tensor:
    """Compute multi-head attention of the tokens ``queries`` [n, c] to the tokens ``keys`` [m, c], head by head."""
    query, key, value = module.to_q(queries), module.to_k(keys), module.to_v(keys)
    width = query.shape[1] // module.heads
    heads = []
    for q, k, v in zip(query.split(width, 1), key.split(width, 1), value.split(width, 1)):
        heads.append((q @ k.T / width**0.5).softmax(dim=1) @ v)
    return module.to_out[0](torch.cat(heads, dim=1))


def seen_by(mode: str, frame: int) -> list[int]:
    return {
        "sparse_causal": [0, max(0, frame - 1)],
        "spatial": [frame],
        "first_frame": [0],
        "previous_frame": [max(0, frame - 1)],
        "full": list(range(FRAMES)),
    }[mode]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_self_attention(layout, mode):
    video_unet = tav_core.inflate(small_unet(layout), attention=mode)
    attention = video_unet.blocks[0].module.attn1
    calls, projections = record(attention), record(attention.to_k)
    video_unet(*inputs(VIDEOS, FRAMES))
    ((tokens, output),), ((projected, _),) = calls, projections
    assert projected.shape[0] == VIDEOS * FRAMES  # frame 0 serves all others, and is projected once
    tokens, output = (x.unflatten(0, (VIDEOS, FRAMES)) for x in (tokens, output))
    for video in range(VIDEOS):
        for frame in range(FRAMES):
            keys = torch.cat([tokens[video, seen] for seen in seen_by(mode, frame)])
            expected = plain_attention(attention, tokens[video, frame], keys)
            torch.testing.assert_close(output[video, frame], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
@torch.no_grad()
def test_temporal_attention(layout):
    video_unet = tav_core.inflate(small_unet(layout))
    video_unet.load_tuned_state_dict(random_tuning(video_unet))
    closing, block = video_unet.temporal[0], video_unet.blocks[0].module
    calls, blocks = record(closing.attn_temp), record(block)
    video_unet(*inputs(VIDEOS, FRAMES))
    ((normed, output),), ((_, closed),) = calls, blocks

    stream, norm = closed - output, closing.norm_temp  # temporal attention closes the block, as a residual
    torch.testing.assert_close(normed, nn.functional.layer_norm(stream, norm.normalized_shape, norm.weight, norm.bias))
    normed, output = (x.unflatten(0, (VIDEOS, FRAMES)) for x in (normed, output))
    for video in range(VIDEOS):
        for position in range(normed.shape[2]):
            expected = plain_attention(closing.attn_temp, normed[video, :, position], normed[video, :, position])
            torch.testing.assert_close(output[video, :, position], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("learning", [False, True])
def test_temporal_attention_to_a_large_picture_in_parts(monkeypatch, learning):
    video_unet = tav_core.inflate(small_unet())
    video_unet.load_tuned_state_dict(random_tuning(video_unet))
    at_once = video_unet(*inputs(VIDEOS, FRAMES))
    monkeypatch.setattr(temporal, "LARGEST_LEARNING_BATCH" if learning else "LARGEST_BATCH", 40)
    batches, attn_temp = [], video_unet.temporal[0].attn_temp
    kernel = attn_temp.kernel
    attn_temp.kernel = lambda query, *rest: batches.append(len(query)) or kernel(query, *rest)
    with torch.set_grad_enabled(learning):
        torch.testing.assert_close(video_unet(*inputs(VIDEOS, FRAMES)), at_once)
    assert batches == [40, 40, 16]


@pytest.mark.parametrize("mode", MODES)
def test_gradients_of_every_mode(mode):
    tokens = [torch.randn(2 * 3, 5, 8, dtype=torch.double, requires_grad=True) for _ in range(3)]
    kernel, seen = attention.attention_kernel("sdpa"), attention.key_frames(mode, range(3), range(3))
    assert torch.autograd.gradcheck(lambda *x: attention.video_attention(*x, 2, seen, kernel), tokens)


@pytest.mark.parametrize("largest", [1, 100, 700])
def test_attention_in_parts_is_attention(largest):
    query, key, value = (torch.randn(3, 2, n, 4, requires_grad=True) for n in (10, 15, 15))
    whole = F.scaled_dot_product_attention(query, key, value)
    parts = attention_in_parts(query, key, value, largest)
    torch.testing.assert_close(parts, whole)
    gradients = (torch.autograd.grad(out.square().sum(), (query, key, value)) for out in (parts, whole))
    torch.testing.assert_close(*gradients)


def test_an_unknown_mode_or_kernel_is_named():
    with pytest.raises(ValueError, match="attention mode 'causal' is unknown: choose one of sparse_causal, spatial"):
        tav_core.inflate(small_unet(), attention="causal")
    with pytest.raises(ValueError, match="kernel 'flash' is unknown: choose 'sdpa' or 'xformers'"):
        tav_core.inflate(small_unet(), kernel="flash")


@pytest.mark.skipif(find_spec("xformers") is not None, reason="xformers is installed")
def test_xformers_asked_for_and_missing():
    unet = small_unet()
    with pytest.raises(ValueError, match="xformers is not installed: run 'pip install xformers' or choose"):
        tav_core.inflate(unet, kernel="xformers")
    tav_core.inflate(unet)  # the failed attempt left nothing behind


@torch.no_grad()
def test_xformers_is_given_its_own_layout(monkeypatch):
    """xformers wants [b, n, heads, d], torch [b, heads, n, d]."""
    ops, package = ModuleType("xformers.ops"), ModuleType("xformers")

    def memory_efficient_attention(query, key, value):
        scores = torch.einsum("bnhd,bmhd->bhnm", query, key) / query.shape[-1] ** 0.5
        return torch.einsum("bhnm,bmhd->bnhd", scores.softmax(-1), value)

    ops.memory_efficient_attention = memory_efficient_attention
    monkeypatch.setitem(sys.modules, "xformers", package)
    monkeypatch.setitem(sys.modules, "xformers.ops", ops)
    outputs = []
    for kernel in ("sdpa", "xformers"):
        video_unet = tav_core.inflate(small_unet(), kernel=kernel)
        video_unet.load_tuned_state_dict(random_tuning(video_unet))
        outputs.append(video_unet(*inputs()))
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
