"""Run ``tav mask``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .. import arguments as args


def add_arguments(parser: ArgumentParser) -> None:
    args.add_config_file(parser)
    args.flag(parser, "--source-prompt", "train_data.prompt", metavar="TEXT", help="what the clip shows")
    args.add_words(parser)
    args.add_tuned(parser)
    args.add_clip(parser)
    args.add_general(parser)


def run(arguments: Namespace) -> None:
    with args.open_tuned_session(arguments) as session:
        data = session.config.validation_data
        if not (data.keep or data.change):
            raise ValueError("No words were given: name what may change with --change, or what may not with --keep.")
        from .. import edits

        edits.write_mask(session)
        args.report(session)
