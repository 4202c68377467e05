"""Tune-A-Video for ComfyUI: learn the motion of one video, and render it again with another prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes import TuneAVideoExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> TuneAVideoExtension:
    """ComfyUI calls this once to get the nodes."""
    from .nodes import TuneAVideoExtension

    return TuneAVideoExtension()
