"""Embed frames and prompts with CLIP, or with PickScore, which is a CLIP too; weights come from this machine only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import is_of_the_system, is_out_of_memory

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTokenizer

CLIP_MODEL = "openai/clip-vit-large-patch14"
"""The CLIP of LOVEU-TGVE 2023; figures of different CLIP models cannot be compared."""
PICKSCORE_MODEL = "yuvalkirstain/PickScore_v1"

_FILES = ("config.json", "model.safetensors", "vocab.json", "merges.txt")
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_BATCH = 16


class ClipScorer:
    """Embed frames and a prompt in one space, with both towers of a CLIP model.

    Args:
        model: a ``transformers.CLIPModel``.
        tokenizer: its ``CLIPTokenizer``.
    """

    def __init__(self, model: CLIPModel, tokenizer: CLIPTokenizer) -> None:
        self.model, self.tokenizer = model.eval().requires_grad_(False), tokenizer

    @classmethod
    def load(cls, weights: str | os.PathLike = CLIP_MODEL) -> ClipScorer:
        """Load a model from this machine, in float32 on the CPU. Nothing is ever downloaded.

        Args:
            weights: a folder in the layout of transformers (config.json, model.safetensors, vocab.json, merges.txt), or
                the name of a model in the Hugging Face cache.

        Raises:
            FileNotFoundError: there is no such model, or files of it are missing.
            ValueError: it is not a CLIP model, or its weights cannot be read.
        """
        from transformers import CLIPModel, CLIPTokenizer

        folder = _folder(weights)
        try:
            kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        except (ValueError, AttributeError):
            kind = None
        if kind != "clip":
            raise ValueError(
                f"{weights} holds a model of type {kind}, not clip: give one for images and text, as {CLIP_MODEL}."
            )
        try:
            model, loaded = CLIPModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # each library has its own exceptions for a damaged file
            if is_out_of_memory(error) or is_of_the_system(error):
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"The CLIP model in {weights} cannot be read ({reason}): get it again.") from error
        if loaded["missing_keys"]:
            raise ValueError(
                f"The CLIP model in {weights} is incomplete, {min(loaded['missing_keys'])} is missing: get one "
                "for both images and text."
            )
        return cls(model.float(), tokenizer)

    @property
    def logit_scale(self) -> float:
        """Return the factor by which PickScore multiplies cosines."""
        return float(self.model.logit_scale.exp())

    @torch.no_grad()
    def embed(self, frames: Tensor, prompt: str) -> tuple[Tensor, Tensor]:
        """Compute unit embeddings of the frames and of the prompt.

        Frames are scaled by their shorter side and centre-cropped to the model's size, exactly as in ComfyUI's CLIP
        Vision; square frames are the same as with CLIP's own preprocessing, others are shifted by up to half a pixel.

        Args:
            frames: ``[f, h, w, 3]`` in 0..1.
            prompt: truncated to CLIP's 77 tokens.

        Returns:
            ``[f, d]`` and ``[d]``, float32 on the CPU.
        """
        device, config = self.model.device, self.model.config
        length = config.text_config.max_position_embeddings
        words = self.tokenizer(prompt, truncation=True, max_length=length, return_tensors="pt").to(device)
        images = []
        for batch in frames.split(_BATCH):
            pixels = _pixels(batch, config.vision_config.image_size).to(device)
            # both towers at once: the only interface that is the same in every transformers release
            output = self.model(input_ids=words.input_ids, attention_mask=words.attention_mask, pixel_values=pixels)
            images.append(output.image_embeds.cpu())
        return torch.cat(images), output.text_embeds[0].cpu()


def is_there(weights: str | os.PathLike) -> bool:
    """Return whether this machine has the files of a CLIP model, which is not loaded.

    Args:
        weights: as for :meth:`ClipScorer.load`.
    """
    try:
        _folder(weights)
    except FileNotFoundError:
        return False
    return True


def how_to_get(name: str) -> str:
    """Describe how to get a model of the Hugging Face Hub."""
    return f"run 'hf download {name} {' '.join(_FILES)}', or give the folder of a copy."


def _folder(weights: str | os.PathLike) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import HFValidationError, LocalEntryNotFoundError

    folder = Path(weights)
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(str(weights), local_files_only=True))
        except (HFValidationError, LocalEntryNotFoundError):
            name = weights if weights in (CLIP_MODEL, PICKSCORE_MODEL) else CLIP_MODEL
            raise FileNotFoundError(f"There is no model {weights} on this machine: {how_to_get(name)}") from None
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"The CLIP model in {folder} lacks {', '.join(missing)}: get the whole model, as safetensors."
        )
    return folder


def _pixels(frames: Tensor, size: int) -> Tensor:
    """Return normalised pixels ``[f, 3, size, size]`` for CLIP."""
    pixels = rearrange(frames[..., :3].float(), "f h w c -> f c h w")
    height, width = pixels.shape[2:]
    if (height, width) != (size, size):
        scale = size / min(height, width)
        scaled = round(scale * height), round(scale * width)
        pixels = interpolate(pixels, scaled, mode="bicubic", antialias=True)
        top, left = (scaled[0] - size) // 2, (scaled[1] - size) // 2
        pixels = pixels[:, :, top : top + size, left : left + size]
    pixels = (255 * pixels).clamp(0, 255).round() / 255  # CLIP was trained on 8-bit images
    mean, std = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (_MEAN, _STD))
    return (pixels - mean) / std
