"""Fixtures for tests in a real browser on a real ComfyUI; they skip where one of the two is missing."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "host"))

from checkpoint import make_checkpoint, make_lora
from comfy_install import REPOSITORY, find_comfyui
from comfy_server import ComfyServer
from drawn_clip import FPS, skiing
from workflow_page import WorkflowPage

from tav_core import save_video

PACK = "ComfyUI-Tune-A-Video"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Start the Chromium that the machine has."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing (pip install playwright)")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip("no Chromium on the PATH (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """Start a ComfyUI with this pack, and with the models and the clip that the example workflows name."""
    install = find_comfyui()
    if install is None:
        pytest.skip("no ComfyUI in ~/comfy/ComfyUI; set COMFYUI_PATH (and COMFYUI_PYTHON) to test against one")
    server = ComfyServer(install, tmp_path_factory.mktemp("comfyui"), {PACK: REPOSITORY})
    checkpoint = make_checkpoint(server.folder / "models" / "checkpoints" / "v1-5-pruned-emaonly-fp16.safetensors")
    checkpoint.with_name("dreamshaper_8.safetensors").symlink_to(checkpoint)
    modules = ["down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_k"]
    make_lora(server.folder / "models" / "loras" / "blindbox_V1Mix.safetensors", modules)
    save_video(server.folder / "input" / "man-skiing.mp4", skiing(), FPS)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.folder / "models")  # pytest keeps the folders of the last three runs


@pytest.fixture(scope="session")
def page(browser, server: ComfyServer) -> WorkflowPage:
    """Open ComfyUI in the browser, as a user sees it after the first visit."""
    page = WorkflowPage(browser, server.url, PACK)
    _open.append(page)
    return page


@pytest.fixture(autouse=True)
def _noted(request: pytest.FixtureRequest, record_property) -> None:
    """Note on the test's report which browser and which ComfyUI it meets."""
    if "browser" in request.fixturenames:
        record_property("browser", f"Chromium {request.getfixturevalue('browser').version}")
    if "server" in request.fixturenames:
        install = find_comfyui()
        record_property("comfyui", f"ComfyUI {install.version} in {install.folder}")


_open: list[WorkflowPage] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Give the next test a fresh page after a failure."""
    report = yield
    if report.failed:
        for page in _open:
            page.stale = True
    return report


def pytest_runtest_setup() -> None:
    for page in _open:
        page.renew()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Close the page behind the last test here: videos that play on it would slow down the tests that follow."""
    if nextitem and Path(__file__).parent not in nextitem.path.parents:
        while _open:
            _open.pop().page.close()
