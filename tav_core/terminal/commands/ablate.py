"""``tav ablate``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ...experiments.ablation_rows import ROWS, choose_rows
from ..arguments import (
    add_clip,
    add_config_file,
    add_from_noise,
    add_general,
    add_prompts,
    add_scoring,
    add_tuning,
    flag,
    open_session,
    read_config,
    report,
)


def add_arguments(parser: ArgumentParser) -> None:
    add_config_file(parser)
    flag(parser, "--source-prompt", "train_data.prompt", metavar="TEXT", help="what the clip shows")
    add_prompts(parser)
    parser.add_argument(
        "--rows",
        nargs="+",
        default=[row.name for row in ROWS],
        metavar="ROW",
        help=f"which rows (default: all): {', '.join(row.name for row in ROWS)}",
    )
    add_from_noise(parser)
    tuning = add_tuning(parser)
    flag(
        tuning,
        "--resume",
        "resume_from_checkpoint",
        action="store_const",
        const="latest",
        help="take what is tuned already from the rows' folders, and go on where tuning stopped",
    )
    add_clip(parser)
    add_scoring(parser)
    add_general(parser)


def run(arguments: Namespace) -> None:
    config, rows = read_config(arguments), choose_rows(arguments.rows)
    session = open_session(config)
    from ...experiments.ablation import ablate
    from ...scoring.scorers import load_scorers

    table = ablate(session, rows, load_scorers(arguments.clip, arguments.pickscore))
    print(f"\n{table.text()}\n")
    report(session)
