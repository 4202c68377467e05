"""Facts about a chosen clip before anything runs, and the output of Compare Videos."""

import io
import json
import shutil
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from comfy_server import ComfyError, Graph
from PIL import Image

from tav_core import VIDEO_ENDINGS, save_video

CHOICE = {"video": "grey.mp4", "start": 1, "stride": 3, "frames": 3, "width": 128, "height": 64, "resize": "stretch"}
LEVELS = [20 * number for number in range(12)]
"""Frame i of the clip is grey of level 20 i."""


def grey_clip(levels: list[int]) -> torch.Tensor:
    return torch.tensor(levels).div(255).view(-1, 1, 1, 1).expand(-1, 48, 64, 3)


@pytest.fixture(scope="module")
def clip(server) -> None:
    """Write a clip into the input folder, one into the output folder, one outside of both, and a file that is none."""
    save_video(server.folder / "input" / "grey.mp4", grey_clip(LEVELS), fps=10)
    save_video(server.folder / "input" / "short.mp4", grey_clip([200, 100]), fps=10)
    save_video(server.folder / "output" / "made.mp4", grey_clip(LEVELS), fps=10)
    save_video(server.folder / "secret.mp4", grey_clip(LEVELS), fps=10)
    (server.folder / "input" / "notes.mp4").write_text("not a video")


def ask(server, **choice) -> dict:
    return server.get(f"/tune_a_video/clip?{urllib.parse.urlencode({**CHOICE, **choice})}")


def preview(server, **choice) -> np.ndarray:
    """Return the frames of the preview, uint8 [n, height, width, 3]."""
    query = urllib.parse.urlencode({**CHOICE, **choice})
    with urllib.request.urlopen(f"{server.url}/tune_a_video/clip/frames?{query}", timeout=60) as answer:
        layout = {name: int(answer.headers[f"Sheet-{name}"]) for name in ("frames", "columns", "width", "height")}
        return cells(answer.read(), layout)


def cells(jpeg: bytes, layout: dict) -> np.ndarray:
    sheet = np.asarray(Image.open(io.BytesIO(jpeg)))
    height, width, columns = layout["height"], layout["width"], layout["columns"]
    rows = sheet.reshape(-1, height, columns, width, 3).swapaxes(1, 2)
    return rows.reshape(-1, height, width, 3)[: layout["frames"]]


def levels(frames: np.ndarray) -> list[float]:
    return frames.mean(axis=(1, 2, 3)).tolist()


def load(graph: Graph, **choice):
    return graph.add("TAVLoadVideo", **{**CHOICE, **choice})


def test_facts_are_those_of_the_chosen_frames(server, clip):
    facts = ask(server)
    assert facts["clip"] == pytest.approx({"frames": 3, "fps": 10 / 3, "width": 128, "height": 64, "duration": 0.9})
    assert facts["source"] == pytest.approx({"frames": 12, "fps": 10, "width": 64, "height": 48, "duration": 1.2})
    assert ask(server, video="made.mp4 [output]") == facts


def test_preview_has_exactly_the_chosen_frames(server, clip):
    frames = preview(server)
    assert frames.shape == (3, 64, 128, 3)
    assert levels(frames) == pytest.approx([LEVELS[1], LEVELS[4], LEVELS[7]], abs=3)
    assert levels(preview(server, start=0, stride=1, frames=12)) == pytest.approx(LEVELS, abs=3)
    padded = preview(server, width=256, resize="pad")
    assert padded.shape == (3, 64, 256, 3)
    assert padded[:, :, :80].max() < 8 < padded[1:, :, 90:166].min()
    assert preview(server, width=2048, height=1024).shape == (3, 160, 320, 3)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"frames": 5}, "grey.mp4 has 12 frames, which gives 4 with start 1 and stride 3, but 5 were requested"),
        ({"start": 12, "frames": 1}, "grey.mp4 has 12 frames, which gives 0 with start 12"),
        ({"video": "notes.mp4"}, "notes.mp4 is not a video that can be read"),
    ],
)
def test_wrong_choice_is_told_as_the_node_would_tell_it(server, clip, choice, said):
    graph = Graph()
    graph.add("PreviewImage", images=load(graph, **choice)[0])
    with pytest.raises(ComfyError) as failed:
        server.run(graph)
    assert ask(server, **choice) == {"error": failed.value.message}
    assert failed.value.message.startswith(said)


@pytest.mark.parametrize("video", ["../secret.mp4", "{}/secret.mp4", "../secret.mp4 [output]", "gone.mp4", ""])
def test_only_files_in_comfyuis_folders_are_read(server, clip, video):
    video = video.format(server.folder)
    error = ask(server, video=video)["error"]
    assert error.startswith(f"There is no video {video} in the input folder" if video else "No video is chosen")
    graph = Graph()
    graph.add("PreviewImage", images=load(graph, video=video)[0])
    with pytest.raises(ComfyError, match=r"no video|No video"):
        server.run(graph)


def test_a_name_that_no_system_takes_is_a_missing_video(server, clip):
    for video in ("a" * 5000, "a\0b", "%0999999999d.png"):
        assert len(ask(server, video=video)["error"]) < 500


