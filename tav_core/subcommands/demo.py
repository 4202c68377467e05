"""``tav demo``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..arguments import add_clip, add_general, add_prompts, add_tuning_of_one, open_session, read_config, report


def add_arguments(parser: ArgumentParser) -> None:
    add_prompts(parser, "what to render, in the demo model's words")
    add_tuning_of_one(parser)
    add_clip(parser)
    add_general(parser)


def run(arguments: Namespace) -> None:
    from ..demo.demo import demo, demo_config

    session = open_session(read_config(arguments, demo_config()))
    demo(session)
    report(session)
