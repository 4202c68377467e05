"""``tav demo``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..arguments import add_clip, add_general, add_tuning_of_one, flag, open_session, read_config, report


def add_arguments(parser: ArgumentParser) -> None:
    flag(
        parser,
        "--prompt",
        "validation_data.prompts",
        action="append",
        metavar="TEXT",
        help="what to render, in the demo model's words; may be given several times",
    )
    add_tuning_of_one(parser)
    add_clip(parser)
    add_general(parser)


def run(arguments: Namespace) -> None:
    from ..demo.demo import demo, demo_config

    session = open_session(read_config(arguments, demo_config()))
    demo(session)
    report(session)
