"""`Pipeline`: text, pictures and the U-Net of a Stable Diffusion checkpoint outside ComfyUI."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..diffusion.ddim import Condition
from ..diffusion.schedule import NoiseSchedule
from ..errors import is_of_the_system, is_out_of_memory
from ..network.video_unet import VideoUNet, inflate
from .folder import load_folder
from .single_file import load_file
from .text import TextEncoder, encode_sdxl

FRAMES_AT_ONCE = 4
"""Frames that the autoencoder takes together; bounds its memory whatever the length of the clip."""


@dataclass
class Pipeline:
    """The parts of a Stable Diffusion 1.x, 2.x or SDXL checkpoint.

    The parts lie in main memory; each comes to ``device`` for its work, and text encoders and autoencoder leave it
    again.
    """

    unet: nn.Module
    vae: nn.Module
    text_encoders: list[TextEncoder]
    """One for SD 1.x and 2.x, two for SDXL; clear the list to free them for good."""
    schedule: NoiseSchedule
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        tokenizer: str | os.PathLike | None = None,
        prediction_type: str | None = None,
    ) -> Pipeline:
        """Load a diffusers folder or a single-file ``.safetensors`` checkpoint.

        Args:
            path: the folder or file, on this machine.
            device: where to compute; CUDA where there is one when None.
            dtype: precision of weights and computation; float16 on CUDA and float32 elsewhere when None.
            tokenizer: folder of CLIP's tokenizer, with ``vocab.json`` and ``merges.txt`` or with ``tokenizer.json``. A
                single file holds none; it is then looked for in the user's Hugging Face cache.
            prediction_type: ``epsilon`` or ``v_prediction``, where the checkpoint does not say.

        Raises:
            FileNotFoundError: the path, a part of the folder or a tokenizer is missing.
            ValueError: the weights are pickled, or not those of an SD 1.x, SD 2.x or SDXL checkpoint.
        """
        path = Path(path)
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = dtype or (torch.float16 if device.type == "cuda" else torch.float32)
        check_exists(path)
        load = load_folder if path.is_dir() else load_file
        try:
            parts = load(path, dtype, tokenizer, prediction_type)
        except Exception as error:  # each library raises its own kinds for a damaged file
            is_clear = isinstance(error, (FileNotFoundError, ImportError, ValueError)) or is_of_the_system(error)
            if (is_clear and not isinstance(error, (JSONDecodeError, UnicodeDecodeError))) or is_out_of_memory(error):
                raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ValueError(
                f"{path} cannot be read as an SD 1.x, SD 2.x or SDXL checkpoint ({reason}): it may be incomplete; get "
                "it again."
            ) from error
        pipeline = cls(*parts, device, dtype)
        for encoder in pipeline.text_encoders:
            encoder.check_tokenizer(path)
        return pipeline

    @property
    def vae_scale_factor(self) -> int:
        """Return the pixels, wide and high, that one latent stands for: 8 in Stable Diffusion."""
        config = self.vae.config
        levels = config.get("block_out_channels") or config["encoder_block_out_channels"]
        return 2 ** (len(levels) - 1)

    @property
    def is_sdxl(self) -> bool:
        """Return True for SDXL, whose U-Net also takes a pooled text embedding and sizes."""
        return self.unet.config.get("addition_embed_type") == "text_time"

    def inflate(self, **options: Any) -> VideoUNet:
        """Move the U-Net to the device and inflate it; ``options`` as for :func:`tav_core.inflate`."""
        return inflate(self.unet.to(self.device), **options)

    @torch.no_grad()
    def encode_prompts(
        self,
        prompts: Sequence[str],
        size: tuple[int, int] = (1024, 1024),
        original_size: tuple[int, int] | None = None,
        crop: tuple[int, int] = (0, 0),
    ) -> list[Condition]:
        """Encode prompts; what is beyond CLIP's 77 tokens is cut off with a warning.

        Args:
            size: height and width of the video in pixels, an input of SDXL.
            original_size: height and width of the picture that it is to look like a crop of, an input of SDXL; ``size``
                when None.
            crop: top and left of that crop, an input of SDXL.

        Returns:
            For each prompt, text embeddings ``[1, tokens, dim]``, or a dictionary of all inputs for SDXL.

        Raises:
            ValueError: the text encoders have been freed.
        """
        if not self.text_encoders:
            raise ValueError("The text encoders have been freed: encode all prompts before, or load the model again.")
        with ExitStack() as stack:
            for encoder in self.text_encoders:
                stack.enter_context(self._working(encoder.model))
            if len(self.text_encoders) == 1:
                return [self.text_encoders[0].last_states(prompt) for prompt in prompts]
            size_ids = (*(original_size or size), *crop, *size)
            return [encode_sdxl(self.text_encoders, prompt, size_ids) for prompt in prompts]

    @torch.no_grad()
    def encode_video(self, frames: Iterable[Tensor]) -> Tensor:
        """Encode frames ``[f, h, w, 3]`` in 0..1, or an iterator of them, to scaled latents ``[1, c, f, h/8, w/8]``.

        The latents are float32: the mean of the autoencoder's distribution, not a sample. The clip is encoded once, and
        a sample's noise would stay in it as if it belonged to the picture.
        """
        latents = []
        with self._working(self.vae, self._vae_dtype):
            frames = iter(frames)
            while some := list(islice(frames, FRAMES_AT_ONCE)):
                pictures = rearrange(torch.stack(some).to(self.device, self._vae_dtype) * 2 - 1, "f h w c -> f c h w")
                encoded = self.vae.encode(pictures)
                some = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
                latents.append(some.float() * self.vae.config.scaling_factor)
        return _finite(rearrange(torch.cat(latents), "f c h w -> 1 c f h w"), "encoded clip")

    @torch.no_grad()
    def decode_video(self, latents: Tensor) -> Tensor:
        """Decode scaled latents ``[1, c, f, h/8, w/8]`` to frames ``[f, h, w, 3]`` in 0..1, float32, in main memory."""
        return torch.stack(list(self.decode_frames(latents)))

    @torch.no_grad()
    def decode_frames(self, latents: Tensor) -> Iterator[Tensor]:
        """Decode scaled latents ``[1, c, f, h/8, w/8]`` a few frames at a time, and yield the frames ``[h, w, 3]``."""
        with self._working(self.vae, self._vae_dtype):
            for some in rearrange(latents, "1 c f h w -> f c h w").split(FRAMES_AT_ONCE):
                some = (some / self.vae.config.scaling_factor).to(self.device, self._vae_dtype)
                pictures = rearrange(self.vae.decode(some).sample, "f c h w -> f h w c")
                yield from _finite((pictures.float() / 2 + 0.5).clamp(0, 1).cpu(), "rendered video")

    @property
    def _vae_dtype(self) -> torch.dtype:
        """Return the precision of the autoencoder: that of SDXL overflows in float16."""
        overflows = self.is_sdxl and self.vae.config.get("force_upcast", False)
        return torch.float32 if overflows and self.dtype == torch.float16 else self.dtype

    @contextmanager
    def _working(self, part: nn.Module, dtype: torch.dtype | None = None) -> Iterator[None]:
        part.to(self.device, dtype or self.dtype)
        try:
            yield
        finally:
            part.to("cpu")


def _finite(tensor: Tensor, what: str) -> Tensor:
    if not tensor.isfinite().all():
        raise ValueError(
            f"The {what} contains NaN or infinite values, as some checkpoints give in 16 bit: use bf16 or fp32 as "
            "precision."
        )
    return tensor


def check_exists(path: Path) -> None:
    """Raise FileNotFoundError if there is no folder or file of a checkpoint, OSError if it cannot be read."""
    if not path.exists():
        raise FileNotFoundError(
            f"There is no checkpoint {path}: give a diffusers folder or a .safetensors file on this machine "
            "(a model of the Hugging Face Hub is fetched with 'hf download NAME --local-dir FOLDER')."
        )
    if path.is_file():
        path.open("rb").close()
