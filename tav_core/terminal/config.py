"""Read and check the settings of a run, in the layout of the published ``configs/*.yaml`` with some keys of our own."""

from __future__ import annotations

import difflib
import os
import reprlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from ..choices import LARGEST_SIDE
from ..diffusion.rules import check, like, setting
from ..diffusion.settings import (
    CLIP,
    INFLATE,
    LONG,
    OWN_TUNE,
    SAMPLE,
    TUNE,
    WORD_MASK,
    OwnTuneSettings,
    TuneSettings,
)
from ..errors import check_text, short
from ..files import write_text


@dataclass
class TrainData:
    """Describe the clip to learn from."""

    video_path: str = ""
    prompt: str = ""
    n_sample_frames: int = like(CLIP["frames"])
    width: int = like(CLIP["width"])
    height: int = like(CLIP["height"])
    sample_start_idx: int = like(CLIP["start"])
    sample_frame_rate: int = like(CLIP["stride"])
    resize: str = like(CLIP["resize"])
    """Ours."""


@dataclass
class ValidationData:
    """Describe the videos to render."""

    prompts: tuple[str, ...] = ()
    video_length: int | None = like(CLIP["frames"], default=None)
    """Frames, width and height: those of the clip when left out (or 0 frames)."""
    width: int | None = like(CLIP["width"], default=None)
    height: int | None = like(CLIP["height"], default=None)
    num_inference_steps: int = like(SAMPLE["steps"])
    guidance_scale: float = like(SAMPLE["guidance_scale"])
    use_inv_latent: bool = True
    """Start from the inverted clip; otherwise from noise of the seed."""
    num_inv_steps: int = like(SAMPLE["steps"])
    negative_prompt: str = ""
    """The negative prompt. Ours, like all that follow."""
    extend: int = setting(0, least=0)
    """Frames to render in all, from the inverted clip made longer; 0 for those of the clip."""
    extension: str = like(LONG["extension"])
    autoregressive: bool = False
    """Denoise one window after another, each anchored on frame 0 and the frames before it."""
    refine: int = like(SAMPLE["refine"])
    keep_trajectory: bool = False
    """Save every step of the inversion, which masks need; with a mask in the configuration it is kept anyway."""
    structure: float = like(SAMPLE["structure"])
    mask: str = ""
    """A picture, video or folder of pictures, white where the video may change (opaque, if of one colour)."""
    keep: str = ""
    """Words of the clip's prompt: what they name is protected."""
    change: str = ""
    """Words of the clip's prompt: all but what they name is protected."""
    feather: int = like(SAMPLE["feather"])
    mask_steps: int = like(WORD_MASK["steps"])
    mask_threshold: float = like(WORD_MASK["threshold"])
    mask_grow: int = like(WORD_MASK["grow"])


@dataclass
class SDXLInputs:
    """Ours. SDXL's size conditions: the original picture, of which the video looks like a crop."""

    original_width: int | None = setting(None, least=8, most=LARGEST_SIDE)
    """Width and height: those of the clip when left out."""
    original_height: int | None = setting(None, least=8, most=LARGEST_SIDE)
    crop_left: int = setting(0, least=0, most=LARGEST_SIDE)
    crop_top: int = setting(0, least=0, most=LARGEST_SIDE)


