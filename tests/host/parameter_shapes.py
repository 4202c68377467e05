"""Names and shapes of the parameters of Stable Diffusion's networks, as the original code names them."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

CHANNELS = 320
TIME = 4 * CHANNELS
CONTEXT = 768
LATENT = 4
Shapes = Iterator[tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class UNetSize:
    """Per resolution, from fine to coarse: the width as a multiple of 320, and how many blocks a transformer has."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    residual_blocks: int
    context: int = CONTEXT
    linear: bool = False
    """Linear layers around the transformers instead of convolutions."""
    pooled: int = 0
    """Width of the pooled embedding and sizes that are added to the timestep's; 0 for none."""


SMALL = UNetSize(widths=(1, 1, 1), depths=(1, 1, 0), residual_blocks=1)
SMALL_V2 = replace(SMALL, context=1024, linear=True)
SMALL_UNCLIP = replace(SMALL_V2, pooled=1536)
SMALL_XL = UNetSize(widths=(1, 1, 1), depths=(0, 1, 2), residual_blocks=2, context=2048, linear=True, pooled=2816)
FULL = UNetSize(widths=(1, 2, 4, 4), depths=(1, 1, 1, 0), residual_blocks=2)
FULL_XL = replace(SMALL_XL, widths=(1, 2, 4), depths=(0, 2, 10))


def weights(name: str, *shape: int, bias: bool = True) -> Shapes:
    yield f"{name}.weight", shape
    if bias:
        yield f"{name}.bias", shape[:1]


def unet(size: UNetSize) -> Shapes:
    """Return the U-Net's parameters as the original Stable Diffusion code names them."""
    last = len(size.widths) - 1
    channels, skips = yield from unet_encoder(size)
    block = 0
    for level in range(last, -1, -1):
        for number in range(size.residual_blocks + 1):
            yield from _residual(f"output_blocks.{block}.0", channels + skips.pop(), size.widths[level] * CHANNELS)
            channels = size.widths[level] * CHANNELS
            if size.depths[level]:
                yield from _transformer(f"output_blocks.{block}.1", channels, size, size.depths[level])
            if level > 0 and number == size.residual_blocks:
                place = 2 if size.depths[level] else 1
                yield from weights(f"output_blocks.{block}.{place}.conv", channels, channels, 3, 3)
            block += 1
    yield from weights("out.0", channels)
    yield from weights("out.2", LATENT, channels, 3, 3)


def unet_encoder(size: UNetSize) -> Generator[tuple[str, tuple[int, ...]], None, tuple[int, list[int]]]:
    """Add the half that a ControlNet shares; return the channels at its end, and those of each input block."""
    last = len(size.widths) - 1
    yield from weights("time_embed.0", TIME, CHANNELS)
    yield from weights("time_embed.2", TIME, TIME)
    if size.pooled:
        yield from weights("label_emb.0.0", TIME, size.pooled)
        yield from weights("label_emb.0.2", TIME, TIME)
    yield from weights("input_blocks.0.0", CHANNELS, LATENT, 3, 3)
    channels, skips, block = CHANNELS, [CHANNELS], 1
    for level, width in enumerate(size.widths):
        for _ in range(size.residual_blocks):
            yield from _residual(f"input_blocks.{block}.0", channels, width * CHANNELS)
            channels = width * CHANNELS
            if size.depths[level]:
                yield from _transformer(f"input_blocks.{block}.1", channels, size, size.depths[level])
            skips.append(channels)
            block += 1
        if level < last:
            yield from weights(f"input_blocks.{block}.0.op", channels, channels, 3, 3)
            skips.append(channels)
            block += 1
    yield from _residual("middle_block.0", channels, channels)
    yield from _transformer("middle_block.1", channels, size, size.depths[-1] or 1)
    yield from _residual("middle_block.2", channels, channels)
    return channels, skips


def _residual(name: str, before: int, after: int) -> Shapes:
    yield from weights(f"{name}.in_layers.0", before)
    yield from weights(f"{name}.in_layers.2", after, before, 3, 3)
    yield from weights(f"{name}.emb_layers.1", after, TIME)
    yield from weights(f"{name}.out_layers.0", after)
    yield from weights(f"{name}.out_layers.3", after, after, 3, 3)
    if before != after:
        yield from weights(f"{name}.skip_connection", after, before, 1, 1)


def _transformer(name: str, channels: int, size: UNetSize, depth: int) -> Shapes:
    kernel = () if size.linear else (1, 1)
    yield from weights(f"{name}.norm", channels)
    yield from weights(f"{name}.proj_in", channels, channels, *kernel)
    for number in range(depth):
        yield from _transformer_block(f"{name}.transformer_blocks.{number}", channels, size)
    yield from weights(f"{name}.proj_out", channels, channels, *kernel)


