"""Compare Videos as a user sees it: videos in step under one control, wiped over each other, and after a reload."""

import av
import pytest
import torch
from comfy_server import Graph
from workflow_page import RENDERERS

from tav_core import save_video

COUNT = "() => document.querySelector('.tav-compare .tav-bar output')?.textContent"
MENU = ("Open this frame", "Copy this frame", "Save this frame", "Save as a video", "Full screen")
LEVELS = [20 * number for number in range(8)]

CONNECT = """() => {
    const [source, result, compare] = app.graph.nodes
    const slot = name => compare.inputs.findIndex(input => input.name === name)
    source.connect(0, compare, slot('source'))
    source.connect(1, compare, slot('fps'))
    result.connect(0, compare, slot('result_1'))
}"""
INPUTS = """() => app.graph.nodes.find(node => node.type === 'TAVCompareVideos').inputs
    .filter(input => !input.widget).map(input => input.name)"""
INTO_SUBGRAPH = """() => {
    const [inner] = app.graph.nodes
    const { node: outer } = app.graph.convertToSubgraph(new Set([inner]))
    return [app.graph.id, String(inner.id), `${outer.id}:${outer.subgraph.nodes[0].id}`]
}"""
CAPTIONS_INSIDE = """() => {
    const [inner] = app.graph.nodes[0].subgraph.nodes
    const { element } = inner.widgets.find(({ name }) => name === 'comparison')
    return [...element.querySelectorAll('figcaption')].map(caption => caption.textContent)
}"""
BOX = """() => {
    const { x, y, width, height } = document.querySelector('.tav-stage canvas').getBoundingClientRect()
    return { x, y, width, height }
}"""
PLAY_AGAIN = f"""() => {{
    const key = new KeyboardEvent('keydown', {{ key: ' ', bubbles: true, cancelable: true }})
    document.querySelector('.tav-compare').dispatchEvent(key)
    return ({COUNT})() // at once: a busy page may show the last frame before anyone looks again
}}"""
FAR_OUT = """async () => {
    app.canvas.selectNode(app.graph.nodes.find(node => node.type === 'TAVCompareVideos'))
    app.canvas.ds.scale = 0.4
    app.canvas.setDirty(true, true)
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
}"""
WIDTH = "() => document.querySelector('.tav-compare').getBoundingClientRect().width / app.canvas.ds.scale"
LEVEL = """(canvas, left) => {
    const { width, height } = canvas
    const [x, y] = [width * left, height / 4].map(Math.round)
    return canvas.getContext('2d').getImageData(x, y, 1, 1).data[0]
}"""


@pytest.fixture(scope="module")
def clips(server) -> None:
    levels = torch.tensor(LEVELS).div(255).view(-1, 1, 1, 1).expand(-1, 64, 64, 3)
    save_video(server.folder / "input" / "dark.mp4", levels, fps=10)
    save_video(server.folder / "input" / "light.mp4", levels[:4] + 0.4, fps=10)


def button(page, name: str):
    return page.page.locator(".tav-compare").get_by_role("button", name=name)


@pytest.fixture(params=RENDERERS)
def compared(request, page, clips):
    """Run a graph that compares a clip of 8 frames with a lighter, wider one of 4; return the page."""
    with page.renderer(request.param):
        page.new_graph("TAVLoadVideo", "TAVLoadVideo", "TAVCompareVideos")
        page.set_node(0, video="dark.mp4", frames=8, width=64, height=64)
        page.set_node(1, video="light.mp4", frames=4, width=128, height=64)
        page.set_node(2, labels="the source\nlighter")
        page.page.evaluate(CONNECT)
        end = page.run()
        assert end[0] == "execution_success", end[1]
        page.wait_until(f"() => ({COUNT})()?.endsWith('/ 8')")
        button(page, "Play or pause (space)").click()
        yield page


def press(page, *keys: str) -> None:
    for key in keys:
        page.page.locator(".tav-compare").press(key)


def count(page) -> str:
    return page.page.evaluate(COUNT)


def level(page, panel: int, left: float = 0.5) -> int:
    """Return the grey level that a panel shows, some way from its left."""
    canvas = page.page.locator(".tav-stage canvas").nth(panel)
    return canvas.evaluate(LEVEL, left)


def near(*values: int) -> list:
    return [pytest.approx(value, abs=4) for value in values]


def test_one_control_for_all(compared):
    before = compared.page.evaluate("() => app.graph.nodes.map(node => [...node.pos])")
    assert compared.page.locator(".tav-stage figcaption").all_text_contents() == ["the source", "lighter"]
    compared.page.locator(".tav-compare .tav-bar input").fill("2")
    assert (count(compared), level(compared, 0), level(compared, 1)) == ("3 / 8", *near(40, 142))
    press(compared, "ArrowRight", "ArrowRight", "ArrowRight")
    assert (count(compared), level(compared, 0), level(compared, 1)) == ("6 / 8", *near(100, 162))  # held
    press(compared, "ArrowLeft")
    assert count(compared) == "5 / 8"
    press(compared, " ")
    compared.wait_until(f"() => ({COUNT})() !== '5 / 8'")
    assert compared.page.evaluate("() => app.graph.nodes.map(node => [...node.pos])") == before
    assert compared.own_errors() == []


