"""``tav tune``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..arguments import (
    add_clip,
    add_config_file,
    add_general,
    add_tuning_of_one,
    flag,
    open_session,
    read_config,
    report,
)


def add_arguments(parser: ArgumentParser) -> None:
    add_config_file(parser)
    flag(parser, "--source-prompt", "train_data.prompt", metavar="TEXT", help="what the clip shows")
    flag(parser, "--prompt", "train_data.prompt", metavar="TEXT", help="the same: there is nothing else to say here")
    add_tuning_of_one(parser)
    add_clip(parser)
    add_general(parser)


def run(arguments: Namespace) -> None:
    session = open_session(read_config(arguments))
    from .. import runs

    runs.tune(session)
    report(session)
