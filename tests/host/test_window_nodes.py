"""Windows of frames in ComfyUI: every sampler, ControlNet hints and the memory follow the window."""

import pytest
from chain import Chain, difference, report
from checkpoint import make_controlnet
from comfy_server import Node

CAUSAL = {"temporal_attention": False, "joint_norm": False}


@pytest.fixture
def graph(clip) -> Chain:
    graph = Chain(clip)
    graph.nodes[graph.video.id]["inputs"]["frames"] = 5
    return graph


def test_windows_render_what_all_frames_at_once_do(server, graph):
    """KSampler with a ControlNet, a hint per frame or fewer, and DDIM Invert."""
    make_controlnet(server.folder / "models" / "controlnet" / "control.safetensors")
    network = graph.add("ControlNetLoader", control_net_name="control.safetensors")
    edges = graph.add("Canny", image=graph.video[0], low_threshold=0.1, high_threshold=0.3)
    few = graph.add("ImageFromBatch", image=edges[0], batch_index=0, length=3)  # repeated over the frames

    def sampled(model: list, hint: list) -> Node:
        conds = graph.add(
            "ControlNetApplyAdvanced", positive=graph.words[0], negative=graph.empty[0], control_net=network[0],
            image=hint, strength=1.0, start_percent=0.0, end_percent=1.0,
        )  # fmt: skip
        return graph.add(
            "KSampler", model=model, seed=7, steps=1, cfg=3.0, sampler_name="euler", scheduler="normal",
            positive=conds[0], negative=conds[1], latent_image=graph.latents[0], denoise=1.0,
        )  # fmt: skip

    models = [graph.inflate(**CAUSAL, window=window, overlap=0)[0] for window in (0, 3, 1)]
    nodes = [sampled(model, edges[0]) for model in models] + [sampled(model, few[0]) for model in models[:2]]
    nodes += [graph.invert(model, steps=1) for model in models[:2]]
    results = [graph.save(node[0]) for node in nodes]
    entry = server.run(graph)
    at_once, windows, one_by_one, few_at_once, few_windows, inverted, inverted_in_windows = (
        server.latent(entry, node) for node in results
    )
    assert len(at_once) == 5 and difference(few_at_once, at_once) > 1e-4  # the hints are followed
    for got, expected in (
        (windows, at_once),
        (one_by_one, at_once),
        (few_windows, few_at_once),
        (inverted_in_windows, inverted),
    ):
        assert difference(got, expected) < 1e-5


def test_a_long_clip_is_tuned_and_goes_on_through_windows(server, graph):
    """One-Shot Tune learns from a window in each step; the memory manager is asked for that of a window."""
    tuned = graph.tune(graph.inflate(window=3, overlap=2)[0], steps=1)
    noise = graph.invert(tuned[0], steps=1)
    longer = graph.add("TAVExtendVideoLatent", latent=noise[0], frames=12, mode="mirror", seed=0)
    recorded = graph.add("RecordMemory", model=tuned[0])
    rendered = graph.sample(recorded[0], longer[0], steps=1)
    asked = graph.add("MemoryAsked", model=recorded[0], after=rendered[0])
    results = [graph.save(node[0]) for node in (longer, rendered)]
    entry = server.run(graph)
    noise, sampled = (server.latent(entry, node) for node in results)
    assert len(sampled) == 12 and sampled.isfinite().all()
    assert noise[5].equal(noise[3]) and noise[8].equal(noise[0]) and not noise[8].equal(noise[1])
    assert report(entry, asked) == [3, 6]  # for one prompt, and for both
