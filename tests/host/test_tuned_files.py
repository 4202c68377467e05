"""Saved motions in ComfyUI: metadata, picture, and a warning when they were tuned on another checkpoint."""

import base64
import io
import urllib.error
import urllib.parse

import pytest
from chain import FRAMES, SIZE, Chain
from checkpoint import make_lora
from comfy_server import ComfyError, Node
from parameter_shapes import CONTEXT
from PIL import Image

from tav_core import load_tuned, save_tuned


def about(server, name: str) -> dict:
    return server.get(f"/tune_a_video/tuned?{urllib.parse.urlencode({'name': name})}")


@pytest.fixture(scope="module")
def saved(server, clip):
    graph = Chain(clip)
    tuned = graph.tune(graph.inflate()[0], steps=1)
    node = graph.add("TAVSaveTuned", tuned=tuned[1], name="told", preview=graph.video[0])
    entry = server.run(graph)
    (name,) = entry["outputs"][node.id]["tav_saved"]
    return server.folder / "models" / "tune_a_video" / name


def test_the_page_gets_what_the_file_says_of_itself(server, saved):
    told = about(server, saved.name)
    expected = {"prompt": "a square is moving", "frames": FRAMES, "width": SIZE, "height": SIZE, "fps": 8, "steps": 1}
    assert expected.items() <= told.items()
    image = Image.open(io.BytesIO(base64.b64decode(told["preview"])))
    assert image.size == (SIZE, SIZE)


def test_a_preview_with_transparency_is_kept_without_it(server, clip):
    graph = Chain(clip)
    tuned = graph.tune(graph.inflate()[0], steps=1)
    mask = graph.add("SolidMask", value=0.5, width=SIZE, height=SIZE)
    seen_through = graph.add("JoinImageWithAlpha", image=graph.video[0], alpha=mask[0])
    graph.add("TAVSaveTuned", tuned=tuned[1], name="seen through", preview=seen_through[0])
    server.run(graph)
    assert about(server, "seen through.safetensors")["preview"]


def test_the_prompt_is_followed_to_where_it_is_written(server, clip):
    graph = Chain(clip)

    def encode(text: list) -> Node:
        return graph.add("CLIPTextEncode", clip=graph.checkpoint[1], text=text)

    model = graph.inflate()[0]
    string = graph.add("PrimitiveString", value="a bear is running")
    drawn = graph.add(
        "TAVDemoClip", figure="man", verb="running", place="beach", clothes="red", style="none", frames=2, seed=3
    )
    graph.nodes[string.id]["inputs"]["text"] = [string.id]  # an input that no node has, and no link
    joined = graph.add("StringConcatenate", string_a=string[0], string_b="fast", delimiter=" ")
    for_sdxl = graph.add("RandomText", width=CONTEXT, seed=0, text_g=string[0])
    expected = {
        "string": (encode(string[0]), "a bear is running"),
        "behind": (graph.add("ConditioningZeroOut", conditioning=encode(string[0])[0]), "a bear is running"),
        "caption": (encode(drawn[1]), "a man, wearing a red shirt, is running on the beach"),
        "sdxl": (for_sdxl, "a bear is running"),
        "computed": (encode(joined[0]), ""),
    }
    for name, (words, _) in expected.items():
        tuned = graph.tune(model, steps=1)
        graph.nodes[tuned.id]["inputs"]["positive"] = words[0]
        graph.add("TAVSaveTuned", tuned=tuned[1], name=f"prompt {name}")
    server.run(graph)
    assert {name: about(server, f"prompt {name}.safetensors")["prompt"] for name in expected} == {
        name: prompt for name, (_, prompt) in expected.items()
    }


def test_where_nothing_can_be_saved_is_told_before_the_tuning(server, clip, saved):
    graph = Chain(clip)
    tuned = graph.tune(graph.inflate()[0], seed=2)
    graph.add("TAVSaveTuned", tuned=tuned[1], name=f"{saved.name}/below a file")
    with pytest.raises(ComfyError, match=r"Nothing can be saved as .*: give another name, or make") as failed:
        server.run(graph)
    assert "validation failed" in failed.value.message  # and nothing has run


