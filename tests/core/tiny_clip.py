"""A CLIP model of random weights, a few hundred kilobytes large, in the layout of transformers."""

import shutil
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

VOCABULARY = Path(__file__).parents[2] / "tav_core" / "demo" / "model" / "tokenizer"
IMAGE_SIZE = 32


def make_clip(folder: Path) -> Path:
    """Write the model with its tokenizer, that of the demo model; returns the folder."""
    folder.mkdir(parents=True)
    for file in ("vocab.json", "merges.txt"):
        shutil.copy(VOCABULARY / file, folder)
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 24, "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config=size | text, vision_config=size | {"image_size": IMAGE_SIZE, "patch_size": 8}, projection_dim=16
    )
    CLIPModel(config).save_pretrained(folder)
    return folder
