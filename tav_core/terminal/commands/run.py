"""``tav run``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..arguments import add_clip, add_general, add_prompts, add_tuning_of_one, flag, open_session, read_config, report


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG.yaml", help="the settings; flags take precedence")
    flag(parser, "--source-prompt", "train_data.prompt", metavar="TEXT", help="what the clip shows")
    add_prompts(parser)
    add_tuning_of_one(parser)
    add_clip(parser)
    add_general(parser)


def run(arguments: Namespace) -> None:
    session = open_session(read_config(arguments))
    from .. import runs

    runs.run(session)
    report(session)
