"""Words under which ComfyUI's node search finds a node."""

from __future__ import annotations

from dataclasses import fields

from comfy_api.latest import io


def search_aliases(*words: str) -> dict[str, list[str]]:
    """The argument of ``io.Schema`` that says so; nothing where the schema has none (ComfyUI 0.3.64)."""
    known = any(field.name == "search_aliases" for field in fields(io.Schema))
    return {"search_aliases": list(words)} if known else {}
