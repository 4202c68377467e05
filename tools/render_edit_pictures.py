"""Render the pictures of edits in the help pages, and the thumbnails of the workflows with masks, with the demo model.

python tools/render_edit_pictures.py                                      # about two minutes on a laptop
python tools/render_edit_pictures.py --tuned outputs/demo/tuned.safetensors    # from what `tav demo` has learned
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

import tav_core
from tav_core import Pipeline
from tav_core.demo.clips import draw_clip
from tav_core.demo.demo import CLIP, EDITS, FRAMES, MODEL, SEED, demo_config
from tav_core.diffusion.masks import blur
from tav_core.diffusion.word_mask import named
from tav_core.pictures.contact_sheet import contact_sheet
from tav_core.pictures.image import darkened, to_pil

ROOT = Path(__file__).parents[1]
HELP, WORKFLOWS = ROOT / "web" / "docs" / "images", ROOT / "workflows"
SUBJECT = CLIP.figure
SUBJECT_EDIT, BACKGROUND_EDIT, _, STYLE_EDIT = (words.caption for words in EDITS)
SHOWN, SCALE = 4, 2


class Editor:
    """The demo model, tuned on the demo clip, and the clip inverted.

    tuned: file of tuned weights of the demo's clip; None tunes.
    """

    def __init__(self, tuned: Path | None) -> None:
        config = demo_config()
        self.data = config.validation_data
        self.pipeline = Pipeline.load(str(MODEL), "cpu")
        self.clip = draw_clip(CLIP, FRAMES, SEED)
        self.latents = self.pipeline.encode_video(self.clip)
        captions = ["", CLIP.caption, SUBJECT_EDIT, BACKGROUND_EDIT, STYLE_EDIT]
        self.contexts = dict(zip(captions, self.pipeline.encode_prompts(captions)))
        torch.manual_seed(config.seed)
        self.net = self.pipeline.inflate()
        if tuned:
            self.net.load_tuned_state_dict(tav_core.load_tuned(tuned)[0])
        else:
            settings = tav_core.TuneSettings(config.max_train_steps, config.learning_rate, gradient_checkpointing=False)
            tav_core.tune(self.net, self.pipeline.schedule, self.latents, self.contexts[CLIP.caption], settings)
        self.trajectory = self.invert(refine=2)
        tokenizer = self.pipeline.text_encoders[0].tokenizer
        ids = tokenizer(CLIP.caption).input_ids
        tokens = tav_core.word_tokens(ids, [tokenizer(word).input_ids[1:-1] for word in named(SUBJECT)])
        self.seen = tav_core.word_map(
            self.net, self.net.blocks, self.pipeline.schedule, self.latents, self.contexts[CLIP.caption], tokens
        )

    def invert(self, refine: int) -> list[Tensor]:
        steps = self.data.num_inv_steps
        schedule, nothing = self.pipeline.schedule, self.contexts[""]
        return tav_core.ddim_invert(self.net, schedule, self.latents, nothing, steps, refine=refine)

    def mask(self, threshold: float = 0.5, growth: int = 0) -> Tensor:
        return tav_core.mask_from_map(self.seen, *self.clip.shape[1:3], threshold, growth)

    def edit(self, prompt: str, mask: Tensor | None = None, structure: float = 0.0) -> Tensor:
        latents = tav_core.ddim_sample(
            self.net, self.pipeline.schedule, self.trajectory[-1], self.contexts[prompt], self.contexts[""],
            self.data.num_inference_steps, self.data.guidance_scale, structure=structure, trajectory=self.trajectory,
            mask=None if mask is None else tav_core.latent_mask(mask, self.latents),
        )  # fmt: skip
        return self.pipeline.decode_video(latents)

    def reconstruct(self, refine: int) -> Tensor:
        noise, steps = self.invert(refine)[-1], self.data.num_inference_steps
        latents = tav_core.ddim_sample(self.net, self.pipeline.schedule, noise, self.contexts[""], None, steps, 1.0)
        return self.pipeline.decode_video(latents)


def sheet(name: str, rows: dict[str, Tensor]) -> None:
    """Write a help page's picture: a row of frames per label."""
    chosen = torch.linspace(0, FRAMES - 1, SHOWN).round().long()
    contact_sheet(HELP / name, [_larger(video[chosen], SCALE) for video in rows.values()], list(rows))


def thumbnail(name: str, clip: Tensor, edit: Tensor) -> None:
    """Write a workflow's thumbnail: two frames of the clip above the same frames of its edit."""
    chosen = [FRAMES // 4, 3 * FRAMES // 4]
    picture = rearrange(torch.stack([clip[chosen], edit[chosen]]), "row column h w c -> (row h) (column w) c")
    to_pil(F.interpolate(picture.permute(2, 0, 1)[None], (512, 512), mode="bicubic")[0].permute(1, 2, 0)).save(
        WORKFLOWS / f"{name}.jpg", quality=88
    )


def _larger(video: Tensor, scale: int) -> Tensor:
    return F.interpolate(video.permute(0, 3, 1, 2), scale_factor=scale, mode="bicubic").permute(0, 2, 3, 1).clamp(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tuned", type=Path, help="tuned weights of the demo's clip, instead of tuning")
    editor = Editor(parser.parse_args().tuned)
    clip, subject = editor.clip, editor.mask(growth=8)
    background = 1 - editor.mask()
    new_subject, new_background = editor.edit(SUBJECT_EDIT, subject), editor.edit(BACKGROUND_EDIT, background)
    sheet("mask_edits.png", {
        "the clip": clip,
        f"{SUBJECT_EDIT}: no mask": editor.edit(SUBJECT_EDIT),
        f"mask of '{SUBJECT}', grow 8": new_subject,
        f"{BACKGROUND_EDIT}: no mask": editor.edit(BACKGROUND_EDIT),
        f"inverted mask of '{SUBJECT}'": new_background,
    })  # fmt: skip
    sheet("structure.png", {
        "the clip": clip,
        **{f"{STYLE_EDIT}: structure {share:g}": editor.edit(STYLE_EDIT, structure=share) for share in (0, 0.5, 1)},
    })  # fmt: skip
    sheet("refine.png", {
        "the clip": clip, **{f"reconstructed, refine {k}": editor.reconstruct(k) for k in (0, 2, 5)},
    })  # fmt: skip
    shown = {
        f"'{SUBJECT}', threshold {t:g}, grow {grow}": darkened(clip, editor.mask(t, grow))
        for t, grow in ((0.3, 0), (0.5, 0), (0.7, 0), (0.5, 8))
    }
    shown["grow 8, feather 8"] = darkened(clip, blur(editor.mask(growth=8)[:, None], 8)[:, 0])
    sheet("mask_from_prompt.png", {"the clip": clip, **shown})
    thumbnail("9 Change the subject, keep the background", clip, new_subject)
    thumbnail("10 Change the background, keep the subject", clip, new_background)


if __name__ == "__main__":
    main()
