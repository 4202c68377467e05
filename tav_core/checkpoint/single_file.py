"""Single-file Stable Diffusion checkpoints (``.safetensors``, the LDM layout) as diffusers and transformers models.

The sizes are taken from the weights, so that no configuration has to be fetched; the conversion of the U-Net's and the
autoencoder's names is that of diffusers.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ..diffusion.schedule import NoiseSchedule
from ..errors import short
from .refusals import ORDINARY, check_channels, check_names
from .text import TextEncoder
from .tokenizer import cached_tokenizer, load_tokenizer

LATENT_SCALE, LATENT_SCALE_XL = 0.18215, 0.13025
"""Bring the autoencoder's latents of SD 1.x and 2.x, and of SDXL, to unit variance."""

State = dict[str, Tensor]

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model."
TEXT_V1, TEXT_V2 = f"{TEXT}transformer.", f"{TEXT}model."
TEXTS_XL = "conditioner.embedders."
TEXT_XL_1, TEXT_XL_2 = f"{TEXTS_XL}0.transformer.", f"{TEXTS_XL}1.model."

_OPEN_CLIP_TO_CLIP = {
    "transformer.resblocks.": "encoder.layers.",
    ".attn.": ".self_attn.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".c_fc.": ".fc1.",
    ".c_proj.": ".fc2.",
}


def load_file(
    path: Path, dtype: torch.dtype, tokenizer: str | os.PathLike | None, prediction_type: str | None
) -> tuple[nn.Module, nn.Module, list[TextEncoder], NoiseSchedule]:
    """Load U-Net, autoencoder, text encoders and noise schedule; errors as for :meth:`.Pipeline.load`."""
    if path.suffix != ".safetensors":
        raise ValueError(
            f"{path} is not a .safetensors file: pickled checkpoints (.ckpt, .pt, .bin) could run code when opened and "
            "are never loaded; get the .safetensors version."
        )
    file = SingleFile(path)
    tokenizers = [load_tokenizer(tokenizer) if tokenizer else cached_tokenizer(path) for _ in range(1 + file.is_sdxl)]
    if file.is_v2 or file.is_sdxl:
        tokenizers[-1].pad_token = "!"  # what OpenCLIP was trained with
    texts = [TextEncoder(*pair) for pair in zip(file.text_encoders(dtype), tokenizers)]
    zero_terminal_snr = file.zero_terminal_snr
    spacing = "trailing" if zero_terminal_snr else "leading"
    schedule = NoiseSchedule.stable_diffusion(prediction_type or file.prediction_type(), spacing, zero_terminal_snr)
    return file.unet(dtype), file.vae(dtype), texts, schedule


