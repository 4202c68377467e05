"""``tav sample``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..arguments import (
    add_config_file,
    add_from_noise,
    add_general,
    add_prompts,
    add_tuned,
    flag,
    open_tuned_session,
    report,
)
from ..run_folder import INVERTED, note_prompts


def add_arguments(parser: ArgumentParser) -> None:
    add_config_file(parser)
    add_prompts(parser)
    flag(parser, "--negative-prompt", "validation_data.negative_prompt", metavar="TEXT", help="what to lead away from")
    flag(parser, "--steps", "validation_data.num_inference_steps", metavar="N", help="DDIM steps")
    flag(parser, "--guidance", "validation_data.guidance_scale", metavar="X", help="1 means none")
    add_tuned(parser)
    parser.add_argument(
        "--latents", metavar="FILE", help="inverted latents (default: inverted.safetensors of --output)"
    )
    add_from_noise(parser)
    add_general(parser)


def run(arguments: Namespace) -> None:
    session = open_tuned_session(arguments)
    from .. import runs

    start = None
    if session.config.validation_data.use_inv_latent:
        start = runs.read_start(arguments.latents or session.folder / INVERTED)
    runs.sample(session, start)
    note_prompts(session.folder, session.config)
    report(session)
