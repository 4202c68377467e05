"""Arguments of schemas and inputs that ComfyUI 0.3.64 does not know."""

from __future__ import annotations

from dataclasses import fields
from inspect import signature

from comfy_api.latest import io


def newer(**arguments: object) -> dict[str, object]:
    """Return the arguments that the running ComfyUI's ``io.Schema`` knows."""
    known = {field.name for field in fields(io.Schema)}
    return {name: value for name, value in arguments.items() if name in known}


def search_aliases(*words: str) -> dict[str, object]:
    """Return further words under which ComfyUI's node search finds a node (not in ComfyUI 0.3.64)."""
    return newer(search_aliases=list(words))


def advanced() -> dict[str, object]:
    """Return the argument that puts a seldom-used input behind "Show advanced" (not in ComfyUI 0.3.64)."""
    return {"advanced": True} if "advanced" in signature(io.Int.Input.__init__).parameters else {}
