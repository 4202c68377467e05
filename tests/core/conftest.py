"""Fixtures for the tests of the core."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute on one thread: small networks are slower on several, and much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def cli_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a checkpoint `model` and a clip `clip.mp4` of a square that moves to the right."""
    from tiny_checkpoint import make_folder

    from tav_core import save_video

    path = tmp_path_factory.mktemp("world")
    make_folder(path / "model")
    frames = torch.zeros(8, 32, 32, 3)
    for number, frame in enumerate(frames):
        frame[8:16, 2 * number : 2 * number + 10] = torch.tensor([1.0, 0.5, 0.0])
    save_video(path / "clip.mp4", frames, 10)
    return path


@pytest.fixture(scope="session")
def finished(cli_world: Path) -> Path:
    """Return the output folder of an uninterrupted run of the command line."""
    from cli_runs import run

    return run(cli_world, "finished")