class SingleFile:
    """A checkpoint in one file, of which a part is read when it is built.

    Raises:
        ValueError: the file does not hold a whole SD 1.x, SD 2.x or SDXL checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with safe_open(path, "pt") as file:
            self.names = list(file.keys())
            self.metadata: dict[str, str] = file.metadata() or {}
        check_names(path, self.names)
        if f"{UNET}label_emb.0.0.weight" in self.names and not self.is_sdxl:
            raise ValueError(
                f"{path} is an SDXL refiner or an unCLIP checkpoint, which Tune-A-Video does not work on: {ORDINARY}."
            )
        text = TEXTS_XL if self.is_sdxl else TEXT
        for prefix, part in ((UNET, "U-Net"), (VAE, "autoencoder (VAE)"), (text, "text encoder")):
            if not any(name.startswith(prefix) for name in self.names):
                raise ValueError(
                    f"{path} holds no {part}: expected a whole SD 1.x, SD 2.x or SDXL checkpoint, with U-Net, "
                    "autoencoder and text encoder in one file."
                )

    @property
    def is_sdxl(self) -> bool:
        """Return True for SDXL, which has two text encoders."""
        return any(name.startswith(TEXT_XL_2) for name in self.names)

    @property
    def is_v2(self) -> bool:
        """Return True for SD 2.x, False for SD 1.x."""
        return any(name.startswith(TEXT_V2) for name in self.names)

    def prediction_type(self) -> str:
        """Return ``epsilon`` or ``v_prediction``, by what the file says; else by what is known of SD 2.x."""
        said = self.metadata.get("modelspec.prediction_type")
        if said:
            return "v_prediction" if said.startswith("v") else "epsilon"
        if "v_pred" in self.names:  # an empty tensor that SDXL checkpoints carry for ComfyUI
            return "v_prediction"
        # The two kinds of SD 2.x differ in nothing but their values. ComfyUI tells them by this one, and so do we.
        norm = f"{UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"
        velocity = self.is_v2 and norm in self.names and float(self._read(norm)[norm].std(unbiased=False)) > 0.09
        return "v_prediction" if velocity else "epsilon"

    @property
    def latent_scale(self) -> float:
        return LATENT_SCALE_XL if self.is_sdxl else LATENT_SCALE

    @property
    def zero_terminal_snr(self) -> bool:
        """Return whether the file carries ComfyUI's mark of a schedule that ends in pure noise."""
        return "ztsnr" in self.names

    def unet(self, dtype: torch.dtype) -> nn.Module:
        """Return the U-Net as a diffusers ``UNet2DConditionModel``."""
        from diffusers import UNet2DConditionModel
        from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

        state = self._read(UNET, dtype)
        config = _unet_config(self.path, {name.removeprefix(UNET): tensor for name, tensor in state.items()})
        with torch.device("meta"):
            unet = UNet2DConditionModel(**config)
        return _load(unet, convert_ldm_unet_checkpoint(state, config), "U-Net")

    def vae(self, dtype: torch.dtype) -> nn.Module:
        """Return the autoencoder as a diffusers ``AutoencoderKL``, or ``AutoencoderTiny`` if the file holds a TAESD."""
        from diffusers import AutoencoderKL, AutoencoderTiny
        from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

        state = {name.removeprefix(VAE): tensor for name, tensor in self._read(VAE, dtype).items()}
        if "taesd_encoder.0.weight" in state:
            channels = state["taesd_decoder.1.weight"].shape[1]
            scale = float(state.get("vae_scale", self.latent_scale))  # ComfyUI's: what the latents were divided by
            with torch.device("meta"):
                vae = AutoencoderTiny(latent_channels=channels, scaling_factor=self.latent_scale / scale)
            return _load(vae, _tiny_names(state), "autoencoder")
        config = _vae_config(state) | {"scaling_factor": self.latent_scale}
        with torch.device("meta"):
            vae = AutoencoderKL(**config)
        return _load(vae, convert_ldm_vae_checkpoint(state, config), "autoencoder")

    def text_encoders(self, dtype: torch.dtype) -> list[nn.Module]:
        """Build CLIP's text encoder (SD 1.x), OpenCLIP's without its last layer (SD 2.x), or CLIP's and OpenCLIP's with
        its projection (SDXL)."""
        if self.is_sdxl:
            return [_clip(self._below(TEXT_XL_1, dtype)), _clip(_open_clip_names(self._below(TEXT_XL_2, dtype)), True)]
        if not self.is_v2:
            return [_clip(self._below(TEXT_V1, dtype))]
        state = {name: tensor for name, tensor in self._below(TEXT_V2, dtype).items() if ".resblocks.23." not in name}
        state.pop("text_projection", None)
        return [_clip(_open_clip_names(state), True)]

    def _below(self, prefix: str, dtype: torch.dtype) -> State:
        return {name.removeprefix(prefix): tensor for name, tensor in self._read(prefix, dtype).items()}

    def _read(self, prefix: str, dtype: torch.dtype = torch.float32) -> State:
        with safe_open(self.path, "pt") as file:
            return {name: file.get_tensor(name).to(dtype) for name in self.names if name.startswith(prefix)}


