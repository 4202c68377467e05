"""The campaign's trials in a real ComfyUI: hostile requests to the pack's routes, and Cancel at a random moment."""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import quote, urlsplit

import torch
from chain import Chain, base_state
from checkpoint import make_checkpoint
from comfy_install import REPOSITORY, find_comfyui
from comfy_server import PACK_FOLDER, ComfyError, ComfyServer, Interrupted

import tav_core

PROBE = Path(__file__).parent / "host" / "probe"
QUERIES = {
    "clip": ("video", "start", "stride", "frames", "width", "height", "resize"),
    "clip/frames": ("video", "start", "stride", "frames", "width", "height", "resize"),
    "tuned": ("name",),
    "scores": ("clip", "pickscore", "clip_vision", "prompt", "reconstruction"),
    "runs": ("workflow",),
}
CHOICE = {"start": "0", "stride": "1", "frames": "2", "width": "64", "height": "64", "resize": "crop"}
NAMES = (
    "clip.mp4", "pipe.mp4", "damaged.mp4", "frames/", "linked.mp4", "clip.mp4 [output]", "clip.mp4 [input]", "[temp]",
    "", ".", "..", "/", "../comfyui.log", "../../../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "%00",
    "a\0b", "a" * 10_000, "%04d", "%0999999999d.png", "%d%s%n", "..\\..\\x", "con", "tuned.safetensors", "[" * 5000,
    "file:///etc/passwd", "http://127.0.0.1/", "concat:clip.mp4|clip.mp4", "auto", "1",
)  # fmt: skip
NUMBERS = ("", "-1", "0", "1", "9" * 5000, "999999999", "1e400", "NaN", "0x10", "1.5", "٣", "null", "[]")
BODIES = (
    b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"a":' * 100_000, b'{"run": "\\ud800"}', b'{"run": ["x"]}',
    b'{"run": null}', b'{"run": {"a": 1e400}}', b'{"run": "../x"}', b"\xff" * 100, b"x" * 10**6,
    b'{"run": ' + b"9" * 5000 + b"}",
)  # fmt: skip
FREE_BODIES = (b"{}", b'{"free_memory": "\\ud800"}', b'{"free_memory": []}')
"""For ComfyUI's own route that the pack listens to; to what is not JSON it answers with status 500."""
ORIGINS = ("http://elsewhere.example", "https://127.0.0.1.elsewhere.example", "http://localhost:1")


