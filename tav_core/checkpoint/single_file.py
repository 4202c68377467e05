"""Single-file Stable Diffusion checkpoints (``.safetensors``, the LDM layout) as diffusers and transformers models.

The sizes are taken from the weights, so that no configuration has to be fetched; the conversion of the U-Net's and the
autoencoder's names is that of diffusers.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ..errors import short

LATENT_SCALE = 0.18215
"""Brings the autoencoder's latents of SD 1.x and 2.x to unit variance."""

State = dict[str, Tensor]

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model."
TEXT_V1, TEXT_V2 = f"{TEXT}transformer.", f"{TEXT}model."

_OPEN_CLIP_TO_CLIP = {
    "transformer.resblocks.": "encoder.layers.",
    ".attn.": ".self_attn.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".c_fc.": ".fc1.",
    ".c_proj.": ".fc2.",
}


class SingleFile:
    """A checkpoint in one file, of which a part is read when it is built.

    Raises:
        ValueError: the file holds no whole Stable Diffusion 1.x or 2.x checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with safe_open(path, "pt") as file:
            self.names = list(file.keys())
            self.metadata: dict[str, str] = file.metadata() or {}
        if any(name.startswith("conditioner.embedders.1.") for name in self.names):
            raise ValueError(f"{path} is an SDXL checkpoint: without ComfyUI, use an SD 1.x or 2.x checkpoint.")
        if f"{UNET}time_embed.cond_proj.weight" in self.names:
            raise ValueError(
                f"The U-Net of {path} is a latent consistency model (LCM), which takes its guidance as an input: use "
                "the checkpoint that it was distilled from."
            )
        for prefix, part in ((UNET, "U-Net"), (VAE, "autoencoder (VAE)"), (TEXT, "text encoder")):
            if not any(name.startswith(prefix) for name in self.names):
                raise ValueError(
                    f"{path} holds no {part}: expected a whole SD 1.x or 2.x checkpoint, with U-Net, autoencoder and "
                    "text encoder in one file."
                )

    @property
    def is_v2(self) -> bool:
        """True for SD 2.x, False for SD 1.x."""
        return any(name.startswith(TEXT_V2) for name in self.names)

    def prediction_type(self) -> str:
        """``epsilon`` or ``v_prediction``, by what the file says; else by what is known of SD 2.x."""
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
    def zero_terminal_snr(self) -> bool:
        """True where the file carries ComfyUI's mark of a schedule that ends in pure noise."""
        return "ztsnr" in self.names

    def unet(self, dtype: torch.dtype) -> nn.Module:
        """The U-Net as a diffusers ``UNet2DConditionModel``."""
        from diffusers import UNet2DConditionModel
        from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

        state = self._read(UNET, dtype)
        config = _unet_config({name.removeprefix(UNET): tensor for name, tensor in state.items()})
        with torch.device("meta"):
            unet = UNet2DConditionModel(**config)
        return _load(unet, convert_ldm_unet_checkpoint(state, config), "U-Net")

    def vae(self, dtype: torch.dtype) -> nn.Module:
        """The autoencoder as a diffusers ``AutoencoderKL``, or ``AutoencoderTiny`` where the file holds a TAESD."""
        from diffusers import AutoencoderKL, AutoencoderTiny
        from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

        state = {name.removeprefix(VAE): tensor for name, tensor in self._read(VAE, dtype).items()}
        if "taesd_encoder.0.weight" in state:
            channels = state["taesd_decoder.1.weight"].shape[1]
            scale = float(state.get("vae_scale", LATENT_SCALE))  # ComfyUI's: what the latents were divided by
            with torch.device("meta"):
                vae = AutoencoderTiny(latent_channels=channels, scaling_factor=LATENT_SCALE / scale)
            return _load(vae, _tiny_names(state), "autoencoder")
        config = _vae_config(state)
        with torch.device("meta"):
            vae = AutoencoderKL(**config)
        return _load(vae, convert_ldm_vae_checkpoint(state, config), "autoencoder")

    def text_encoder(self, dtype: torch.dtype) -> nn.Module:
        """CLIP's text encoder (SD 1.x), or OpenCLIP's without its last layer (SD 2.x), as a ``CLIPTextModel``."""
        from transformers import CLIPTextConfig, CLIPTextModel

        prefix = TEXT_V2 if self.is_v2 else TEXT_V1
        state = {name.removeprefix(prefix): tensor for name, tensor in self._read(prefix, dtype).items()}
        if self.is_v2:
            state = _open_clip_names(state)
        state = {name.removeprefix("text_model."): tensor for name, tensor in state.items()}
        vocabulary, width = state["embeddings.token_embedding.weight"].shape
        config = CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=len(state["encoder.layers.0.mlp.fc1.weight"]),
            num_hidden_layers=_count(r"encoder\.layers\.(\d+)\.", state),
            num_attention_heads=width // 64,
            max_position_embeddings=len(state["embeddings.position_embedding.weight"]),
            hidden_act="gelu" if self.is_v2 else "quick_gelu",
        )
        model = CLIPTextModel(config)
        # transformers 5.6 and later dropped the level "text_model."
        level = "text_model." if any(name.startswith("text_model.") for name in model.state_dict()) else ""
        return _load(model, {level + name: tensor for name, tensor in state.items()}, "text encoder")

    def _read(self, prefix: str, dtype: torch.dtype = torch.float32) -> State:
        with safe_open(self.path, "pt") as file:
            return {name: file.get_tensor(name).to(dtype) for name in self.names if name.startswith(prefix)}


