"""Evaluate Video on a real ComfyUI, with a CLIP of random weights."""

import json
from pathlib import Path

import pytest
from comfy_server import ComfyError, Graph, Node

import tav_core

PROMPT = "a robot is running on the beach"


@pytest.fixture(scope="module")
def vision(clip_folder) -> Path:
    """Return the same model, with what ComfyUI needs to know of its image tower for CLIP Vision."""
    config = json.loads((clip_folder / "config.json").read_text())
    vision = {"num_channels": 3, "hidden_act": "quick_gelu", "model_type": "clip_vision_model"}
    vision |= config["vision_config"] | {"projection_dim": config["projection_dim"]}
    (clip_folder / "vision.json").write_text(json.dumps(vision))
    return clip_folder


class Evaluation(Graph):
    """A clip, and its negative as the result, which moves as it does."""

    def __init__(self, clip: str) -> None:
        super().__init__()
        self.source = self.add(
            "TAVLoadVideo", video=clip, start=0, stride=1, frames=6, width=96, height=64, resize="crop"
        )
        self.negative = self.add("ImageInvert", image=self.source[0])

    def evaluate(self, **inputs) -> tuple[Node, Node]:
        """Return the node, and one that shows its JSON."""
        node = self.add(
            "TAVEvaluateVideo",
            **{
                "source": self.source[0], "prompt": PROMPT, "labels": "", "clip": "none", "pickscore": "none",
                "reconstruction": False, **inputs,
            },
        )  # fmt: skip
        return node, self.add("PreviewAny", source=node[1])


def scores_of(entry: dict, shown: Node) -> dict:
    return json.loads(entry["outputs"][shown.id]["text"][0])


def test_scores_are_those_of_the_core_with_either_clip(server, clip, vision):
    graph = Evaluation(clip)
    results = {"result_1": graph.source[0], "result_3": graph.negative[0]}
    node, shown = graph.evaluate(clip="auto", pickscore="auto", labels="as it is\nmuted", **results)
    loaded = graph.add("SmallClipVision", folder=str(vision))
    _, vision_shown = graph.evaluate(clip_vision=loaded[0], **results)
    entry = server.run(graph)

    whole, alone = scores_of(entry, shown), scores_of(entry, vision_shown)
    assert [row["name"] for row in whole["results"]] == ["as it is", "result 3"]
    frames = tav_core.load_video(server.folder / "input" / clip, 6, width=96, height=64, resize="crop").frames
    scorer = tav_core.ClipScorer.load(vision)
    for row, vision_row, video in zip(whole["results"], alone["results"], (frames, 1 - frames)):
        expected = tav_core.score_video(tav_core.VideoResult("", video, PROMPT), scorer)
        assert len(expected) == 4
        for name, value in expected.items():
            assert row["scores"][name] == pytest.approx(value, abs=1e-3)
        assert vision_row["scores"]["frame_consistency"] == pytest.approx(expected["frame_consistency"], abs=1e-3)
        assert "textual_alignment" not in vision_row["scores"]
        # what this machine's ComfyUI cannot measure it says in a sentence
        notes = " ".join(whole["notes"])
        assert ("motion_fidelity" in row["scores"]) != ("pip install opencv-python-headless" in notes)
        assert ("pick_score" in row["scores"]) != ("models/clip_vision/PickScore_v1" in notes)
    assert "as it is" in entry["outputs"][node.id]["text"][0]
    table = json.loads(entry["outputs"][node.id]["tav_scores"][0])
    assert [row["name"] for row in table["rows"]] == ["as it is", "result 3"] and "steadiness in dB" in table["columns"]
    assert all(len(row["cells"]) == len(table["columns"]) for row in table["rows"])
    promised = server.get("/tune_a_video/scores?prompt=1")
    assert sorted(promised["scores"]) == sorted(table["columns"]) and promised["notes"] == whole["notes"]


def test_reconstruction_is_measured_by_psnr_and_ssim(server, clip):
    graph = Evaluation(clip)
    _, shown = graph.evaluate(reconstruction=True, result_1=graph.source[0], result_2=graph.negative[0])
    same, negative = (row["scores"] for row in scores_of(server.run(graph), shown)["results"])
    assert same == {"psnr": "inf", "ssim": 1}
    assert set(negative) == {"psnr", "ssim"} and negative["psnr"] < 10 and negative["ssim"] < 0.5


def test_with_nothing_to_download_motion_and_flicker_are_measured(server, clip):
    graph = Evaluation(clip)
    _, shown = graph.evaluate(result_1=graph.source[0])
    scores = scores_of(server.run(graph), shown)["results"][0]["scores"]
    assert scores["motion_overlap"] == pytest.approx(100) and scores["steadiness"] > 0
    promised = server.get("/tune_a_video/scores?clip=none&pickscore=none")["scores"]
    assert {"motion overlap", "steadiness in dB"} <= set(promised)
    assert server.get("/tune_a_video/scores?reconstruction=1") == {"scores": ["PSNR in dB", "SSIM"], "notes": []}


def test_no_result_connected_says_so(server, clip):
    graph = Evaluation(clip)
    graph.evaluate()
    with pytest.raises(ComfyError, match="connect a video to result_1"):
        server.run(graph)
