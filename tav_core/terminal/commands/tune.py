"""Run ``tav tune``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .. import arguments as args


def add_arguments(parser: ArgumentParser) -> None:
    args.add_config_file(parser)
    args.flag(parser, "--source-prompt", "train_data.prompt", metavar="TEXT", help="what the clip shows")
    args.flag(parser, "--prompt", "train_data.prompt", metavar="TEXT", help="the same as --source-prompt")
    args.add_tuning_of_one(parser)
    args.add_clip(parser)
    args.add_general(parser)


def run(arguments: Namespace) -> None:
    with args.open_session(args.read_config(arguments)) as session:
        from .. import runs

        runs.tune(session)
        args.report(session)
