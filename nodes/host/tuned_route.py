"""What the page asks of a saved motion: the metadata in the header of its file."""

from __future__ import annotations

from aiohttp import web
from server import PromptServer

from ... import tav_core
from .folders import KEY, tuned_files, tuned_path

LARGEST_PREVIEW = 100_000  # characters: those that Save Tuned Video Model writes have a tenth of it


@PromptServer.instance.routes.get(f"/{KEY}/tuned")
async def tuned(request: web.Request) -> web.Response:
    """``?name=``, one of the names that Load Tuned Video Model offers -> the metadata as JSON.

    404 for any other name; 422 with ``error``, a sentence for the person, when the file cannot be read.
    """
    name = request.query.get("name", "")
    if name not in tuned_files():
        return web.json_response(
            {"error": f"There is no tuned file {name}: press R to read the list again."}, status=404
        )
    try:
        metadata = tav_core.load_tuned_metadata(tuned_path(name))
    except (OSError, ValueError) as error:
        return web.json_response({"error": str(error)}, status=422)
    if len(metadata.get("preview", "")) > LARGEST_PREVIEW:
        del metadata["preview"]
    return web.json_response(metadata)
