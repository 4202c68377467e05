"""The example workflows, opened from the template browser or dropped, and run; the help pages; translations."""

import json
import re
import shutil
from pathlib import Path

import av
import pytest
from comfy_install import REPOSITORY
from workflow_page import RENDERERS

from tav_core import load_tuned, save_tuned

FRAMES, SIZE = 2, 64
VALUES = """() => Object.fromEntries(app.graph.nodes.filter(node => node.type !== 'MarkdownNote').map(node =>
    [`${node.id} ${node.type}`, (node.widgets ?? []).filter(it => it.serialize !== false).map(it => it.value)]))"""


RANKS = """() => app.graph.nodes.filter(node => node.type === 'TAVOneShotTune').map(node =>
    node.widgets.find(widget => widget.name === 'rank').value)"""


PRESET = """(chosen) => {
    const node = app.graph.nodes.find(node => node.type === 'TAVOneShotTune')
    const [preset, steps, rate] = ['preset', 'steps', 'learning_rate'].map(name =>
        node.widgets.find(widget => widget.name === name))
    const set = (widget, value) => { widget.value = value; widget.callback?.(value) }
    const seen = [preset.value]
    set(preset, chosen)
    seen.push([steps.value, rate.value], preset.value)
    set(steps, 7)
    return [...seen, preset.value]
}"""


def use_small_settings(page) -> None:
    page.set("TAVLoadVideo", frames=FRAMES, width=SIZE, height=SIZE)
    page.set("TAVOneShotTune", steps=2)
    page.set("TAVDDIMInvert", steps=2)
    page.set("TAVSampleVideo", steps=2)
    page.set("TAVExtendVideoLatent", frames=2 * FRAMES)


def assert_opened_whole(page) -> None:
    missing = "() => app.graph.nodes.map(node => node.type).filter(type => !LiteGraph.registered_node_types[type])"
    assert page.page.evaluate(missing) == []
    wrong = "() => app.graph.nodes.filter(node => node.has_errors).map(node => node.type)"
    assert page.page.evaluate(wrong) == []


def run_small(page) -> None:
    use_small_settings(page)
    end = page.run()
    assert end[0] == "execution_success", end[1]
    assert page.own_errors() == []


def drop_and_run(page, name: str) -> None:
    page.drop_workflow(name)
    assert_opened_whole(page)
    run_small(page)


