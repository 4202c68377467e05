"""Judge the demo model's pictures: share right in colour, shape, background and style, trained and held-out captions.

python tools/evaluate_demo_model.py                       # all 360 captions once
python tools/evaluate_demo_model.py --seeds 2 --sheet samples.png
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from demo_model_parts import tokenize
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from einops import rearrange
from PIL import Image
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from tav_core.demo import MODEL
from tav_core.demo.judge import read
from tav_core.demo.world import Words, all_words
from tav_core.files import replacing
from tav_core.pictures.image import to_pil

NAMES = ("colour", "background", "shape", "style")


class DemoModel:
    """The four networks, loaded in float32, and a plain DDIM sampler."""

    def __init__(self, folder: Path, device: str) -> None:
        self.device = device
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").float().eval().to(device)
        self.unet = UNet2DConditionModel.from_pretrained(folder / "unet").float().eval().to(device)
        self.vae = AutoencoderTiny.from_pretrained(folder / "vae").float().eval().to(device)
        self.scheduler = DDIMScheduler.from_pretrained(folder / "scheduler")

    @torch.no_grad()
    def sample(self, captions: list[str], seed: int, steps: int, guidance: float) -> Tensor:
        """Pictures [n, 64, 64, 3] in 0..1, one per caption."""
        both = tokenize(self.tokenizer, captions + [""] * len(captions)).to(self.device)
        context = self.text_encoder(both).last_hidden_state
        generator = torch.Generator().manual_seed(seed)
        latents = torch.randn(len(captions), 4, 16, 16, generator=generator).to(self.device)
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            with_words, without = self.unet(latents.repeat(2, 1, 1, 1), t, context).sample.chunk(2)
            prediction = without + guidance * (with_words - without)
            latents = self.scheduler.step(prediction, t, latents).prev_sample
        pictures = self.vae.decode(latents / self.vae.config.scaling_factor).sample / 2 + 0.5
        return rearrange(pictures, "n c h w -> n h w c").clamp(0, 1).cpu()


def table(rows: dict[str, list[dict[str, bool]]]) -> str:
    """Markdown: one row per group of captions, one column per word, and one for all of them together."""
    lines = ["| captions | pictures | " + " | ".join(NAMES) + " | all |", "|---" * (len(NAMES) + 3) + "|"]
    for title, verdicts in rows.items():
        if verdicts:
            shares = [sum(v[name] for v in verdicts) / len(verdicts) for name in NAMES]
            shares.append(sum(all(v.values()) for v in verdicts) / len(verdicts))
            cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
            lines.append(f"| {title} | {len(verdicts)} | {cells} |")
    return "\n".join(lines)


def write_sheet(path: Path, pictures: Tensor, columns: int = 16, scale: int = 2) -> None:
    """Write pictures [n, h, w, 3] as one PNG."""
    rows = -(-len(pictures) // columns)
    sheet = torch.ones(rows * columns, *pictures.shape[1:])
    sheet[: len(pictures)] = pictures
    sheet = rearrange(sheet, "(r c) h w k -> (r h) (c w) k", c=columns)
    image = to_pil(sheet)
    with replacing(path) as partial:
        image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(partial)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the model")
    parser.add_argument("--seeds", type=int, default=1, help="pictures per caption")
    parser.add_argument("--every", type=int, default=1, help="judge only every n-th caption")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--sheet", type=Path, help="write the first 128 pictures to this PNG")
    parser.add_argument("--mistakes", action="store_true", help="print what the judge read where a word is wrong")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    model = DemoModel(args.model, args.device)
    words: list[Words] = all_words()[:: args.every] * args.seeds
    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(0)).tolist()
    words = [words[i] for i in order]
    rows: dict[str, list[dict[str, bool]]] = {"trained": [], "held out": []}
    kept, started = [], time.time()
    for start in range(0, len(words), 60):
        group = words[start : start + 60]
        pictures = model.sample([w.caption for w in group], start, args.steps, args.guidance)
        kept.append(pictures)
        for reading, said in zip(read(pictures), group):
            verdict = reading.right(said)
            rows["held out" if said.held_out else "trained"].append(verdict)
            if args.mistakes and not all(verdict.values()):
                seen = f"{reading.style} {reading.colour} {reading.shape} on {reading.background}"
                print(f"{said.caption}: {seen if reading.found else 'nothing found'}")
        print(f"{start + len(group)}/{len(words)} pictures, {time.time() - started:.0f} s", flush=True)
    print(f"\nDDIM, {args.steps} steps, guidance {args.guidance}, {args.seeds} picture(s) per caption\n")
    print(table(rows))
    if args.sheet:
        write_sheet(args.sheet, torch.cat(kept)[:128])


if __name__ == "__main__":
    main()
