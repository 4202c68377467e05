"""The example workflows, as files: known nodes, values in their places and within bounds, models that can be found."""

import json
import re
import sys

import pytest
from checkpoint import make_controlnet
from comfy_install import REPOSITORY
from PIL import Image
from workflow_file import NOTES, api_graph

sys.path.append(str(REPOSITORY / "tools"))

from build_workflows import build

WORKFLOWS = sorted((REPOSITORY / "workflows").glob("*.json"))
FOLDERS = {"ckpt_name": "checkpoints", "control_net_name": "controlnet", "lora_name": "loras"}
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
FRAMES, SIZE = 2, 64


@pytest.fixture(scope="module")
def object_info(server) -> dict:
    return server.object_info()


def content(path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def own_widgets(info: dict) -> dict[str, tuple]:
    """Name -> (type, options) of the widgets of a node, in the order in which the page makes them."""
    groups = info["input"]
    inputs = {**groups.get("required", {}), **groups.get("optional", {})}
    widgets = {name: spec for name, spec in inputs.items() if spec[0] in WIDGETS}
    if any(options.get("video_upload") for _, options in widgets.values()):
        widgets["upload"] = ("UPLOAD", {})
    return widgets


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow(object_info, path):
    workflow = content(path)
    assert "id" not in workflow, "the page gives each opening one of its own, by which it knows its runs"
    types = {node["type"] for node in workflow["nodes"]}
    notes = {node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == "MarkdownNote"}
    assert notes and notes <= workflow["extra"]["tune_a_video_zh"].keys(), "each has its text in Chinese"
    for kind in types - NOTES:
        module = object_info[kind]["python_module"]
        assert kind.startswith("TAV") or not module.startswith("custom_nodes"), f"{kind} is neither core's nor ours"
    for node in workflow["nodes"]:
        named = node.get("widgets_values_named", {})
        assert list(named.values()) == node.get("widgets_values", []) or node["type"] == "SaveVideo"
        if node["type"].startswith("TAV"):
            widgets = own_widgets(object_info[node["type"]])
            assert list(named) == list(widgets), node["type"]
            for name, (kind, options) in widgets.items():
                if kind in ("INT", "FLOAT"):
                    assert options["min"] <= named[name] <= options["max"], f"{node['type']}.{name}"
                if kind == "COMBO" and "default" in options:
                    assert named[name] in options["options"], f"{node['type']}.{name}"
        for name in named.keys() & FOLDERS:
            (model,) = node["properties"]["models"]
            assert (model["name"], model["directory"]) == (named[name], FOLDERS[name])
            assert model["url"].startswith("https://")
    walks = [node for node in workflow["nodes"] if node["type"] in ("TAVDDIMInvert", "TAVSampleVideo")]
    assert len({node["widgets_values_named"]["steps"] for node in walks}) == 1, "as many steps up as down"
    assert Image.open(path.with_suffix(".jpg")).size == (512, 512)


def test_files_are_as_their_descriptions_say(server, object_info):
    """After a change of a node or a description: python tools/build_workflows.py (see there)."""
    if server.install.version == "0.3.64":
        pytest.skip("the files are written with a newer ComfyUI, whose nodes have more inputs")
    differing = [
        name
        for name, written in build(object_info).items()
        if not (path := REPOSITORY / "workflows" / f"{name}.json").exists() or path.read_text("utf-8") != written
    ]
    assert differing == [] and len(WORKFLOWS) <= 10
    graphs = [graph_shape(content(path)) for path in WORKFLOWS if not path.stem.endswith(".app")]
    assert all(graph not in graphs[:i] for i, graph in enumerate(graphs)), "two are the same graph"


def graph_shape(workflow: dict) -> tuple:
    return sorted(node["type"] for node in workflow["nodes"]), len(workflow["links"])


def small_graph(name: str, clip: str, object_info: dict) -> dict[str, dict]:
    """Return a workflow with the tests' checkpoint, few frames and one step of each kind."""
    graph = api_graph(REPOSITORY / "workflows" / f"{name}.json", object_info)
    small = {
        "TAVLoadVideo": {"video": clip, "frames": FRAMES, "stride": 1, "width": SIZE, "height": SIZE},
        "CheckpointLoaderSimple": {"ckpt_name": "tiny.safetensors"},
        "ControlNetLoader": {"control_net_name": "control.safetensors"},
        "TAVOneShotTune": {"steps": 1, "preview_every": 0},
        "TAVDDIMInvert": {"steps": 1},
        "TAVSampleVideo": {"steps": 1},
    }
    for node in graph.values():
        node["inputs"] |= small.get(node["class_type"], {})
    return graph


def output_of(entry: dict, key: str) -> list:
    (found,) = (output[key] for output in entry["outputs"].values() if key in output)
    return found


def test_controlnet_workflow_runs(server, clip, object_info):
    """One that no browser test runs and which has nodes of its own."""
    make_controlnet(server.folder / "models" / "controlnet" / "control.safetensors")
    entry = server.run(small_graph("7 With ControlNet", clip, object_info))
    assert len(output_of(entry, "tav_comparison")) == 2


def test_ablation_is_compared_and_scored(server, clip, clip_folder, object_info):
    entry = server.run(small_graph("8 What each part does, with scores", clip, object_info))
    assert len(output_of(entry, "tav_comparison")) == 7
    (table,) = output_of(entry, "text")
    names = ["A: each frame alone", "B: each frame alone, tuned", "C: sparse-causal, untuned", "D: full method"]
    names += ["E: factorised, tuned", "F: first frame, tuned"]
    rows = [re.split(r"  +", line) for line in table.splitlines()[2:8]]
    assert [row[0] for row in rows] == names
    assert all(float(figure.rstrip("*")) for row in rows for figure in row[1:3])