@dataclass
class Config(OwnTuneSettings):
    """Hold all settings of a run. The names are the published ones; docstrings mark ours, to which the fields of
    :class:`.OwnTuneSettings` belong."""

    rank: int | None = like(
        OWN_TUNE["rank"],
        default=None,
        help=f"Without it: full tuning for SD 1.x and 2.x, 16 for SDXL. {OWN_TUNE['rank'].metadata['help']}",
    )
    pretrained_model_path: str = ""
    """A diffusers folder, or a single-file ``.safetensors`` checkpoint."""
    output_dir: str = "outputs"
    train_data: TrainData = field(default_factory=TrainData)
    validation_data: ValidationData = field(default_factory=ValidationData)
    validation_steps: int = setting(100, least=1)
    """Tuning steps between two renderings of the prompts."""
    trainable_modules: tuple[str, ...] | None = like(TUNE["trainable_modules"])
    train_batch_size: int = setting(1, least=1)
    """With one clip there is no batch: this and ``gradient_accumulation_steps`` only affect ``scale_lr``."""
    max_train_steps: int = like(TUNE["steps"])
    learning_rate: float = like(TUNE["learning_rate"])
    scale_lr: bool = False
    lr_scheduler: str = like(TUNE["lr_scheduler"], among=("constant", "constant_with_warmup", "linear", "cosine"))
    lr_warmup_steps: int = like(TUNE["warmup_steps"])
    adam_beta1: float = setting(TuneSettings.betas[0], least=0, below=1)
    adam_beta2: float = setting(TuneSettings.betas[1], least=0, below=1)
    adam_weight_decay: float = like(TUNE["weight_decay"])
    adam_epsilon: float = like(TUNE["eps"])
    max_grad_norm: float = like(TUNE["max_grad_norm"])
    gradient_accumulation_steps: int = setting(1, least=1)
    gradient_checkpointing: bool = like(TUNE["gradient_checkpointing"])
    checkpointing_steps: int = setting(500, least=1)
    """Tuning steps between two saves of the state to resume from."""
    resume_from_checkpoint: str | None = None
    """``latest`` (in the output folder) or the file of a saved state."""
    mixed_precision: str = setting("auto", among=("auto", "no", "fp32", "fp16", "bf16"))
    """Precision of the networks. ``auto`` is ours: fp16 on CUDA, fp32 elsewhere; ``no`` is fp32."""
    use_8bit_adam: bool = False
    enable_xformers_memory_efficient_attention: bool = False
    seed: int = like(TUNE["seed"])

    attention: str = like(INFLATE["attention"])
    """Ours, like all that follow."""
    temporal_attention: bool = like(INFLATE["temporal_attention"])
    joint_norm: bool = like(INFLATE["joint_norm"])
    device: str = "auto"
    """``auto`` (CUDA where there is one), or a torch device such as ``cpu`` or ``cuda:1``."""
    tokenizer_path: str | None = None
    """Folder with ``vocab.json`` and ``merges.txt``, for single-file checkpoints."""
    prediction_type: str = setting("auto", among=("auto", "epsilon", "v_prediction"))
    """Prediction type of the network, for a single-file checkpoint that does not state it."""
    timestep_spacing: str = like(SAMPLE["spacing"])
    sdxl: SDXLInputs = field(default_factory=SDXLInputs)
    tuned_precision: str = setting("fp16", among=("fp16", "fp32"))
    """Precision of the tuned file; the state to resume from is float32."""
    window: int = like(LONG["window"])
    overlap: int = like(LONG["overlap"])

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """Return the configuration with ``values`` in place of the defaults; a setting of None keeps its default.

        Raises:
            ValueError: an unknown key (the message names the nearest known one), or an invalid value.
        """
        return _fill(cls, values, "")

    @classmethod
    def read(cls, path: str | os.PathLike) -> Config:
        """Read the configuration in the YAML file ``path``.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: it is not YAML, or :meth:`from_dict` refuses a value.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"There is no configuration file {path}: check the name and the folder.")
        try:
            values = parse_yaml(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            line = getattr(error.__cause__, "problem_mark", None)
            where = f" (line {line.line + 1})" if line else ""
            raise ValueError(f"{path} is not readable as YAML{where}: see configs/ for an example.") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path} contains no settings: it must consist of lines 'key: value', see configs/.")
        try:
            return cls.from_dict(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def with_values(self, values: dict[str, Any]) -> Config:
        """Return a copy with ``values`` by name (``train_data.prompt``); errors as for :meth:`from_dict`."""
        nested = asdict(self)
        for name, value in values.items():
            *groups, key = name.split(".")
            inner = nested
            for group in groups:
                inner = inner.setdefault(group, {})
                if not isinstance(inner, dict):
                    raise ValueError(f"The key {short(name)!r} is unknown: {_nearest(key)}")
            inner[key] = value
        return self.from_dict(nested)

    def save(self, path: str | os.PathLike) -> None:
        """Write the configuration as YAML that :meth:`read` reads."""
        write_text(path, yaml.safe_dump(_plain(asdict(self)), sort_keys=False, allow_unicode=True))


def _fill(kind: type, values: dict[str, Any], prefix: str) -> Any:
    hints = get_type_hints(kind)
    settings = {f.name: f for f in fields(kind)}
    filled = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in settings:
            raise ValueError(f"The key {short(name)!r} is unknown: {_nearest(str(key))}")
        if is_dataclass(hints[key]):
            if not isinstance(value, dict):
                raise ValueError(f"{name} must hold further settings, indented below it, not {reprlib.repr(value)}.")
            filled[key] = _fill(hints[key], value, f"{name}.")
        elif value is not None:
            filled[key] = check(name, _convert(value, hints[key], name), settings[key].metadata)
    return kind(**filled)


def _convert(value: Any, hint: Any, name: str) -> Any:
    """Convert a value from YAML, which reads 3e-5 as text and 1984 as a number, to the type of its field."""
    if get_origin(hint) is UnionType:
        hint = get_args(hint)[0]
    if get_origin(hint) is tuple:
        return tuple(_convert(v, str, name) for v in ([value] if isinstance(value, str) else _listed(value, name)))
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise ValueError(f"{name} must be true or false, not {reprlib.repr(value)}.")
    if hint is str and isinstance(value, (str, int, float)):
        return "no" if value is False else check_text(str(value), name)
    if hint in (int, float) and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            if hint is float or isinstance(value, int) or str(value).isdigit():
                return hint(value)  # not through a float, which cannot hold large seeds
            if float(value).is_integer():
                return int(float(value))
    wanted = {int: "a whole number", float: "a number", str: "text"}[hint]
    raise ValueError(f"{name} must be {wanted}, not {reprlib.repr(value)}.")


def _listed(value: Any, name: str) -> list:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{name} must be a list, not {reprlib.repr(value)}.")
    return list(value)


def parse_yaml(text: str) -> Any:
    """Parse YAML; ValueError for anything that is wrong with it, of which dates and deep nesting are special."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error


def setting_names(kind: type = Config, prefix: str = "") -> Iterator[str]:
    """Yield the keys of a configuration as :meth:`Config.with_values` takes them, groups included."""
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint):
            yield from setting_names(hint, f"{prefix}{name}.")
        yield f"{prefix}{name}"


def setting_of(name: str) -> Field:
    """Return the field of a configuration key such as ``train_data.width``."""
    kind: type = Config
    *groups, key = name.split(".")
    for group in groups:
        kind = get_type_hints(kind)[group]
    return next(each for each in fields(kind) if each.name == key)


def _nearest(key: str) -> str:
    names = sorted(setting_names())
    known = {name.rsplit(".", 1)[-1]: name for name in names}
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {known[close[0]]!r}?" if close else f"the known ones are {', '.join(names)}."


def _plain(value: Any) -> Any:
    """Return ``value`` with lists in place of tuples, which YAML has no plain form for."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    return list(value) if isinstance(value, tuple) else value
