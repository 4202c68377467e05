"""Sentences for checkpoints of other families and for files that are not checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

ORDINARY = "use an ordinary text-to-image checkpoint of the SD 1.x, SD 2.x or SDXL family"
_FAMILIES = {
    "joint_blocks.": "an SD3 checkpoint",
    "double_blocks.": "a Flux checkpoint",
    "clip_txt_mapper": "a Stable Cascade checkpoint",
    "clf.1.weight": "a Stable Cascade checkpoint",
    "time_stack.": "a Stable Video Diffusion checkpoint",
    "embedder.model.visual.": "an unCLIP checkpoint, which is conditioned on a picture",
}
"""Parts of weights' names in other families."""
_FOLDERS = {
    "transformer": "a checkpoint with a transformer (SD3, Flux and others)",
    "image_encoder": "an image-to-video or unCLIP checkpoint",
    "prior": "a Stable Cascade checkpoint",
    "decoder": "a Stable Cascade checkpoint",
}
"""Folders of a diffusers pipeline in other families."""


def check_names(path: Path, names: Iterable[str]) -> None:
    """Raise ValueError when the names of weights in the file ``path`` are those of something else."""
    names = list(names)
    if any(".lora_" in name or "_lora." in name for name in names):
        raise ValueError(
            f"{path} is a LoRA, not a checkpoint: give the checkpoint that it belongs to (a motion of ours is given "
            "with --tuned)."
        )
    if any(".attn_temp." in name for name in names):
        raise ValueError(f"{path} holds tuned weights: give them with --tuned, and the checkpoint with --model.")
    for part, family in _FAMILIES.items():
        if any(part in name for name in names):
            raise ValueError(f"{path} is {family}, which Tune-A-Video does not work on: {ORDINARY}.")
    check_lcm(path, "model.diffusion_model.time_embed.cond_proj.weight" in names)


def check_folders(path: Path) -> None:
    """Raise ValueError when the diffusers folder ``path`` is not that of a Stable Diffusion checkpoint."""
    for folder, family in _FOLDERS.items():
        if (path / folder).is_dir():
            raise ValueError(f"{path} is {family}, which Tune-A-Video does not work on: {ORDINARY}.")


def check_lcm(path: Path, takes_guidance: bool) -> None:
    """Raise ValueError for a U-Net that takes its guidance as an input."""
    if takes_guidance:
        raise ValueError(
            f"The U-Net of {path} is a latent consistency model (LCM), which takes its guidance as an input: use the "
            "checkpoint that it was distilled from."
        )


def check_channels(path: Path, inputs: int, outputs: int) -> None:
    """Raise ValueError for a U-Net that takes more than noisy latents: inpainting, depth, instruct-pix2pix."""
    if inputs != outputs:
        raise ValueError(
            f"The U-Net of {path} takes {inputs} channels and gives {outputs}: it is one for inpainting, depth or "
            f"editing; {ORDINARY}."
        )
