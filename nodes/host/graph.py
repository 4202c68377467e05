"""Read the graph: the prompt behind a CONDITIONING, and the files behind a MODEL."""

from __future__ import annotations

from comfy_execution.graph_utils import is_link

from ...tav_core.demo.world import Words

TEXTS = ("text", "text_g", "value")
"""Names of the text inputs of CLIP Text Encode, CLIP Text Encode SDXL, and Primitive String."""

_SAMPLERS = {"TAVSampleVideo", "KSampler", "KSamplerAdvanced"}


def prompt_text(graph: dict, node_id: str, name: str) -> str:
    """Follow a conditioning input of a node through the graph to its text; return "" if another node computes it."""
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


def sampled_prompts(graph: dict, node_id: str, name: str) -> list[str]:
    """Return the prompts of the videos at an input of a node: of the nearest Sample Video or KSampler before it."""
    value, waiting, seen = graph.get(node_id, {}).get("inputs", {}).get(name), [], set()
    while is_link(value):
        before, node = value[0], graph.get(value[0], {})
        inputs = node.get("inputs", {})
        if node.get("class_type") in _SAMPLERS:
            lines = prompt_lines(prompt_text(graph, before, "prompts"))
            if lines or is_link(inputs.get("prompts")):
                return lines
            return [text for text in [prompt_text(graph, before, "positive")] if text]
        waiting += [given for given in inputs.values() if is_link(given) and given[0] not in seen]
        seen |= {given[0] for given in waiting}
        value = waiting.pop(0) if waiting else None
    return []


def model_files(graph: dict, node_id: str, name: str) -> list[str]:
    """Return the names of the checkpoint and LoRA files behind a MODEL input of a node, nearest first."""
    waiting, seen, files = [graph.get(node_id, {}).get("inputs", {}).get(name)], set(), []
    while waiting:
        link = waiting.pop(0)
        if not is_link(link) or link[0] in seen:
            continue
        seen.add(link[0])
        inputs = graph.get(link[0], {}).get("inputs", {})
        files += [value for key, value in inputs.items() if key.endswith("_name") and isinstance(value, str)]
        waiting += [value for key, value in inputs.items() if key.startswith("model")]
    return files


def prompt_lines(text: str) -> list[str]:
    """Return the prompts in a text, one per line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _demo_caption(inputs: dict) -> str:
    """Return the caption of a Demo Clip by its inputs in a graph; "" if one of them comes from another node."""
    words = [inputs.get(name) for name in ("figure", "verb", "place", "clothes", "style")]
    return Words(*words).caption if all(isinstance(word, str) for word in words) else ""
