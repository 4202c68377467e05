"""The masks of an edit: from a file, or from words of the clip's prompt."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ..diffusion.masks import latent_mask
from ..diffusion.word_mask import mask_from_map, named, word_map, word_tokens
from ..files import replacing
from ..pictures.contact_sheet import contact_sheet, shown_frames
from ..pictures.image import darkened, to_pil
from ..video.reading import load_video, probe_video
from .rendering import progress_bar, showing_windows, stepping
from .session import Session

MASK, MASK_SHEET = "mask", "mask.png"


def latent_mask_of(session: Session, clean: Tensor) -> Tensor | None:
    """Return the mask that the configuration asks for, in the size of the latents; None without one.

    Args:
        clean: clean latents of the clip ``[1, c, f, h, w]``.

    Raises:
        FileNotFoundError, ValueError: the file cannot be used, or a word is not in the clip's prompt.
    """
    data, scale = session.config.validation_data, session.pipeline.vae_scale_factor
    if not (data.mask or data.keep or data.change):
        return None
    height, width = (side * scale for side in clean.shape[-2:])
    mask = torch.ones(clean.shape[2], height, width)
    if data.mask:
        mask = mask * read_mask(session, Path(data.mask), clean.shape[2], height, width)
    if data.keep:
        mask = mask * (1 - words_mask(session, clean, data.keep))
    if data.change:
        mask = mask * words_mask(session, clean, data.change)
    return latent_mask(mask, clean, -(-data.feather // scale))


def read_mask(session: Session, path: Path, frames: int, height: int, width: int) -> Tensor:
    """Read a mask ``[1 or f, h, w]``, white where the video may change, or opaque, if it is of one colour.

    A picture is for all frames. A video or a folder of pictures has one for each frame of the edit, or one for each of
    the clip's file, of which the same are taken.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or has too few frames.
    """
    data, count = session.config.train_data, probe_video(path).frames
    size = {"width": width, "height": height, "resize": data.resize}
    if count in (1, frames):
        pictures = load_video(path, count, **size).frames
    else:
        pictures = load_video(path, frames, data.sample_start_idx, data.sample_frame_rate, **size).frames
    return pictures.mean(dim=-1)


def words_mask(session: Session, clean: Tensor, words: str) -> Tensor:
    """Return a mask ``[f, h, w]`` in pixels of what words of the clip's prompt name.

    Raises:
        ValueError: a word is not in the clip's prompt.
    """
    prompt, data, pipeline = session.config.train_data.prompt, session.config.validation_data, session.pipeline
    ids = session.tokenizer
    tokens = word_tokens(ids(prompt), [ids(word)[1:-1] for word in named(words)])
    steps = data.mask_steps
    with session.stage("masking"), progress_bar("masking", steps) as bar, showing_windows(session, bar, None):
        seen = word_map(
            session.video_unet,
            session.video_unet.blocks,
            pipeline.schedule,
            clean.to(session.device),
            session.contexts[prompt],
            tokens,
            steps,
            stepping(bar, None),
        )
    height, width = (side * pipeline.vae_scale_factor for side in clean.shape[-2:])
    return mask_from_map(seen, height, width, data.mask_threshold, data.mask_grow)


def write_mask(session: Session) -> None:
    """Write the mask of the configuration's words as a folder of pictures, and a sheet that shows it on the clip."""
    data, folder = session.config.validation_data, session.folder
    words = data.change or data.keep
    mask = words_mask(session, session.latents, words)
    if not data.change:
        mask = 1 - mask
    for left in (folder / MASK).glob("*.png"):  # of a longer clip
        left.unlink()
    for number, picture in enumerate(mask):
        with replacing(folder / MASK / f"{number:04}.png") as partial:
            to_pil(picture[..., None].expand(-1, -1, 3)).save(partial)
    frames = torch.stack(list(session.clip_frames()))
    shown = shown_frames(len(frames))
    rows = [frames[shown], darkened(frames[shown], mask[shown])]
    contact_sheet(folder / MASK_SHEET, rows, [session.config.train_data.prompt, words])
    tqdm.write(f"{mask.mean():.0%} of the picture may change: {folder / MASK}, shown on the clip in {MASK_SHEET}.")
