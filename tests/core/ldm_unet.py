"""A small U-Net in the layout of the original Stable Diffusion code, and a diffusers one's weights under its names.

Only the structure and the names matter: both are how the core tells such a network, and where it looks for its parts.
"""

import math
import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResBlock(nn.Module):
    def __init__(self, channels: int, out_channels: int, emb_channels: int, groups: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(groups, channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb_channels, out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, out_channels),
            nn.SiLU(),
            nn.Dropout(0),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        self.skip_connection = nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class CrossAttention(nn.Module):
    def __init__(self, dim: int, context_dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k, self.to_v = (nn.Linear(context_dim, dim, bias=False) for _ in range(2))
        self.to_out = nn.Sequential(nn.Linear(dim, dim), nn.Dropout(0))

    def forward(self, x: Tensor, context: Tensor | None = None, value: Tensor | None = None, mask=None) -> Tensor:
        context = x if context is None else context
        query, key, value = self.to_q(x), self.to_k(context), self.to_v(context if value is None else value)
        query, key, value = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (query, key, value))
        return self.to_out(F.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2).flatten(2))


class GEGLU(nn.Module):
    def __init__(self, dim: int, inner_dim: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, 2 * inner_dim)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.proj(x).chunk(2, dim=-1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GEGLU(dim, 4 * dim), nn.Dropout(0), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class BasicTransformerBlock(nn.Module):
    def __init__(self, dim: int, context_dim: int, heads: int) -> None:
        super().__init__()
        self.attn1 = CrossAttention(dim, dim, heads)
        self.attn2 = CrossAttention(dim, context_dim, heads)
        self.ff = FeedForward(dim)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context=context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    def __init__(self, dim: int, context_dim: int, heads: int, depth: int, groups: int, linear: bool) -> None:
        super().__init__()
        self.linear = linear
        self.norm = nn.GroupNorm(groups, dim, eps=1e-6)
        self.proj_in, self.proj_out = (nn.Linear(dim, dim) if linear else nn.Conv2d(dim, dim, 1) for _ in range(2))
        self.transformer_blocks = nn.ModuleList(BasicTransformerBlock(dim, context_dim, heads) for _ in range(depth))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        h = self.norm(x)
        h = self.proj_in(h.flatten(2).mT) if self.linear else self.proj_in(h).flatten(2).mT
        for block in self.transformer_blocks:
            h = block(h, context)
        h = (
            self.proj_out(h).mT.unflatten(2, x.shape[2:])
            if self.linear
            else self.proj_out(h.mT.unflatten(2, x.shape[2:]))
        )
        return x + h


class Downsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        return self.conv(F.interpolate(x, size=size, mode="nearest"))


class LDMUNet(nn.Module):
    """One residual block per level (two on the way up), and a transformer wherever ``depths`` is not 0.

    Args:
        channels: of each level, from fine to coarse.
        depths: transformer blocks of each level; the middle has as many as the last level, and at least one.
        heads: attention heads of each level.
        adm: width of the vector ``y``; None for a network without one.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        depths: tuple[int, ...],
        heads: tuple[int, ...],
        context_dim: int,
        groups: int = 32,
        linear: bool = False,
        adm: int | None = None,
    ) -> None:
        super().__init__()
        self.channels = channels
        emb = 4 * channels[0]

        def mlp(width: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(width, emb), nn.SiLU(), nn.Linear(emb, emb))

        def transformer(level: int, depth: int) -> SpatialTransformer:
            return SpatialTransformer(channels[level], context_dim, heads[level], depth, groups, linear)

        self.time_embed = mlp(channels[0])
        if adm is not None:
            self.label_emb = nn.Sequential(mlp(adm))
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(4, channels[0], 3, padding=1)])])
        width, skips = channels[0], [channels[0]]
        for level, out in enumerate(channels):
            layers = [ResBlock(width, out, emb, groups)] + [transformer(level, depths[level])] * (depths[level] > 0)
            self.input_blocks.append(nn.ModuleList(layers))
            width = out
            skips.append(width)
            if level < len(channels) - 1:
                self.input_blocks.append(nn.ModuleList([Downsample(width)]))
                skips.append(width)
        middle = transformer(len(channels) - 1, max(1, depths[-1]))
        self.middle_block = nn.ModuleList(
            [ResBlock(width, width, emb, groups), middle, ResBlock(width, width, emb, groups)]
        )
        self.output_blocks = nn.ModuleList()
        for level, out in reversed(list(enumerate(channels))):
            for i in range(2):
                layers = [ResBlock(width + skips.pop(), out, emb, groups)]
                layers += [transformer(level, depths[level])] * (depths[level] > 0)
                layers += [Upsample(out)] * (i == 1 and level > 0)
                self.output_blocks.append(nn.ModuleList(layers))
                width = out
        self.out = nn.Sequential(nn.GroupNorm(groups, width), nn.SiLU(), nn.Conv2d(width, 4, 3, padding=1))

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor, y: Tensor | None = None) -> Tensor:
        half = self.channels[0] // 2
        angles = timesteps[:, None] * torch.exp(-math.log(10000) * torch.arange(half, device=timesteps.device) / half)
        emb = self.time_embed(torch.cat([angles.cos(), angles.sin()], dim=-1).to(x))
        if y is not None:
            emb = emb + self.label_emb(y)
        skips = []
        for layers in self.input_blocks:
            x = self._run(layers, x, emb, context)
            skips.append(x)
        x = self._run(self.middle_block, x, emb, context)
        for layers in self.output_blocks:
            x = torch.cat([x, skips.pop()], dim=1)
            x = self._run(layers, x, emb, context, skips[-1].shape[2:] if skips else None)
        return self.out(x)

    @staticmethod
    def _run(layers: nn.ModuleList, x: Tensor, emb: Tensor, context: Tensor, size: torch.Size | None = None) -> Tensor:
        for layer in layers:
            if isinstance(layer, ResBlock):
                x = layer(x, emb)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context)
            else:
                x = layer(x, size) if isinstance(layer, Upsample) else layer(x)
        return x


def ldm_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a diffusers U-Net with one residual block per level as :class:`LDMUNet` names them."""
    return {_ldm_name(name, state): tensor for name, tensor in state.items()}


def _ldm_name(name: str, state: dict[str, Tensor]) -> str:
    place = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name)
    if place:
        side, level, kind, number, rest = place[1], int(place[2]), place[3], int(place[4]), place[5]
        block = f"input_blocks.{1 + 2 * level}" if side == "down" else f"output_blocks.{2 * level + number}"
        if kind == "downsamplers":
            return f"input_blocks.{2 + 2 * level}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            after = 2 if f"up_blocks.{level}.attentions.1.norm.weight" in state else 1
            return f"output_blocks.{2 * level + 1}.{after}.{rest}"
        return f"{block}.1.{rest}" if kind == "attentions" else f"{block}.0.{_residual(rest)}"
    if name.startswith("mid_block.resnets"):
        number, rest = re.match(r"mid_block\.resnets\.(\d)\.(.*)", name).groups()
        return f"middle_block.{2 * int(number)}.{_residual(rest)}"
    for theirs, ours in (
        ("time_embedding.linear_1", "time_embed.0"),
        ("time_embedding.linear_2", "time_embed.2"),
        ("class_embedding.linear_1", "label_emb.0.0"),
        ("class_embedding.linear_2", "label_emb.0.2"),
        ("conv_in", "input_blocks.0.0"),
        ("conv_norm_out", "out.0"),
        ("conv_out", "out.2"),
        ("mid_block.attentions.0", "middle_block.1"),
    ):
        name = name.replace(theirs, ours)
    return name


def _residual(name: str) -> str:
    part, rest = name.split(".", 1)
    return {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "time_emb_proj": "emb_layers.1",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "conv_shortcut": "skip_connection",
    }[part] + f".{rest}"
