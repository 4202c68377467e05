"""CLIP, and PickScore, which is a CLIP too: the embeddings that scores are read off, with weights from this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import is_memory_shortage

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTokenizer

CLIP_MODEL = "openai/clip-vit-large-patch14"
"""The CLIP of LOVEU-TGVE 2023; figures of different CLIP models cannot be compared."""
PICKSCORE_MODEL = "yuvalkirstain/PickScore_v1"

_FILES = ("config.json", "model.safetensors", "vocab.json", "merges.txt")
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_BATCH = 16


class ClipScorer:
    """A CLIP model with both its towers: embeddings of frames and of a prompt in one space.

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
            FileNotFoundError: neither is there, or files are missing.
            ValueError: it is no CLIP model, or its weights cannot be read.
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
        except Exception as error:  # each library raises its own kinds for a damaged file
            if is_memory_shortage(error):
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"The CLIP model in {weights} cannot be read ({reason}): get it again.") from error
        if loaded["missing_keys"]:
            raise ValueError(
                f"The CLIP model in {weights} is not whole, {min(loaded['missing_keys'])} is missing: get one that "
                "knows both images and text."
            )
        return cls(model.float(), tokenizer)

    @property
    def logit_scale(self) -> float:
        """What PickScore multiplies cosines with."""
        return float(self.model.logit_scale.exp())

    @torch.no_grad()
    def embed(self, frames: Tensor, prompt: str) -> tuple[Tensor, Tensor]:
        """Embeddings of length 1 of the frames and of the prompt.

        Frames are scaled to the model's size by their shorter side, and cut to a square in the middle, exactly as
        ComfyUI's CLIP Vision does it; square frames come out as from CLIP's own preparation, others up to half a pixel
        beside.

        Args:
            frames: ``[f, h, w, 3]`` in 0..1.
            prompt: cut off after the 77 tokens that CLIP takes.

        Returns:
            ``[f, d]`` and ``[d]``, float32 on the CPU.
        """
        device, config = self.model.device, self.model.config
        length = config.text_config.max_position_embeddings
        words = self.tokenizer(prompt, truncation=True, max_length=length, return_tensors="pt").to(device)
        images = []
        for batch in frames.split(_BATCH):
            pixels = _pixels(batch, config.vision_config.image_size).to(device)
            # both towers at once: of all that CLIPModel offers, this alone is the same in every transformers release
            output = self.model(input_ids=words.input_ids, attention_mask=words.attention_mask, pixel_values=pixels)
            images.append(output.image_embeds.cpu())
        return torch.cat(images), output.text_embeds[0].cpu()


def how_to_get(name: str) -> str:
    """What to do where a model of the Hugging Face Hub is missing."""
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
    """``[f, 3, size, size]`` as CLIP wants them."""
    pixels = rearrange(frames[..., :3].float(), "f h w c -> f c h w")
    height, width = pixels.shape[2:]
    if (height, width) != (size, size):
        scale = size / min(height, width)
        scaled = round(scale * height), round(scale * width)
        pixels = interpolate(pixels, scaled, mode="bicubic", antialias=True)
        top, left = (scaled[0] - size) // 2, (scaled[1] - size) // 2
        pixels = pixels[:, :, top : top + size, left : left + size]
    pixels = (255 * pixels).clamp(0, 255).round() / 255  # the pictures that CLIP learned from had 8 bits
    mean, std = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (_MEAN, _STD))
    return (pixels - mean) / std
