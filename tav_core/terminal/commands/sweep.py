"""Run ``tav sweep``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from .. import arguments as args
from ..config import Config


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="SOURCE", help="folder of YAML files, or the list LOVEU-TGVE-2023_Dataset.csv, or one like it"
    )
    parser.add_argument("--config", metavar="FILE", help="for a list of clips: the YAML with the settings of all")
    parser.add_argument("--videos", metavar="FOLDER", help="for a list of clips: where they are (default: beside it)")
    parser.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="over a Ray cluster whose machines share these folders; without ADDRESS, over the GPUs of this machine",
    )
    args.add_from_noise(parser)
    args.add_tuning(parser)
    args.add_clip(parser)
    args.add_scoring(parser)
    args.add_general(parser)


def run(arguments: Namespace) -> int:
    from ...experiments.sweep_items import folder_items, tgve_items

    source, values = Path(arguments.source), args.given_values(arguments)
    folder = Path(values.pop("output_dir", "outputs"))
    if source.is_dir():
        if arguments.config or arguments.videos:
            raise ValueError("--config and --videos go with a list of clips; the YAML files of a folder are whole.")
        items = folder_items(source, folder, values)
    else:
        base = Config.read(arguments.config) if arguments.config else Config()
        items = tgve_items(source, base.with_values(values), Path(arguments.videos or source.parent), folder)
    args.quiet_libraries()
    from ...experiments.sweep import ScoreModels, sweep
    from ...experiments.sweep_table import TABLE, as_text
    from ...scoring.scorers import load_scorers

    models = ScoreModels(*(str(Path(p).resolve()) if p else None for p in (arguments.clip, arguments.pickscore)))
    notes = load_scorers(models.clip, models.pickscore).notes  # before hours of work
    if arguments.ray:
        load_scorers.cache_clear()  # each item loads its own, where it runs
    outcomes = sweep(items, folder, arguments.ray, models)
    print("\n".join(["", as_text(outcomes), *(f"Note: {note}" for note in notes)]))
    print(f"Written to {folder} ({TABLE}.txt, {TABLE}.csv, {TABLE}.json)")
    return int(any(outcome.error for outcome in outcomes))
