"""Hooks shared by all tests."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Share out tests with `-n 2`: one ComfyUI serves all tests that need one, another all that need a browser, and
    what a file prepares for its tests is prepared once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByRoom(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            room = PurePosixPath(file).parent.name
            return file if room == "core" else room

    return ByRoom(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many tests ran against a real ComfyUI and in a real browser, and which."""
    reports = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    notes = [dict(report.user_properties) for report in reports if report.when == "call"]
    for kind in ("comfyui", "browser"):
        for name, count in Counter(note[kind] for note in notes if kind in note).items():
            terminalreporter.write_line(f"{count} tests ran against {name}")
