"""Load Video as a user sees it: the chosen frames playing, the line below them, and what is wrong with a choice."""

import pytest
import torch
from workflow_page import RENDERERS

from tav_core import save_video

LEVELS = [20 * number for number in range(12)]
"""Frame i of the clip is grey of level 20 i."""

TRACKER = "app.extensionManager.workflow.activeWorkflow.changeTracker"
AS_KEPT = f"""() => {{
    const tracker = {TRACKER}
    return tracker.constructor.graphEqual(tracker.activeState, JSON.parse(JSON.stringify(app.graph.serialize())))
}}"""
LINE = "() => document.querySelector('.tav-clip p')?.textContent ?? ''"
LEVELS_SHOWN = """async count => {
    const canvas = document.querySelector('.tav-clip canvas')
    const seen = new Set()
    const begin = performance.now()
    const passed = () => performance.now() - begin
    while (passed() < 1200 || (seen.size < count && passed() < 60000)) {
        const [x, y] = [canvas.width / 2, canvas.height / 2].map(Math.round)
        seen.add(canvas.getContext('2d').getImageData(x, y, 1, 1).data[0])
        await new Promise(requestAnimationFrame)
    }
    return [...seen].sort((a, b) => a - b)
}"""
LINK = """([type, output, name]) => {
    const [node] = app.graph.nodes
    const origin = LiteGraph.createNode(type)
    origin.pos = [-600, 300 * app.graph.nodes.length]
    app.graph.add(origin)
    origin.connect(output, node, node.inputs.findIndex(input => input.name === name))
}"""
REROUTE = """() => {
    const [node, origin] = app.graph.nodes
    const reroute = LiteGraph.createNode('Reroute')
    app.graph.add(reroute)
    origin.connect(0, reroute, 0)
    reroute.connect(0, node, node.inputs.findIndex(input => input.name === 'frames'))
}"""
WRAP = """() => {
    app.graph.convertToSubgraph(new Set(app.graph.nodes.filter(node => node.type === 'TAVLoadVideo')))
    const outside = app.graph.nodes.find(node => node.subgraph)
    app.canvas.openSubgraph(outside.subgraph, outside)
}"""
SET_OUTSIDE = """value => {
    const [widget] = app.graph.nodes.find(node => node.widgets?.length).widgets
    widget.value = value
    widget.callback?.(value)
}"""
MISSING = """async () => {
    const graph = app.graph.serialize()
    graph.nodes[0].widgets_values[0] = 'missing.mp4'
    await app.loadGraphData(graph)
}"""
DROP = """async ([target, name]) => {
    const answer = await fetch('/api/view?filename=grey.mp4&type=input')
    const dataTransfer = new DataTransfer()
    dataTransfer.items.add(new File([await answer.blob()], name, { type: 'video/mp4' }))
    const node = app.graph.nodes[0]
    const canvas = app.canvas.canvas.getBoundingClientRect()
    const { offset, scale } = app.canvas.ds
    const clientX = canvas.left + (node.pos[0] + offset[0] + 60) * scale
    const clientY = canvas.top + (node.pos[1] + offset[1] - 12) * scale
    const under = () => (target ? document.querySelector(target) : document.elementFromPoint(clientX, clientY))
    const there = () => under()?.closest(LiteGraph.vueNodesMode ? '[data-node-id]' : '#graph-canvas, .tav-clip')
    while (!there()) await new Promise(requestAnimationFrame) // the Vue renderer draws a new node a moment later
    const element = under()
    for (const kind of ['dragenter', 'dragover', 'drop']) {
        const options = { bubbles: true, cancelable: true, dataTransfer, clientX, clientY }
        element.dispatchEvent(new DragEvent(kind, options))
        await new Promise(requestAnimationFrame)
    }
}"""


@pytest.fixture(scope="module")
def clip(server) -> None:
    levels = torch.tensor(LEVELS).div(255).view(-1, 1, 1, 1)
    save_video(server.folder / "input" / "grey.mp4", levels.expand(-1, 48, 64, 3), fps=10)


@pytest.fixture(params=RENDERERS)
def node(request, page, clip):
    """Return a new graph with one Load Video node, in one of ComfyUI's two node renderers."""
    with page.renderer(request.param):
        page.new_graph("TAVLoadVideo")
        page.set_node(0, video="grey.mp4", start=1, stride=3, frames=3, width=128, height=64)
        yield page