@contextmanager
def started(folder: Path) -> Iterator[ComfyServer]:
    """Start ComfyUI with the small checkpoint, a clip and odd files in the input folder, and a saved motion."""
    install = find_comfyui()
    if install is None:
        raise SystemExit("No ComfyUI was found: set COMFYUI_PATH.")
    server = ComfyServer(install, folder, {PACK_FOLDER: REPOSITORY, "probe": PROBE})
    make_checkpoint(folder / "models" / "checkpoints" / "tiny.safetensors")
    frames = torch.rand(6, 96, 96, 3)
    tav_core.save_video(folder / "input" / "clip.mp4", frames, 8)
    whole = (folder / "input" / "clip.mp4").read_bytes()
    (folder / "input" / "damaged.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "input" / "frames").mkdir()
    (folder / "input" / "frames" / "a.png").write_bytes(b"no picture")
    (folder / "input" / "linked.mp4").symlink_to(folder / "comfyui.log")
    os.mkfifo(folder / "input" / "pipe.mp4")
    try:
        server.start()
        graph = Chain("clip.mp4", demo=True)
        tuned = graph.tune(graph.inflate()[0], steps=2, seed=1)
        graph.add("TAVSaveTuned", tuned=tuned[1], name="tuned")
        server.run(graph)
        yield server
    finally:
        server.stop()


def requests(server: ComfyServer, seed: int, count: int, deadline: float) -> Counter:
    """Ask the pack's routes for what they must not do, and for nonsense.

    Counted are statuses; and as faults 5xx, no answer in time, an answer of the server to a foreign page, an absolute
    path or a traceback in an answer, tracebacks in ComfyUI's log, and files that were made or changed.
    """
    ends, before = Counter(), _files(server.folder)
    log = server.log.stat().st_size
    for number in range(count):
        if time.monotonic() > deadline:
            break
        ends[_ask(server, random.Random(f"{seed} comfyui {number}"))] += 1
    with server.log.open("rb") as file:
        file.seek(log)
        for error in re.findall(
            r"(?m)^(\w+(?:\.\w+)*(?:Error|Exception): .{0,80})", file.read().decode(errors="replace")
        ):
            ends[f"traceback in the log: {error}"] += 1
    if _files(server.folder) != before:
        ends["changed files"] += 1
    return ends


def _files(folder: Path) -> dict[str, int]:
    places = (folder / name for name in ("input", "output", "models"))
    return {str(path): path.lstat().st_mtime_ns for place in places for path in place.rglob("*")}


def _ask(server: ComfyServer, chance: random.Random) -> str:
    route = chance.choice((*QUERIES, "clip", "clip/frames", "runs/x", "stop", "free"))
    method = "POST" if route in ("stop", "free") else "GET"
    if chance.random() < 0.1:
        method = chance.choice(("GET", "POST", "PUT", "DELETE", "HEAD"))
    body = chance.choice(BODIES if route != "free" else FREE_BODIES) if method == "POST" else None
    path = f"/tune_a_video/{route}" if route != "free" else "/free"
    if route == "runs/x":
        path = f"/tune_a_video/runs/{quote(chance.choice(NAMES)[:1000], safe='')}"
    if chance.random() < 0.3:
        path = f"/api{path}"
    path += _query(route, chance)
    headers = {"Content-Type": chance.choice(("application/json", "text/plain"))}
    foreign = chance.random() < 0.15
    if foreign:
        headers["Origin"] = chance.choice(ORIGINS)
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
    except (ConnectionError, HTTPException):
        return "closed"  # a body that nobody reads
    except OSError as error:
        return f"no answer ({type(error).__name__})"
    finally:
        connection.close()
    status = response.status
    places = (str(server.folder), str(REPOSITORY), str(server.install.folder))
    if status >= 500:
        return f"status {status}"
    if foreign and status != 403:
        return f"status {status} to a foreign page"
    if b"Traceback" in content or b"root:" in content:
        return "traceback or file sent"
    if any(place.encode() in content for place in places):
        return "absolute path sent"
    if len(content) > 500_000:
        return "long answer"
    return f"status {status}"


def _query(route: str, chance: random.Random) -> str:
    names = QUERIES.get(route, ())
    values = {name: CHOICE.get(name, chance.choice(NAMES)) for name in names if chance.random() < 0.95}
    if names and chance.random() < 0.6:
        values[chance.choice(names)] = chance.choice((*NAMES, *NUMBERS))
    pairs = [f"{name}={quote(value, safe='')[:7000]}" for name, value in values.items()]
    if chance.random() < 0.1:
        pairs.append(f"{chance.choice(names or ('x',))}=%ED%A0%80")
    return f"?{'&'.join(pairs)[:7800]}" if pairs else ""  # aiohttp refuses longer lines itself


def cancels(server: ComfyServer, seed: int, count: int, deadline: float) -> Counter:
    """Press Cancel during tuning, inversion, sampling; compare the checkpoint's weights to the bit."""
    ends, before = Counter(), base_state(server, "clip.mp4")
    for number in range(count):
        if time.monotonic() > deadline:
            break
        chance = random.Random(f"{seed} cancels {number}")
        kind = list(KINDS)[number % len(KINDS)]
        graph = Chain("clip.mp4")
        end = KINDS[kind](graph, graph.inflate()[0])
        graph.save(graph.ksample(end[0], graph.latents[0])[0] if kind == "tuning" else end[0])
        prompt = server.post(graph)
        server.wait_for("progress", node=end.id, timeout=120)
        time.sleep(chance.uniform(0, 3))
        server.interrupt()
        try:
            server.finish(prompt)
            ends[f"{kind} not cancelled"] += 1
            continue
        except Interrupted:
            pass
        except ComfyError as error:
            ends[f"{kind} failed: {error.message[:60]}"] += 1
            continue
        ends[f"cancelled {kind}" if base_state(server, "clip.mp4") == before else "checkpoint changed"] += 1
    return ends


KINDS = {
    "tuning": lambda graph, model: graph.tune(model, steps=100_000),
    "inversion": lambda graph, model: graph.invert(model, 1000),
    "sampling": lambda graph, model: graph.sample(model, graph.invert(model, 1)[0], 1000),
    "refined inversion": lambda graph, model: graph.invert(model, 1000, refine=3, keep_trajectory=True),
}
