"""Inputs for any number of results: the page shows those that are connected, and one more."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from comfy_api.latest import io

from . import host

RESULTS = 8


@dataclass(frozen=True)
class Result:
    """A video to show or score."""

    name: str
    prompt: str
    """The prompt of Sample Video that it was rendered with; "" if unknown."""
    frames: io.Image.Type


def result_inputs(tooltip: str) -> list[io.Image.Input]:
    """Return the optional inputs ``result_1`` to ``result_8``."""
    tooltip += " The next input appears when this one is connected."
    return [io.Image.Input(f"result_{number}", optional=True, tooltip=tooltip) for number in range(1, RESULTS + 1)]


def connected(results: dict[str, list], labels: list[str], graph: dict, node_id: str) -> list[Result]:
    """Return the videos at the inputs, of which one between may be muted, and each may carry several.

    Args:
        results: lists of videos by input.
        labels: a name for each input, "" to name its videos after their prompts.
        graph: the prompt in ComfyUI's API format, where the prompts of the videos are looked up.
        node_id: this node in the graph.
    """
    found = []
    for number, label in enumerate(labels[:RESULTS], start=1):
        videos = [video for video in results.get(f"result_{number}", []) if video is not None]
        prompts = host.sampled_prompts(graph, node_id, f"result_{number}")
        if len(prompts) != len(videos):
            prompts = [""] * len(videos)
        for i, (video, prompt) in enumerate(zip(videos, prompts), start=1):
            usual = f"result {number}" if len(videos) == 1 else f"result {number}.{i}"
            own = label if len(videos) == 1 or not label else f"{label}: {prompt or i}"
            found.append((own, usual, prompt, video))
    taken = Counter(prompt for own, _, prompt, _ in found if not own)
    return [
        Result(own or (prompt if prompt and taken[prompt] == 1 else usual), prompt, video)
        for own, usual, prompt, video in found
    ]
