"""Run ``tav demo``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ...demo import LEARNING_RATE, STEPS
from .. import arguments as args


def add_arguments(parser: ArgumentParser) -> None:
    args.add_prompts(parser, "what to render, a caption of the demo world")
    args.flag(parser, "--steps", "max_train_steps", metavar="N", help=f"tuning steps (default {STEPS})")
    args.flag(parser, "--learning-rate", "learning_rate", metavar="X", help=f"default {LEARNING_RATE:g}")
    args.flag(parser, "--output", "output_dir", metavar="FOLDER", help="where results go (default: outputs/demo)")
    args.flag(parser, "--seed", "seed", metavar="N", help="of all random numbers")
    args.flag(parser, "--device", "device", metavar="NAME", help=args.DEVICES)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting of a run")


def run(arguments: Namespace) -> None:
    from ...demo.demo import demo, demo_clip, demo_config

    config = args.read_config(arguments, demo_config())
    with args.open_session(config, clip=demo_clip(config)) as session:
        demo(session)
        args.report(session)
