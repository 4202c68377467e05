"""The page of the preference study, answered by keys in a real browser."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch

from tav_core import save_video

REPOSITORY = Path(__file__).parents[2]
COLOURS = {"brushwork": (1.0, 0.0, 0.0), "turbofilm": (0.0, 0.0, 1.0)}
PROMPTS = {"a": "a robot", "b": "a cat"}
READY = "#choose-left[aria-disabled=false]"  # for a moment after a question appears, keys are not taken
LEFT_COLOUR = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d')
    canvas.drawImage(document.getElementById('left'), 0, 0, 1, 1)
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
}"""
STARTED = "() => ['left', 'right'].every(id => document.getElementById(id).currentTime > 0)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in PROMPTS:
        for system, colour in COLOURS.items():
            save_video(tmp_path / system / f"{name}.mp4", torch.tensor(colour).expand(4, 32, 48, 3), 8)
    save_video(tmp_path / "source" / "a.mp4", torch.ones(4, 32, 48, 3), 8)
    (tmp_path / "prompts.json").write_text(json.dumps(PROMPTS))
    return tmp_path


@contextmanager
def studying(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve ``tav study``, which crashes at the end; return its address."""
    command = [sys.executable, "-u", "-m", "tav_core", "study", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    try:
        yield re.search(r"http://[\d.:]+", process.stdout.readline()).group()
    finally:
        process.kill()
        process.communicate()


def answers(folder: Path) -> list[dict]:
    path = folder / "answers.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def left_system(page) -> str:
    red, _, blue = page.evaluate(LEFT_COLOUR)
    return "brushwork" if red > blue else "turbofilm"


def test_a_rater_answers_by_keys_and_goes_on_later(browser, folder):
    page = browser.new_page()
    page.set_default_timeout(120_000)  # on a busy machine
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(error.message))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    question, place = page.locator("#question"), page.locator("#place")

    def press(key: str, then: str) -> None:
        page.locator(READY).wait_for()
        page.keyboard.press(key)
        place.filter(has_text=then).wait_for()

    with studying(folder) as url:
        page.goto(url)
        page.locator("#name:focus").fill("Anna")
        page.keyboard.press("Enter")
        place.filter(has_text="pair 1 of 2, question 1 of 2").wait_for()
        assert question.inner_text() == "Which has the better quality?"
        page.wait_for_function(STARTED)
        shown = [left_system(page)]
        press("f", "question 2 of 2")
        assert question.inner_text() == "Which fits the text better?"
        prompts = [page.locator("#prompt").inner_text().strip("“”")]
        press("ArrowRight", "pair 2 of 2, question 1")
        kept = answers(folder)
        assert [answer["question"] for answer in kept] == ["quality", "text"]
        assert {answer["left"] for answer in kept} == set(shown)
        assert [answer["preferred"] == answer["left"] for answer in kept] == [True, False]
        assert {answer["prompt"] for answer in kept} == set(prompts)
        html = page.content() + page.url
        assert not [word for word in (*COLOURS, ".mp4") if word in html]
        page.locator(READY).wait_for()

    with page.expect_console_message(lambda message: "ERR_CONNECTION_REFUSED" in message.text):
        page.keyboard.press("j")
    page.get_by_role("alert").filter(has_text="does not answer").wait_for()
    assert len(answers(folder)) == 2
    assert [error for error in errors if "ERR_CONNECTION_REFUSED" not in error] == []
    errors.clear()

    with studying(folder, urlsplit(url).port):
        page.reload()
        place.filter(has_text="pair 2 of 2, question 1").wait_for()
        page.wait_for_function(STARTED)
        shown.append(left_system(page))
        press("j", "question 2 of 2")
        press("Backspace", "question 1 of 2")
        assert page.locator(".chosen").get_attribute("id") == "choose-right"
        press("f", "question 2 of 2")
        press("j", "2 pairs done")
        page.get_by_text("Thank you").wait_for()

    kept = answers(folder)
    assert [(answer["left"], answer["preferred"] == answer["left"]) for answer in kept[2:]] == [
        (shown[1], False),
        (shown[1], True),
        (shown[1], False),
    ]
    assert {answer["rater"] for answer in kept} == {"anna"}
    assert errors == []
    page.close()


def test_going_back_while_a_pair_loads(browser, folder):
    """The late video of the pair that was left is not shown, and the same pair is loaded before it can be judged."""
    page = browser.new_page()
    page.set_default_timeout(120_000)  # on a busy machine
    left, place, held = page.locator("#left"), page.locator("#place"), []

    def answer_to(text: str) -> None:
        page.locator(READY).wait_for()
        page.keyboard.press("f")
        place.filter(has_text=text).wait_for()

    def hold_one_video() -> None:
        page.route("**/video/*", lambda route: held.append(route), times=1)

    def back_to(text: str) -> None:
        page.keyboard.press("Backspace")
        place.filter(has_text=text).wait_for()
        page.locator(READY).wait_for()

    with studying(folder) as url:
        page.goto(url)
        page.locator("#name:focus").fill("Anna")
        page.keyboard.press("Enter")
        answer_to("pair 1 of 2, question 2")
        hold_one_video()
        answer_to("pair 2 of 2, question 1")
        back_to("pair 1 of 2, question 2")
        shown = left.get_attribute("src")
        while not held:
            page.wait_for_timeout(100)
        held.pop().continue_()
        page.wait_for_timeout(300)
        assert left.get_attribute("src") == shown

        answer_to("pair 2 of 2, question 1")
        answer_to("pair 2 of 2, question 2")
        hold_one_video()
        page.reload()
        place.filter(has_text="pair 2 of 2, question 2").wait_for()
        back_to("pair 2 of 2, question 1")
        assert left.get_attribute("src")
    page.close()
