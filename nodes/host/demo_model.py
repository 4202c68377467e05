"""The demo model as ComfyUI's own MODEL, CLIP and VAE, so that every node works on it.

ComfyUI detects checkpoints by the layer sizes of Stable Diffusion. The demo model is hundreds of times smaller, and
its folder has the diffusers layout, which ComfyUI does not load: here its parts are built from ComfyUI's classes.

Its model patchers are plain ones, without dynamic memory: 5 MB need none, and tuning needs weights that stay.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import comfy.clip_model
import comfy.latent_formats
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import comfy.utils
import torch
from comfy.supported_models_base import ClipTarget
from comfy.taesd.taesd import Block, conv
from safetensors.torch import load_file
from torch import Tensor, nn

from ...tav_core.demo import MODEL

WEIGHTS = "diffusion_pytorch_model.safetensors"
FILES = (
    "unet/config.json",
    f"unet/{WEIGHTS}",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "vae/config.json",
    f"vae/{WEIGHTS}",
)


def load_demo_model(folder: Path = MODEL) -> tuple:
    """Return MODEL, CLIP and VAE of the demo model.

    Args:
        folder: a Stable Diffusion of any size in the diffusers layout, with a tiny autoencoder.

    Raises:
        FileNotFoundError: a file of the model is missing.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"The demo model is incomplete ({', '.join(missing)} missing in {folder}): install this pack again."
        )
    model, vae = _model(folder / "unet"), _vae(folder / "vae")
    latents, network = model.model.latent_format, vae.first_stage_model
    latents.latent_rgb_factors, latents.latent_rgb_factors_bias = _colours_of_latents(network, latents.latent_channels)
    return model, _clip(folder / "text_encoder", folder / "tokenizer"), vae


class DemoLatents(comfy.latent_formats.LatentFormat):
    """Eight channels, of which each stands for 8x8 pixels."""

    latent_channels = 8


class DemoConfig(comfy.supported_models.SD15):
    """Stable Diffusion 1 with smaller layers."""

    unet_extra_config: ClassVar = {}
    latent_format = DemoLatents

    def inpaint_model(self) -> bool:
        """Return False: ComfyUI (0.33.0) takes every SD 1 with more than four channels for one that fills masks."""
        return False


