"""Run ``tav run``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .. import arguments as args


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG.yaml", help="the settings; flags take precedence")
    args.flag(parser, "--source-prompt", "train_data.prompt", metavar="TEXT", help="what the clip shows")
    args.add_prompts(parser)
    args.add_inversion(parser, "--inversion-steps")
    args.add_edits(parser)
    args.add_tuning_of_one(parser)
    args.add_clip(parser)
    args.add_extension(parser)
    args.add_general(parser)


def run(arguments: Namespace) -> None:
    with args.open_session(args.read_config(arguments)) as session:
        from .. import runs

        runs.run(session, whole=False)
        args.report(session)
