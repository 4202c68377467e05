"""The command line, on a checkpoint of a few hundred kilobytes and a drawn clip."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from cli_runs import NAMES, PROMPTS, STEPS, run, settings

import tav_core
from tav_core.files import file_name, unused_path, write_text
from tav_core.saved.inverted import load_inverted, save_inverted
from tav_core.terminal import cli, config

ROOT = Path(__file__).parents[2]


def test_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert f'\nversion = "{capsys.readouterr().out.split()[-1]}"\n' in (ROOT / "pyproject.toml").read_text()


def test_a_missing_checkpoint_is_told_before_the_clip_is_read(tmp_path, capsys):
    nowhere = str(tmp_path / "nowhere")
    arguments = ["--model", nowhere, "--video", nowhere, "--prompt", "a cat", "--output", str(tmp_path / "out")]
    assert cli.main(["tune", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"tav: There is no checkpoint {nowhere}: ")


def test_want_of_memory_while_loading_is_no_damaged_checkpoint(cli_world: Path, monkeypatch, capsys):
    def full(path: Path, *arguments: object) -> None:
        torch.empty(2**60)

    monkeypatch.setattr("tav_core.checkpoint.pipeline.load_folder", full)
    run(cli_world, "full", code=1)
    assert capsys.readouterr().err.splitlines()[-1].startswith("tav: Out of memory: ")


def test_run_writes_everything(finished: Path):
    written = {path.name for path in finished.iterdir()}
    videos = {f"{name}{ending}" for name in NAMES for ending in (".mp4", ".gif")}
    others = {"tuned.safetensors", "tune-state.safetensors", "inverted.safetensors"}
    assert written == videos | others | {"losses.csv", "config.yaml", "contact-sheet.png"}
    for name in videos:
        clip = tav_core.load_video(finished / name, frames=3, width=None, height=None)
        assert clip.frames.shape == (3, 24, 32, 3)
        assert clip.fps == pytest.approx(5)  # every second frame of 10 per second
    _, metadata = tav_core.load_tuned(finished / "tuned.safetensors")
    expected = {"prompt": "a square is moving", "frames": 3, "width": 32, "height": 24, "fps": 5.0, "steps": STEPS}
    assert expected.items() <= metadata.items()
    assert (finished / "losses.csv").read_text().count("\n") == STEPS + 1
    saved = config.Config.read(finished / "config.yaml")
    assert saved.validation_data.prompts == tuple(PROMPTS) and saved.learning_rate == 3e-5
    inverted, clean, *_ = load_inverted(finished / "inverted.safetensors")
    assert inverted.shape == clean.shape == (1, 4, 3, 12, 16)


def test_step_by_step_equals_run(cli_world: Path, finished: Path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cli_world / "empty"))
    folder, clip = cli_world / "steps", str(cli_world / "clip.mp4")
    common = ["--model", str(cli_world / "model"), "--output", str(folder), "--device", "cpu"]
    the_clip = ["--video", clip, "--frames", "3", "--start", "1", "--stride", "2", "--width", "32", "--height", "24"]
    tune = ["tune", *common, *the_clip, "--source-prompt", "a square is moving", "--steps", str(STEPS)]
    assert (
        cli.main([*tune, "--set", "tuned_precision=fp32"]) == 0
    )  # in fp16, what is sampled from the file differs a bit
    assert cli.main(["invert", *common, *the_clip, "--steps", "2"]) == 0
    evaluate = ["evaluate", "--run", str(folder), "--device", "cpu"]
    assert cli.main(evaluate) == 2
    prompts = [part for prompt in PROMPTS for part in ("--prompt", prompt)]
    assert cli.main(["sample", *common, *prompts, "--steps", "2"]) == 0
    assert cli.main(evaluate) == 0
    assert json.loads((folder / "scores.json").read_text())["results"][-1]["prompt"] == PROMPTS[-1]
    # x264 encodes frames this small differently from time to time; a GIF is the same to the bit
    for name in NAMES:
        one, other = (tav_core.load_video(f / f"{name}.gif", 3, width=None, height=None) for f in (finished, folder))
        assert torch.equal(one.frames, other.frames)
        assert one.fps == other.fps
    assert (folder / "contact-sheet.png").is_file()


def test_published_settings_without_temporal_attention(cli_world: Path):
    modules = ["attn1.to_q", "attn2.to_q", "attn_temp"]
    folder = run(cli_world, "no-temporal", "--no-temporal-attention", "--steps", "1", trainable_modules=modules)
    learned, _ = tav_core.load_tuned(folder / "tuned.safetensors")
    assert {name.split(".")[-3] for name in learned} == {"attn1", "attn2"}


def test_without_tuning(cli_world: Path, finished: Path, capsys):
    """The checkpoint as it is, inflated: nothing has been tuned in that folder."""
    folder = cli_world / "untuned"
    common = ["--config", str(finished / "config.yaml"), "--output", str(folder), "--device", "cpu"]
    assert cli.main(["invert", *common]) == 2
    assert "run 'tav tune' first, or give --tuned FILE or --untuned" in capsys.readouterr().err
    assert cli.main(["invert", *common, "--untuned"]) == 0
    videos = []
    for attention in ("first_frame", "spatial"):
        assert cli.main(["sample", *common, "--untuned", "--attention", attention]) == 0
        videos.append(tav_core.load_video(folder / f"{NAMES[0]}.gif", 3, width=None, height=None).frames)
    assert not torch.equal(*videos)


def test_sampling_from_noise_at_another_length(cli_world: Path, finished: Path, tmp_path: Path):
    sample = ["sample", "--config", str(finished / "config.yaml"), "--tuned", str(finished / "tuned.safetensors")]
    flags = ["--output", str(tmp_path), "--from-noise", "--set", "validation_data.video_length=2", "--device", "cpu"]
    assert cli.main([*sample, *flags, "--prompt", "x"]) == 0
    assert tav_core.load_video(tmp_path / "x.mp4", 2, width=None, height=None).frames.shape == (2, 24, 32, 3)


@pytest.mark.parametrize(
    ("changes", "flags", "message"),
    [
        ({"learning_rat": 1}, [], "did you mean 'learning_rate'?"),
        ({"learning_rate": "fast"}, [], "learning_rate must be a number"),
        ({"max_train_steps": 0}, [], "max_train_steps is 0"),
        ({"pretrained_model_path": "nowhere"}, [], "There is no checkpoint nowhere"),
        ({"device": "quantum"}, [], "device 'quantum'"),
        ({}, ["--video", "nowhere.mp4"], "no video file nowhere.mp4"),
        ({}, ["--frames", "50"], "50"),
        ({}, ["--width", "30"], "train_data.width is 30, but must be a multiple of 8"),
        ({}, ["--seed", str(2**64)], f"seed is {2**64}, but must be at most {2**64 - 1}"),
        ({}, ["--set", "validation_data.num_inv_steps=1001"], "num_inv_steps is 1001, but must be at most 1000"),
        ({}, ["--set", "adam_beta1=1"], "adam_beta1 is 1.0, but must be below 1"),
        ({}, ["--set", "train_data.prompt=["], "train_data.prompt=["),
        ({}, ["--set", "validation_data.video_length=5"], "validation_data.video_length is 5, but the clip has 3"),
        ({}, ["--set", "train_data.promt=x"], "did you mean 'train_data.prompt'?"),
        ({}, ["--resume-from", "nowhere.safetensors"], "nowhere.safetensors"),
        ({"trainable_modules": ["attn3"]}, [], "attn3"),
        ({"validation_data": {}}, [], "No prompt to render was given"),
    ],
)
def test_wrong_input_is_one_sentence_and_code_2(cli_world: Path, capsys, changes: dict, flags: list[str], message: str):
    file = settings(cli_world, "wrong", **changes)
    if "device" not in changes:
        flags = [*flags, "--device", "cpu"]
    assert cli.main(["run", str(file), *flags]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("tav: ")]
    assert len(errors) == 1 and message in errors[0]
    assert not (cli_world / "wrong" / "losses.csv").exists()  # it is told before the tuning


def test_an_output_folder_that_cannot_be_is_told_before_the_work(cli_world: Path, finished: Path, capsys):
    (cli_world / "taken").write_text("not a folder")
    for command in ("run", "tune", "invert", "sample"):
        named = (
            [str(cli_world / "finished.yaml")] if command == "run" else ["--config", str(cli_world / "finished.yaml")]
        )
        tuned = ["--tuned", str(finished / "tuned.safetensors")] if command in ("invert", "sample") else []
        latents = ["--latents", str(finished / "inverted.safetensors")] if command == "sample" else []
        assert cli.main([command, *named, *tuned, *latents, "--output", str(cli_world / "taken")]) == 2
        written = capsys.readouterr().err
        assert f"tav: {cli_world / 'taken'}: File exists" in written and "step" not in written


def test_sampling_does_not_need_the_clip_any_more(cli_world: Path, finished: Path, tmp_path: Path, capsys):
    sample = ["sample", "--config", str(finished / "config.yaml"), "--tuned", str(finished / "tuned.safetensors")]
    moved = ["--latents", str(finished / "inverted.safetensors"), "--set", "train_data.video_path=moved.mp4"]
    flags = ["--output", str(tmp_path), "--device", "cpu", "--prompt", "x", "--steps", "1"]
    assert cli.main([*sample, *moved, *flags]) == 0
    assert (tmp_path / "contact-sheet.png").is_file()
    assert "Note: The clip was inverted in 2 steps and is sampled in 1" in capsys.readouterr().err


def test_what_is_sampled_depends_on_what_was_asked(cli_world: Path, finished: Path, tmp_path: Path, capsys):
    state, metadata = tav_core.load_tuned(finished / "tuned.safetensors")
    state = {name: weight + torch.randn_like(weight) / 4 for name, weight in state.items()}
    tav_core.save_tuned(tmp_path / "tuned.safetensors", state, metadata | {"base_fingerprint": "another"})
    inverted, clean, about, _ = load_inverted(finished / "inverted.safetensors")
    save_inverted(tmp_path / "slow.safetensors", inverted, clean, about | {"fps": 0.001})  # no file is as slow
    tuned = ["--tuned", str(tmp_path / "tuned.safetensors")]
    ways = {
        "tuned": tuned,
        "strength": [*tuned, "--strength", "0"],
        "untuned": ["--untuned"],
        "negative": [*tuned, "--negative-prompt", "a dog"],
        "noise": [*tuned, "--from-noise"],
        "seed": [*tuned, "--from-noise", "--seed", "1"],
    }
    seen = {}
    for name, flags in ways.items():
        sample = ["sample", "--config", str(finished / "config.yaml"), "--latents", str(tmp_path / "slow.safetensors")]
        common = ["--output", str(tmp_path / name), "--device", "cpu", "--prompt", "a cat", "--steps", "1"]
        assert cli.main([*sample, *common, *flags]) == 0
        seen[name] = tav_core.load_video(tmp_path / name / "a-cat.gif", 3, width=None, height=None).frames
        assert ("come from another checkpoint" in capsys.readouterr().err) == (name != "untuned")
    assert torch.equal(seen.pop("strength"), seen["untuned"])
    assert len({tuple(frames.flatten().tolist()) for frames in seen.values()}) == len(seen)


def test_a_constant_learning_rate_has_no_warm_up(cli_world: Path):
    """Published behaviour; ``constant_with_warmup`` has one."""
    for scheduler, rate in (("constant", "3e-05"), ("constant_with_warmup", "0")):
        folder = run(cli_world, scheduler, "--steps", "1", lr_scheduler=scheduler, lr_warmup_steps=5)
        assert (folder / "losses.csv").read_text().strip().endswith(f",{rate}")


def test_what_the_machine_lacks_is_replaced_with_a_note(cli_world: Path, capsys):
    """The published configurations ask for half precision and xformers; they have to run on any machine."""
    run(cli_world, "noted", "--steps", "1")
    assert capsys.readouterr().err.count("Note: Half precision (fp16)") == 1


def test_size_flags_count_for_clip_and_videos(cli_world: Path):
    words = ["--source-prompt", "a box", "--prompt", "a bear"]
    folder = run(cli_world, "resized", "--steps", "1", "--frames", "2", "--width", "16", "--height", "16", *words)
    assert tav_core.load_tuned(folder / "tuned.safetensors")[1]["prompt"] == "a box"
    assert tav_core.load_video(folder / "a-bear.mp4", 2, width=None, height=None).frames.shape == (2, 16, 16, 3)


def test_help_explains_every_command_without_loading_torch():
    script = """
