"""``python -m tav_core`` and ``tav``: the arguments, and what is said when something goes wrong."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from .config import ATTENTION_MODES, RESIZE_MODES, Config
from .errors import TuningError
from .interrupt import Interrupted

_DESCRIPTION = """\
Learn the motion of one video with a Stable Diffusion checkpoint, and render it again with other words (Tune-A-Video).

Everything at once, from a YAML file (see configs/):
  tav run configs/example.yaml --model sd-v1-5.safetensors

Or step by step:
  tav tune   --model sd-v1-5.safetensors --video skiing.mp4 --prompt "a man is skiing" --output outputs/skiing
  tav invert --config outputs/skiing/config.yaml
  tav sample --config outputs/skiing/config.yaml --prompt "spider man is skiing on the beach, cartoon style"

The checkpoint is a diffusers folder or a .safetensors file of SD 1.x or 2.x. Ctrl-C while tuning saves the state;
the same command with --resume goes on from there. 'tav COMMAND --help' explains each command.
Where 'tav' is not installed, 'python -m tav_core' is the same.
"""
_SETTINGS_NOTE = "Every key of the YAML can be given: --set KEY=VALUE, e.g. --set validation_data.num_inv_steps=20."

_ROOT = Path(__file__).parents[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (that of the process when None).

    Returns:
        0; 2 for a wrong input, after one sentence on stderr; 1 when memory ran out; 130 when the person stopped it.
    """
    arguments = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return _work(arguments)
        except (ValueError, OSError, TuningError, ModuleNotFoundError) as error:
            if arguments.traceback:
                raise
            # ComfyUI comes without the packages that load a checkpoint here
            hint = f": run 'pip install -e {_ROOT}'." if isinstance(error, ModuleNotFoundError) else ""
            print(f"tav: {error}{hint}", file=sys.stderr)
            return 2
        except (Interrupted, KeyboardInterrupt) as stopped:
            print(f"tav: {str(stopped) or 'Stopped.'}", file=sys.stderr)
            return 130


def _work(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    # torch and all that stands on it is loaded only here, so that --help answers at once
    from diffusers.utils import logging as diffusers_logging
    from torch import OutOfMemoryError
    from transformers.utils import logging as transformers_logging

    from . import commands
    from .session import Session

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    folder = Path(config.output_dir)
    try:
        if arguments.command in ("tune", "run"):
            session = Session(config)
            getattr(commands, arguments.command)(session)
        elif arguments.command == "demo":
            from .demo.demo import demo

            session = Session(config)
            demo(session)
        else:
            session = Session(config, arguments.tuned or folder / commands.TUNED, arguments.strength)
            if arguments.command == "invert":
                commands.invert(session)
            else:
                start = None
                if config.validation_data.use_inv_latent:
                    start = commands.read_start(arguments.latents or folder / commands.INVERTED)
                commands.sample(session, start)
    except OutOfMemoryError:
        print("tav: The GPU ran out of memory: use fewer or smaller frames.", file=sys.stderr)
        return 1
    print(f"Written to {folder}\n{session.summary()}")
    return 0


def _config(arguments: argparse.Namespace) -> Config:
    if arguments.command == "demo":
        from .demo.demo import demo_config

        config = demo_config()
    else:
        config = Config.read(arguments.config) if arguments.config else Config()
    given = {name: value for name, value in vars(arguments).items() if name in _NAMES}
    for clip, video in _OF_BOTH.items():
        if clip in given:
            given[video] = given[clip]
    for setting in arguments.set:
        name, separator, value = setting.partition("=")
        if not separator:
            raise ValueError(f"--set takes KEY=VALUE, not {setting!r}.")
        given[name] = yaml.safe_load(value)
    return config.with_values(given)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    """In one line for the person; deprecations and the like are for developers."""
    if category is UserWarning:
        print(f"Note: {message}", file=sys.stderr)


_OF_BOTH = {
    "train_data.n_sample_frames": "validation_data.video_length",
    "train_data.width": "validation_data.width",
    "train_data.height": "validation_data.height",
}
"""A flag for the size of the clip also stands for the size of the videos, which start from the inverted clip."""
_NAMES: set[str] = set()
"""Configuration keys that have a flag of their own."""


def _parser() -> argparse.ArgumentParser:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("tav", description=_DESCRIPTION, formatter_class=style)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, summary: str, example: str) -> argparse.ArgumentParser:
        epilog = f"example:\n  {example}\n\n{_SETTINGS_NOTE}"
        return commands.add_parser(name, help=summary, description=summary, epilog=epilog, formatter_class=style)

    run = command(
        "run",
        "Tune, invert and sample, from a YAML file in the published layout.",
        "tav run configs/example.yaml --model sd-v1-5.safetensors --output outputs/skiing",
    )
    run.add_argument("config", metavar="CONFIG.yaml", help="the settings; flags take precedence")
    _tuning(run)
    _clip(run)
    _general(run)

    tune = command(
        "tune",
        "Learn the motion of a clip: writes tuned.safetensors.",
        'tav tune --model sd-v1-5.safetensors --video skiing.mp4 --prompt "a man is skiing" --output outputs/skiing',
    )
    _config_file(tune)
    _flag(tune, "--prompt", "train_data.prompt", metavar="TEXT", help="what the clip shows")
    _tuning(tune)
    _clip(tune)
    _general(tune)

    invert = command(
        "invert",
        "Turn the clip into the noise that samples back to it: writes inverted.safetensors.",
        "tav invert --config outputs/skiing/config.yaml",
    )
    _config_file(invert)
    _flag(invert, "--steps", "validation_data.num_inv_steps", metavar="N", help="DDIM steps (default 50)")
    _tuned(invert)
    _clip(invert)
    _general(invert)

    sample = command(
        "sample",
        "Render the motion with other words: writes an mp4 and a GIF per prompt, and a contact sheet.",
        'tav sample --config outputs/skiing/config.yaml --prompt "wonder woman is skiing" --prompt "a robot is skiing"',
    )
    _config_file(sample)
    _flag(
        sample,
        "--prompt",
        "validation_data.prompts",
        action="append",
        metavar="TEXT",
        help="what to render; may be given several times",
    )
    _flag(sample, "--negative-prompt", "validation_data.negative_prompt", metavar="TEXT", help="what to lead away from")
    _flag(sample, "--steps", "validation_data.num_inference_steps", metavar="N", help="DDIM steps (default 50)")
    _flag(sample, "--guidance", "validation_data.guidance_scale", metavar="X", help="1 means none (default 12.5)")
    _tuned(sample)
    sample.add_argument(
        "--latents", metavar="FILE", help="inverted latents (default: inverted.safetensors of --output)"
    )
    _flag(
        sample,
        "--from-noise",
        "validation_data.use_inv_latent",
        action="store_const",
        const=False,
        help="start from noise of the seed instead of the inverted clip",
    )
    _general(sample)

    demo = command(
        "demo",
        "See the method work with the small demo model: no checkpoint, no GPU, a few minutes.",
        'tav demo --output outputs/demo --prompt "a striped red circle on a blue background"',
    )
    _flag(
        demo,
        "--prompt",
        "validation_data.prompts",
        action="append",
        metavar="TEXT",
        help="what to render, in the demo model's words; may be given several times",
    )
    _tuning(demo)
    _clip(demo)
    _general(demo)
    return parser


