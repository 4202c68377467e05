"""The HTTP routes of this pack on ComfyUI's server, all under /tune_a_video."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from server import PromptServer

from ... import tav_core
from ...tav_core.errors import short
from ...tav_core.files import parse_json
from .folders import KEY, tuned_files, tuned_path
from .live import find_run, runs_of
from .scoring import AUTO, clip_models, measurable_scores
from .tuning import tunings
from .videos import clip_facts, clip_preview, named, sheet_layout

CLIP_NUMBERS = ("start", "stride", "frames", "width", "height")
LONGEST_PREVIEW = 100_000  # characters; Save Tuned Video Model writes about a tenth of it

_routes = PromptServer.instance.routes
_one_decoder = asyncio.Semaphore(1)  # decoding uses all cores that FFmpeg can get


@_routes.get(f"/{KEY}/clip")
async def get_clip(request: web.Request) -> web.Response:
    """Answer ``?video=`` and the other inputs of Load Video with facts, as JSON.

    ``clip`` and ``source``: frames, fps, width, height, duration (seconds) of the taken frames and of the whole file;
    or ``error``, the message with which the node would fail.
    """
    return await _answer_clip(request, lambda choice: web.json_response(clip_facts(**choice)))


@_routes.get(f"/{KEY}/clip/frames")
async def get_clip_frames(request: web.Request) -> web.Response:
    """Answer the same query with the frames, small, as a JPEG sprite sheet whose layout is in the headers.

    JSON with ``error`` if the node would fail.
    """

    def preview(choice: dict) -> web.Response:
        sheet = clip_preview(**choice)
        layout = {f"Sheet-{name}": str(value) for name, value in sheet_layout(sheet).items()}
        return web.Response(body=sheet.jpeg, content_type="image/jpeg", headers=layout)

    return await _answer_clip(request, preview)


async def _answer_clip(request: web.Request, answer: Callable[[dict], web.Response]) -> web.Response:
    try:
        choice = _clip_choice(request.query)
        async with _one_decoder:
            return await asyncio.to_thread(answer, choice)
    except (FileNotFoundError, ValueError) as error:
        return web.json_response({"error": str(error)})


def _clip_choice(query: Mapping[str, str]) -> dict:
    numbers = {}
    for name in CLIP_NUMBERS:
        try:
            numbers[name] = int(query.get(name, ""))
        except ValueError:
            raise ValueError(f"{name} is {short(repr(query.get(name)))}, but must be a whole number.") from None
    return {"video": query.get("video", ""), "resize": query.get("resize", ""), **numbers}


@_routes.get(f"/{KEY}/tuned")
async def get_tuned(request: web.Request) -> web.Response:
    """Answer ``?name=``, a name that Load Tuned Video Model offers, with the metadata of the file as JSON.

    404 for any other name; 422 with ``error``, a sentence for the user, if the file cannot be read.
    """
    name = request.query.get("name", "")
    if name not in tuned_files():
        return web.json_response(
            {"error": f"There is no tuned file {name}: press R to read the list again."}, status=404
        )
    try:
        path = tuned_path(name)
        with named(path, name):
            metadata = tav_core.load_tuned_metadata(path)
    except (OSError, ValueError) as error:
        return web.json_response({"error": str(error)}, status=422)
    metadata.pop("error", None)  # the page would take it for ours
    if len(metadata.get("preview", "")) > LONGEST_PREVIEW:
        del metadata["preview"]
    return web.json_response(metadata)


@_routes.get(f"/{KEY}/scores")
async def get_scores(request: web.Request) -> web.Response:
    """Answer the inputs of Evaluate Video with what it will be able to measure: ``{"scores": [...], "notes": [...]}``.

    ``?clip=``, ``?pickscore=``: choices of the node; ``?clip_vision=1``, ``?prompt=1``, ``?reconstruction=1`` for what
    is connected, not empty, or switched on. 400 for an unknown choice.
    """
    query = request.query
    choices = [query.get(name, AUTO) for name in ("clip", "pickscore")]
    if not set(choices) <= set(clip_models()):
        return web.json_response({"error": "There is no such CLIP model: press R to read the list again."}, status=400)
    flags = [query.get(name) == "1" for name in ("clip_vision", "prompt", "reconstruction")]
    return web.json_response(await asyncio.to_thread(measurable_scores, *choices, *flags))


@_routes.get(f"/{KEY}/runs")
async def get_runs(request: web.Request) -> web.Response:
    """Answer with the last run of every tuning node of ``?workflow=``; without it, the runs without a workflow."""
    return web.json_response([run.summary() for run in runs_of(request.query.get("workflow"))])


@_routes.get(f"/{KEY}/runs/{{run}}")
async def get_run(request: web.Request) -> web.Response:
    """Answer with one run of any workflow: ComfyUI serves a copied workflow from its cache, and no new run begins."""
    run = find_run(request.match_info["run"])
    if run is None:
        return web.json_response({"error": "This tuning is not known any more."}, status=404)
    return web.json_response(run.summary())


@_routes.post(f"/{KEY}/stop")
async def post_stop(request: web.Request) -> web.Response:
    """End the run ``{"run": id}`` after the current step, and keep what it learned."""
    try:
        run = find_run(parse_json(await request.text())["run"])
    except (ValueError, TypeError, LookupError):
        return web.json_response({"error": 'Name the run to stop: {"run": its id}.'}, status=400)
    if run is None or run.state != "running":
        return web.json_response({"error": "No such tuning is running: it has ended already."}, status=404)
    run.stop()
    return web.json_response({"run": run.id})


@web.middleware
async def _clear_tunings(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Free the cached tunings with ComfyUI's "unload models and execution cache"."""
    if request.path in ("/free", "/api/free") and request.method == "POST":
        try:
            if parse_json(await request.text()).get("free_memory"):
                tunings.clear()
        except (ValueError, AttributeError):
            pass  # ComfyUI's own handler answers
    return await handler(request)


PromptServer.instance.app.middlewares.append(_clear_tunings)