def _unet_config(state: State) -> dict:
    inputs, outputs = state["input_blocks.0.0.weight"].shape[1], len(state["out.2.weight"])
    if inputs != outputs:
        raise ValueError(
            f"The checkpoint's U-Net takes {inputs} channels where {outputs} are expected: it is one for inpainting, "
            "depth or editing; use an ordinary text-to-image checkpoint."
        )
    channels, attends, residuals = [], [], 0
    for i in range(1, _count(r"input_blocks\.(\d+)\.", state)):
        if f"input_blocks.{i}.0.op.weight" in state:
            continue
        if len(channels) == 0 or f"input_blocks.{i - 1}.0.op.weight" in state:
            channels.append(len(state[f"input_blocks.{i}.0.out_layers.3.weight"]))
            attends.append(f"input_blocks.{i}.1.norm.weight" in state)
        residuals += 1
    transformer = next(k for k in state if k.endswith("transformer_blocks.0.attn2.to_k.weight"))
    opening = transformer.split(".transformer_blocks.")[0]
    linear = state[f"{opening}.proj_in.weight"].ndim == 2
    kinds = ["CrossAttn" if attention else "" for attention in attends]
    return {
        "in_channels": inputs,
        "out_channels": outputs,
        "down_block_types": [f"{kind}DownBlock2D" for kind in kinds],
        "up_block_types": [f"{kind}UpBlock2D" for kind in reversed(kinds)],
        "block_out_channels": channels,
        "layers_per_block": residuals // len(channels),
        "transformer_layers_per_block": _count(rf"{re.escape(opening)}\.transformer_blocks\.(\d+)\.", state),
        "cross_attention_dim": state[transformer].shape[1],
        # diffusers keeps the number of heads under this name: 8 in SD 1.x, one per 64 channels in SD 2.x
        "attention_head_dim": [width // 64 for width in channels] if linear else 8,
        "use_linear_projection": linear,
        "num_class_embeds": None,
    }


def _vae_config(state: State) -> dict:
    levels = _count(r"encoder\.down\.(\d+)\.", state)
    return {
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "block_out_channels": [len(state[f"encoder.down.{i}.block.0.conv1.weight"]) for i in range(levels)],
        "layers_per_block": _count(r"encoder\.down\.0\.block\.(\d+)\.", state),
        "latent_channels": state["decoder.conv_in.weight"].shape[1],
        "scaling_factor": LATENT_SCALE,
    }


def _tiny_names(state: State) -> State:
    """TAESD's names in diffusers, whose decoder leaves the opening clamp out of the count."""
    named = {}
    for name, tensor in state.items():
        found = re.match(r"taesd_(encoder|decoder)\.(\d+)\.(.*)", name)
        if found:
            number = int(found[2]) - (found[1] == "decoder")
            named[f"{found[1]}.layers.{number}.{found[3]}"] = tensor
    return named


def _open_clip_names(state: State) -> State:
    """OpenCLIP's names and joint projections in CLIP's, without the last of its 24 layers, which SD 2.x skips."""
    plain = {
        "positional_embedding": "embeddings.position_embedding.weight",
        "token_embedding.weight": "embeddings.token_embedding.weight",
        "ln_final.weight": "final_layer_norm.weight",
        "ln_final.bias": "final_layer_norm.bias",
    }
    named = {clip: state[name] for name, clip in plain.items()}
    for name, tensor in state.items():
        if not name.startswith("transformer.resblocks.") or ".resblocks.23." in name:
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
    """How many numbered modules of a kind there are; LookupError when there are none."""
    numbers = [int(found[1]) for found in (re.match(pattern, name) for name in state) if found]
    if not numbers:
        raise LookupError(f"nothing is called {pattern}")
    return max(numbers) + 1


def _load(model: nn.Module, state: State, part: str) -> nn.Module:
    missing = sorted(model.state_dict().keys() - state.keys())
    if missing:
        raise ValueError(
            f"The checkpoint's {part} lacks {len(missing)} weights (first: {short(missing[0])}): it is none of "
            "SD 1.x or 2.x, or incomplete."
        )
    model.load_state_dict({name: state[name] for name in model.state_dict()}, assign=True)
    return model.requires_grad_(False).eval()
