"""Tune-A-Video for ComfyUI: learn the motion of one video, and render it again with other words."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """ComfyUI calls this once to get the nodes."""
    from .nodes import TuneAVideoExtension

    return TuneAVideoExtension()
