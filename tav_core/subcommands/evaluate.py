"""``tav evaluate``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..arguments import add_scoring
from ..config import RESIZE_MODES

_NOTE = """\
Measured is what can be: frame consistency, consecutive frames and textual alignment with CLIP, PickScore, and motion
fidelity with OpenCV (pip install opencv-python-headless). Nothing is downloaded; a line below the table says what is
missing. Frame i of a video belongs to frame i of the source, counted from --start in steps of --stride."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.epilog = f"{parser.epilog}\n\n{_NOTE}"
    parser.add_argument("videos", nargs="*", metavar="VIDEO", help="videos to compare, whatever made them")
    parser.add_argument(
        "--prompt",
        action="append",
        default=[],
        metavar="TEXT",
        help="what they are to show: once for all, or once per video in their order",
    )
    parser.add_argument(
        "--run", dest="folder", metavar="FOLDER", help="score the videos of a run too, each with its own prompt"
    )
    parser.add_argument(
        "--reconstruction",
        action="store_true",
        help="rebuild the clip of --run by inversion and sampling: PSNR and SSIM",
    )
    group = parser.add_argument_group("the source")
    group.add_argument("--source", metavar="FILE", help="the clip that they were made from (default: that of --run)")
    group.add_argument("--start", type=int, default=0, metavar="N", help="its first frame that was used (default 0)")
    group.add_argument("--stride", type=int, default=1, metavar="N", help="every N-th frame was used (default 1)")
    group.add_argument("--resize", choices=RESIZE_MODES, default="stretch", help="how it came to the videos' shape")
    add_scoring(parser)
    group = parser.add_argument_group("general")
    group.add_argument(
        "--output", metavar="FOLDER", help="where scores.json and scores.png go (default: that of --run, or outputs)"
    )
    group.add_argument("--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda, cuda:1, ...")


def run(arguments: Namespace) -> None:
    videos, prompts = arguments.videos, arguments.prompt
    if not videos and not arguments.folder:
        raise ValueError("There is nothing to score: give video files, or the folder of a run with --run.")
    if arguments.reconstruction and not arguments.folder:
        raise ValueError("--reconstruction rebuilds the clip of a run: give its folder with --run.")
    if len(prompts) > 1 and len(prompts) != len(videos):
        raise ValueError(f"There are {len(prompts)} prompts for {len(videos)} videos: give one for all, or one each.")
    prompts = prompts * len(videos) if len(prompts) == 1 else prompts or [""] * len(videos)

    from tqdm import tqdm
    from transformers.utils import logging

    from .. import evaluate_files as files
    from ..edit_scores import load_scorers
    from ..evaluate import score_videos
    from ..reconstruction import reconstruct_run
    from ..session import choose_device
    from ..video import save_video

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    device, output = choose_device(arguments.device), Path(arguments.output or arguments.folder or "outputs")
    results, notes, source = [], [], None
    if arguments.folder:
        results, source = files.read_run(arguments.folder), files.source_of_run(arguments.folder)
    if arguments.source:
        source = files.SourceClip(arguments.source, arguments.start, arguments.stride, arguments.resize)
    for path, name, prompt in zip(videos, files.result_names(videos), prompts):
        result, note = files.read_result(path, name, prompt, source)
        results.append(result)
        notes.extend([note] if note else [])
    if arguments.reconstruction:
        rebuilt, fps = reconstruct_run(Path(arguments.folder), arguments.device)
        save_video(output / "reconstruction.mp4", rebuilt.frames, fps)
        results.append(rebuilt)
    scorers = load_scorers(arguments.clip, arguments.pickscore, device)
    with tqdm(total=len(results), desc="scoring", unit="video", dynamic_ncols=True, leave=False) as bar:
        table = score_videos(
            results,
            scorers.clip,
            scorers.pickscore,
            notes=[*notes, *scorers.notes],
            on_video=lambda number: bar.update(),
        )
    table.save(output)
    print(f"{table.text()}\nWritten to {output / 'scores.json'} and scores.png")