def _transformer_block(block: str, channels: int, size: UNetSize) -> Shapes:
    for attention, source in (("attn1", channels), ("attn2", size.context)):
        yield from weights(f"{block}.{attention}.to_q", channels, channels, bias=False)
        yield from weights(f"{block}.{attention}.to_k", channels, source, bias=False)
        yield from weights(f"{block}.{attention}.to_v", channels, source, bias=False)
        yield from weights(f"{block}.{attention}.to_out.0", channels, channels)
    yield from weights(f"{block}.ff.net.0.proj", 8 * channels, channels)
    yield from weights(f"{block}.ff.net.2", channels, 4 * channels)
    for norm in ("norm1", "norm2", "norm3"):
        yield from weights(f"{block}.{norm}", channels)


def text_encoder() -> Shapes:
    """Return CLIP ViT-L/14's text encoder, as transformers names its parameters."""
    yield "embeddings.token_embedding.weight", (49408, CONTEXT)
    yield "embeddings.position_embedding.weight", (77, CONTEXT)
    for number in range(12):
        layer = f"encoder.layers.{number}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from weights(f"{layer}.self_attn.{projection}", CONTEXT, CONTEXT)
        yield from weights(f"{layer}.mlp.fc1", 4 * CONTEXT, CONTEXT)
        yield from weights(f"{layer}.mlp.fc2", CONTEXT, 4 * CONTEXT)
        yield from weights(f"{layer}.layer_norm1", CONTEXT)
        yield from weights(f"{layer}.layer_norm2", CONTEXT)
    yield from weights("final_layer_norm", CONTEXT)


def tiny_autoencoder() -> Shapes:
    """Return TAESD: rows of 64 channels; each entry is the place of a layer in its sequence, and what stands there."""
    encoder = "conv3 block half block block block half block block block half block block block conv4"
    decoder = "clamp conv4 relu " + "block block block double free " * 3 + "block conv3"
    for side, layers in (("taesd_encoder", encoder), ("taesd_decoder", decoder)):
        for number, layer in enumerate(layers.split()):
            name = f"{side}.{number}"
            if layer == "block":
                for place in (0, 2, 4):
                    yield from weights(f"{name}.conv.{place}", 64, 64, 3, 3)
            elif layer in ("half", "free"):
                yield from weights(name, 64, 64, 3, 3, bias=False)
            elif layer.startswith("conv"):
                outer = int(layer[-1])
                opens = number < 2
                yield from weights(name, *((64, outer) if opens else (outer, 64)), 3, 3)


def autoencoder() -> Shapes:
    """Return the KL autoencoder of SD 1.x, as the original code names its parameters."""
    widths = (128, 256, 512, 512)
    yield from weights("encoder.conv_in", 128, 3, 3, 3)
    channels = 128
    for level, width in enumerate(widths):
        for number in range(2):
            yield from _plain_residual(f"encoder.down.{level}.block.{number}", channels, width)
            channels = width
        if level < 3:
            yield from weights(f"encoder.down.{level}.downsample.conv", width, width, 3, 3)
    yield from _middle("encoder.mid", channels)
    yield from weights("encoder.norm_out", channels)
    yield from weights("encoder.conv_out", 2 * LATENT, channels, 3, 3)
    yield from weights("quant_conv", 2 * LATENT, 2 * LATENT, 1, 1)
    yield from weights("post_quant_conv", LATENT, LATENT, 1, 1)
    yield from weights("decoder.conv_in", channels, LATENT, 3, 3)
    yield from _middle("decoder.mid", channels)
    for level in (3, 2, 1, 0):
        for number in range(3):
            yield from _plain_residual(f"decoder.up.{level}.block.{number}", channels, widths[level])
            channels = widths[level]
        if level > 0:
            yield from weights(f"decoder.up.{level}.upsample.conv", channels, channels, 3, 3)
    yield from weights("decoder.norm_out", channels)
    yield from weights("decoder.conv_out", 3, channels, 3, 3)


def _plain_residual(name: str, before: int, after: int) -> Shapes:
    yield from weights(f"{name}.norm1", before)
    yield from weights(f"{name}.conv1", after, before, 3, 3)
    yield from weights(f"{name}.norm2", after)
    yield from weights(f"{name}.conv2", after, after, 3, 3)
    if before != after:
        yield from weights(f"{name}.nin_shortcut", after, before, 1, 1)


def _middle(name: str, channels: int) -> Shapes:
    yield from _plain_residual(f"{name}.block_1", channels, channels)
    yield from weights(f"{name}.attn_1.norm", channels)
    for projection in ("q", "k", "v", "proj_out"):
        yield from weights(f"{name}.attn_1.{projection}", channels, channels, 1, 1)
    yield from _plain_residual(f"{name}.block_2", channels, channels)
