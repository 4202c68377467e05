"""``tav sample``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..arguments import (
    add_config_file,
    add_from_noise,
    add_general,
    add_prompts,
    add_tuned,
    flag,
    open_session,
    read_config,
    report,
)


def add_arguments(parser: ArgumentParser) -> None:
    add_config_file(parser)
    add_prompts(parser)
    flag(parser, "--negative-prompt", "validation_data.negative_prompt", metavar="TEXT", help="what to lead away from")
    flag(parser, "--steps", "validation_data.num_inference_steps", metavar="N", help="DDIM steps (default 50)")
    flag(parser, "--guidance", "validation_data.guidance_scale", metavar="X", help="1 means none (default 12.5)")
    add_tuned(parser)
    parser.add_argument(
        "--latents", metavar="FILE", help="inverted latents (default: inverted.safetensors of --output)"
    )
    add_from_noise(parser)
    add_general(parser)


def run(arguments: Namespace) -> None:
    config = read_config(arguments)
    from .. import commands

    folder, start = Path(config.output_dir), None
    session = open_session(config, arguments.tuned or folder / commands.TUNED, arguments.strength)
    if config.validation_data.use_inv_latent:
        start = commands.read_start(arguments.latents or folder / commands.INVERTED)
    commands.sample(session, start)
    report(session)
