"""One-Shot Tune while it runs: what it tells the page, its previews, "Stop and keep", and going on later."""

import contextlib
import io
import json
import urllib.parse
import urllib.request

import torch
import websocket
from chain import FRAMES, SIZE, Chain
from comfy_server import ComfyServer
from PIL import Image

from tav_core import load_tuned

WORKFLOW = "b7b5a1b2-0000-4000-8000-000000000001"


def last_run(server: ComfyServer, node) -> dict:
    runs = server.get(f"/tune_a_video/runs?workflow={WORKFLOW}")
    return next(run for run in runs if run["node"] == node.id)


def tune(server, clip, name: str, **options) -> tuple[dict[str, torch.Tensor], dict, dict]:
    """Tune, and save as `name`; returns the learned weights, the file's metadata, and what the page is told."""
    graph = Chain(clip, demo=True)
    if "preview_every" in options:
        words = {"preview": graph.words[0], "negative": graph.empty[0], "vae": graph.checkpoint[2]}
        options = {"preview_steps": 2, **words, **options}
    tuned = graph.tune(graph.inflate()[0], **{"seed": 20, **options})  # a seed that no test before this one tuned with
    graph.add("TAVSaveTuned", tuned=tuned[1], name=name)
    server.finish(server.post(graph, workflow=WORKFLOW))
    state, metadata = load_tuned(server.folder / "models" / "tune_a_video" / f"{name}.safetensors")
    return state, metadata, last_run(server, tuned)


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def picture(server, preview: dict) -> Image.Image:
    query = urllib.parse.urlencode({key: preview[key] for key in ("filename", "subfolder", "type")})
    with urllib.request.urlopen(f"{server.url}/view?{query}", timeout=60) as answer:
        return Image.open(io.BytesIO(answer.read()))


