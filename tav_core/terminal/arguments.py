"""Define the flags that the subcommands share, and make a :class:`Config` of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..choices import ATTENTION_MODES, EXTENSION_MODES, RESIZE_MODES
from ..diffusion.settings import OWN_TUNE, PRESETS
from ..errors import short
from ..files import check_writable, only_user
from .config import Config, parse_yaml, setting_names, setting_of
from .run_folder import TUNED

if TYPE_CHECKING:
    from ..video.reading import VideoClip
    from .session import Session

_SETTINGS_NOTE = "Any key of the YAML can be given as --set KEY=VALUE, e.g. --set validation_data.num_inv_steps=20."
DEVICES = "auto (default: CUDA or the CPU), cpu, cuda:1, mps, xpu"
"""Help of the flag that chooses the device."""
_ALSO_SETS = {
    "train_data.n_sample_frames": "validation_data.video_length",
    "train_data.width": "validation_data.width",
    "train_data.height": "validation_data.height",
}
"""Flags for the size of the clip also set the size of the videos, which start from the inverted clip."""


def read_config(arguments: argparse.Namespace, default: Config | None = None) -> Config:
    """Return the configuration of the YAML file, or ``default``, or the published one, with the flags on top.

    Raises:
        FileNotFoundError, ValueError: the file does not exist, or a value is invalid.
    """
    file = getattr(arguments, "config", None)
    config = Config.read(file) if file else default or Config()
    return config.with_values(given_values(arguments))


def given_values(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the flags by configuration key, as :meth:`Config.with_values` takes them.

    Raises:
        ValueError: ``--set`` without a value, or with a value that is not YAML.
    """
    names = set(setting_names())
    preset = PRESETS.get(getattr(arguments, "preset", None))
    given = {"max_train_steps": preset["steps"], "learning_rate": preset["learning_rate"]} if preset else {}
    given |= {name: value for name, value in vars(arguments).items() if name in names}
    for clip, video in _ALSO_SETS.items():
        if clip in given:
            given[video] = given[clip]
    for setting in arguments.set:
        name, separator, value = setting.partition("=")
        if not separator:
            raise ValueError(f"--set takes KEY=VALUE, not {setting!r}.")
        try:
            given[name] = parse_yaml(value)
        except ValueError as error:
            raise ValueError(f"The value of --set {short(setting)} is not valid YAML: put text in quotes.") from error
    return given


@contextmanager
def open_session(
    config: Config, tuned: Path | str | None = None, strength: float = 1.0, clip: VideoClip | None = None
) -> Iterator[Session]:
    """Open a :class:`Session` (arguments and errors as there) without the libraries' own progress bars and notes.

    The output folder is reserved for it during the block.

    Raises:
        ValueError: another process writes to the output folder; also errors of the session.
        OSError: the output folder cannot be written to.
    """
    quiet_libraries()
    from .session import Session

    session = Session(config, tuned, strength, clip)
    check_writable(session.folder)
    with only_user(session.folder):
        yield session


@contextmanager
def open_tuned_session(arguments: argparse.Namespace) -> Iterator[Session]:
    """Open a :class:`Session` with the tuned weights that the arguments name.

    Raises:
        FileNotFoundError, ValueError: they do not exist, or as for :func:`open_session` and :func:`read_config`.
    """
    config, file = read_config(arguments), None
    if arguments.untuned:
        config = replace(config, temporal_attention=False)  # it adds nothing before it is tuned
    else:
        file = Path(arguments.tuned or Path(config.output_dir) / TUNED)
        if not file.exists():
            raise FileNotFoundError(f"There is no {file}: run 'tav tune' first, or give --tuned FILE or --untuned.")
    with open_session(config, file, arguments.strength) as session:
        yield session


def quiet_libraries() -> None:
    """Turn off the progress bars and notes of diffusers and transformers."""
    # torch is imported only here, so that --help answers at once
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def report(session: Session) -> None:
    """Print where the results are, and where the time went."""
    print(f"Written to {session.folder}\n{session.summary()}")


