"""Stable Diffusion outside ComfyUI: text, pictures and the U-Net of a checkpoint, loaded with diffusers.

Nothing here reaches the network, and pickled weights are never opened.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from json import JSONDecodeError
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..diffusion.schedule import NoiseSchedule
from ..errors import is_of_the_system, is_out_of_memory
from ..network.video_unet import VideoUNet, inflate
from .single_file import SingleFile
from .tokenizer import cached_tokenizer, load_tokenizer

FRAMES_AT_ONCE = 4
"""Frames that the autoencoder takes together; bounds its memory whatever the length of the clip."""
_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
# What every SD 1.x and 2.x scheduler says; a folder saved with another kind of scheduler may leave it out.
_SCHEDULER_DEFAULTS = {"steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False}


@dataclass
class Pipeline:
    """The parts of a Stable Diffusion 1.x or 2.x checkpoint.

    The parts lie in main memory; each comes to ``device`` for its work, and the text encoder and the autoencoder leave
    it again. Set ``text_encoder`` to None to free it for good.
    """

    unet: nn.Module
    vae: nn.Module
    text_encoder: nn.Module | None
    tokenizer: Any
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
            tokenizer: folder with ``vocab.json`` and ``merges.txt``. A single file holds none; it is then sought in the
                person's Hugging Face cache.
            prediction_type: ``epsilon`` or ``v_prediction``, where the checkpoint does not say.

        Raises:
            FileNotFoundError: the path, a part of the folder or a tokenizer is missing.
            ValueError: pickled weights, or no SD 1.x or 2.x checkpoint.
        """
        path = Path(path)
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = dtype or (torch.float16 if device.type == "cuda" else torch.float32)
        check_exists(path)
        load = _load_folder if path.is_dir() else _load_file
        try:
            parts = load(path, dtype, tokenizer, prediction_type)
        except Exception as error:  # each library raises its own kinds for a damaged file
            told = isinstance(error, (FileNotFoundError, ImportError, ValueError)) or is_of_the_system(error)
            if (told and not isinstance(error, (JSONDecodeError, UnicodeDecodeError))) or is_out_of_memory(error):
                raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ValueError(
                f"{path} cannot be read as an SD 1.x or 2.x checkpoint ({reason}): it may be incomplete; get it again."
            ) from error
        pipeline = cls(*parts, device, dtype)
        words, known = max(pipeline.tokenizer.get_vocab().values()), pipeline.text_encoder.config.vocab_size
        if words >= known:
            raise ValueError(
                f"The tokenizer of {path} has the token {words}, but its text encoder knows {known}: give the one "
                "that belongs to it."
            )
        return pipeline

    @property
    def pixels_per_latent(self) -> int:
        """Height and width of the picture area that one latent stands for; 8 in Stable Diffusion."""
        config = self.vae.config
        levels = config.get("block_out_channels") or config["encoder_block_out_channels"]
        return 2 ** (len(levels) - 1)

    def inflate(self, **options: Any) -> VideoUNet:
        """Bring the U-Net to the device and inflate it; ``options`` as for :func:`tav_core.inflate`."""
        return inflate(self.unet.to(self.device), **options)

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str]) -> list[Tensor]:
        """Text states ``[1, tokens, dim]`` of each prompt; what CLIP cannot take in (beyond 77 tokens) is cut off,
        with a warning.

        Raises:
            ValueError: the text encoder has been freed.
        """
        if self.text_encoder is None:
            raise ValueError("The text encoder has been freed: encode all prompts before, or load the model again.")
        length = self.text_encoder.config.max_position_embeddings
        states = []
        with self._working(self.text_encoder):
            for prompt in prompts:
                tokens = self.tokenizer(prompt).input_ids
                if len(tokens) > length:
                    warnings.warn(f"Only the first {length} tokens of the prompt {prompt!r} are used.", stacklevel=2)
                ids = self.tokenizer(
                    prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
                ).input_ids
                states.append(self.text_encoder(ids.to(self.device))[0])
        return states

    @torch.no_grad()
    def encode_video(self, frames: Iterable[Tensor]) -> Tensor:
        """Encode frames ``[f, h, w, 3]`` in 0..1, or an iterator of them, to scaled latents ``[1, c, f, h/8, w/8]``.

        The latents are float32: the mean of the autoencoder's distribution, not a sample. The clip is encoded once, and
        a sample's noise would stay in it as if it belonged to the picture.
        """
        latents = []
        with self._working(self.vae):
            frames = iter(frames)
            while some := list(islice(frames, FRAMES_AT_ONCE)):
                pictures = rearrange(torch.stack(some).to(self.device, self.dtype) * 2 - 1, "f h w c -> f c h w")
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
        with self._working(self.vae):
            for some in rearrange(latents, "1 c f h w -> f c h w").split(FRAMES_AT_ONCE):
                some = (some / self.vae.config.scaling_factor).to(self.device, self.dtype)
                pictures = rearrange(self.vae.decode(some).sample, "f c h w -> f h w c")
                yield from _finite((pictures.float() / 2 + 0.5).clamp(0, 1).cpu(), "rendered video")

    @contextmanager
    def _working(self, part: nn.Module) -> Iterator[None]:
        part.to(self.device)
        try:
            yield
        finally:
            part.to("cpu")


