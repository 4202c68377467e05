"""``tav demo``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..arguments import add_prompts, flag, open_session, read_config, report


def add_arguments(parser: ArgumentParser) -> None:
    add_prompts(parser, "what to render, in the demo model's words")
    flag(parser, "--steps", "max_train_steps", metavar="N", help="tuning steps (default 100)")
    flag(parser, "--learning-rate", "learning_rate", metavar="X", help="default 5e-4")
    flag(parser, "--output", "output_dir", metavar="FOLDER", help="where results go (default: outputs/demo)")
    flag(parser, "--seed", "seed", metavar="N", help="of all random numbers")
    flag(parser, "--device", "device", metavar="NAME", help="auto (default: CUDA or the CPU), cpu, cuda:1, mps, xpu")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other setting of a run")


def run(arguments: Namespace) -> None:
    from ...demo.demo import demo, demo_config

    session = open_session(read_config(arguments, demo_config()))
    demo(session)
    report(session)
