"""The example workflows, opened from the template browser and run by pressing Run; the help pages."""

import re

import av
import pytest

from tav_core import load_tuned

FRAMES, SIZE = 3, 64


def use_small_settings(page) -> None:
    page.set("TAVLoadVideo", frames=FRAMES, width=SIZE, height=SIZE)
    page.set("TAVOneShotTune", steps=2)
    page.set("TAVDDIMInvert", steps=2)
    page.set("TAVSampleVideo", steps=2)


def assert_opened_whole(page) -> None:
    missing = "() => app.graph.nodes.map(node => node.type).filter(type => !LiteGraph.registered_node_types[type])"
    assert page.page.evaluate(missing) == []
    wrong = "() => app.graph.nodes.filter(node => node.has_errors).map(node => node.type)"
    assert page.page.evaluate(wrong) == []


def assert_video_saved(server, page, number: int) -> None:
    name = f"tune_a_video_{number:05}_.mp4"
    with av.open(server.folder / "output" / "video" / name) as container:
        frames = list(container.decode(video=0))
    assert [(frame.width, frame.height) for frame in frames] == [(SIZE, SIZE)] * FRAMES
    assert any(name in address for address in page.shown("SaveVideo"))


@pytest.fixture(scope="module")
def tuned(server, page) -> tuple[str, dict]:
    """How the run of `tune_and_edit` ended."""
    page.open_template("tune_and_edit")
    assert_opened_whole(page)
    use_small_settings(page)
    return page.run()


def test_tune_and_edit(server, page, tuned):
    assert tuned[0] == "execution_success", tuned[1]
    assert_video_saved(server, page, 1)
    assert len(page.shown("PreviewImage")) == 1
    _, metadata = load_tuned(server.folder / "models" / "tune_a_video" / "man_skiing.safetensors")
    assert (metadata["prompt"], metadata["frames"]) == ("a man is skiing", FRAMES)
    assert page.own_errors() == []


def test_reuse_a_saved_motion(server, page, tuned):
    page.page.evaluate("() => app.extensionManager.command.execute('Comfy.RefreshNodeDefinitions')")
    page.open_template("reuse_a_saved_motion")
    assert_opened_whole(page)
    use_small_settings(page)
    end = page.run()
    assert end[0] == "execution_success", end[1]
    assert_video_saved(server, page, 2)
    assert page.own_errors() == []


def test_every_node_has_a_help_page_that_names_its_inputs(server, page):
    nodes = {name: info for name, info in server.object_info().items() if name.startswith("TAV")}
    for name, info in nodes.items():
        answer = page.page.request.get(f"{server.url}/extensions/{page.pack}/docs/{name}.md")
        assert answer.ok, name
        lines = answer.text().splitlines()
        assert lines[0] == f"# {info['display_name']}"
        named = re.findall(r"[a-z_]+", " ".join(line.split("**")[1] for line in lines if line.startswith("- **")))
        inputs = [*info["input"]["required"], *info["input"].get("optional", {})]
        assert set(inputs) <= set(named), name