def saved_frames(server, page, name: str) -> list[tuple[int, int]]:
    """Return the sizes of the frames of the video that the workflow saved and shows."""
    file = f"{name}_00001_.mp4"
    assert any(file in address for address in page.shown("SaveVideo"))
    with av.open(server.folder / "output" / "video" / file) as container:
        return [(frame.width, frame.height) for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def tuned(page) -> None:
    """Run the workflow that tunes and edits, whose clip was seen before that."""
    page.open_template("4 Edit your own clip (SD 1.5)")
    assert_opened_whole(page)
    page.page.get_by_text("24 frames · 12 fps · 2 s · 512 \u00d7 512").wait_for(state="attached")
    page.picture("web/docs/images/load_video.png", "Load Video (Tune-A-Video)")
    page.picture("docs/images/five_steps.png", "How it works", "Load Video (Tune-A-Video)", "Inflate UNet",
                 "One-Shot Tune", "DDIM Invert", "Sample Video", above=56)  # fmt: skip
    run_small(page)
    page.picture("web/docs/images/save_tuned.png", "Save Tuned Video Model")


def test_tune_and_edit(server, page, tuned):
    assert saved_frames(server, page, "tune_and_edit") == [(SIZE, SIZE)] * FRAMES
    _, metadata = load_tuned(server.folder / "models" / "tune_a_video" / "man_skiing.safetensors")
    assert (metadata["prompt"], metadata["frames"]) == ("a man is skiing", FRAMES)
    assert metadata["preview"]


def test_a_saved_video_brings_its_workflow_back(page, tuned):
    expected = page.page.evaluate(VALUES)
    page.drop("/api/view?filename=tune_and_edit_00001_.mp4&subfolder=video&type=output")
    assert page.page.evaluate(VALUES) == expected
    assert_opened_whole(page)


def test_reuse_a_saved_motion(server, page, tuned):
    file = server.folder / "models" / "tune_a_video" / "man_skiing.safetensors"
    state, metadata = load_tuned(file)
    save_tuned(file, state, metadata | {"base_fingerprint": "0" * 16})  # as if from another checkpoint
    page.page.evaluate("() => app.extensionManager.command.execute('Comfy.RefreshNodeDefinitions')")
    drop_and_run(page, "5 Reuse a saved motion")
    assert saved_frames(server, page, "reuse_a_saved_motion") == [(SIZE, SIZE)] * FRAMES
    page.page.get_by_text("tuned on another checkpoint").wait_for(state="attached")


def test_a_long_clip_made_longer(server, page):
    page.drop_workflow("6 A long clip, made longer")
    assert_opened_whole(page)
    use_small_settings(page)
    page.set("TAVDDIMInvert", steps=1)
    end = page.run()
    assert end[0] == "execution_success", end[1]
    page.page.get_by_text("The clip was inverted in 1 steps and is sampled in 2").first.wait_for(state="attached")
    assert page.own_errors() == []
    assert saved_frames(server, page, "a_long_clip") == [(SIZE, SIZE)] * 2 * FRAMES


def test_a_workflow_saved_with_version_0_1_0_keeps_its_values_and_runs(server, page):
    file = shutil.copy(REPOSITORY / "tests" / "data" / "workflow-0.1.0.json", server.folder / "input")
    page.drop("/api/view?filename=workflow-0.1.0.json&type=input")
    assert_opened_whole(page)
    loaded = page.page.evaluate(VALUES)
    for node in json.loads(Path(file).read_text())["nodes"]:
        expected = [value for value in node.get("widgets_values", []) if value != "image"]  # the upload button's
        assert loaded[f"{node['id']} {node['type']}"][: len(expected)] == expected, node["type"]
    assert page.page.evaluate(PRESET, "quick") == ["published", [165, 9e-5], "quick", "custom"]
    page.set("TAVOneShotTune", preset="published")
    assert page.page.evaluate(RANKS) == [0]  # whole weights, where a new node leaves the rank to the checkpoint
    run_small(page)


OPEN_TEMPLATE = """async ([pack, name]) => {
    const answer = await fetch(`/api/workflow_templates/${pack}/${encodeURIComponent(name)}.json`)
    await app.loadGraphData(await answer.json(), true, true, name, { openSource: 'template' })
}"""
TUNING = """() => {
    const { left, top, right, bottom } = document.querySelector('.tav-tune').getBoundingClientRect()
    return [left, top, right, bottom]
}"""
SETTINGS = """() => {
    const node = app.graph.nodes.find(node => node.type === 'TAVOneShotTune')
    if (!LiteGraph.vueNodesMode) return node.widgets.filter(it => node.isWidgetVisible(it)).map(({ name }) => name)
    return document.querySelector(`[data-node-id="${node.id}"]`).innerText
}"""
MORE = """() => {
    const node = app.graph.nodes.find(node => node.type === 'TAVOneShotTune')
    const { y } = node.widgets.find(({ name }) => name === 'advanced')
    const { scale, offset } = app.canvas.ds
    return [(node.pos[0] + offset[0] + node.size[0] / 2) * scale, (node.pos[1] + offset[1] + y + 10) * scale]
}"""
SEARCHED = {
    "train": "One-Shot Tune", "video to video": "Sample Video", "style transfer": "Sample Video",
    "upload video": "Load Video (Tune-A-Video)",
}  # fmt: skip
VIEW = """() => {
    const { nodes } = app.graph
    const boxes = nodes.map(node => [node.title, ...node.boundingRect])
    const apart = ([, x, y, width, height], [, left, top, w, h]) =>
        x >= left + w || left >= x + width || y >= top + h || top >= y + height
    const pairs = boxes.flatMap((box, i) => boxes.slice(0, i).filter(it => !apart(box, it)).map(it => [box[0], it[0]]))
    const { scale, offset } = app.canvas.ds
    const without = nodes.filter(({ type, widgets }) =>
        type === 'TAVOneShotTune' && !widgets.find(({ name }) => name === 'preview_every').value)
    const leftwards = [...app.graph.links.values()].filter(({ origin_id, target_id }) =>
        app.graph.getNodeById(origin_id).pos[0] > app.graph.getNodeById(target_id).pos[0])
    const outside = boxes.filter(([, x, y, width, height]) => (x + offset[0]) * scale < 0 || (y + offset[1]) * scale < 0
        || (x + width + offset[0]) * scale > innerWidth || (y + height + offset[1]) * scale > innerHeight)
    return {
        zoom: scale, overlapping: pairs, outside: outside.map(([title]) => title),
        leftwards: leftwards.map(({ id }) => id), withoutPreviews: without.map(({ title }) => title),
    }
}"""
LEAST_ZOOM = {(1600, 1000): 0.7, (1280, 720): 0.572}  # the classic renderer draws no text below 4/7
SIX_NETWORKS = "8 What each part does, with scores"


@pytest.mark.parametrize("renderer", RENDERERS)
def test_every_template_opens_large_enough_and_flows_to_the_right_without_overlaps(page, renderer):
    names = [path.stem for path in (REPOSITORY / "workflows").glob("*.json")]
    names.sort(key=lambda name: int(name.split()[0]))
    try:
        with page.renderer(renderer):
            if renderer == "classic":
                assert page.template_titles() == names
            for name in names:
                if name.endswith(".app"):
                    continue  # the first without its graph
                for (width, height), zoom in LEAST_ZOOM.items():
                    if (name, width) == (SIX_NETWORKS, 1280):
                        continue  # below each other, they are higher than this
                    page.page.set_viewport_size({"width": width, "height": height})
                    page.page.evaluate(OPEN_TEMPLATE, [page.pack, name])  # as the template browser does
                    view = page.settled(VIEW)  # nodes get their contents
                    assert view.pop("zoom") >= zoom and not any(view.values()), (name, width, view)
    finally:
        page.page.set_viewport_size({"width": 1600, "height": 900})


@pytest.mark.parametrize("renderer", RENDERERS)
def test_curve_and_buttons_of_a_tuning_are_in_sight_on_a_small_screen(page, renderer):
    page.page.set_viewport_size({"width": 1280, "height": 720})
    try:
        with page.renderer(renderer):
            page.page.evaluate(OPEN_TEMPLATE, [page.pack, "1 Start here, no checkpoint needed"])
            page.wait_for_selector(".tav-tune")
            left, top, right, bottom = page.settled(TUNING)
            assert left > 0 and right < 1280 and top > 0 and bottom < 720
            assert "weight_decay" not in page.page.evaluate(SETTINGS)
            if renderer == "classic":
                page.page.mouse.click(*page.page.evaluate(MORE))
            else:
                node = page.page.locator("[data-node-id]").filter(has=page.page.locator(".tav-tune"))
                node.get_by_text("Show advanced inputs").click()
            page.wait_until(f"() => ({SETTINGS})().includes('weight_decay')")
    finally:
        page.page.set_viewport_size({"width": 1600, "height": 900})


def test_nodes_are_found_by_the_words_of_those_who_never_read_the_paper(page):
    page.new_graph()
    page.page.evaluate("() => app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    for words, node in SEARCHED.items():
        page.page.keyboard.press("Control+A")
        page.page.keyboard.type(words)
        page.page.get_by_text(node, exact=True).first.wait_for()
    page.page.keyboard.press("Escape")


def test_the_app_shows_a_prompt_and_no_graph(page):
    page.open_template("2 Start here without a graph.app")
    page.page.get_by_text("tuning steps").wait_for()
    page.page.get_by_text("prompt", exact=True).wait_for()
    page.page.locator("#graph-canvas").wait_for(state="hidden")
    page.page.evaluate("() => app.extensionManager.command.execute('Comfy.ToggleLinear')")
    page.page.locator("#graph-canvas").wait_for()
    assert page.own_errors() == []


def test_each_opening_is_a_workflow_of_its_own(page):
    """A tuning belongs to one of them: nobody stops that of another."""
    ids = set()
    for _ in range(2):
        page.drop_workflow("6 A long clip, made longer")
        ids.add(page.page.evaluate("() => app.graph.serialize().id"))
    assert len(ids) == 2


def test_every_node_has_a_help_page_that_names_its_inputs(server, page):
    nodes = {name: info for name, info in server.object_info().items() if name.startswith("TAV")}
    for name, info in nodes.items():
        answer = page.page.request.get(f"{server.url}/extensions/{page.pack}/docs/{name}.md")
        assert answer.ok, name
        lines = answer.text().splitlines()
        assert lines[0] == f"# {info['display_name']}"
        named = re.findall(r"[a-z_]+[0-9]?", " ".join(line.split("**")[1] for line in lines if line.startswith("- **")))
        inputs = [*info["input"].get("required", {}), *info["input"].get("optional", {})]
        assert {name for name in inputs if not name.startswith("result_")} <= set(named), name
        for picture in re.findall(r"!\[.*?\]\((.*?)\)", answer.text()):
            assert page.page.request.get(f"{server.url}/extensions/{page.pack}/docs/{picture}").ok, picture


def said_on_our_elements() -> list[str]:
    sources = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "web" / "js").glob("*.js")]
    calls = [call for source in sources for call in re.findall(r"\bt\(([^()]*)", source)]
    return [words for call in calls for words in re.findall(r'"([^"]*)"', call)]


