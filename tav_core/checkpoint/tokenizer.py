"""CLIP's tokenizer, which single-file checkpoints lack. Nothing here reaches the network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

_CACHED_TOKENIZERS = (
    ("openai/clip-vit-large-patch14", ""),
    ("stable-diffusion-v1-5/stable-diffusion-v1-5", "tokenizer"),
    ("CompVis/stable-diffusion-v1-4", "tokenizer"),
)


def load_tokenizer(folder: str | os.PathLike) -> CLIPTokenizer:
    """Load the tokenizer in a folder with ``vocab.json`` and ``merges.txt``, or with ``tokenizer.json``.

    Raises:
        FileNotFoundError: these are missing.
    """
    from transformers import CLIPTokenizer, CLIPTokenizerFast

    files = {name for name in ("vocab.json", "merges.txt", "tokenizer.json") if (Path(folder) / name).is_file()}
    if {"vocab.json", "merges.txt"} <= files:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    if "tokenizer.json" in files:  # all that transformers 5 saves
        return CLIPTokenizerFast.from_pretrained(folder, local_files_only=True)
    raise FileNotFoundError(
        f"{folder} holds no tokenizer: give a folder with vocab.json and merges.txt, or with tokenizer.json."
    )


def cached_tokenizer(path: Path) -> CLIPTokenizer:
    """Load CLIP's tokenizer from the user's Hugging Face cache, for the checkpoint ``path``, which holds none.

    Raises:
        FileNotFoundError: it is not there; the message says how to get it.
    """
    from huggingface_hub import try_to_load_from_cache

    for name, folder in _CACHED_TOKENIZERS:
        prefix = f"{folder}/" if folder else ""
        files = [try_to_load_from_cache(name, f"{prefix}{file}") for file in ("vocab.json", "merges.txt")]
        if all(isinstance(file, str) for file in files):
            return load_tokenizer(Path(files[0]).parent)
    raise FileNotFoundError(
        f"{path.name} holds no tokenizer and none is in the Hugging Face cache: give its folder (--tokenizer, or "
        "tokenizer_path in the YAML; ComfyUI's comfy/sd1_tokenizer serves), or get it once with "
        "'hf download openai/clip-vit-large-patch14 vocab.json merges.txt tokenizer_config.json'."
    )
