"""The files that an install from ComfyUI's registry brings, and the public names."""

import ast
import subprocess
from pathlib import Path

import pytest

import tav_core

ROOT = Path(__file__).parents[2]


def test_only_what_makes_the_pack_is_left_out():
    """A pattern without a leading slash would take the help pages in `web/docs` with `docs`."""
    command = ["git", "ls-files", "--cached", "--ignored", "--exclude-from=.comfyignore"]
    left_out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if left_out.returncode:
        pytest.skip("this copy of the project is no git repository")
    tops = {Path(name).parts[0] for name in left_out.stdout.splitlines()}
    assert tops == {".ci", "bench", "docs", "tests", "tools", "Makefile"}


def test_every_public_name_is_in_a_test():
    used = set()
    for file in (ROOT / "tests" / "core").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                used.add(node.attr)
            elif isinstance(node, ast.ImportFrom):
                used |= {alias.name for alias in node.names}
    assert set(tav_core.__all__) <= used