NOTE = "() => app.graph.nodes.find(node => node.type === 'MarkdownNote').widgets[0].value"


SAY = "async ([module, all]) => { const { t } = await import(module); return all.map(words => t(words)) }"


def test_nodes_speak_the_language_of_the_page(page):
    page.set_setting("Comfy.Locale", "zh")
    try:
        page.reload(kept=False)
        page.page.evaluate("() => app.graph.add(window.added = LiteGraph.createNode('TAVOneShotTune'))")
        assert page.page.evaluate("() => [added.title, added.widgets[0].label]") == ["单视频微调", "步数"]
        assert page.page.evaluate("() => added.outputs.map(output => output.localized_name)[2]") == "损失曲线"
        assert page.page.locator(".tav-tune .tav-buttons button").nth(1).text_content() == "取消"
        said = page.page.evaluate(SAY, [f"/extensions/{page.pack}/js/i18n.js", said_on_our_elements()])
        assert [words for words in said if not re.search("[\u4e00-\u9fff]", words)] == []
        page.open_template("1 Start here, no checkpoint needed")
        page.wait_until(f"() => ({NOTE})().startsWith('## 从这里开始')")
        titles = page.page.evaluate("() => [...app.graph.groups, ...app.graph.nodes].map(({ title }) => title)")
        assert [title for title in titles if title.isascii()] == []
    finally:
        page.set_setting("Comfy.Locale", "en")
        page.reload(kept=False)


