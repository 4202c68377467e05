"""Judge the demo model's pictures: share right in figure, verb, place, style, clothes; trained and held out.

python tools/evaluate_demo_model.py                       # 300 of the 2100 captions once
python tools/evaluate_demo_model.py --every 1 --sheet samples.png
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

import tav_core
from tav_core import Pipeline
from tav_core.demo import MODEL
from tav_core.demo.judge import read
from tav_core.demo.world import SIZE, Words, all_words
from tav_core.files import replacing
from tav_core.pictures.image import to_pil

NAMES = ("figure", "verb", "place", "style", "clothes")


def sample(pipeline: Pipeline, words: list[Words], seed: int, steps: int, guidance: float) -> Tensor:
    """Return pictures [n, 96, 96, 3] in 0..1, one per caption."""
    (nothing,) = pipeline.encode_prompts([""])
    context = torch.cat(pipeline.encode_prompts([w.caption for w in words]))
    side = SIZE // pipeline.vae_scale_factor
    shape = (len(words), pipeline.unet.config.in_channels, 1, side, side)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(context)
    video_unet = pipeline.inflate(attention="spatial", temporal_attention=False)
    try:
        latents = tav_core.ddim_sample(video_unet, pipeline.schedule, noise, context, nothing, steps, guidance)
    finally:
        video_unet.deflate()
    return pipeline.decode_video(rearrange(latents, "n c 1 h w -> 1 c n h w")).cpu()


def table(rows: dict[str, list[dict[str, bool]]]) -> str:
    """Return Markdown: one row per group of captions, one column per word, and one for all of them together."""
    lines = ["| captions | pictures | " + " | ".join(NAMES) + " | all |", "|---" * (len(NAMES) + 3) + "|"]
    for title, verdicts in rows.items():
        cells = []
        for name in NAMES:
            said = [v[name] for v in verdicts if name in v]
            cells.append(f"{100 * sum(said) / max(1, len(said)):.1f} %")
        cells.append(f"{100 * sum(all(v.values()) for v in verdicts) / max(1, len(verdicts)):.1f} %")
        lines.append(f"| {title} | {len(verdicts)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_sheet(path: Path, pictures: Tensor, columns: int = 12, scale: int = 1) -> None:
    """Write pictures [n, h, w, 3] as one PNG."""
    rows = -(-len(pictures) // columns)
    sheet = torch.ones(rows * columns, *pictures.shape[1:])
    sheet[: len(pictures)] = pictures
    image = to_pil(rearrange(sheet, "(r c) h w k -> (r h) (c w) k", c=columns))
    with replacing(path) as partial:
        image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(partial, format="PNG")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the model")
    parser.add_argument("--every", type=int, default=7, help="judge only every n-th caption")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--sheet", type=Path, help="write the first 96 pictures to this PNG")
    parser.add_argument("--mistakes", action="store_true", help="print what the judge read where a word is wrong")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    pipeline = Pipeline.load(args.model, args.device)
    words = all_words()
    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(0)).tolist()[:: args.every]
    words = [words[i] for i in order]
    rows: dict[str, list[dict[str, bool]]] = {"trained": [], "held out": []}
    kept, started = [], time.time()
    for start in range(0, len(words), 60):
        group = words[start : start + 60]
        pictures = sample(pipeline, group, start, args.steps, args.guidance)
        kept.append(pictures)
        for reading, said in zip(read(pictures), group):
            verdict = reading.right(said)
            rows["held out" if said.held_out else "trained"].append(verdict)
            if args.mistakes and not all(verdict.values()):
                print(f"{said.caption}: {reading.named}")
        print(f"{start + len(group)}/{len(words)} pictures, {time.time() - started:.0f} s", flush=True)
    print(f"\nDDIM, {args.steps} steps, guidance {args.guidance}\n\n{table(rows)}")
    if args.sheet:
        write_sheet(args.sheet, torch.cat(kept)[:96])


if __name__ == "__main__":
    main()