def flag(parser: Any, name: str, key: str, help: str = "", **options: Any) -> None:
    """Add a flag ``name`` that stands for the configuration key ``key``; ``options`` as for ``add_argument``.

    The help is that of the setting where none is given. That of a number or a choice ends with its default.
    """
    setting = setting_of(key)
    help, default = help or setting.metadata["help"], setting.default
    number = "metavar" in options and type(default) in (int, float)
    if (number or "choices" in options) and "default" not in help:
        help = f"{help} (default {f'{default:g}' if number else default})"
    parser.add_argument(name, dest=key, default=argparse.SUPPRESS, help=help, **options)


def switch(parser: Any, name: str, key: str, value: Any, help: str) -> None:
    """Add a flag without an argument that sets the configuration key ``key`` to ``value``."""
    flag(parser, name, key, help, action="store_const", const=value)


def add_prompts(parser: argparse.ArgumentParser, help: str = "what to render") -> None:
    flag(
        parser,
        "--prompt",
        "validation_data.prompts",
        action="append",
        metavar="TEXT",
        help=f"{help}; may be given several times",
    )


def add_from_noise(parser: argparse.ArgumentParser) -> None:
    help = "start from noise of the seed instead of the inverted clip"
    switch(parser, "--from-noise", "validation_data.use_inv_latent", False, help)


def add_extension(parser: argparse.ArgumentParser) -> None:
    """Add the flags of videos longer than the clip."""
    group = parser.add_argument_group("longer than the clip")
    flag(group, "--extend", "validation_data.extend", metavar="N", help="render N frames in all; 0: those of the clip")
    flag(group, "--extension", "validation_data.extension", choices=EXTENSION_MODES)
    help = "denoise window after window, anchored on frame 0 and the frames before"
    switch(group, "--autoregressive", "validation_data.autoregressive", True, help)


def add_words(parser: argparse.ArgumentParser) -> Any:
    """Add the flags of masks from words; returns their group."""
    group = parser.add_argument_group("what may change")
    data = "validation_data"
    flag(group, "--keep", f"{data}.keep", metavar="WORDS", help="protect what words of the clip's prompt name")
    flag(group, "--change", f"{data}.change", metavar="WORDS", help="protect all but what words of its prompt name")
    flag(group, "--mask-threshold", f"{data}.mask_threshold", metavar="X")
    flag(group, "--mask-grow", f"{data}.mask_grow", metavar="PIXELS")
    return group


def add_edits(parser: argparse.ArgumentParser) -> None:
    """Add the flags of edits that keep a part of the clip."""
    group = add_words(parser)
    data = "validation_data"
    flag(
        group,
        "--mask",
        f"{data}.mask",
        metavar="FILE",
        help="picture, video or folder of pictures, white where the video may change (opaque, if of one colour)",
    )
    flag(group, "--feather", f"{data}.feather", metavar="PIXELS")
    flag(group, "--structure", f"{data}.structure", metavar="X")


def add_inversion(parser: argparse.ArgumentParser, steps: str = "--steps") -> None:
    """Add the flags of the inversion."""
    flag(parser, steps, "validation_data.num_inv_steps", metavar="N", help="DDIM steps of the inversion")
    flag(parser, "--refine", "validation_data.refine", metavar="N")
    help = "save every step of the inversion, for masks"
    switch(parser, "--keep-trajectory", "validation_data.keep_trajectory", True, help)


def add_config_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="YAML with settings, e.g. the config.yaml of an earlier run")