def wait_for_line(page, start: str) -> None:
    page.wait_until(f"start => ({LINE})().startsWith(start)", arg=start)
    page.wait_for_selector(".tav-clip:not(.tav-loading)")


def levels_shown(page, count: int) -> list[int]:
    """Return the grey levels of the preview over more time than a loop takes, and until there are as many."""
    return page.page.evaluate(LEVELS_SHOWN, count)


def test_the_chosen_frames_play_and_are_told(node):
    wait_for_line(node, "3 frames · 3.33 fps · 0.9 s · 128 \u00d7 64")
    assert "from 12 frames · 10 fps · 1.2 s · 64 \u00d7 48" in node.page.evaluate(LINE)
    assert levels_shown(node, 3) == pytest.approx([LEVELS[1], LEVELS[4], LEVELS[7]], abs=3)
    node.set_node(0, start=2, frames=2)
    wait_for_line(node, "2 frames")
    assert levels_shown(node, 2) == pytest.approx([LEVELS[2], LEVELS[5]], abs=3)
    assert node.own_errors() == []


def test_a_wrong_choice_is_told_beside_what_there_is_to_choose_from(node):
    count = node.page.locator(".tav-clip output")
    node.set_node(0, frames=5)
    wait_for_line(node, "grey.mp4 has 12 frames, which gives 4 with start 1 and stride 3, but 5 were requested")
    assert node.page.locator(".tav-clip.tav-wrong canvas").is_visible()
    node.expect(lambda: count.inner_text().split(" / ")[1], "4")
    node.set_node(0, start=20, stride=1)
    wait_for_line(node, "grey.mp4 has 12 frames")
    node.page.locator(".tav-clip .tav-bar input").fill("9")
    assert count.get_attribute("title") == "frame 9 of the file"
    node.page.get_by_role("button", name="End with this frame").click()
    wait_for_line(node, "10 frames")
    assert node.page.locator(".tav-clip.tav-wrong").count() == 0
    node.set_node(0, frames=0)
    wait_for_line(node, "12 frames")


def test_the_clip_is_cut_at_the_frame_in_sight(node):
    node.set_node(0, resize="stretch")
    node.wait_until(f"() => ({LINE})().includes('stretched from 64 \u00d7 48')")
    node.wait_for_selector(".tav-clip:not(.tav-loading)")
    node.page.locator(".tav-clip .tav-bar input").fill("1")
    assert node.page.locator(".tav-clip output").get_attribute("title") == "frame 4 of the file"
    node.page.get_by_role("button", name="Start at this frame").click()
    wait_for_line(node, "2 frames")
    assert node.page.evaluate("() => app.graph.nodes[0].widgets.find(({ name }) => name === 'start').value") == 4
    node.page.locator(".tav-clip .tav-bar input").fill("0")
    node.page.get_by_role("button", name="End with this frame").click()
    wait_for_line(node, "1 frame ")
    node.set_node(0, resize="crop")
    wait_for_line(node, "1 frame ")
    assert "stretched" not in node.page.evaluate(LINE)
    assert node.own_errors() == []


def test_an_upload_takes_away_the_red_frame_of_a_missing_file(node):
    wait_for_line(node, "3 frames")
    node.page.evaluate(MISSING)
    node.wait_until("() => app.graph.nodes[0].has_errors")
    node.page.evaluate(DROP, [None, "found.mp4"])
    node.wait_until("() => !app.graph.nodes[0].has_errors")
    node.page.keyboard.press("Escape")  # the panel that lists what is missing


def test_keys_of_the_player(node):
    wait_for_line(node, "3 frames")
    canvas = node.page.locator(".tav-clip canvas")
    canvas.press("Home")
    canvas.press(" ")
    canvas.press("Home")
    assert levels_shown(node, 1) == pytest.approx([LEVELS[1]], abs=3)
    canvas.press("ArrowRight")
    assert levels_shown(node, 1) == pytest.approx([LEVELS[4]], abs=3)
    assert node.own_errors() == []


def test_a_number_of_another_node(node):
    """The preview follows a Primitive; what a node will give that has to run first is no mistake."""
    node.page.evaluate(LINK, ["PrimitiveInt", 0, "frames"])
    node.set_node(1, value=2)
    wait_for_line(node, "2 frames")
    node.set_node(1, value=4)
    wait_for_line(node, "4 frames")
    node.page.evaluate(REROUTE)
    node.set_node(1, value=3)
    wait_for_line(node, "3 frames")
    node.page.evaluate(LINK, ["GetImageSize", 0, "frames"])
    node.wait_until(f"() => ({LINE})() === 'No preview: frames comes from another node.'")
    assert node.page.locator(".tav-clip.tav-wrong").count() == 0
    assert node.own_errors() == []