WRONGLY_TRANSLATED = """async folder => {
    const [{ fromServer }, { CORE }, { NODES }] = await Promise.all(
        ['server_messages', 'zh/core', 'zh/nodes'].map(name => import(`${folder}/${name}.js`)))
    const filled = text => text.replace(/{\\w+}/g, '7')
    const all = Object.entries({ ...CORE, ...NODES }).map(pair => pair.map(filled))
    return all.filter(([english, chinese]) => fromServer(english) !== chinese)
}"""


def shown_errors(page):
    """Open ComfyUI's error panel with its details, and return it; older pages show a dialog by themselves."""
    to_panel = page.page.get_by_test_id("error-overlay-see-errors")
    shown = page.page.get_by_test_id("properties-panel").or_(page.page.get_by_role("dialog"))
    to_panel.or_(page.page.get_by_role("dialog")).wait_for()
    if to_panel.is_visible():
        to_panel.click()
        details = shown.locator("[aria-controls^=execution-item-detail]")
        shown.get_by_test_id("runtime-error-panel").or_(details).first.wait_for()
        for button in details.all():
            button.click()
    return shown


def test_errors_come_in_the_language_of_the_page(page):
    """One that the core raises in a run, and one by which a node refuses its inputs before."""
    inputs = {"video": "man-skiing.mp4", "start": 99, "stride": 1, "frames": 2, "width": 64, "height": 64}
    loaded = {"class_type": "TAVLoadVideo", "inputs": {**inputs, "resize": "pad"}}
    page.open_graph({"1": loaded, "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}})
    page.set_setting("Comfy.Locale", "zh")
    try:
        assert page.page.evaluate(WRONGLY_TRANSLATED, f"/extensions/{page.pack}/js") == []
        assert page.run()[0] == "execution_error"
        shown_errors(page).get_by_text("man-skiing.mp4 有 48 帧").first.wait_for()
        page.page.keyboard.press("Escape")
        page.set("TAVLoadVideo", video="missing.mp4")
        with pytest.raises(AssertionError, match="There is no video missing"):  # in English from the server
            page.queue()
        shown_errors(page).get_by_text("input 文件夹中没有视频 missing.mp4").first.wait_for()
        assert page.own_errors() == []
    finally:
        page.page.keyboard.press("Escape")
        page.set_setting("Comfy.Locale", "en")
