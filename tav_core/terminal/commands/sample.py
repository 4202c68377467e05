"""Run ``tav sample``."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from .. import arguments as args
from ..run_folder import INVERTED, note_prompts


def add_arguments(parser: ArgumentParser) -> None:
    args.add_config_file(parser)
    args.add_prompts(parser)
    args.flag(
        parser,
        "--negative-prompt",
        "validation_data.negative_prompt",
        metavar="TEXT",
        help="what the videos should not show",
    )
    args.flag(parser, "--steps", "validation_data.num_inference_steps", metavar="N", help="DDIM steps")
    args.flag(parser, "--guidance", "validation_data.guidance_scale", metavar="X", help="1 means none")
    args.add_tuned(parser)
    parser.add_argument(
        "--latents", metavar="FILE", help="inverted latents (default: inverted.safetensors of --output)"
    )
    args.add_from_noise(parser)
    args.add_edits(parser)
    args.add_extension(parser)
    args.add_general(parser)


def run(arguments: Namespace) -> None:
    with args.open_tuned_session(arguments) as session:
        from .. import sampling

        inverted = None
        if session.config.validation_data.use_inv_latent:
            inverted = sampling.read_inverted(arguments.latents or session.folder / INVERTED)
        sampling.sample(session, inverted, whole=False)
        note_prompts(session.folder, session.config)
        args.report(session)