def test_wipe(compared):
    compared.page.locator(".tav-compare .tav-bar input").fill("2")
    compared.page.get_by_role("button", name="Wipe").click()
    canvas = compared.page.locator(".tav-stage canvas")
    assert canvas.count() == 1
    assert [level(compared, 0, left) for left in (0.1, 0.35, 0.55, 0.95)] == near(0, 40, 142, 142)  # shapes are kept
    box = compared.settled(BOX)
    compared.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
    compared.page.mouse.down()
    compared.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 10)
    compared.page.mouse.up()
    assert [level(compared, 0, left) for left in (0.35, 0.7, 0.8, 0.98)] == near(40, 40, 0, 142)
    for _ in range(4):
        press(compared, "Shift+ArrowLeft")
    assert level(compared, 0, 0.86) == near(142)[0]
    choice = compared.page.get_by_title("The video on the left")
    choice.focus()
    compared.page.keyboard.press("ArrowDown")
    assert level(compared, 0, 0.25) == near(142)[0]
    assert choice.evaluate("choice => choice === document.activeElement")
    assert compared.own_errors() == []


def test_play_once_and_speed(compared):
    speed = compared.page.get_by_title("Speed").last
    speed.select_option(index=0)
    button(compared, "Loop").click()
    press(compared, "End", " ")
    compared.wait_until(f"() => ({COUNT})() !== '8 / 8'")
    assert int(count(compared)[0]) > 3  # backwards
    button(compared, "Forwards and backwards").click()
    speed.select_option(index=4)
    compared.page.locator(".tav-compare .tav-bar input").fill("0")
    press(compared, " ")
    compared.wait_until(f"() => ({COUNT})() === '8 / 8'")
    compared.page.wait_for_timeout(500)
    assert count(compared) == "8 / 8"
    assert compared.page.evaluate(PLAY_AGAIN) == "1 / 8"


def test_frame_and_video_are_saved_and_full_screen(compared, tmp_path):
    press(compared, "Home")
    for name, ending in (("Save this frame", "png"), ("Save as a video", "webm")):
        with compared.page.expect_download() as download:
            button(compared, name).click()
        file = tmp_path / f"saved.{ending}"
        download.value.save_as(file)
        with av.open(file) as container:
            frame = next(container.decode(video=0))
        assert (frame.width, frame.height) == (192, 64)  # both videos
    button(compared, "Full screen").click()
    compared.wait_until("() => document.fullscreenElement?.classList.contains('tav-compare')")
    compared.page.evaluate("() => document.exitFullscreen()")
    assert compared.own_errors() == []


def test_a_right_click_on_the_player_offers_what_comfyui_does_for_a_picture(compared):
    press(compared, "Home")
    compared.page.locator(".tav-stage canvas").first.click(button="right")
    entry = {action: compared.page.get_by_text(action, exact=True) for action in MENU}
    compared.expect(lambda: [found.count() for found in entry.values()], [1] * len(MENU))  # Vue has a menu of its own
    with compared.page.expect_popup() as opened:
        entry["Open this frame"].click()
    assert opened.value.url.startswith("blob:")
    opened.value.close()
    assert compared.own_errors() == []


def test_it_plays_far_out_and_is_as_wide_beside_the_properties_panel(compared):
    before = compared.settled(WIDTH)
    compared.page.evaluate(FAR_OUT)
    assert compared.page.locator(".tav-compare").is_visible()
    toggle = compared.page.get_by_role("button", name="Toggle properties panel")
    if not toggle.count():
        pytest.skip("this version of the page has no properties panel")
    toggle.click()
    try:
        panel = compared.page.get_by_test_id("properties-panel")
        panel.get_by_text("labels", exact=True).wait_for()
        assert compared.settled(WIDTH) == pytest.approx(before)
        assert panel.get_by_text("comparison", exact=True).count() == 0
    finally:
        toggle.click()
    assert compared.own_errors() == []


def test_inputs_grow_and_all_is_there_after_a_reload(compared):
    assert compared.page.evaluate(INPUTS) == ["source", "result_1", "result_2"]
    compared.reload()
    compared.wait_until(f"() => ({COUNT})()?.endsWith('/ 8')")
    compared.expect(lambda: compared.page.evaluate(INPUTS), ["source", "result_1", "result_2"])
    compared.page.locator(".tav-compare .tav-bar input").fill("1")
    assert [level(compared, 0), level(compared, 1)] == near(20, 122)
    assert compared.own_errors() == []


def test_what_a_node_in_a_subgraph_told_is_not_taken_for_that_of_another(server, page):
    """Numbers of nodes are no more than unique to their graph."""
    page.new_graph("TAVCompareVideos")
    workflow, alone, inside = page.page.evaluate(INTO_SUBGRAPH)
    graph = Graph()
    image = graph.add("EmptyImage", width=16, height=16, batch_size=2, color=0)
    nodes = {"image": graph.nodes[image.id]}
    for number, label in ((alone, "another"), (inside, "this one")):
        inputs = {"source": ["image", 0], "labels": label, "fps": 8.0}
        nodes[number] = {"class_type": "TAVCompareVideos", "inputs": inputs}
    server.finish(server.post(nodes, workflow))
    page.page.evaluate("() => app.loadGraphData(app.graph.serialize())")
    page.wait_until(f"() => ({CAPTIONS_INSIDE})().length > 0")
    assert page.page.evaluate(CAPTIONS_INSIDE) == ["this one"]
    assert page.own_errors() == []