def _model(folder: Path) -> comfy.model_patcher.ModelPatcher:
    config, weights = _config(folder), load_file(folder / WEIGHTS)
    widths, layers = config["block_out_channels"], config["layers_per_block"]
    transformers = [int(kind.startswith("CrossAttn")) for kind in config["down_block_types"]]
    model_config = DemoConfig(
        {
            "image_size": config["sample_size"],
            "in_channels": config["in_channels"],
            "out_channels": config["out_channels"],
            "model_channels": widths[0],
            "channel_mult": [width // widths[0] for width in widths],
            "num_res_blocks": [layers] * len(widths),
            "transformer_depth": [depth for depth in transformers for _ in range(layers)],
            "transformer_depth_output": [depth for depth in transformers for _ in range(layers + 1)],
            "transformer_depth_middle": 1,
            "num_heads": config["attention_head_dim"],  # diffusers' name for it, kept for old files
            "num_head_channels": -1,
            "context_dim": config["cross_attention_dim"],
            "use_spatial_transformer": True,
            "use_linear_in_transformer": False,
            "use_temporal_attention": False,
            "adm_in_channels": None,
            "legacy": False,
        }
    )
    device, kinds = comfy.model_management.get_torch_device(), model_config.supported_inference_dtypes
    parameters = sum(weight.numel() for weight in weights.values())
    dtype = comfy.model_management.unet_dtype(
        model_params=parameters, supported_dtypes=kinds, weight_dtype=weights["conv_in.weight"].dtype
    )
    cast = comfy.model_management.unet_manual_cast(dtype, device, kinds)
    model_config.set_inference_dtype(dtype, cast)
    model_config.custom_operations = _with_groups(comfy.ops.pick_operations(dtype, cast), config["norm_num_groups"])
    model = model_config.get_model({})
    names = comfy.utils.unet_to_diffusers(model_config.unet_config)
    model.diffusion_model.load_state_dict({names[name]: weight.to(dtype) for name, weight in weights.items()})
    return comfy.model_patcher.ModelPatcher(model, device, comfy.model_management.unet_offload_device())


def _with_groups(operations: type, groups: int) -> type:
    """Return ComfyUI's layers with that many groups in every group norm, where its U-Net asks for 32 (0.33.0)."""

    class Operations(operations):
        class GroupNorm(operations.GroupNorm):
            def __init__(self, num_groups: int, *args: Any, **kwargs: Any) -> None:
                super().__init__(groups, *args, **kwargs)

    return Operations


class _TextModel(comfy.clip_model.CLIPTextModel):
    """ComfyUI's text model with the vocabulary size of the config; its own is always 49408 (0.33.0)."""

    def __init__(self, config: dict, dtype: torch.dtype, device: torch.device, operations: type) -> None:
        super().__init__(config, dtype, device, operations)
        words = operations.Embedding(config["vocab_size"], config["hidden_size"], dtype=dtype, device=device)
        self.set_input_embeddings(words)


class _TextEncoder(comfy.sd1_clip.SD1ClipModel):
    disable_offload = True  # no dynamic memory


def _clip(folder: Path, tokenizer: Path) -> comfy.sd.CLIP:
    config = _config(folder)
    length = config["max_position_embeddings"]
    encode = partial(
        comfy.sd1_clip.SDClipModel,
        max_length=length,
        textmodel_json_config=config,
        model_class=_TextModel,
        special_tokens={"start": config["bos_token_id"], "end": config["eos_token_id"], "pad": config["pad_token_id"]},
        return_projected_pooled=False,
    )
    tokenize = partial(
        comfy.sd1_clip.SDTokenizer,
        tokenizer_path=str(tokenizer),
        max_length=length,
        embedding_size=config["hidden_size"],
    )
    target = ClipTarget(
        partial(comfy.sd1_clip.SD1Tokenizer, tokenizer=tokenize), partial(_TextEncoder, clip_model=encode)
    )
    clip = comfy.sd.CLIP(target)
    clip.load_sd(load_file(folder / "model.safetensors"))
    return clip


class TinyAutoencoder(nn.Module):
    """The AutoencoderTiny of diffusers built from ComfyUI's layers; pictures in -1..1.

    Args:
        config: its diffusers config.
    """

    def __init__(self, config: dict) -> None:
        super().__init__()
        outer, inner = config["in_channels"], config["latent_channels"]
        widths, blocks = config["encoder_block_out_channels"], config["num_encoder_blocks"]
        layers = []
        for i, (width, count) in enumerate(zip(widths, blocks)):
            layers += [conv(width, width, stride=2, bias=False) if i else conv(outer, width)]
            layers += [Block(width, width) for _ in range(count)]
        self.encoder = nn.Sequential(*layers, conv(widths[-1], inner))

        widths, blocks = config["decoder_block_out_channels"], config["num_decoder_blocks"]
        layers = [conv(inner, widths[0]), nn.ReLU()]
        for width, count in zip(widths[:-1], blocks):
            layers += [Block(width, width) for _ in range(count)]
            layers += [nn.Upsample(scale_factor=2), conv(width, width, bias=False)]
        layers += [Block(widths[-1], widths[-1]) for _ in range(blocks[-1])]
        self.decoder = nn.Sequential(*layers, conv(widths[-1], outer))

    def encode(self, pictures: Tensor) -> Tensor:
        return self.encoder(pictures / 2 + 0.5)

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder(torch.tanh(latents / 3) * 3) * 2 - 1


@torch.no_grad()
def _colours_of_latents(network: TinyAutoencoder, channels: int) -> tuple[list[list[float]], list[float]]:
    """Return the colour in -1..1 that each channel adds to a plain picture, for previews, and that of zero latents."""
    some = torch.cat([torch.zeros(1, channels), 0.5 * torch.eye(channels)])
    weight = next(network.parameters())
    pictures = network.decode(some[:, :, None, None].expand(-1, -1, 4, 4).to(weight))
    none, *each = pictures.mean(dim=(2, 3)).float().cpu()
    return [((one - none) / 0.5).tolist() for one in each], none.tolist()


def _vae(folder: Path) -> comfy.sd.VAE:
    config, weights = _config(folder), load_file(folder / WEIGHTS)
    network = TinyAutoencoder(config)
    network.load_state_dict({name.replace(".layers.", "."): weight for name, weight in weights.items()})
    # ComfyUI makes every other VAE with its own sizes; this kind has no network, which is put in afterwards
    vae = comfy.sd.VAE({"pixel_space_vae": torch.tensor(1.0)})
    vae.first_stage_model = network.to(vae.vae_dtype).eval().requires_grad_(False)
    vae.patcher = comfy.model_patcher.ModelPatcher(network, vae.device, comfy.model_management.vae_offload_device())
    vae.size = None
    vae.latent_channels = config["latent_channels"]
    factor = vae.downscale_ratio = vae.upscale_ratio = 2 ** (len(config["decoder_block_out_channels"]) - 1)
    maps = 4 * config["decoder_block_out_channels"][-1]
    vae.memory_used_encode = lambda shape, dtype: maps * shape[2] * shape[3] * dtype.itemsize
    vae.memory_used_decode = lambda shape, dtype: maps * factor**2 * shape[2] * shape[3] * dtype.itemsize
    return vae


def _config(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))
