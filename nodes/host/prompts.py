"""What a graph says of a clip: the text behind a CONDITIONING."""

from __future__ import annotations

from comfy_execution.graph_utils import is_link

from ...tav_core.demo.world import Words

TEXTS = ("text", "text_g", "value")
"""What CLIP Text Encode, its kind for SDXL, and Primitive String call their text."""


def prompt_text(graph: dict, node_id: str, name: str) -> str:
    """The text behind a conditioning input of a node, followed through the graph; empty if a node computes it."""
    value, is_text, seen = graph.get(node_id, {}).get("inputs", {}).get(name), False, set()
    while is_link(value) and value[0] not in seen:
        seen.add(value[0])
        node = graph.get(value[0], {})
        inputs = node.get("inputs", {})
        if node.get("class_type") == "TAVDemoClip":
            return _demo_caption(inputs)
        texts = [inputs[key] for key in TEXTS if isinstance(inputs.get(key), str) or is_link(inputs.get(key))]
        links = [given for given in inputs.values() if is_link(given)]
        value = next(iter(texts or ([] if is_text else links)), None)
        is_text = is_text or bool(texts)
    return value if isinstance(value, str) else ""


def _demo_caption(inputs: dict) -> str:
    """The caption that Demo Clip gives for its inputs in a graph; empty if one of them comes from another node."""
    words = [inputs.get(name) for name in ("colour", "shape", "background", "style")]
    return Words(*words).caption if all(isinstance(word, str) for word in words) else ""
