"""Arguments of ``io.Schema`` that ComfyUI 0.3.64 has not."""

from __future__ import annotations

from dataclasses import fields

from comfy_api.latest import io


def newer(**arguments: object) -> dict[str, object]:
    """Those of the arguments that this ComfyUI's schema has."""
    known = {field.name for field in fields(io.Schema)}
    return {name: value for name, value in arguments.items() if name in known}


def search_aliases(*words: str) -> dict[str, object]:
    """Words under which ComfyUI's node search finds a node."""
    return newer(search_aliases=list(words))