def _flag(parser: Any, flag: str, name: str, **options: Any) -> None:
    """A flag that stands for the configuration key ``name``."""
    _NAMES.add(name)
    parser.add_argument(flag, dest=name, default=argparse.SUPPRESS, **options)


def _config_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="YAML with settings, e.g. the config.yaml of an earlier run")


def _clip(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the clip")
    _flag(group, "--video", "train_data.video_path", metavar="FILE", help="mp4, webm, GIF or whatever FFmpeg decodes")
    _flag(group, "--frames", "train_data.n_sample_frames", metavar="N", help="how many frames (default 24)")
    _flag(group, "--start", "train_data.sample_start_idx", metavar="N", help="first frame, counted from 0")
    _flag(group, "--stride", "train_data.sample_frame_rate", metavar="N", help="take every N-th frame (default 1)")
    _flag(group, "--width", "train_data.width", metavar="PIXELS", help="a multiple of 8 (default 512)")
    _flag(group, "--height", "train_data.height", metavar="PIXELS", help="a multiple of 8 (default 512)")
    _flag(group, "--resize", "train_data.resize", choices=RESIZE_MODES, help="for a clip of another shape")


def _tuning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tuning")
    _flag(group, "--steps", "max_train_steps", metavar="N", help="tuning steps (default 500)")
    _flag(group, "--learning-rate", "learning_rate", metavar="X", help="default 3e-5")
    _flag(group, "--attention", "attention", choices=ATTENTION_MODES, help="what self-attention becomes")
    _flag(
        group,
        "--no-temporal-attention",
        "temporal_attention",
        action="store_const",
        const=False,
        help="leave the attention over time out",
    )
    _flag(
        group,
        "--per-frame-norm",
        "joint_norm",
        action="store_const",
        const=False,
        help="group norms look at each frame alone",
    )
    _flag(group, "--save-every", "checkpointing_steps", metavar="N", help="save the state every N steps (default 500)")
    _flag(
        group,
        "--resume",
        "resume_from_checkpoint",
        nargs="?",
        const="latest",
        metavar="FILE",
        help="go on from the state in the output folder, or from FILE",
    )


def _tuned(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tuned weights")
    group.add_argument("--tuned", metavar="FILE", help="tuned weights (default: tuned.safetensors of --output)")
    group.add_argument("--strength", type=float, default=1.0, metavar="X", help="0 (untuned) to 1 (default)")


def _general(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("general")
    _flag(group, "--model", "pretrained_model_path", metavar="PATH", help="diffusers folder or .safetensors checkpoint")
    _flag(group, "--output", "output_dir", metavar="FOLDER", help="where results go (default: outputs)")
    _flag(group, "--tokenizer", "tokenizer_path", metavar="FOLDER", help="vocab.json and merges.txt for a single file")
    _flag(group, "--seed", "seed", metavar="N", help="default 33")
    _flag(group, "--device", "device", metavar="NAME", help="auto (default), cpu, cuda, cuda:1, ...")
    _flag(
        group,
        "--precision",
        "mixed_precision",
        choices=("auto", "fp32", "fp16", "bf16"),
        help="auto (default): fp16 on a GPU, fp32 on a CPU",
    )
    group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other key of the YAML")
    group.add_argument("--traceback", action="store_true", help="show where an error arose")
