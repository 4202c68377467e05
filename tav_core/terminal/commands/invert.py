"""Run ``tav invert``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .. import arguments as args


def add_arguments(parser: ArgumentParser) -> None:
    args.add_config_file(parser)
    args.add_inversion(parser)
    args.add_tuned(parser)
    args.add_clip(parser)
    args.add_general(parser)


def run(arguments: Namespace) -> None:
    with args.open_tuned_session(arguments) as session:
        from .. import sampling

        sampling.invert(session)
        args.report(session)
