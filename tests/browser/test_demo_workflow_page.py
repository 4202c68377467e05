"""The workflow that needs no checkpoint, from the template browser to the comparison of its four edits.

With SCREENSHOTS=FOLDER it tunes for longer, and writes pictures there, of before, at work and after:
demo_before.png, demo_during.png, demo_after.png.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from workflow_page import WATCH

FOLDER = os.environ.get("SCREENSHOTS")
STEPS, PREVIEW_EVERY, SEEN = (60, 15, 50) if FOLDER else (6, 3, 1)
POINTS = "() => document.querySelector('.tav-tune .tav-raw')?.getAttribute('d').split('L').length ?? 0"
FILM = "() => [...document.querySelectorAll('.tav-film button')].map(frame => frame.textContent)"
LOOK = """type => {
    const node = app.graph.nodes.find(node => node.type === type)
    app.canvas.ds.scale = 0.7
    app.canvas.ds.offset = [300 - node.pos[0], 120 - node.pos[1]]
    app.graph.setDirtyCanvas(true, true)
}"""
FRAME = "() => document.querySelector('.tav-bar output')?.textContent"


@pytest.fixture
def picture(page) -> Callable[[str], None]:
    """Write a picture of what is in sight, when the pictures are asked for."""

    def write(name: str) -> None:
        if FOLDER:
            page.page.wait_for_timeout(1000)
            page.page.screenshot(path=Path(FOLDER) / f"demo_{name}.png")

    return write


def test_four_edits_without_a_checkpoint(server, page, picture):
    page.open_template("try_it_without_a_checkpoint")
    page.set("TAVOneShotTune", steps=STEPS, preview_every=PREVIEW_EVERY)
    page.page.evaluate(LOOK, "TAVDemoClip")
    picture("before")
    page.page.evaluate(WATCH)
    page.queue()
    page.page.evaluate(LOOK, "TAVOneShotTune")
    page.page.wait_for_function(f"() => ({POINTS})() >= {SEEN}", timeout=240_000)
    picture("during")
    end = page.page.evaluate("() => window.ended")
    assert end[0] == "execution_success", end[1]
    page.page.evaluate(LOOK, "TAVOneShotTune")
    page.page.wait_for_function(f"() => ({POINTS})() === {STEPS}")
    steps = [str(step) for step in range(PREVIEW_EVERY, STEPS + 1, PREVIEW_EVERY)]
    page.page.wait_for_function(f"steps => ({FILM})().join() === steps", arg=",".join(steps))
    page.page.evaluate(LOOK, "TAVCompareVideos")
    page.page.wait_for_function(f"() => ({FRAME})()?.endsWith('/ 8')")
    assert page.page.locator(".tav-stage figcaption").all_text_contents() == [
        "the clip", "another shape", "another background", "another colour", "another style",
    ]  # fmt: skip
    assert page.shown("SaveVideo")
    picture("after")
    assert page.own_errors() == []
