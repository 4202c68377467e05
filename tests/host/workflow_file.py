"""A workflow file, as the page writes it, in the form that ComfyUI's API takes."""

import json
from pathlib import Path

NOTES = {"Note", "MarkdownNote"}


def api_graph(workflow: Path, object_info: dict) -> dict[str, dict]:
    """Return the nodes of a workflow file by id, with their inputs: values, or ``[node id, output]``.

    Inputs that this ComfyUI does not know are left out: the page, too, drops what a newer one has written.

    Args:
        object_info: what ComfyUI tells of its nodes.

    Raises:
        KeyError: the workflow has a node that this ComfyUI does not know.
    """
    content = json.loads(workflow.read_text(encoding="utf-8"))
    sources = {number: [str(node), output] for number, node, output, *_ in content["links"]}
    graph = {}
    for node in content["nodes"]:
        if node["type"] in NOTES:
            continue
        groups = object_info[node["type"]]["input"]
        known = {*groups.get("required", {}), *groups.get("optional", {})}
        values = node.get("widgets_values_named", {})
        inputs = {}
        for slot in node["inputs"]:
            name = slot["name"]
            if name.split(".")[0] not in known:
                continue
            if slot["link"] is not None:
                inputs[name] = sources[slot["link"]]
            elif name in values:
                inputs[name] = values[name]
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return graph