def add_clip(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the clip")
    flag(
        group,
        "--video",
        "train_data.video_path",
        metavar="FILE",
        help="mp4, webm, GIF or any other that FFmpeg decodes",
    )
    flag(group, "--frames", "train_data.n_sample_frames", metavar="N")
    flag(group, "--start", "train_data.sample_start_idx", metavar="N")
    flag(group, "--stride", "train_data.sample_frame_rate", metavar="N")
    flag(group, "--width", "train_data.width", metavar="PIXELS", help="a multiple of 8")
    flag(group, "--height", "train_data.height", metavar="PIXELS", help="a multiple of 8")
    flag(group, "--resize", "train_data.resize", choices=RESIZE_MODES)


def add_tuning(parser: argparse.ArgumentParser) -> Any:
    """Add the flags of every tuning; returns their group, to which more can be added."""
    group = parser.add_argument_group("tuning")
    recipes = (f"{name}: {each['steps']} steps at {each['learning_rate']:g}" for name, each in PRESETS.items())
    group.add_argument("--preset", choices=list(PRESETS), help=f"steps and learning rate; {', '.join(recipes)}")
    flag(group, "--steps", "max_train_steps", metavar="N")
    flag(group, "--learning-rate", "learning_rate", metavar="X")
    for each in (each for each in fields(Config) if each.name in OWN_TUNE):
        flag(group, f"--{each.name.replace('_', '-')}", each.name, metavar="X")
    return group


def add_tuning_of_one(parser: argparse.ArgumentParser) -> None:
    """Add the flags of tuning one network, and of resuming it."""
    group = add_tuning(parser)
    _add_attention(group)
    switch(group, "--no-temporal-attention", "temporal_attention", False, "leave temporal attention out")
    switch(group, "--per-frame-norm", "joint_norm", False, "group norms over each frame alone")
    flag(group, "--save-every", "checkpointing_steps", metavar="N", help="save the state every N steps")
    switch(group, "--resume", "resume_from_checkpoint", "latest", "continue from the state in the output folder")
    flag(
        group,
        "--resume-from",
        "resume_from_checkpoint",
        metavar="FILE",
        help="continue from the state in FILE, a tune-state.safetensors of another folder",
    )


def add_tuned(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the tuned weights, for :func:`open_tuned_session`."""
    group = parser.add_argument_group("tuned weights")
    group.add_argument("--tuned", metavar="FILE", help="tuned weights (default: tuned.safetensors of --output)")
    group.add_argument("--strength", type=float, default=1.0, metavar="X", help="0 (untuned) to 1 (default)")
    group.add_argument(
        "--untuned", action="store_true", help="no tuned weights: a quick edit with the checkpoint as it is"
    )
    _add_attention(group, "attention mode with --untuned; otherwise that of the tuned weights")


def _add_attention(group: Any, help: str = "") -> None:
    flag(group, "--attention", "attention", choices=ATTENTION_MODES, help=help)


def add_scoring(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the scoring models."""
    group = parser.add_argument_group("scores")
    group.add_argument("--clip", metavar="FOLDER", help="CLIP model (default: ViT-L/14 in the Hugging Face cache)")
    group.add_argument("--pickscore", metavar="FOLDER", help="PickScore model (default: the one in that cache)")


def add_general(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the checkpoint, the output folder and the machine, and ``--set``."""
    group = parser.add_argument_group("general")
    flag(group, "--model", "pretrained_model_path", metavar="PATH", help="diffusers folder or .safetensors checkpoint")
    flag(group, "--output", "output_dir", metavar="FOLDER", help="where results go (default: outputs)")
    flag(group, "--tokenizer", "tokenizer_path", metavar="FOLDER", help="vocab.json and merges.txt for a single file")
    flag(group, "--seed", "seed", metavar="N", help="of all random numbers")
    flag(group, "--device", "device", metavar="NAME", help=DEVICES)
    flag(
        group,
        "--precision",
        "mixed_precision",
        choices=("auto", "fp32", "fp16", "bf16"),
        help="auto (default): fp16 on CUDA, fp32 elsewhere",
    )
    flag(group, "--window", "window", metavar="N")
    flag(group, "--overlap", "overlap", metavar="N")
    group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any other key of the YAML")
    parser.epilog = f"{parser.epilog}\n\n{_SETTINGS_NOTE}"
