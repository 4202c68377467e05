"""Run ``tav ablate``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ...experiments.ablation_rows import ROWS, choose_rows
from .. import arguments as args


def add_arguments(parser: ArgumentParser) -> None:
    args.add_config_file(parser)
    args.flag(parser, "--source-prompt", "train_data.prompt", metavar="TEXT", help="what the clip shows")
    args.add_prompts(parser)
    parser.add_argument(
        "--rows",
        nargs="+",
        default=[row.name for row in ROWS],
        metavar="ROW",
        help=f"which rows (default: all): {', '.join(row.name for row in ROWS)}",
    )
    args.add_from_noise(parser)
    args.add_inversion(parser, "--inversion-steps")
    args.add_edits(parser)
    tuning = args.add_tuning(parser)
    help = "continue where tuning stopped, with the finished rows as they are"
    args.switch(tuning, "--resume", "resume_from_checkpoint", "latest", help)
    args.add_clip(parser)
    args.add_scoring(parser)
    args.add_general(parser)


def run(arguments: Namespace) -> None:
    config, rows = args.read_config(arguments), choose_rows(arguments.rows)
    from ...experiments.ablation import ablate
    from ...scoring.scorers import load_scorers

    with args.open_session(config) as session:
        table = ablate(session, rows, load_scorers(arguments.clip, arguments.pickscore))
        print(f"\n{table.text()}\n")
        args.report(session)
