"""Run ``tav evaluate``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ...choices import RESIZE_MODES
from ...files import check_writable
from .. import arguments as args

if TYPE_CHECKING:
    from ...scoring.scores import VideoResult
    from ..scored_files import SourceClip

_NOTE = """\
Scores: frame consistency, consecutive frames and textual alignment with CLIP, PickScore, and motion fidelity with
OpenCV (pip install opencv-python-headless), each if its model is on this machine. Nothing is downloaded; a line below
the table names what is missing. Frame i of a video belongs to frame i of the source, counted from --start in steps of
--stride."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.epilog = f"{parser.epilog}\n\n{_NOTE}"
    parser.add_argument("videos", nargs="*", metavar="VIDEO", help="videos to compare, made by any program")
    parser.add_argument(
        "--prompt",
        action="append",
        default=[],
        metavar="TEXT",
        help="what they should show: once for all, or once per video in their order",
    )
    parser.add_argument(
        "--run", dest="folder", metavar="FOLDER", help="score the videos of a run too, each with its own prompt"
    )
    parser.add_argument(
        "--reconstruction",
        action="store_true",
        help="reconstruct the clip of --run by inversion and sampling: PSNR and SSIM",
    )
    group = parser.add_argument_group("the source")
    group.add_argument("--source", metavar="FILE", help="the clip that they were made from (default: that of --run)")
    group.add_argument("--start", type=int, metavar="N", help="its first frame that was used (default 0)")
    group.add_argument("--stride", type=int, metavar="N", help="every N-th frame was used (default 1)")
    group.add_argument(
        "--resize", choices=RESIZE_MODES, help="how it was fitted to the videos' aspect ratio (default stretch)"
    )
    args.add_scoring(parser)
    group = parser.add_argument_group("general")
    group.add_argument(
        "--output", metavar="FOLDER", help="where scores.json and scores.png go (default: that of --run, or outputs)"
    )
    group.add_argument("--device", default="auto", metavar="NAME", help=args.DEVICES)


def run(arguments: Namespace) -> None:
    prompts, source = _prompts(arguments), _source(arguments)
    output = Path(arguments.output or arguments.folder or "outputs")
    check_writable(output)
    args.quiet_libraries()
    from tqdm import tqdm

    from ...scoring.scorers import load_scorers
    from ...scoring.scores import score_videos
    from ..session import choose_device

    device = choose_device(arguments.device)
    results, notes = _results(arguments, prompts, source, output)
    scorers = load_scorers(arguments.clip, arguments.pickscore)
    bar = tqdm(total=len(results), desc="scoring", unit="video", dynamic_ncols=True, leave=False)
    with bar, scorers.working(device):
        table = score_videos(
            results,
            scorers.clip,
            scorers.pickscore,
            notes=[*notes, *scorers.notes],
            on_video=lambda number: bar.update(),
        )
    table.save(output)
    print(table.text())
    print(f"Written to {output / 'scores.json'} and scores.png")


def _prompts(arguments: Namespace) -> list[str]:
    """Return a prompt for each of the videos."""
    videos, prompts = arguments.videos, arguments.prompt
    if not videos and not arguments.folder:
        raise ValueError("There is nothing to score: give video files, or the folder of a run with --run.")
    if arguments.reconstruction and not arguments.folder:
        raise ValueError("--reconstruction reconstructs the clip of a run: give its folder with --run.")
    if len(prompts) > 1 and len(prompts) != len(videos):
        raise ValueError(f"There are {len(prompts)} prompts for {len(videos)} videos: give one for all, or one each.")
    return prompts * len(videos) if len(prompts) == 1 else prompts or [""] * len(videos)


def _source(arguments: Namespace) -> SourceClip | None:
    """Return the clip that the videos were made from, if the arguments or the run name one."""
    from .. import scored_files

    given = {name: getattr(arguments, name) for name in ("start", "stride", "resize")}
    given = {name: value for name, value in given.items() if value is not None}
    if arguments.source:
        return scored_files.SourceClip(arguments.source, **given)
    if given:
        raise ValueError(f"--{next(iter(given))} describes how the clip of --source was used: give --source too.")
    return scored_files.source_of_run(arguments.folder) if arguments.folder else None


def _results(
    arguments: Namespace, prompts: list[str], source: SourceClip | None, output: Path
) -> tuple[list[VideoResult], list[str]]:
    """Return the videos to score, those of the run first, and notes on them."""
    from ...video.reading import save_video
    from .. import scored_files
    from ..reconstruction import reconstruct_run

    results, notes = scored_files.read_run(arguments.folder, source) if arguments.folder else [], []
    if arguments.folder and not results and not arguments.reconstruction:
        raise FileNotFoundError(f"There is no video of a run in {arguments.folder}: run 'tav sample' first.")
    for path, name, prompt in zip(arguments.videos, scored_files.result_names(arguments.videos), prompts):
        result, note = scored_files.read_result(path, name, prompt, source)
        results.append(result)
        notes.extend([note] if note else [])
    if arguments.reconstruction:
        reconstruction, fps = reconstruct_run(Path(arguments.folder), arguments.device)
        save_video(output / "reconstruction.mp4", reconstruction.frames, fps)
        results.append(reconstruction)
    return results, notes
