"""Fixtures for tests against a real ComfyUI; they skip where there is none."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "core"))

from checkpoint import make_checkpoint
from comfy_install import REPOSITORY, ComfyInstall, find_comfyui
from comfy_server import PACK_FOLDER, ComfyServer

from tav_core import save_video


@pytest.fixture(scope="session")
def comfyui() -> ComfyInstall:
    """Return the ComfyUI that the tests run against."""
    install = find_comfyui()
    if install is None:
        pytest.skip("no ComfyUI in ~/comfy/ComfyUI; set COMFYUI_PATH (and COMFYUI_PYTHON) to test against one")
    return install


@pytest.fixture(scope="session")
def server(comfyui: ComfyInstall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """Start a ComfyUI with this pack, the probe nodes of these tests, the checkpoint `tiny.safetensors`, and
    `elsewhere/` as a further folder of tuned models."""
    packs = {PACK_FOLDER: REPOSITORY, "probe": Path(__file__).parent / "probe"}
    folder = tmp_path_factory.mktemp("comfyui")
    extra = folder / "extra_model_paths.yaml"
    extra.write_text(f"tests:\n  base_path: {folder}\n  tune_a_video: elsewhere\n")
    (folder / "elsewhere").mkdir()
    server = ComfyServer(comfyui, folder, packs, options=("--extra-model-paths-config", str(extra)))
    make_checkpoint(server.folder / "models" / "checkpoints" / "tiny.safetensors")
    try:
        server.start()
        server.modules = server.get("/probe/modules")  # before any node has run
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.folder / "models")  # pytest keeps the folders of the last three runs


@pytest.fixture(scope="session")
def clip(server) -> str:
    """Upload an mp4 in which a light square moves over a dark ground; return its name."""
    video = torch.full((6, 96, 96, 3), 0.2)
    for i in range(6):
        video[i, 30:60, 10 + 8 * i : 40 + 8 * i] = torch.tensor([0.9, 0.5, 0.1])
    path = server.folder / "moving square.mp4"
    save_video(path, video, fps=8)
    return server.upload(path)


@pytest.fixture(scope="session")
def clip_folder(server) -> Path:
    """Make a CLIP of random weights where Evaluate Video looks for the real one."""
    pytest.importorskip("transformers")
    from tiny_clip import make_clip

    return make_clip(server.folder / "models" / "clip_vision" / "clip-vit-large-patch14")


@pytest.fixture(autouse=True)
def _noted(request: pytest.FixtureRequest, record_property) -> None:
    """Note on the test's report which ComfyUI it meets."""
    if "comfyui" in request.fixturenames:
        install = request.getfixturevalue("comfyui")
        record_property("comfyui", f"ComfyUI {install.version} in {install.folder}")
