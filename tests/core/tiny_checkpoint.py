"""Stable Diffusion checkpoints of a few hundred kilobytes with random weights: diffusers folders, and single files."""

import json
import re
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, EulerDiscreteScheduler, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

TEXT_WIDTH = 64
LAYERS = 1  # residual blocks per level of the U-Net, of which there are two, as of the autoencoder
State = dict[str, Tensor]


def make_folder(path: Path, v2: bool = False, tiny_autoencoder: bool = False) -> Path:
    """Write a diffusers folder in the manner of SD 1.x, or of SD 2.x (linear projections, heads of 64 channels, v)."""
    torch.manual_seed(0)
    UNet2DConditionModel(
        block_out_channels=(64, 128) if v2 else (32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=LAYERS,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(1, 2) if v2 else 8,
        use_linear_projection=v2,
    ).save_pretrained(path / "unet")
    _autoencoder(tiny_autoencoder).save_pretrained(path / "vae")
    CLIPTextModel(
        CLIPTextConfig(
            vocab_size=100,
            hidden_size=TEXT_WIDTH,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=1,
            hidden_act="gelu" if v2 else "quick_gelu",
            bos_token_id=58,
            eos_token_id=59,
        )
    ).save_pretrained(path / "text_encoder")
    PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
        prediction_type="v_prediction" if v2 else "epsilon",
    ).save_pretrained(path / "scheduler")
    _tokenizer(path / "tokenizer", "!" if v2 else "<|endoftext|>")
    return path


def make_sdxl_folder(path: Path) -> Path:
    """Write a diffusers folder in the manner of SDXL: two text encoders, sizes, transformers on the last level."""
    torch.manual_seed(0)
    UNet2DConditionModel(
        block_out_channels=(64, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=LAYERS,
        transformer_layers_per_block=(1, 2),
        cross_attention_dim=2 * TEXT_WIDTH,
        attention_head_dim=(1, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=TEXT_WIDTH + 6 * 256,
    ).save_pretrained(path / "unet")
    _autoencoder(False, scaling_factor=0.13025).save_pretrained(path / "vae")
    for number, kind in (("", CLIPTextModel), ("_2", CLIPTextModelWithProjection)):
        kind(
            CLIPTextConfig(
                vocab_size=100,
                hidden_size=TEXT_WIDTH,
                intermediate_size=128,
                num_hidden_layers=3,
                num_attention_heads=1,
                projection_dim=TEXT_WIDTH,
                hidden_act="gelu" if number else "quick_gelu",
                bos_token_id=58,
                eos_token_id=59,
            )
        ).save_pretrained(path / f"text_encoder{number}")
        _tokenizer(path / f"tokenizer{number}", "!" if number else "<|endoftext|>")
    EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading", steps_offset=1
    ).save_pretrained(path / "scheduler")
    return path


def make_sdxl_file(path: Path, folder: Path) -> Path:
    """Write the single file with the weights of the SDXL folder ``folder``, under their original names."""
    unet, vae = (load_file(folder / part / "diffusion_pytorch_model.safetensors") for part in ("unet", "vae"))
    first, second = (load_file(folder / f"text_encoder{number}/model.safetensors") for number in ("", "_2"))
    first, second = ({n.removeprefix("text_model."): t for n, t in text.items()} for text in (first, second))
    projection = second.pop("text_projection.weight").T
    embedders = {f"0.transformer.text_model.{name}": tensor for name, tensor in first.items()}
    embedders |= {f"1.model.{name}": tensor for name, tensor in _open_clip(second).items()}
    embedders["1.model.text_projection"] = projection
    state = {
        f"model.diffusion_model.{_unet_name(name, attends=(False, True))}": tensor for name, tensor in unet.items()
    }
    state |= {f"first_stage_model.{_vae_name(name)}": _vae_shape(name, tensor) for name, tensor in vae.items()}
    state |= {
        f"conditioner.embedders.{name}": tensor for name, tensor in embedders.items() if "position_ids" not in name
    }
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def make_file(path: Path, folder: Path, v2: bool = False) -> Path:
    """Write the single file with the weights of the diffusers folder ``folder``, under their original names."""
    unet, vae = (load_file(folder / part / "diffusion_pytorch_model.safetensors") for part in ("unet", "vae"))
    text = load_file(folder / "text_encoder/model.safetensors")
    text = {name.removeprefix("text_model."): tensor for name, tensor in text.items() if "position_ids" not in name}
    state = {f"model.diffusion_model.{_unet_name(name)}": tensor for name, tensor in unet.items()}
    state |= {f"first_stage_model.{_vae_name(name)}": _vae_shape(name, tensor) for name, tensor in vae.items()}
    if v2:
        state |= {f"cond_stage_model.model.{name}": tensor for name, tensor in _open_clip(text).items()}
    else:
        state |= {f"cond_stage_model.transformer.text_model.{name}": tensor for name, tensor in text.items()}
    metadata = {"modelspec.prediction_type": "v"} if v2 else {}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata)
    return path