def _finite(tensor: Tensor, what: str) -> Tensor:
    if not tensor.isfinite().all():
        raise ValueError(
            f"The {what} holds values that are no numbers, as some checkpoints give in 16 bit: use bf16 or fp32 "
            "as precision."
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


def _load_folder(
    path: Path, dtype: torch.dtype, tokenizer: str | os.PathLike | None, prediction_type: str | None
) -> tuple:
    from diffusers import AutoencoderKL, AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel

    if (path / "text_encoder_2").is_dir():
        raise ValueError(f"{path} is an SDXL checkpoint: without ComfyUI, use an SD 1.x or 2.x checkpoint.")
    missing = [part for part in _PARTS if not (path / part).is_dir() and not (part == "tokenizer" and tokenizer)]
    if missing:
        raise FileNotFoundError(
            f"{path} is no whole diffusers folder, it lacks {', '.join(missing)}: give the folder that holds "
            f"{', '.join(_PARTS)}, or a single .safetensors file."
        )
    light = {"low_cpu_mem_usage": find_spec("accelerate") is not None}

    def part(kind: type, name: str, stem: str, **options: Any) -> nn.Module:
        _check_part(path / name)
        variant = _variant(path / name, stem)
        options |= {"variant": variant, "use_safetensors": True, "local_files_only": True, "output_loading_info": True}
        model, info = kind.from_pretrained(path / name, **options)
        if info["missing_keys"]:  # the libraries would only warn, and leave random weights there
            first = sorted(info["missing_keys"])[0]
            raise ValueError(
                f"{path / name} lacks {len(info['missing_keys'])} weights (first: {first}): it is incomplete, or was "
                "saved by a later version of transformers or diffusers; update these, or get the folder again."
            )
        return model.requires_grad_(False).eval()

    unet = part(UNet2DConditionModel, "unet", "diffusion_pytorch_model", torch_dtype=dtype, **light)
    if unet.config.time_cond_proj_dim is not None:
        raise ValueError(
            f"The U-Net of {path} is a latent consistency model (LCM), which takes its guidance as an input: use the "
            "checkpoint that it was distilled from."
        )
    if unet.config.in_channels != unet.config.out_channels:
        raise ValueError(
            f"The U-Net of {path} takes {unet.config.in_channels} channels and gives {unet.config.out_channels}: it is "
            "one for inpainting, depth or editing; use an ordinary text-to-image checkpoint."
        )
    kind = (
        AutoencoderTiny
        if "AutoencoderTiny" in (path / "vae/config.json").read_text(encoding="utf-8")
        else AutoencoderKL
    )
    vae = part(kind, "vae", "diffusion_pytorch_model", torch_dtype=dtype, **light)
    text_encoder = part(CLIPTextModel, "text_encoder", "model").to(dtype)
    config = _SCHEDULER_DEFAULTS | DDIMScheduler.load_config(path / "scheduler", local_files_only=True)
    if "flow" in f"{config.get('_class_name')} {config.get('prediction_type')}".lower():
        raise ValueError(
            f"{path} is a flow-matching model, which is not sampled by DDIM: use an SD 1.x, SD 2.x or SDXL checkpoint."
        )
    if prediction_type:
        config["prediction_type"] = prediction_type
    schedule = NoiseSchedule.from_scheduler(DDIMScheduler.from_config(config))
    return unet, vae, text_encoder, load_tokenizer(tokenizer or path / "tokenizer"), schedule


def _load_file(
    path: Path, dtype: torch.dtype, tokenizer: str | os.PathLike | None, prediction_type: str | None
) -> tuple:
    if path.suffix != ".safetensors":
        raise ValueError(
            f"{path} is no .safetensors file: pickled checkpoints (.ckpt, .pt, .bin) could run code when opened and "
            "are never loaded; get the .safetensors version."
        )
    found = load_tokenizer(tokenizer) if tokenizer else cached_tokenizer(path)
    file = SingleFile(path)
    if file.is_v2:
        found.pad_token = "!"  # what OpenCLIP was trained with
    parts = file.unet(dtype), file.vae(dtype), file.text_encoder(dtype)
    schedule = NoiseSchedule.stable_diffusion(
        prediction_type or file.prediction_type(),
        "trailing" if file.zero_terminal_snr else "leading",
        file.zero_terminal_snr,
    )
    return *parts, found, schedule


def _check_part(folder: Path) -> None:
    """Of what the libraries would follow to the network, or to a pickle."""
    if not isinstance(json.loads((folder / "config.json").read_text(encoding="utf-8")), dict):
        raise ValueError(f"{folder / 'config.json'} is no configuration of a model: get the folder again.")
    for index in folder.glob("*.safetensors.index.json"):
        files = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        if not all(str(file).endswith(".safetensors") for file in files):
            raise ValueError(
                f"{index} names other files than .safetensors, which are never loaded: get the folder again."
            )


def _variant(folder: Path, stem: str) -> str | None:
    """Which of the usual names the weights of ``folder`` have; half-precision ones serve where there are no others."""
    for variant in (None, "fp16"):
        name = f"{stem}.{variant}" if variant else stem
        if (folder / f"{name}.safetensors").is_file() or (folder / f"{stem}.safetensors.index.json").is_file():
            return variant
    if any(folder.glob("*.bin")):
        raise ValueError(
            f"{folder} holds only pickled weights (.bin), which could run code when opened and are never loaded: get "
            "the .safetensors version of this model, or convert it where you trust it."
        )
    raise FileNotFoundError(f"{folder} holds no {stem}.safetensors: the folder is incomplete, get it again.")
