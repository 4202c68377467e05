"""``tav invert``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..arguments import add_clip, add_config_file, add_general, add_tuned, flag, open_tuned_session, report


def add_arguments(parser: ArgumentParser) -> None:
    add_config_file(parser)
    flag(parser, "--steps", "validation_data.num_inv_steps", metavar="N", help="DDIM steps")
    add_tuned(parser)
    add_clip(parser)
    add_general(parser)


def run(arguments: Namespace) -> None:
    session = open_tuned_session(arguments)
    from .. import runs

    runs.invert(session)
    report(session)
