"""``tav invert``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..arguments import (
    add_clip,
    add_config_file,
    add_general,
    add_tuned,
    flag,
    open_session,
    read_config,
    report,
)


def add_arguments(parser: ArgumentParser) -> None:
    add_config_file(parser)
    flag(parser, "--steps", "validation_data.num_inv_steps", metavar="N", help="DDIM steps (default 50)")
    add_tuned(parser)
    add_clip(parser)
    add_general(parser)


def run(arguments: Namespace) -> None:
    config = read_config(arguments)
    from .. import commands

    tuned = arguments.tuned or Path(config.output_dir) / commands.TUNED
    session = open_session(config, tuned, arguments.strength)
    commands.invert(session)
    report(session)