def test_more_steps_go_on_and_previews_change_nothing(server, clip):
    straight, _, run = tune(server, clip, "straight", steps=3)
    assert run["state"] == "done" and len(run["losses"]) == 3 and run["continued_from"] == 0
    assert run["previews"] == [] and run["validation"] == []
    losses = run["losses"]

    fewer, _, run = tune(server, clip, "fewer", steps=2, preview_every=2)
    assert run["continued_from"] == 0 and run["losses"] == losses[:2]
    assert not equal(fewer, straight)

    more, metadata, run = tune(server, clip, "more", steps=3, preview_every=2)
    assert run["continued_from"] == 2 and run["losses"] == losses and metadata["steps"] == 3
    assert equal(more, straight) and not run["note"]
    assert [preview["step"] for preview in run["previews"]] == [None, 0, 2, 3]  # the clip first
    assert [step for step, _ in run["validation"]] == [0, 2, 3]
    for preview in run["previews"]:
        shown = picture(server, preview)
        assert (shown.format, shown.n_frames, shown.size) == ("WEBP", FRAMES, (SIZE, SIZE))
        sheet = preview["video"]["sheet"]
        rows = -(-sheet["frames"] // sheet["columns"])
        assert sheet["frames"] == FRAMES
        assert picture(server, preview["video"]).size == (sheet["width"] * sheet["columns"], sheet["height"] * rows)

    again, _, run = tune(server, clip, "once more", steps=3, preview_every=1, negative=None, vae=None)
    assert run["continued_from"] == 3 and equal(again, straight)
    assert [preview["step"] for preview in run["previews"]] == [None, 3]
    assert picture(server, run["previews"][0]).n_frames == FRAMES

    graph = Chain(clip, demo=True)
    half = graph.add("ModelComputeDtype", model=graph.checkpoint[0], dtype="bf16")[0]
    node = graph.tune(graph.inflate(half)[0], steps=3, seed=20)
    graph.add("PreviewImage", images=node[2])
    server.finish(server.post(graph, workflow=WORKFLOW))
    assert last_run(server, node)["continued_from"] == 0
    _, _, run = tune(server, clip, "another rate", steps=3, learning_rate=2e-2)
    assert run["continued_from"] == 0 and run["note"].endswith("another learning_rate.")
    for steps in (1, 2):  # the learning rate of a step depends on how many there are: no honest way to go on
        _, _, run = tune(server, clip, f"cosine {steps}", steps=steps, lr_scheduler="cosine")
        assert run["continued_from"] == 0


def test_each_of_two_nodes_goes_on(server, clip):
    for steps, continued_from in ((1, 0), (2, 1)):
        graph = Chain(clip, demo=True)
        inflated = graph.inflate()[0]
        nodes = [graph.tune(inflated, steps=steps, seed=seed) for seed in (21, 22)]
        for node in nodes:
            graph.add("PreviewImage", images=node[2])
        server.finish(server.post(graph, workflow=WORKFLOW))
        assert [last_run(server, node)["continued_from"] for node in nodes] == [continued_from] * 2


def test_stop_and_keep(server, clip):
    graph = Chain(clip, demo=True)
    tuned = graph.tune(graph.inflate()[0], steps=100_000, seed=9)
    graph.add("TAVSaveTuned", tuned=tuned[1], name="stopped")
    prompt_id = server.post(graph, workflow=WORKFLOW)
    started = server.wait_for("tune_a_video.start", node=tuned.id).data
    assert (started["workflow"], started["prompt"], started["steps"]) == (WORKFLOW, prompt_id, 100_000)
    told = server.wait_for("tune_a_video.step", node=tuned.id).data
    assert told["from"] == 0 and told["losses"] and told["learning_rate"] == 1e-2 and told["seconds_left"] > 0

    run = last_run(server, tuned)
    assert run["state"] == "running" and run["losses"][: len(told["losses"])] == told["losses"]
    for wrong in ("another", ["another"], {}, None):
        assert server.send("/tune_a_video/stop", {"run": wrong})["error"]
    assert server.send("/tune_a_video/stop", {"run": run["run"]}) == {"run": run["run"]}
    server.finish(prompt_id)
    run = last_run(server, tuned)
    assert run["state"] == "stopped" and 0 < len(run["losses"]) < 100_000
    assert [e.data["state"] for e in server.events if e.kind == "tune_a_video.end"] == ["stopped"]
    _, metadata = load_tuned(server.folder / "models" / "tune_a_video" / "stopped.safetensors")
    assert metadata["steps"] == len(run["losses"])
    assert "error" in server.send("/tune_a_video/stop", {"run": run["run"]})

    again = server.post(graph, workflow=WORKFLOW)  # the same graph: ComfyUI would answer from its cache
    started = server.wait_for("tune_a_video.start", node=tuned.id).data
    assert started["continued_from"] == len(run["losses"]) and started["run"] != run["run"]
    server.send("/tune_a_video/stop", {"run": started["run"]})
    server.finish(again)
    assert len(last_run(server, tuned)["losses"]) > len(run["losses"])


def test_tuning_runs_without_anything_behind_it(server, clip):
    graph = Chain(clip, demo=True)
    tuned = graph.tune(graph.inflate()[0], steps=1, seed=23)
    server.finish(server.post(graph, workflow=WORKFLOW))
    assert last_run(server, tuned)["state"] == "done"


def test_with_several_users_a_run_is_told_to_its_own(server, clip):
    other = websocket.create_connection(f"{server.url.replace('http', 'ws')}/ws?clientId=other", timeout=60)
    server.send("/probe/multi_user", {"on": True})
    try:
        tune(server, clip, "private", steps=1, seed=31)
        assert server.get("/tune_a_video/runs") == []
    finally:
        server.send("/probe/multi_user", {"on": False})
    assert any(event.kind.startswith("tune_a_video") for event in server.events)
    kinds = []
    other.settimeout(2)
    with contextlib.suppress(websocket.WebSocketTimeoutException):
        while True:
            message = other.recv()
            kinds += [json.loads(message)["type"]] if isinstance(message, str) else []
    assert kinds and not any(kind.startswith("tune_a_video") for kind in kinds)