import sys
from tav_core.terminal import cli
for command in cli.COMMANDS:
    try:
        cli.main([command, "--help"])
    except SystemExit as ended:
        assert ended.code == 0
heavy = {"torch", "av", "diffusers", "transformers", "ray", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert all(command.example in done.stdout for command in cli.COMMANDS.values())


def test_file_name():
    assert file_name("a bear on the beach") == "a-bear-on-the-beach"
    prompts = ["Ein Bär, 熊!", "../../etc/passwd", "a b", "a-b", "a B", "?", "", "x" * 300, "x" * 301, "con", "nul"]
    names = [file_name(prompt) for prompt in prompts]
    assert names[0].startswith("Ein-Bär-熊-") and names[1].startswith("etc-passwd-") and names[2] == "a-b"
    assert len({name.lower() for name in names}) == len(names)  # some file systems do not tell case
    assert all(re.fullmatch(r"[\w-]{1,107}", name) for name in names) and not {"con", "nul"} & set(names)


def test_a_file_that_another_program_has_open_is_waited_for(tmp_path, monkeypatch):
    path, replace, refusals = tmp_path / "losses.csv", os.replace, [1, 2]

    def busy(*paths):
        if refusals:
            raise PermissionError(refusals.pop(), "Access is denied", *map(str, paths))
        replace(*paths)

    monkeypatch.setattr(os, "replace", busy)
    write_text(path, "new")
    assert path.read_text() == "new" and not refusals
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode  # others may read it where they may read new files
    plain.unlink()
    refusals += range(10)
    with pytest.raises(PermissionError, match=r"Access is denied: .*losses\.csv'$"):
        write_text(path, "newer")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name", ["", "../x", "/x", "a//b", "a/", "what?", "a:b", "x.", "con", "Nul.txt", "a/com1", "x" * 80, "new\nline"]
)
def test_names_that_are_none_on_every_system(name: str, tmp_path: Path):
    with pytest.raises(ValueError, match="is not a valid file name"):
        unused_path(tmp_path, name, ".safetensors")
    assert unused_path(tmp_path, "sports/a man, 熊.v2", ".safetensors") == tmp_path / "sports/a man, 熊.v2.safetensors"
