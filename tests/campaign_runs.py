"""The campaign's trials of the command line: runs that are killed or cancelled at a random moment, and resumed.

Runs are forks of one process that has imported everything: a trial takes the CPU time of its work alone.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections import Counter
from importlib import import_module
from pathlib import Path

import torch
from cli_runs import PROMPTS, settings
from tiny_checkpoint import make_folder

import tav_core
from tav_core.files import file_name
from tav_core.saved.inverted import load_inverted
from tav_core.terminal import cli

NAMES = [file_name(prompt) for prompt in PROMPTS]
CHANGES = {"checkpointing_steps": 1, "validation_steps": 2, "max_train_steps": 4}
READERS = {
    "tuned.safetensors": tav_core.load_tuned,
    "tune-state.safetensors": tav_core.load_tune_state,
    "inverted.safetensors": load_inverted,
    "**/*.mp4": tav_core.probe_video,
}
WAYS = {
    "kills": (signal.SIGKILL,),
    "cancels": (signal.SIGINT, signal.SIGTERM),
}
STATUSES = {"kills": (-signal.SIGKILL, 0), "cancels": (130, 0, -signal.SIGINT, -signal.SIGTERM)}
"""Accepted ends of a process: the signals themselves where they come before the run catches them."""


def interrupted(kind: str, seed: int, count: int, deadline: float) -> Counter:
    """Kill or cancel ``tav run`` and ``tav tune`` in turn, resume them, and compare with runs that were left alone."""
    ends, chance = Counter(), random.Random(f"{seed} {kind}")
    torch.set_num_threads(1)
    for module in ("commands.run", "commands.tune", "runs", "session"):
        import_module(f"tav_core.terminal.{module}")
    with tempfile.TemporaryDirectory() as folder:
        world = Path(folder)
        make_folder(world / "model")
        tav_core.save_video(world / "clip.mp4", torch.rand(8, 32, 32, 3), 10)
        began = time.monotonic()
        if _wait(_start(_command(world, "run", "whole"))):
            return Counter({"the first run failed": 1})
        seconds = time.monotonic() - began
        for number in range(count):
            if time.monotonic() > deadline:
                break
            command = _command(world, ("run", "tune")[number % 2], str(number))
            process = _start(command)
            time.sleep(chance.uniform(0.02, 1) * seconds)
            os.kill(process, chance.choice(WAYS[kind]))
            status = _wait(process)
            if status not in STATUSES[kind]:
                ends[f"status {status}"] += 1
                continue
            time.sleep(2)  # a folder that was just made may still become someone's
            ends[_resumed(world / str(number), command, world / "whole")] += 1
    return ends


def _command(world: Path, name: str, output: str) -> list[str]:
    file = str(settings(world, output, **CHANGES))
    return ["run", file, "--device", "cpu"] if name == "run" else ["tune", "--config", file, "--device", "cpu"]


def _start(command: list[str]) -> int:
    process = os.fork()
    if process:
        return process
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    status = 70  # of a traceback
    try:
        status = cli.main(command)
    finally:
        os._exit(status)


def _wait(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _resumed(output: Path, command: list[str], whole: Path) -> str:
    try:
        for pattern, reader in READERS.items():
            for path in output.glob(pattern):
                if not path.parent.name.startswith("."):  # being written when the process was killed
                    reader(path)
    except ValueError:
        return "corrupt file"
    status = _wait(_start([*command, "--resume"]))
    if status:
        return f"not resumed ({status})"
    videos = [Path("samples", "step-2", f"{name}.mp4") for name in NAMES]
    if command[0] == "run":
        videos += [Path(f"{name}.mp4") for name in NAMES]
    if not all((output / path).is_file() for path in (*videos, "tuned.safetensors", "losses.csv")):
        return "lost work"
    if list(output.rglob(".*")):
        return "leftovers"
    (learned, _), (expected, _) = (tav_core.load_tuned(path / "tuned.safetensors") for path in (output, whole))
    if not all(torch.equal(tensor, learned.get(name)) for name, tensor in expected.items()):
        return "other weights"
    for path in videos:
        made, wanted = (tav_core.load_video(f / path, 3, width=None, height=None).frames for f in (output, whole))
        if (made - wanted).abs().mean() > 0.01:
            return "another video"
    return f"resumed ({command[0]})"
