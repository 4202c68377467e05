"""The configuration of a run: its file, its defaults, and the settings made from it."""

from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path

import pytest

pytest.importorskip("diffusers")

import tav_core
from tav_core.terminal import arguments
from tav_core.terminal.commands import tune
from tav_core.terminal.config import Config
from tav_core.terminal.session import Session

ROOT = Path(__file__).parents[2]


def test_the_defaults_are_the_published_ones(cli_world: Path):
    session = Session(Config(pretrained_model_path=str(cli_world / "model")))
    assert session.settings == tav_core.TuneSettings()
    tuning, sampling = asdict(session.settings), tav_core.SampleSettings()
    assert (tuning["steps"], tuning["learning_rate"], tuning["max_grad_norm"]) == (500, 3e-5, 1.0)
    data = session.config.validation_data
    assert data.num_inv_steps == data.num_inference_steps == sampling.steps == 50
    assert data.guidance_scale == sampling.guidance_scale == 12.5


def test_the_learning_rate_is_scaled_by_what_would_be_a_batch(cli_world: Path):
    batch = {"scale_lr": True, "train_batch_size": 2, "gradient_accumulation_steps": 3}
    session = Session(Config(pretrained_model_path=str(cli_world / "model"), **batch))
    assert session.settings.learning_rate == pytest.approx(6 * 3e-5)


def test_flags_win_over_a_preset():
    parser = ArgumentParser()
    tune.add_arguments(parser)
    for flags, expected in (([], (165, 9e-5)), (["--steps", "100"], (100, 9e-5))):
        read = arguments.read_config(parser.parse_args(["--preset", "quick", *flags]))
        assert (read.max_train_steps, read.learning_rate) == expected


def test_large_seeds_stay_as_they_are(tmp_path: Path):
    (tmp_path / "seed.yaml").write_text(f"seed: {2**53 + 1}\nmax_train_steps: 1e2\n")
    read = Config.read(tmp_path / "seed.yaml")
    assert (read.seed, read.max_train_steps) == (2**53 + 1, 100)


def test_a_bare_no_is_a_precision(tmp_path: Path):
    (tmp_path / "plain.yaml").write_text("mixed_precision: no\n")  # YAML reads it as false
    assert Config.read(tmp_path / "plain.yaml").mixed_precision == "no"


def test_example_configuration_holds_the_defaults():
    example = Config.read(ROOT / "configs/example.yaml")
    default = Config()
    for name in ("train_data", "validation_data"):
        for key in ("video_path", "prompt", "prompts"):
            if hasattr(getattr(example, name), key):
                setattr(getattr(default, name), key, getattr(getattr(example, name), key))
    default.pretrained_model_path, default.output_dir = example.pretrained_model_path, example.output_dir
    default.trainable_modules = example.trainable_modules
    assert example == default
