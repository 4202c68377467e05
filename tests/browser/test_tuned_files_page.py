"""The chosen file as Load Tuned Video Model shows it, in both renderers of the page."""

from collections.abc import Iterator

import pytest
import torch
from comfy_server import Graph
from drawn_clip import skiing
from workflow_page import RENDERERS

from tav_core import load_tuned, preview_frame, save_tuned

PANEL = ".tav-tuned"
FITS = """panel => panel.scrollHeight <= panel.clientHeight + 1 && panel.querySelector('img').naturalWidth === 256"""


LOOK = """type => {
    app.canvas.ds.scale = 1
    app.canvas.centerOnNode(app.graph.nodes.find(node => node.type === type))
    app.graph.setDirtyCanvas(true, true)
}"""
NOTICE = "tuned on another checkpoint"
INTO_SUBGRAPH = "() => { app.graph.convertToSubgraph(new Set(app.graph.nodes)) }"
ASKED_ON_REFRESH = """async paths => {
    await new Promise(done => setTimeout(done, 1000)) // what opening the workflow asks for
    const { fetchApi } = app.api
    const asked = []
    app.api.fetchApi = function (route, ...rest) {
        asked.push(route)
        return fetchApi.call(this, route, ...rest)
    }
    await app.extensionManager.command.execute('Comfy.RefreshNodeDefinitions')
    await new Promise(done => setTimeout(done, 1000))
    app.api.fetchApi = fetchApi
    return paths.map(path => asked.filter(route => route.startsWith(path)).length)
}"""


@pytest.fixture(scope="module")
def files(server, page) -> None:
    """Save two motions, which the page knows."""
    preview = preview_frame(skiing(3)[1, 60:260])
    for subject in ("bear", "man"):
        metadata = {
            "prompt": f"a {subject} is skiing", "frames": 24, "width": 512, "height": 320, "fps": 12.5, "steps": 300,
            "date": "2026-01-02", "base_architecture": "SD 1.x (16 blocks, channels 320-1280, context 768)",
            "preview": preview,
        }  # fmt: skip
        path = server.folder / "models" / "tune_a_video" / "sports" / f"{subject}.safetensors"
        save_tuned(path, {"weight": torch.zeros(1)}, metadata)
    page.page.evaluate("() => app.extensionManager.command.execute('Comfy.RefreshNodeDefinitions')")


@pytest.fixture(params=RENDERERS)
def renderer(page, request) -> Iterator[str]:
    """Switch to each of the two renderers."""
    with page.renderer(request.param):
        if RENDERERS[request.param]:
            page.reload(kept=False)
        yield request.param
    if RENDERERS[request.param]:
        page.reload(kept=False)


def test_the_chosen_file_is_shown(page, files, renderer):
    page.new_graph("TAVLoadTuned")
    for subject in ("bear", "man"):
        page.set("TAVLoadTuned", name=f"sports/{subject}.safetensors")
        page.page.get_by_text(f"a {subject} is skiing").wait_for()
    panel = page.page.locator(PANEL)
    for text in ("24 frames · 512 x 320 · 12.5 fps", "300 steps · 2026-01-02", "SD 1.x"):
        assert panel.get_by_text(text, exact=True).is_visible()
    page.wait_until(f"() => ({FITS})(document.querySelector('{PANEL}'))")
    if renderer == "classic":
        page.picture("web/docs/images/load_tuned.png", "Load Tuned Video Model")
    assert page.own_errors() == []


def run(page, graph: Graph, type: str) -> None:
    """Run a graph, and look at a node."""
    page.open_graph(graph.nodes)
    end = page.run()
    assert end[0] == "execution_success", end[1]
    page.page.evaluate(LOOK, type)


def reload(page, type: str) -> None:
    """Load the page anew, and look at a node."""
    page.reload()
    page.page.evaluate(LOOK, type)


def test_what_a_run_told_stays(server, page, files):
    """The name of the saved file, and that it is from another checkpoint, until another file is chosen."""
    graph = Graph()
    model = graph.add("TAVLoadDemoModel")
    clip = graph.add(
        "TAVDemoClip", figure="man", verb="running", place="beach", clothes="red", style="none", frames=2, seed=3
    )
    words = graph.add("CLIPTextEncode", clip=model[1], text=clip[1])
    latents = graph.add("VAEEncode", pixels=clip[0], vae=model[2])
    inflated = graph.add(
        "TAVInflateUNet", model=model[0], attention="sparse_causal", temporal_attention=True, joint_norm=True
    )
    tuned = graph.add(
        "TAVOneShotTune", model=inflated[0], latent=latents[0], positive=words[0], steps=1, learning_rate=3e-5, seed=1,
        precision="auto", gradient_checkpointing=False, lr_scheduler="constant", warmup_steps=0, weight_decay=0.01,
        max_grad_norm=1.0, optimizer="adamw",
    )  # fmt: skip
    graph.add("TAVSaveTuned", tuned=tuned[1], name="by/hand")
    run(page, graph, "TAVSaveTuned")
    page.page.get_by_text("Saved as by/hand.safetensors").wait_for()
    reload(page, "TAVSaveTuned")
    page.page.get_by_text("Saved as by/hand.safetensors").wait_for()

    file = server.folder / "models" / "tune_a_video" / "by" / "hand.safetensors"
    state, metadata = load_tuned(file)
    save_tuned(file, state, metadata | {"base_fingerprint": "0" * 16})
    for number in list(graph.nodes)[4:]:
        del graph.nodes[number]
    loaded = graph.add("TAVLoadTuned", model=model[0], name="by/hand.safetensors", strength=1.0)
    sampled = graph.add(
        "TAVSampleVideo",
        model=loaded[0],
        latent=latents[0],
        positive=words[0],
        negative=words[0],
        steps=1,
        guidance=1.0,
    )
    graph.add("SaveLatent", samples=sampled[0], filename_prefix="test")
    run(page, graph, "TAVLoadTuned")
    notice = page.page.get_by_text(NOTICE)
    notice.wait_for()
    page.page.evaluate("() => app.extensionManager.command.execute('Comfy.RefreshNodeDefinitions')")
    page.page.wait_for_timeout(1000)
    assert notice.is_visible()
    reload(page, "TAVLoadTuned")
    notice.wait_for()
    page.set("TAVLoadTuned", name="sports/bear.safetensors")
    notice.wait_for(state="hidden")
    with page.page.expect_response("**/history?*"):
        page.page.evaluate("() => app.loadGraphData(app.graph.serialize())")
    page.page.evaluate(LOOK, "TAVLoadTuned")
    page.page.get_by_text("a bear is skiing").wait_for()
    page.page.wait_for_timeout(1000)
    assert not notice.is_visible()
    assert page.own_errors() == []


def test_nodes_in_a_subgraph_go_with_their_workflow(page, files):
    """ComfyUI tells the nodes of the root graph alone that they go: the others would go on asking the server."""
    page.new_graph("TAVLoadTuned", "TAVLoadVideo")
    page.set("TAVLoadTuned", name="sports/bear.safetensors")
    page.set("TAVLoadVideo", frames=0)  # all: of a choice that does not fit, it would ask once more
    page.page.evaluate(INTO_SUBGRAPH)
    for _ in range(3):
        page.page.evaluate("() => app.loadGraphData(app.graph.serialize())")
    paths = ["/tune_a_video/tuned?", "/tune_a_video/clip?"]
    assert page.page.evaluate(ASKED_ON_REFRESH, paths) == [1, 1]
    assert page.own_errors() == []