def test_only_tuned_files_are_told_of(server, saved):
    outside = saved.parents[1] / "outside.safetensors"
    outside.write_bytes(saved.read_bytes())
    for name in ("../outside.safetensors", str(outside), "", "none.safetensors"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            about(server, name)
        assert refused.value.code == 404
    saved.with_name("broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(urllib.error.HTTPError) as broken:
        about(server, "broken.safetensors")
    sentence = broken.value.read()
    assert b"broken.safetensors is not a safetensors file" in sentence
    assert str(server.folder).encode() not in sentence
    state, metadata = load_tuned(saved)
    save_tuned(saved.with_name("odd.safetensors"), state, metadata | {"error": "no motion"})
    assert "error" not in about(server, "odd.safetensors")


def test_files_that_are_being_written_are_not_offered(server, saved):
    for left in (".0123456789ab.part.safetensors", ".0123456789ab.part/file.safetensors"):
        (saved.parent / left).parent.mkdir(exist_ok=True)
        (saved.parent / left).touch()
    offered = server.get("/object_info/TAVLoadTuned")["TAVLoadTuned"]["input"]["required"]["name"][1]["options"]
    assert saved.name in offered and not any(".part" in name for name in offered)


def test_a_motion_is_saved_into_a_linked_folder(server, clip, saved):
    target = server.folder / "another disk"
    target.mkdir()
    (saved.parent / "linked").symlink_to(target)
    graph = Chain(clip)
    tuned = graph.tune(graph.inflate()[0], steps=1)
    node = graph.add("TAVSaveTuned", tuned=tuned[1], name="linked/skiing")
    entry = server.run(graph)
    assert entry["outputs"][node.id]["tav_saved"] == ["linked/skiing.safetensors"]
    assert about(server, "linked/skiing.safetensors")["steps"] == 1


def test_a_name_of_another_node_is_looked_at_when_that_has_run(server, clip, saved):
    graph = Chain(clip)
    name = graph.add("FileName", file=saved.name)
    loaded = graph.add("TAVLoadTuned", model=graph.checkpoint[0], name=name[0], strength=1.0)
    graph.save(graph.ksample(loaded[0], graph.latents[0], steps=1)[0])
    server.run(graph)
    server.run(graph)
    assert loaded.id not in [event.data.get("node") for event in server.events if event.kind == "executing"]
    graph.nodes[name.id]["inputs"]["file"] = "gone.safetensors"
    with pytest.raises(ComfyError) as failed:
        server.run(graph)
    assert failed.value.message.startswith("There is no tuned file gone.safetensors in models/tune_a_video")


def test_another_checkpoint_is_noticed(server, clip, saved):
    """Also behind a LoRA, which leaves the checkpoint what it is."""
    state, metadata = load_tuned(saved)
    save_tuned(saved.with_name("stranger.safetensors"), state, metadata | {"base_fingerprint": "0" * 16})
    modules = ["down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_k"]
    make_lora(server.folder / "models" / "loras" / "keys.safetensors", modules)
    graph = Chain(clip)
    lora = graph.add("LoraLoaderModelOnly", model=graph.checkpoint[0], lora_name="keys.safetensors", strength_model=1.0)
    sampled = graph.ksample(lora[0], graph.latents[0], steps=1)  # merges the LoRA into the network that is shared
    loaded = [
        graph.add("TAVLoadTuned", model=lora[0], name=name, strength=1.0)
        for name in (saved.name, "stranger.safetensors")
    ]
    for model in loaded:
        sampled = graph.ksample(model[0], sampled[0], steps=1)
    graph.save(sampled[0])
    entry = server.run(graph)
    own, other = (entry["outputs"][node.id]["tav_notice"] for node in loaded)
    assert own == [saved.name, ""]
    assert other[0] == "stranger.safetensors" and "another checkpoint" in other[1]
    answered_from_cache = server.run(graph)
    assert answered_from_cache["outputs"][loaded[1].id]["tav_notice"] == other
