"""What the page asks of a clip that is chosen on Load Video: the facts and the frames, before anything runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from aiohttp import web
from server import PromptServer

from .folders import KEY
from .media import clip_facts, clip_preview, sheet_layout

NUMBERS = ("start", "stride", "frames", "width", "height")
_one_at_a_time = asyncio.Semaphore(1)


@PromptServer.instance.routes.get(f"/{KEY}/clip")
async def facts(request: web.Request) -> web.Response:
    """``?video=`` a name that Load Video offers, and its other inputs -> JSON.

    ``clip`` and ``source``: frames, fps, width, height, duration (seconds) of what is taken and of the whole file; or
    ``error``, the sentence with which the node would fail.
    """
    return await _answer(request, lambda choice: web.json_response(clip_facts(**choice)))


@PromptServer.instance.routes.get(f"/{KEY}/clip/frames")
async def frames(request: web.Request) -> web.Response:
    """The same query -> the frames that the node would give, small, as a JPEG sheet; its layout is in the headers.

    JSON with ``error`` where the node would fail.
    """

    def preview(choice: dict) -> web.Response:
        sheet = clip_preview(**choice)
        layout = {f"Sheet-{name}": str(value) for name, value in sheet_layout(sheet).items()}
        return web.Response(body=sheet.jpeg, content_type="image/jpeg", headers=layout)

    return await _answer(request, preview)


async def _answer(request: web.Request, answer: Callable[[dict], web.Response]) -> web.Response:
    """Answer in a thread, one request at a time: decoding takes all the cores that FFmpeg can get."""
    try:
        choice = _choice(request.query)
        async with _one_at_a_time:
            return await asyncio.to_thread(answer, choice)
    except (FileNotFoundError, ValueError) as error:
        return web.json_response({"error": str(error)})


def _choice(query: Mapping[str, str]) -> dict:
    numbers = {}
    for name in NUMBERS:
        try:
            numbers[name] = int(query.get(name, ""))
        except ValueError:
            raise ValueError(f"{name} is {query.get(name)!r}, but must be a whole number.") from None
    return {"video": query.get("video", ""), "resize": query.get("resize", ""), **numbers}
