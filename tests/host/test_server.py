"""The ground that the other host tests stand on: ComfyUI starts, takes the small checkpoint, and answers."""

import json
import re

import pytest
from comfy_server import PACK_FOLDER, ComfyError, Graph, Interrupted


def text_to_image(width: int = 64, seed: int = 1) -> tuple[Graph, dict]:
    graph = Graph()
    loader = graph.add("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    positive = graph.add("CLIPTextEncode", clip=loader[1], text="a man is skiing")
    negative = graph.add("CLIPTextEncode", clip=loader[1], text="")
    latent = graph.add("EmptyLatentImage", width=width, height=64, batch_size=2)
    sampled = graph.add(
        "KSampler", model=loader[0], positive=positive[0], negative=negative[0], latent_image=latent[0],
        seed=seed, steps=3, cfg=5.0, sampler_name="ddim", scheduler="ddim_uniform", denoise=1.0,
    )  # fmt: skip
    decoded = graph.add("VAEDecode", samples=sampled[0], vae=loader[2])
    saved = graph.add("SaveImage", images=decoded[0], filename_prefix="test")
    latents = graph.add("SaveLatent", samples=sampled[0], filename_prefix="test")
    return graph, {"model": loader, "sampler": sampled, "image": saved, "latent": latents}


def test_pack_loads_fast_under_a_folder_name_that_is_no_python_name(server):
    nodes = {name for name in server.object_info() if name.startswith("TAV")}
    assert nodes == {
        "TAVLoadVideo", "TAVInflateUNet", "TAVOneShotTune", "TAVDDIMInvert", "TAVSampleVideo", "TAVSaveTuned",
        "TAVLoadTuned", "TAVCompareVideos", "TAVEvaluateVideo", "TAVLoadDemoModel", "TAVDemoClip",
    }  # fmt: skip
    line = re.search(rf"([\d.]+) seconds(.*): .*{re.escape(PACK_FOLDER)}", server.log.read_text())
    assert line[2] == "", "ComfyUI could not import the pack"
    assert float(line[1]) <= 0.3


def test_small_checkpoint_makes_images(server):
    graph, nodes = text_to_image()
    entry = server.run(graph)
    latent = server.latent(entry, nodes["latent"])
    assert latent.shape == (2, 4, 8, 8)
    assert latent.isfinite().all() and latent.std() > 0.1
    images = server.images(entry, nodes["image"])
    assert images.shape == (2, 64, 64, 3)
    assert images.std() > 1
    steps = [event.data["value"] for event in server.events if event.kind == "progress"]
    assert steps[-1] == 3
    previews = [event for event in server.events if event.kind == "preview"]
    assert {event.data["node_id"] for event in previews} == {nodes["sampler"].id}


def test_probe_sees_an_untouched_model(server):
    graph = Graph()
    loader = graph.add("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    probe = graph.add("ProbeModel", model=loader[0])
    entry = server.run(graph)
    report = json.loads(entry["outputs"][probe.id]["text"][0])
    assert report["overrides"] == []
    assert report["gradients"] == report["patches"] == 0


def test_refused_graph_says_why(server):
    graph, nodes = text_to_image()
    graph.nodes[nodes["sampler"].id]["inputs"]["steps"] = 0
    with pytest.raises(ComfyError) as refused:
        server.run(graph)
    assert "KSampler: Value 0 smaller than min of 1" in refused.value.message


def test_failed_node_says_why(server):
    graph = Graph()
    small = graph.add("EmptyLatentImage", width=64, height=64, batch_size=1)
    large = graph.add("EmptyLatentImage", width=128, height=128, batch_size=1)
    joined = graph.add("LatentConcat", samples1=small[0], samples2=large[0], dim="x")
    graph.add("SaveLatent", samples=joined[0], filename_prefix="test")
    with pytest.raises(ComfyError) as failed:
        server.run(graph)
    assert failed.value.node_type == "LatentConcat"
    assert "Sizes of tensors must match" in failed.value.message


def test_cancel_and_run_again(server):
    graph, nodes = text_to_image(seed=2)
    graph.nodes[nodes["sampler"].id]["inputs"]["steps"] = 500
    prompt_id = server.post(graph)
    server.wait_for("progress", node=nodes["sampler"].id)
    server.interrupt()
    with pytest.raises(Interrupted):
        server.finish(prompt_id)
    server.free()
    assert server.run(text_to_image(seed=3)[0])["status"]["status_str"] == "success"


def test_upload_arrives_in_the_input_folder(server, tmp_path):
    file = tmp_path / "some clip.mp4"
    file.write_bytes(bytes(range(256)) * 100)
    name = server.upload(file)
    assert (server.folder / "input" / name).read_bytes() == file.read_bytes()
