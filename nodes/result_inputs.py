"""Inputs for any number of results: the page shows those that are connected, and one more."""

from __future__ import annotations

from comfy_api.latest import io

RESULTS = 8


def result_inputs(tooltip: str) -> list[io.Image.Input]:
    """Return the optional inputs ``result_1`` to ``result_8``."""
    tooltip += " The next input appears when this one is connected."
    return [io.Image.Input(f"result_{number}", optional=True, tooltip=tooltip) for number in range(1, RESULTS + 1)]


def connected(results: dict) -> dict:
    """Return the connected videos by the number of their input; one between them may be muted or not connected."""
    videos = {number: results.get(f"result_{number}") for number in range(1, RESULTS + 1)}
    return {number: video for number, video in videos.items() if video is not None}
