"""One-Shot Tune at work, as a user sees it: the curve, the filmstrip, the buttons, and all of it after a reload."""

import re
from itertools import count

import pytest
from comfy_server import Graph
from workflow_page import RENDERERS

SEEDS = count()
LOOK = """() => {
    const node = app.graph.nodes.find(node => node.type === 'TAVOneShotTune')
    app.canvas.ds.scale = 0.8
    app.canvas.ds.offset = [300 - node.pos[0], 120 - node.pos[1]]
    app.graph.setDirtyCanvas(true, true)
}"""
COPY = """() => {
    const graph = app.graph.serialize()
    graph.id = crypto.randomUUID()
    return app.loadGraphData(graph)
}"""
INTO_SUBGRAPH = """() => {
    const { node } = app.graph.convertToSubgraph(new Set(app.graph.nodes.filter(it => it.type === 'TAVOneShotTune')))
    app.canvas.ds.scale = 0.8
    app.canvas.ds.offset = [300 - node.pos[0], 120 - node.pos[1]]
    app.graph.setDirtyCanvas(true, true)
}"""
OPEN_SOON = """() => Promise.race([
    app.loadGraphData(app.graph.serialize()).then(() => 'open'),
    new Promise(done => setTimeout(() => done('waiting'), 60_000)),
])"""
STOP = """async () => {
    const runs = await (await fetch('/api/queue')).json()
    const [, , nodes, { extra_pnginfo: { workflow } }] = runs.queue_running[0]
    const [{ run }] = await (await fetch(`/api/tune_a_video/runs?workflow=${workflow.id}`)).json()
    await fetch('/api/tune_a_video/stop', { method: 'POST', body: JSON.stringify({ run }) })
}"""
POINTS = "() => document.querySelector('.tav-tune .tav-raw')?.getAttribute('d').split('L').length ?? 0"
VALIDATED = "() => document.querySelectorAll('.tav-tune .tav-curve .tav-dot').length"
LARGER = """() => {
    const [newest, first] = ['.tav-newest img', '.tav-strip img'].map(it => document.querySelector(it).clientHeight)
    return newest > 2 * first
}"""
FILM = """() => [...document.querySelectorAll('.tav-strip button')]
    .map(frame => [frame.textContent, frame.querySelector('img').naturalWidth])"""


@pytest.fixture(params=RENDERERS)
def tuning(request, page):
    """Return the page in one of ComfyUI's two node renderers."""
    with page.renderer(request.param):
        yield page


def open_graph(page, **settings) -> None:
    """Return a graph that tunes the demo model on a drawn clip, with a seed of its own, and shows the loss plot."""
    graph = Graph()
    model = graph.add("TAVLoadDemoModel")
    clip = graph.add(
        "TAVDemoClip", figure="man", verb="running", place="beach", clothes="red", style="none", frames=2, seed=3
    )
    latents = graph.add("VAEEncode", pixels=clip[0], vae=model[2])
    words = [graph.add("CLIPTextEncode", clip=model[1], text=text) for text in ("a man", "a frog", "")]
    inflated = graph.add(
        "TAVInflateUNet", model=model[0], attention="sparse_causal", temporal_attention=True, joint_norm=True
    )
    tuned = graph.add(
        "TAVOneShotTune", model=inflated[0], latent=latents[0], positive=words[0][0], preview=words[1][0],
        negative=words[2][0], vae=model[2], learning_rate=3e-5, precision="auto", gradient_checkpointing=False,
        lr_scheduler="constant", warmup_steps=0, weight_decay=0.01, max_grad_norm=1.0, optimizer="adamw", fps=8.0,
        seed=next(SEEDS), **settings,
    )  # fmt: skip
    graph.add("PreviewImage", images=tuned[2])
    page.open_graph(graph.nodes)
    wait_for(page, "idle")


def wait_for(page, state: str) -> None:
    """Wait until the node shows this, and bring it in sight."""
    page.wait_for_selector(f".tav-tune[data-state={state}]", state="attached")
    page.page.evaluate(LOOK)
    page.wait_for_selector(f".tav-tune[data-state={state}]")


def test_curve_and_filmstrip(tuning):
    open_graph(tuning, steps=8, preview_every=3, preview_steps=1)
    end = tuning.run()
    assert end[0] == "execution_success", end[1]
    wait_for(tuning, "done")
    tuning.wait_until(f"() => ({POINTS})() === 8")
    tuning.wait_until(f"() => ({FILM})().every(([, width]) => width > 0)")
    assert [step for step, _ in tuning.page.evaluate(FILM)] == ["0", "3", "6", "8"]
    assert tuning.page.locator(".tav-big").all_inner_texts() == ["the clip", "8"] and tuning.page.evaluate(LARGER)
    assert tuning.page.evaluate(VALIDATED) == 4  # the same steps, strong over the faint losses
    assert "validation loss " in tuning.page.locator(".tav-tune").inner_text()

    tuning.page.locator(".tav-curve").hover()
    tip = tuning.page.locator(".tav-tip").filter(has_text=re.compile("^step "))
    tip.wait_for()
    tuning.page.locator(".tav-strip button").first.click()
    caption, large = tuning.page.locator(".tav-turn span"), tuning.page.locator(".tav-large")
    tuning.expect(caption.inner_text, "before the first step")
    tuning.expect(large.locator("figcaption").all_inner_texts, ["the clip", "before the first step"])
    # at the last, its button is disabled
    for key, step in (("ArrowDown", 3), ("ArrowDown", 6), ("ArrowDown", 8), ("ArrowUp", 6)):
        tuning.page.keyboard.press(key)
        tuning.expect(caption.inner_text, f"after step {step}")
    tuning.expect(large.locator("figcaption").all_inner_texts, ["the clip", "after step 6"])
    tuning.page.keyboard.press("End")
    tuning.expect(large.locator("output").inner_text, "2 / 2")
    assert large.get_by_title("Save as a video").is_visible() and large.get_by_title("Speed").is_visible()
    tuning.page.keyboard.press("Escape")
    tuning.page.locator(".tav-large").wait_for(state="detached")  # browsers tell that a dialog closed a moment later

    tuning.page.locator(".tav-curve").hover()  # where the mouse stays while another run begins
    tuning.set("TAVOneShotTune", seed=next(SEEDS), preview_every=0)
    end = tuning.end_of(tuning.queue(button=False))
    assert end[0] == "execution_success", end[1]
    wait_for(tuning, "done")
    tip.wait_for()
    tuning.expect(tuning.page.locator(".tav-note").inner_text, "Starts over, because of another seed.")
    assert tuning.own_errors() == []