def _clip(state: State, open_clip: bool = False) -> nn.Module:
    """Build a ``CLIPTextModel``, or a ``CLIPTextModelWithProjection`` where the state has a projection."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    state = {name.removeprefix("text_model."): tensor for name, tensor in state.items()}
    vocabulary, width = state["embeddings.token_embedding.weight"].shape
    projection = state.get("text_projection.weight")
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=len(state["encoder.layers.0.mlp.fc1.weight"]),
        num_hidden_layers=_count(r"encoder\.layers\.(\d+)\.", state),
        num_attention_heads=width // 64,
        max_position_embeddings=len(state["embeddings.position_embedding.weight"]),
        hidden_act="gelu" if open_clip else "quick_gelu",
        projection_dim=width if projection is None else len(projection),
    )
    model = CLIPTextModel(config) if projection is None else CLIPTextModelWithProjection(config)
    # transformers 5.6 and later dropped the level "text_model." of CLIPTextModel
    names = {name.removeprefix("text_model."): name for name in model.state_dict()}
    return _load(model, {names[name]: tensor for name, tensor in state.items() if name in names}, "text encoder")


def _unet_config(path: Path, state: State) -> dict:
    inputs, outputs = state["input_blocks.0.0.weight"].shape[1], len(state["out.2.weight"])
    check_channels(path, inputs, outputs)
    channels, depths, residuals = [], [], 0
    for i in range(1, _count(r"input_blocks\.(\d+)\.", state)):
        if f"input_blocks.{i}.0.op.weight" in state:
            continue
        if len(channels) == 0 or f"input_blocks.{i - 1}.0.op.weight" in state:
            channels.append(len(state[f"input_blocks.{i}.0.out_layers.3.weight"]))
            depths.append(_depth(f"input_blocks.{i}.1", state))
        residuals += 1
    transformer = next(k for k in state if k.endswith("transformer_blocks.0.attn2.to_k.weight"))
    linear = state[f"{transformer.split('.transformer_blocks.')[0]}.proj_in.weight"].ndim == 2
    kinds = ["CrossAttn" if depth else "" for depth in depths]
    depths[-1] = depths[-1] or _depth(
        "middle_block.1", state
    )  # where the last level has none, diffusers means the middle
    config = {
        "in_channels": inputs,
        "out_channels": outputs,
        "down_block_types": [f"{kind}DownBlock2D" for kind in kinds],
        "up_block_types": [f"{kind}UpBlock2D" for kind in reversed(kinds)],
        "block_out_channels": channels,
        "layers_per_block": residuals // len(channels),
        "transformer_layers_per_block": [max(1, depth) for depth in depths],
        "cross_attention_dim": state[transformer].shape[1],
        # diffusers keeps the number of heads under this name: 8 in SD 1.x, one per 64 channels in SD 2.x and SDXL
        "attention_head_dim": [width // 64 for width in channels] if linear else 8,
        "use_linear_projection": linear,
        "num_class_embeds": None,
    }
    if "label_emb.0.0.weight" in state:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": state["label_emb.0.0.weight"].shape[1],
        }
    return config


def _depth(transformer: str, state: State) -> int:
    """Count the blocks of a spatial transformer; 0 where there is none of this name."""
    pattern = rf"{re.escape(transformer)}\.transformer_blocks\.(\d+)\."
    return max((int(found[1]) + 1 for found in (re.match(pattern, name) for name in state) if found), default=0)


def _vae_config(state: State) -> dict:
    levels = _count(r"encoder\.down\.(\d+)\.", state)
    return {
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "block_out_channels": [len(state[f"encoder.down.{i}.block.0.conv1.weight"]) for i in range(levels)],
        "layers_per_block": _count(r"encoder\.down\.0\.block\.(\d+)\.", state),
        "latent_channels": state["decoder.conv_in.weight"].shape[1],
    }


def _tiny_names(state: State) -> State:
    """Return TAESD's names in diffusers, whose decoder leaves the opening clamp out of the count."""
    named = {}
    for name, tensor in state.items():
        found = re.match(r"taesd_(encoder|decoder)\.(\d+)\.(.*)", name)
        if found:
            number = int(found[2]) - (found[1] == "decoder")
            named[f"{found[1]}.layers.{number}.{found[3]}"] = tensor
    return named


def _open_clip_names(state: State) -> State:
    """Return OpenCLIP's weights under CLIP's names, its joint projections split."""
    plain = {
        "positional_embedding": "embeddings.position_embedding.weight",
        "token_embedding.weight": "embeddings.token_embedding.weight",
        "ln_final.weight": "final_layer_norm.weight",
        "ln_final.bias": "final_layer_norm.bias",
    }
    named = {clip: state[name] for name, clip in plain.items()}
    if "text_projection" in state:
        named["text_projection.weight"] = state["text_projection"].T.contiguous()
    for name, tensor in state.items():
        if not name.startswith("transformer.resblocks."):
            continue
        for old, new in _OPEN_CLIP_TO_CLIP.items():
            name = name.replace(old, new)
        if ".in_proj_" in name:
            for projection, part in zip(("q_proj", "k_proj", "v_proj"), tensor.chunk(3)):
                named[name.replace("in_proj_", f"{projection}.")] = part
        else:
            named[name] = tensor
    return named


def _count(pattern: str, state: State) -> int:
    """Count the numbered modules of a kind; LookupError when there are none."""
    numbers = [int(found[1]) for found in (re.match(pattern, name) for name in state) if found]
    if not numbers:
        raise LookupError(f"nothing is called {pattern}")
    return max(numbers) + 1


def _load(model: nn.Module, state: State, part: str) -> nn.Module:
    missing = sorted(model.state_dict().keys() - state.keys())
    if missing:
        raise ValueError(
            f"The checkpoint's {part} lacks {len(missing)} weights (first: {short(missing[0])}): it is not an "
            "SD 1.x, SD 2.x or SDXL checkpoint, or incomplete."
        )
    model.load_state_dict({name: state[name] for name in model.state_dict()}, assign=True)
    return model.requires_grad_(False).eval()