def test_a_number_from_outside_a_subgraph(node):
    """The node that stands for the subgraph decides, or what is linked to that."""
    node.page.evaluate(LINK, ["PrimitiveInt", 0, "frames"])
    node.set_node(1, value=2)
    node.page.evaluate(WRAP)
    wait_for_line(node, "2 frames")
    node.page.evaluate(SET_OUTSIDE, 4)
    wait_for_line(node, "4 frames")
    node.page.evaluate("() => app.graph.remove(app.graph.nodes.find(node => node.type === 'PrimitiveInt'))")
    node.page.evaluate(SET_OUTSIDE, 1)
    wait_for_line(node, "1 frame ")
    assert node.own_errors() == []


def test_undo_and_redo(node):
    """ComfyUI looks for changes when the user lets go of a key or a button: what nobody changed ends no redo."""
    wait_for_line(node, "3 frames")
    node.page.evaluate(f"() => {TRACKER}.checkState()")
    node.page.wait_for_timeout(200)  # what changes sooner belongs to the change before
    node.set_node(0, frames=2)
    wait_for_line(node, "2 frames")
    node.page.evaluate(f"() => {TRACKER}.checkState()")
    node.page.evaluate(f"() => {TRACKER}.undo()")
    wait_for_line(node, "3 frames")
    node.wait_until(AS_KEPT)  # on a busy machine the page lays the node out a moment later
    node.page.evaluate(f"() => {TRACKER}.checkState()")
    node.page.evaluate(f"() => {TRACKER}.redo()")
    wait_for_line(node, "2 frames")
    node.set_node(0, frames=4)
    wait_for_line(node, "4 frames")


def test_new_nodes_have_the_height_that_they_are_loaded_with(page):
    """Growth afterwards would count as an edit: undo would meet it first, and redo be lost."""
    page.new_graph("TAVLoadVideo", "TAVOneShotTune", "TAVCompareVideos", "TAVLoadTuned")
    heights = "() => app.graph.nodes.map(node => node.size[1])"
    new = page.page.evaluate(heights)
    page.page.evaluate("() => app.loadGraphData(app.graph.serialize())")
    assert page.settled(heights) == new


@pytest.mark.parametrize("target", [None, ".tav-clip canvas"])
def test_a_dropped_file_is_uploaded_and_chosen(server, node, target):
    wait_for_line(node, "3 frames")
    dropped = server.folder / "input" / "dropped.mp4"
    dropped.unlink(missing_ok=True)
    node.page.evaluate(DROP, [target, dropped.name])
    node.wait_until("() => app.graph.nodes[0].widgets[0].value === 'dropped.mp4'")
    assert dropped.read_bytes() == (server.folder / "input" / "grey.mp4").read_bytes()
    wait_for_line(node, "3 frames")
    assert node.page.evaluate("() => app.graph.nodes.length") == 1
    assert node.own_errors() == []


def test_an_upload_gives_way_to_a_later_choice(node):
    wait_for_line(node, "3 frames")
    held = []
    node.page.route("**/upload/image", lambda route: held.append(route), times=2)
    node.page.evaluate(DROP, [None, "first.mp4"])
    wait_for_line(node, "Uploading first.mp4 …")
    node.set_node(0, video="grey.mp4")
    wait_for_line(node, "3 frames")
    node.page.evaluate(DROP, [None, "first.mp4"])
    wait_for_line(node, "Uploading first.mp4 …")
    node.page.evaluate(DROP, [None, "second.mp4"])
    node.wait_until("() => app.graph.nodes[0].widgets[0].value === 'second.mp4'")
    wait_for_line(node, "3 frames")
    node.expect(lambda: [bool(route.request.failure) for route in held], [True, True])  # they were given up
    assert node.own_errors() == []


def test_an_upload_that_fails_is_told_with_the_name_of_the_file(node):
    wait_for_line(node, "3 frames")
    node.page.route("**/upload/image", lambda route: route.abort(), times=1)
    node.page.evaluate(DROP, [None, "lost.mp4"])
    wait_for_line(node, "lost.mp4 could not be uploaded: ")
