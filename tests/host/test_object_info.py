"""The description of every node for the page: tooltips, defaults, bounds, and names in both languages."""

import json
import re
import shutil
import sys

import pytest
from comfy_install import REPOSITORY

FILES = {("TAVLoadVideo", "video"), ("TAVLoadTuned", "name")}
"""Inputs that offer the files there are, the first of which is the default."""
NUMBERS = ("INT", "FLOAT")


@pytest.fixture(scope="module")
def nodes(server) -> dict[str, dict]:
    return {name: info for name, info in server.object_info().items() if name.startswith("TAV")}


def inputs(info: dict) -> dict[str, tuple]:
    """Name -> (type, options) of every input."""
    groups = info["input"]
    return {**groups.get("required", {}), **groups.get("optional", {})}


def test_every_node_and_output_is_explained(nodes):
    for name, info in nodes.items():
        assert info["display_name"] and info["description"], name
        assert info["category"] == "Tune-A-Video", name
        assert all(info["output_tooltips"]), name
        assert info.get("search_aliases", "unknown to ComfyUI 0.3.64"), name


def test_every_input_has_a_tooltip_a_default_and_bounds(nodes):
    for node, info in nodes.items():
        for name, (kind, options) in inputs(info).items():
            where = f"{node}.{name}"
            assert options.get("tooltip"), where
            if kind in (*NUMBERS, "STRING", "BOOLEAN", "COMBO") and (node, name) not in FILES:
                assert "default" in options, where
            if kind in NUMBERS:
                assert options["min"] <= options["default"] <= options["max"], where
            if kind == "COMBO" and (node, name) not in FILES:
                assert options["default"] in options["options"], where


def texts(entry: dict) -> list[str]:
    return [text for value in entry.values() for text in (texts(value) if isinstance(value, dict) else [value])]


def test_every_name_and_tooltip_is_translated(nodes):
    translated = json.loads((REPOSITORY / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
    assert translated.keys() == nodes.keys()
    for node, info in nodes.items():
        entry = translated[node]
        expected = {"inputs": inputs(info).keys(), "outputs": {str(i) for i in range(len(info["output_name"]))}}
        for group, names in expected.items():
            assert entry.get(group, {}).keys() == names, node
            assert all(part.keys() == {"name", "tooltip"} for part in entry.get(group, {}).values()), node
        assert entry.keys() - expected.keys() == {"display_name", "description"}, node
        assert all(re.search("[\u4e00-\u9fff]", text) or text in ("VAE", "CLIP") for text in texts(entry)), node
        assert not re.search("[{}@|]", "".join(texts(entry))), f"{node}: vue-i18n reads these as its own signs"


def test_comfyui_serves_the_translations(server):
    assert server.get("/i18n")["zh"]["nodeDefs"]["TAVOneShotTune"]["inputs"]["steps"]["name"] == "步数"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="takes root's permissions away by Linux's means")
def test_what_must_not_be_read_takes_no_node_off_the_list(server):
    """Lock files and folders of clips, motions and CLIP models, from which the lists of choices are made."""
    folders = [server.folder / name for name in ("input", "models/tune_a_video", "models/clip_vision")]
    locked = []
    for folder in folders:
        (folder / "locked").mkdir(parents=True)
        for name in ("locked/0.png", "locked/config.json", "locked/vocab.json", "locked.webp", "locked.safetensors"):
            (folder / name).touch()
        locked += [folder / "locked", folder / "locked.webp", folder / "locked.safetensors"]
    for path in locked:
        path.chmod(0)
    try:
        nodes = server.get("/probe/unprivileged")
    finally:
        for path in locked:
            path.chmod(0o700)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert nodes.keys() == {name for name in server.object_info() if name.startswith("TAV")}
    offered = nodes["TAVLoadVideo"]["input"]["required"]["video"][1]["options"]
    assert not {"locked/", "locked.webp"} & set(offered)
