"""Text embeddings: one text encoder in SD 1.x and 2.x, two in SDXL."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class TextEncoder:
    """A CLIP text encoder with its tokenizer."""

    model: nn.Module
    tokenizer: Any

    def check_tokenizer(self, path: Path) -> None:
        """Raise ValueError when the tokenizer knows tokens that the encoder of the checkpoint ``path`` does not."""
        tokens, known = max(self.tokenizer.get_vocab().values()), self.model.config.vocab_size
        if tokens >= known:
            raise ValueError(
                f"The tokenizer of {path} has the token {tokens}, but its text encoder knows {known}: give the one "
                "that belongs to it."
            )

    def tokenize(self, prompt: str) -> Tensor:
        """Return token ids ``[1, 77]``; further tokens are cut off with a warning."""
        length = self.model.config.max_position_embeddings
        if len(self.tokenizer(prompt).input_ids) > length:
            warnings.warn(f"Only the first {length} tokens of the prompt {prompt!r} are used.", stacklevel=2)
        padded = self.tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        return padded.input_ids

    def last_states(self, prompt: str) -> Tensor:
        """Return the encoder's output ``[1, 77, dim]``, which conditions SD 1.x and 2.x."""
        return self.model(self._ids(prompt))[0]

    def penultimate_states(self, prompt: str) -> tuple[Tensor, Tensor]:
        """Return what conditions SDXL: the states before the last layer ``[1, 77, dim]``, and the pooled embedding
        ``[1, dim]``, projected where the encoder has a projection."""
        ids = self._ids(prompt)
        out = self.model(ids, output_hidden_states=True)
        end = (ids[0] == self.tokenizer.eos_token_id).int().argmax()
        pooled = out.last_hidden_state[:, end]
        projection = getattr(self.model, "text_projection", None)
        return out.hidden_states[-2], pooled if projection is None else projection(pooled)

    def _ids(self, prompt: str) -> Tensor:
        return self.tokenize(prompt).to(next(self.model.parameters()).device)


def encode_sdxl(encoders: list[TextEncoder], prompt: str, size_ids: tuple[int, ...]) -> dict[str, Any]:
    """Return the condition of SDXL by the names that its U-Net in diffusers takes (arXiv 2307.01952, section 2.2).

    Args:
        size_ids: height and width of the original picture, top and left of its crop, height and width of the video.
    """
    (first, _), (second, pooled) = (encoder.penultimate_states(prompt) for encoder in encoders)
    time_ids = torch.tensor([size_ids], dtype=pooled.dtype, device=pooled.device)
    added = {"text_embeds": pooled, "time_ids": time_ids}
    return {"context": torch.cat([first, second], dim=-1), "added_cond_kwargs": added}
