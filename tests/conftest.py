"""What all tests share."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """With `-n 2`, one ComfyUI serves all tests that need one, another all that need a browser, and what a file
    prepares for its tests is prepared once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByRoom(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            room = PurePosixPath(file).parent.name
            return file if room == "core" else room

    return ByRoom(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests met a real ComfyUI, and which."""
    reports = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    met = Counter(dict(report.user_properties).get("comfyui") for report in reports if report.when == "call")
    for install, ran in met.items():
        if install:
            terminalreporter.write_line(f"{ran} tests ran against ComfyUI {install}")
