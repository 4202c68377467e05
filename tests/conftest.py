"""What all tests share."""

from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `-n 2 --dist loadgroup`, one ComfyUI serves all tests that need one, another all that need a browser, and
    what a file prepares for its tests is prepared once."""
    for item in items:
        room = item.path.relative_to(TESTS).parts[0]
        item.add_marker(pytest.mark.xdist_group(item.path.stem if room == "core" else room))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests met a real ComfyUI, and which."""
    reports = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    met = Counter(dict(report.user_properties).get("comfyui") for report in reports if report.when == "call")
    for install, ran in met.items():
        if install:
            terminalreporter.write_line(f"{ran} tests ran against ComfyUI {install}")