def test_a_name_of_another_node_is_looked_at_when_that_has_run(server, clip):
    graph = Graph()
    name = graph.add("FileName", file="grey.mp4")
    frames = load(graph, video=name[0])
    shown = graph.add("PreviewImage", images=frames[0])
    assert server.images(server.run(graph), shown).shape == (3, 64, 128, 3)
    server.run(graph)
    assert frames.id not in [event.data.get("node") for event in server.events if event.kind == "executing"]
    graph.nodes[name.id]["inputs"]["file"] = "../secret.mp4"
    with pytest.raises(ComfyError) as failed:
        server.run(graph)
    assert failed.value.message.startswith("There is no video ../secret.mp4 in the input folder")


def test_every_kind_of_clip_is_listed_and_read(server, clip):
    folder = server.folder / "input"
    listed = [f"kind{ending}" for ending in VIDEO_ENDINGS]
    for name in listed:
        (folder / name).touch()
    images = [Image.fromarray(np.full((48, 64, 3), level, np.uint8)) for level in LEVELS[:5]]
    images[0].save(folder / "moving.webp", save_all=True, append_images=images[1:], duration=100)
    images[0].save(folder / "still.webp")
    (folder / "cut.webp").write_bytes((folder / "moving.webp").read_bytes()[:18])
    for number, image in enumerate(images):
        (folder / "frames").mkdir(exist_ok=True)
        image.save(folder / "frames" / f"frame_{number:02}.png")
    shutil.copy(Path(__file__).parents[1] / "data" / "clips" / "hdr_pq.mp4", folder)
    offered = server.get("/object_info/TAVLoadVideo")["TAVLoadVideo"]["input"]["required"]["video"][1]["options"]
    assert {*listed, "moving.webp", "frames/"} <= set(offered) and not {"still.webp", "cut.webp"} & set(offered)
    for name in ("moving.webp", "frames/", "frames/frame_%02d.png"):
        assert ask(server, video=name, start=0, stride=1, frames=5)["source"]["frames"] == 5
        assert levels(preview(server, video=name, start=0, stride=2, frames=3)) == pytest.approx(LEVELS[:5:2], abs=3)
    assert preview(server, video="hdr_pq.mp4", frames=1, stride=1)[0, 32, 64].min() > 250  # white, and not 148
    assert ask(server)["bytes"] == 4 * 3 * 3 * 128 * 64
    for name in listed:
        (folder / name).unlink()


def test_what_broke_off_is_shown_on_the_node(server, clip):
    whole = server.folder / "input" / "noise.mp4"
    save_video(whole, torch.rand(12, 48, 64, 3), fps=10)
    whole.with_name("broken.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    graph = Graph()
    loaded = load(graph, video="broken.mp4", start=0, stride=1, frames=12)
    graph.add("PreviewImage", images=loaded[0])
    server.run(graph)
    (line,) = [event.data for event in server.events if event.kind == "text"]
    assert line["node_id"] == loaded.id and line["text"].startswith("broken.mp4 breaks off: ")


def test_numbers_that_are_none(server, clip):
    assert ask(server, stride="x") == {"error": "stride is 'x', but must be a whole number."}
    assert ask(server, frames=0)["clip"]["frames"] == 4  # 0 for all from start on, every third
    assert ask(server, frames=-1) == {"error": "frames is -1, but must be at least 0."}
    assert ask(server, stride=10**400)["error"].endswith("but must be at most 2097152.")


def test_comparison(server, clip):
    graph = Graph()
    source = load(graph, start=0, stride=1, frames=4, width=64, height=64)
    short = load(graph, video="short.mp4", start=0, stride=1, frames=2, width=64, height=128)
    compared = graph.add(
        "TAVCompareVideos", source=source[0], result_2=short[0], labels="the clip\nmuted", fps=source[1]
    )
    shown = graph.add("PreviewImage", images=compared[0])
    entry = server.run(graph)

    frames = server.images(entry, shown)
    bar = frames.shape[1] - 128  # the source is shown as high as the result, twice its size
    assert frames.shape == (4, bar + 128, 128 + 8 + 64, 3)
    assert levels(frames[:, bar:, :128]) == pytest.approx(LEVELS[:4], abs=3)
    assert levels(frames[:, bar:, 136:]) == pytest.approx([200, 100, 100, 100], abs=3)
    assert frames[0, :bar, :128].max() > 200 and frames[0, :bar, 136:].max() > 200  # labels
    assert frames[0, :, 129:135].max() < 40

    told = [json.loads(video) for video in entry["outputs"][compared.id]["tav_comparison"]]
    assert [(video["label"], video["fps"], video["size"]) for video in told] == [
        ("the clip", 10, [64, 64]),
        ("result 2", 10, [64, 128]),
    ]
    sheets = [cells(server.file(video), video["sheet"]) for video in told]
    assert levels(sheets[0]) == pytest.approx(LEVELS[:4], abs=3)
    assert levels(sheets[1]) == pytest.approx([200, 100], abs=3)