def test_a_copy_of_the_workflow_shows_the_run_that_comfyui_answers_it_with(server, page):
    if "has_intermediate_output" not in server.object_info("TAVOneShotTune"):
        pytest.skip("this ComfyUI answers from its cache without what nodes in the middle of a graph told")
    open_graph(page, steps=4, preview_every=0, preview_steps=1)
    assert page.run()[0] == "execution_success"
    wait_for(page, "done")
    page.page.evaluate(COPY)
    wait_for(page, "idle")
    assert page.run()[0] == "execution_success"
    wait_for(page, "done")
    page.page.evaluate("() => app.loadGraphData(app.graph.serialize())")  # as undo does, and a change of tabs
    wait_for(page, "done")
    page.wait_until(f"() => ({POINTS})() === 4")
    assert page.own_errors() == []


def test_curve_and_buttons_are_on_the_subgraph_around_the_node(tuning):
    open_graph(tuning, steps=100_000, preview_every=0, preview_steps=1)
    tuning.page.evaluate(INTO_SUBGRAPH)
    tuning.queue()
    panel = tuning.page.locator(".tav-tune:visible")
    panel.locator(".tav-raw").wait_for(state="attached")
    panel.get_by_role("button", name="Stop and keep").click()
    tuning.page.locator(".tav-tune[data-state=stopped]:visible").wait_for()
    assert "and kept" in panel.inner_text()
    assert tuning.own_errors() == []


def test_a_dropped_result_shows_the_run_that_it_comes_from(page):
    open_graph(page, steps=3, preview_every=0, preview_steps=1)
    results = []
    for steps in (3, 5):
        page.set("TAVOneShotTune", steps=steps, seed=next(SEEDS))
        assert page.run()[0] == "execution_success"
        page.wait_until(f"steps => ({POINTS})() === steps", arg=steps)
        results += page.shown("PreviewImage")
    page.drop(results[0])
    page.wait_until(f"() => ({POINTS})() === 3")
    page.reload()
    wait_for(page, "done")
    page.wait_until(f"() => ({POINTS})() === 3")
    page.drop(results[1])
    page.wait_until(f"() => ({POINTS})() === 5")
    assert page.own_errors() == []


def test_a_workflow_opens_before_the_server_answers(page):
    """Until then ComfyUI would take what the user does for changes of the workflow before it."""
    page.new_graph("TAVOneShotTune", "TAVSaveTuned")
    held = []
    asked = ("**/tune_a_video/runs?*", "**/history?*")
    for path in asked:
        page.page.route(path, lambda route: held.append(route))
    try:
        with page.page.expect_request(asked[0]), page.page.expect_request(asked[1]):
            assert page.page.evaluate(OPEN_SOON) == "open"
    finally:
        for route in held:
            route.continue_()
        for path in asked:
            page.page.unroute(path)


def test_the_end_of_another_workflow_is_not_shown(page):
    """ComfyUI gives the result to whichever node has the same number in the workflow that is open then."""
    open_graph(page, steps=100_000, preview_every=0, preview_steps=1)
    page.queue()
    wait_for(page, "running")
    page.page.evaluate(COPY)
    wait_for(page, "idle")
    with page.page.expect_response("**/tune_a_video/runs/*") as told:
        page.page.evaluate(STOP)
    told.value.finished()
    page.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    wait_for(page, "idle")
    assert page.own_errors() == []


def test_a_failure_says_why_on_the_node(page):
    open_graph(page, steps=8, preview_every=0, preview_steps=1)
    page.set("TAVOneShotTune", optimizer="adamw8bit")
    assert page.run()[0] == "execution_error"
    wait_for(page, "failed")
    assert "pip install bitsandbytes" in page.page.locator(".tav-empty").inner_text()


def test_reload_in_the_middle_then_stop_and_keep(page):
    open_graph(page, steps=100_000, preview_every=0, preview_steps=1)
    page.queue()
    page.wait_until(f"() => ({POINTS})() > 2")
    before = page.page.evaluate(POINTS)
    page.reload()
    wait_for(page, "running")
    page.wait_until(f"points => ({POINTS})() > points", arg=before)
    page.page.get_by_role("button", name="Stop and keep").click()
    wait_for(page, "stopped")
    assert "and kept" in page.page.locator(".tav-tune [role=status]:not(.tav-note)").inner_text()
    assert len(page.shown("PreviewImage")) == 1
    page.reload()
    wait_for(page, "stopped")
    page.wait_until(f"points => ({POINTS})() >= points", arg=before)
    page.page.get_by_role("button", name="Continue").click()
    wait_for(page, "running")
    page.page.locator(".tav-tune").get_by_text("continuing from step").wait_for()
    page.page.get_by_role("button", name="Stop and keep").click()
    wait_for(page, "stopped")
    assert page.own_errors() == []