def _autoencoder(tiny: bool, **options) -> AutoencoderKL | AutoencoderTiny:
    if tiny:
        return AutoencoderTiny()
    return AutoencoderKL(
        **options,
        block_out_channels=(32, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
    )


def _tokenizer(path: Path, padding: str) -> None:
    """Return CLIP's tokenizer with a vocabulary of single letters."""
    path.mkdir(parents=True)
    letters = "!abcdefghijklmnopqrstuvwxyz,."
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (path / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (path / "merges.txt").write_text("#version: 0.2\n")
    special = {"bos_token": words[-2], "eos_token": words[-1], "unk_token": words[-1], "pad_token": padding}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **special}
    (path / "tokenizer_config.json").write_text(json.dumps(settings))


def _unet_name(name: str, attends: tuple[bool, bool] = (True, False)) -> str:
    """Return the original name of a diffusers parameter; attends: which levels have transformers."""
    block = LAYERS + 1
    place = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", name)
    if place:
        side, level, kind, number, rest = place[1], int(place[2]), place[3], int(place[4]), place[5]
        first = level * block + (side == "down")
        if kind == "downsamplers":
            return f"input_blocks.{first + LAYERS}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            return f"output_blocks.{first + LAYERS}.{1 + attends[1 - level]}.{rest}"
        name = f"{'input' if side == 'down' else 'output'}_blocks.{first + number}.{int(kind == 'attentions')}.{rest}"
    for pattern, original in (
        (r"time_embedding\.linear_1", "time_embed.0"),
        (r"time_embedding\.linear_2", "time_embed.2"),
        (r"add_embedding\.linear_1", "label_emb.0.0"),
        (r"add_embedding\.linear_2", "label_emb.0.2"),
        (r"^conv_in", "input_blocks.0.0"),
        (r"^conv_norm_out", "out.0"),
        (r"^conv_out", "out.2"),
        (r"mid_block\.resnets\.0", "middle_block.0"),
        (r"mid_block\.attentions\.0", "middle_block.1"),
        (r"mid_block\.resnets\.1", "middle_block.2"),
    ):
        name = re.sub(pattern, original, name)
    if "transformer_blocks" in name or "attentions" in name:
        return name
    for part, original in (
        ("norm1", "in_layers.0"),
        ("conv1", "in_layers.2"),
        ("norm2", "out_layers.0"),
        ("conv2", "out_layers.3"),
        ("time_emb_proj", "emb_layers.1"),
        ("conv_shortcut", "skip_connection"),
    ):
        name = name.replace(part, original)
    return name


def _vae_name(name: str) -> str:
    tiny = re.match(r"(encoder|decoder)\.layers\.(\d+)\.(.*)", name)
    if tiny:
        return f"taesd_{tiny[1]}.{int(tiny[2]) + (tiny[1] == 'decoder')}.{tiny[3]}"
    name = re.sub(r"up_blocks\.(\d)", lambda found: f"up.{1 - int(found[1])}", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    for part, original in (
        ("down_blocks", "down"),
        ("resnets", "block"),
        ("downsamplers.0", "downsample"),
        ("upsamplers.0", "upsample"),
        ("mid_block.attentions.0", "mid.attn_1"),
        ("group_norm", "norm"),
        ("to_q", "q"),
        ("to_k", "k"),
        ("to_v", "v"),
        ("to_out.0", "proj_out"),
        ("conv_norm_out", "norm_out"),
        ("conv_shortcut", "nin_shortcut"),
    ):
        name = name.replace(part, original)
    return name


def _vae_shape(name: str, tensor: Tensor) -> Tensor:
    """Return the original shape of a weight: the autoencoder's attention projects with convolutions of size 1."""
    return tensor[:, :, None, None] if "attentions" in name and tensor.ndim == 2 else tensor


def _open_clip(text: State) -> State:
    """Return OpenCLIP's names, with queries, keys and values in one projection."""
    state = {}
    for name, tensor in text.items():
        if ".k_proj." in name or ".v_proj." in name:
            continue
        if ".q_proj." in name:
            tensor = torch.cat([text[name.replace("q_proj", f"{part}_proj")] for part in "qkv"])
        for part, original in (
            ("embeddings.position_embedding.weight", "positional_embedding"),
            ("embeddings.token_embedding", "token_embedding"),
            ("final_layer_norm", "ln_final"),
            ("encoder.layers", "transformer.resblocks"),
            ("self_attn.q_proj.", "attn.in_proj_"),
            ("self_attn", "attn"),
            ("layer_norm", "ln_"),
            ("mlp.fc1", "mlp.c_fc"),
            ("mlp.fc2", "mlp.c_proj"),
        ):
            name = name.replace(part, original)
        state[name] = tensor
    return state
