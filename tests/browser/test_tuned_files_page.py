"""What Load Tuned Video Model shows of the file that is chosen, in both renderers of the page."""

from collections.abc import Iterator

import pytest
import torch
from drawn_clip import skiing
from workflow_page import RENDERERS

from tav_core import preview_frame, save_tuned

PANEL = ".tav-tuned"
FITS = """panel => panel.scrollHeight <= panel.clientHeight + 1 && panel.querySelector('img').naturalWidth === 256"""


INTO_SUBGRAPH = "() => { app.graph.convertToSubgraph(new Set(app.graph.nodes)) }"
ASKED_ON_REFRESH = """async paths => {
    await new Promise(done => setTimeout(done, 1000)) // what opening the workflow asks for
    performance.clearResourceTimings()
    await app.extensionManager.command.execute('Comfy.RefreshNodeDefinitions')
    await new Promise(done => setTimeout(done, 1000))
    const asked = performance.getEntriesByType('resource').map(({ name }) => name)
    return paths.map(path => asked.filter(name => name.includes(path)).length)
}"""


@pytest.fixture(scope="module")
def files(server) -> None:
    """Two saved motions."""
    preview = preview_frame(skiing(3)[1, 60:260])
    for subject in ("bear", "man"):
        metadata = {
            "prompt": f"a {subject} is skiing", "frames": 24, "width": 512, "height": 320, "fps": 12.5, "steps": 300,
            "date": "2026-01-02", "base_architecture": "SD 1.x (16 blocks, channels 320-1280, context 768)",
            "preview": preview,
        }  # fmt: skip
        path = server.folder / "models" / "tune_a_video" / "sports" / f"{subject}.safetensors"
        save_tuned(path, {"weight": torch.zeros(1)}, metadata)


@pytest.fixture(params=RENDERERS)
def renderer(page, request) -> Iterator[str]:
    """Each of the two."""
    with page.renderer(request.param):
        page.reload()
        yield request.param
    page.reload()


def test_the_chosen_file_is_shown(page, files, renderer):
    page.new_graph("TAVLoadTuned")
    for subject in ("bear", "man"):
        page.set("TAVLoadTuned", name=f"sports/{subject}.safetensors")
        page.page.get_by_text(f"a {subject} is skiing").wait_for()
    panel = page.page.locator(PANEL)
    for text in ("24 frames · 512 x 320 · 12.5 fps", "300 steps · 2026-01-02", "SD 1.x"):
        assert panel.get_by_text(text, exact=True).is_visible()
    page.page.wait_for_function(f"() => ({FITS})(document.querySelector('{PANEL}'))")
    if renderer == "classic":
        page.picture("web/docs/images/load_tuned.png", "Load Tuned Video Model")
    assert page.own_errors() == []


def test_nodes_in_a_subgraph_go_with_their_workflow(page, files):
    """ComfyUI tells the nodes of the root graph alone that they go: the others would go on asking the server."""
    page.new_graph("TAVLoadTuned", "TAVLoadVideo")
    page.set("TAVLoadTuned", name="sports/bear.safetensors")
    page.page.evaluate(INTO_SUBGRAPH)
    for _ in range(3):
        page.page.evaluate("() => app.loadGraphData(app.graph.serialize())")
    paths = ["/tune_a_video/tuned?", "/tune_a_video/clip?"]
    assert page.page.evaluate(ASKED_ON_REFRESH, paths) == [1, 1]
    assert page.own_errors() == []
