"""Run ``python -m tav_core`` and ``tav``: the subcommands, and one sentence for each error."""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from .. import __version__
from ..errors import TuningError, is_out_of_memory, short
from .interrupt import Interrupted

_DESCRIPTION = """\
Learn the motion of one video with a Stable Diffusion checkpoint, and render it with another prompt (Tune-A-Video).

Everything at once, from a YAML file (see configs/):
  tav run configs/example.yaml --model sd-v1-5.safetensors

Or step by step:
  tav tune   --model sd-v1-5.safetensors --video skiing.mp4 --source-prompt "a man is skiing" --output outputs/skiing
  tav invert --config outputs/skiing/config.yaml
  tav sample --config outputs/skiing/config.yaml --prompt "spider man is skiing on the beach, cartoon style"

The checkpoint is a diffusers folder or a .safetensors file of SD 1.x, 2.x or SDXL; a file also needs --tokenizer,
unless CLIP's is in the Hugging Face cache. Ctrl-C while tuning saves the state; the same command with --resume
continues from there. 'tav COMMAND --help' explains each command.
Where 'tav' is not installed, 'python -m tav_core' is the same.
"""

_ROOT = Path(__file__).parents[2]


class Command(NamedTuple):
    """Describe a subcommand. Its module in ``commands`` has its name, and is imported when it is used.

    The module has ``add_arguments(parser)``, and ``run(arguments)``, which may return an exit status other than 0.
    """

    summary: str
    example: str


COMMANDS = {
    "run": Command(
        "Tune, invert and sample, from a YAML file in the published layout.",
        "tav run configs/example.yaml --model sd-v1-5.safetensors --output outputs/skiing",
    ),
    "tune": Command(
        "Learn the motion of a clip: writes tuned.safetensors.",
        'tav tune --model sd-v1-5.safetensors --video skiing.mp4 --source-prompt "a man is skiing"',
    ),
    "invert": Command(
        "Invert the clip by DDIM, into latents that sample back to it: writes inverted.safetensors.",
        "tav invert --config outputs/skiing/config.yaml",
    ),
    "mask": Command(
        "Find what words of the clip's prompt name, in every frame: writes a folder of pictures for --mask.",
        "tav mask --config outputs/skiing/config.yaml --change man",
    ),
    "sample": Command(
        "Render the motion with other prompts: writes an mp4 and a GIF of each, and a contact sheet.",
        'tav sample --config outputs/skiing/config.yaml --prompt "wonder woman is skiing" --prompt "a robot is skiing"',
    ),
    "evaluate": Command(
        "Score edited videos, made by any program: consistency, fit to the prompt, motion kept from the source.",
        'tav evaluate --source clip.mp4 --prompt "a robot is skiing" ours.mp4 theirs.mp4',
    ),
    "demo": Command(
        "See the method work with the small demo model: no checkpoint, no GPU, a few minutes.",
        'tav demo --output outputs/demo --prompt "a frog is running on the beach"',
    ),
    "ablate": Command(
        "See what each part of the method contributes: the prompts once per row of the paper's ablation, in one sheet. "
        "Rows differ in attention and tuning; group norms run over all frames in each, or with --set joint_norm=false "
        "in none.",
        "tav ablate --config outputs/skiing/config.yaml --output outputs/skiing-ablation",
    ),
    "sweep": Command(
        "Run many configurations, or a benchmark's clips and prompts, into one table; finished ones are skipped.",
        "tav sweep LOVEU-TGVE-2023_Dataset.csv --config base.yaml --videos loveu-tgve-2023 --output outputs/tgve --ray",
    ),
    "study": Command(
        "Ask people which system's videos they prefer, on a local page, blind; --report evaluates the answers.",
        "tav study results/",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (that of the process when None).

    Returns:
        0, or what the subcommand returns; 2 for a wrong input, after one sentence on stderr; 1 when out of memory;
        130 when the user stopped it.
    """
    argv = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        # redirected on Windows, some characters of file names cannot be encoded
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = None
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            arguments = _parser(argv).parse_args(argv)
            return arguments.run(arguments) or 0
        except BrokenPipeError:  # of "tav ... | head"
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - Python flushes it at its end
            return 1
        except (ValueError, OSError, TuningError, ImportError) as error:
            if arguments is None or arguments.traceback:
                raise
            if isinstance(error, (OSError, ImportError)) and is_out_of_memory(error):
                print("tav: Out of memory: close other programs, or raise the limit.", file=sys.stderr)
                return 1
            print(f"tav: {_sentence(error)}", file=sys.stderr)
            return 2
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            print("tav: Out of memory: use fewer or smaller frames.", file=sys.stderr)
            return 1
        except (Interrupted, KeyboardInterrupt) as stopped:
            print(f"tav: {str(stopped) or 'Stopped.'}", file=sys.stderr)
            return 130


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of all subcommands; only those named in ``argv`` get their arguments, which need imports."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("tav", description=_DESCRIPTION, formatter_class=style)
    parser.add_argument("--version", action="version", version=f"tav {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (summary, example) in COMMANDS.items():
        epilog = f"example:\n  {example}"
        subparser = subparsers.add_parser(name, help=summary, description=summary, epilog=epilog, formatter_class=style)
        if name in argv:
            module = import_module(f".commands.{name}", __package__)
            module.add_arguments(subparser)
            subparser.add_argument("--traceback", action="store_true", help="show where an error arose")
            subparser.set_defaults(run=module.run)
    return parser


def _sentence(error: Exception) -> str:
    """Describe an error to the user, in one sentence."""
    if isinstance(error, ModuleNotFoundError):  # ComfyUI comes without the packages that load a checkpoint here
        return f'{error}: run "{sys.executable}" -m pip install -e "{_ROOT}"'
    if isinstance(error, ImportError):
        return f"A library cannot be loaded ({short(str(error))}): install it again."
    if isinstance(error, OSError) and error.filename:
        check = "check the name, the folder and its permissions"
        if isinstance(error, PermissionError):
            check += ", and that no other program has it open"
        return f"{error.filename}: {error.strerror}; {check}."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.strerror}: a file could not be written; see that there is space for it."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: a file could not be written or read; try again, or choose another folder."
    return str(error)


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Print a warning in one line; deprecations and the like are for developers only."""
    if category is UserWarning:
        print(f"Note: {message}", file=sys.stderr)
