"""Compare windows of frames with all frames at once, on the demo model: quality, and what is seen at the seams.

    python bench/seams.py                       # 64 frames, window 16, overlaps 0, 4 and 8, two seeds
    python bench/seams.py --seeds 1 --steps 30  # quicker

For each seed the demo model is tuned on a drawn clip, a window of frames in each step. The clip is inverted and sampled
with an edited prompt, with all frames at once and through windows. Columns: PSNR of the clip rebuilt without guidance;
motion fidelity; drift of the look from frame to frame (the judge's); and the mean change from frame to frame at the
seams over that inside windows, divided by the same of all frames at once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))
import tav_core
from tav_core.checkpoint.pipeline import Pipeline
from tav_core.demo import MODEL
from tav_core.demo.clips import draw_clip
from tav_core.demo.demo import CLIP, EDITS, FRAMES, SEED, demo_config
from tav_core.demo.judge import drift
from tav_core.network.windows import split_frames


def seam_ratio(frames: Tensor, seams: list[int]) -> float:
    """Return the mean change from frame to frame at the seams over that elsewhere, for frames ``[f, h, w, 3]``."""
    change = frames.diff(dim=0).abs().mean(dim=(1, 2, 3))
    at = torch.tensor([frame - 1 for frame in seams])
    elsewhere = torch.ones(len(change), dtype=torch.bool)
    elsewhere[at] = False
    return float(change[at].mean() / change[elsewhere].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--overlaps", type=int, nargs="+", default=[0, 4, 8])
    parser.add_argument("--steps", type=int, default=100, help="tuning steps")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--output", type=Path, help="folder for the edited videos")
    args = parser.parse_args()
    config = demo_config()
    ddim_steps, guidance = config.validation_data.num_inference_steps, config.validation_data.guidance_scale
    pipeline = Pipeline.load(MODEL, "cpu")
    schedule = pipeline.schedule
    source = draw_clip(CLIP, args.frames, SEED, cycles=args.frames / FRAMES)
    latents = pipeline.encode_video(source)
    nothing, said, edit = pipeline.encode_prompts(["", CLIP.caption, EDITS[0].caption])
    seams = [window.start for window in split_frames(args.frames, args.window)][1:]
    ways = [("at once", 0, 0)] + [(f"window {args.window}, overlap {n}", args.window, n) for n in args.overlaps]
    titles = "".join(f" {title:>7}" for title in ("motion", "drift"))
    print(f"{'seed':>4}  {'sampled':<24} {'PSNR':>6}{titles} {'seams':>6}")
    for seed in range(args.seeds):
        torch.manual_seed(seed)
        video_unet = pipeline.inflate()
        settings = tav_core.TuneSettings(
            steps=args.steps, learning_rate=config.learning_rate, gradient_checkpointing=False, seed=seed,
            frames_per_step=args.window,
        )  # fmt: skip
        tav_core.tune(video_unet, schedule, latents, said, settings)
        usual = 0.0
        for name, window, overlap in ways:
            video_unet.window, video_unet.kept.overlap = window, overlap
            noise = tav_core.ddim_invert(video_unet, schedule, latents, nothing, ddim_steps)[-1]
            back = tav_core.ddim_sample(video_unet, schedule, noise, said, None, ddim_steps, guidance_scale=1)
            edited = tav_core.ddim_sample(video_unet, schedule, noise, edit, nothing, ddim_steps, guidance)
            back, edited = pipeline.decode_video(back), pipeline.decode_video(edited)
            if args.output:
                tav_core.save_video(args.output / f"{seed} {name}.mp4", edited, 12)
            ratio = seam_ratio(edited, seams)
            usual = usual or ratio
            figures = tav_core.motion_fidelity(edited, source), drift(edited)
            shown = "".join(f" {figure:7.3f}" for figure in figures)
            print(f"{seed:>4}  {name:<24} {tav_core.psnr(back, source):6.2f}{shown} {ratio / usual:6.2f}", flush=True)
        video_unet.deflate()


if __name__ == "__main__":
    main()
