"""Windows of frames in ComfyUI: every sampler, ControlNet hints and the memory follow the window."""

import pytest
from chain import Chain, difference, report
from checkpoint import make_controlnet, make_gligen
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
        conds = graph.hinted(network[0], hint)
        return graph.add(
            "KSampler", model=model, seed=7, steps=1, cfg=3.0, sampler_name="euler", scheduler="normal",
            positive=conds[0], negative=conds[1], latent_image=graph.latents[0], denoise=1.0,
        )  # fmt: skip

    models = [graph.inflate(**CAUSAL, window=window, overlap=0)[0] for window in (0, 3, 1)]
    nodes = [sampled(model, edges[0]) for model in models] + [sampled(model, few[0]) for model in models[:2]]
    nodes += [graph.invert(model, steps=1) for model in models[:2]]
    nodes += [sampled(graph.inflate(window=window, overlap=0)[0], edges[0]) for window in (0, 5)]
    results = [graph.save(node[0]) for node in nodes]
    entry = server.run(graph)
    at_once, windows, one_by_one, few_at_once, few_windows, inverted, inverted_in_windows, joint, one_window = (
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
    assert one_window.equal(joint)


def test_everything_with_frames_of_its_own_is_cut_to_the_window(server, graph):
    """Text per frame, masks and areas of prompts, a mask of the latents, GLIGEN, and options of other packs."""
    make_gligen(server.folder / "models" / "gligen" / "boxes.safetensors")
    positive, latent = graph.words[0], graph.latents[0]
    gligen = graph.add("GLIGENLoader", gligen_name="boxes.safetensors")
    masks = graph.add("ImageToMask", image=graph.video[0], channel="red")[0]
    box = graph.add(
        "GLIGENTextBoxApply", conditioning_to=positive, clip=graph.checkpoint[1], gligen_textbox_model=gligen[0],
        text="a square", width=32, height=24, x=8, y=16,
    )  # fmt: skip
    area = graph.add(
        "ConditioningSetAreaPercentage", conditioning=positive, width=0.5, height=1.0, x=0.5, y=0.0, strength=1.0
    )
    where = graph.add(
        "ConditioningSetMask", conditioning=positive, mask=masks, strength=1.0, set_cond_area="default"
    )  # fmt: skip
    masked = graph.add("SetLatentNoiseMask", samples=latent, mask=masks)
    ways = {
        "nothing": {},
        "text per frame": {"positive": graph.add("TextPerFrame", conditioning=positive, frames=5)[0]},
        "GLIGEN": {"positive": box[0]},
        "area": {"positive": graph.add("ConditioningCombine", conditioning_1=area[0], conditioning_2=positive)[0]},
        "mask per frame": {
            "positive": graph.add("ConditioningCombine", conditioning_1=where[0], conditioning_2=box[0])[0]
        },
        "mask of the latents": {"latent_image": masked[0]},
        "options": {},
    }
    saved = {}
    for window in (0, 3):
        inflated = graph.inflate(**CAUSAL, window=window, overlap=0)[0]
        for way, inputs in ways.items():
            model = graph.add("OptionPerFrame", model=inflated, frames=5)[0] if way == "options" else inflated
            inputs = {"positive": positive, "latent_image": latent, **inputs}
            sampled = graph.add(
                "KSampler", model=model, seed=7, steps=1, cfg=3.0, sampler_name="euler", scheduler="normal",
                negative=graph.empty[0], denoise=1.0, **inputs,
            )  # fmt: skip
            saved[way, window] = graph.save(sampled[0])
    entry = server.run(graph)
    results = {key: server.latent(entry, node) for key, node in saved.items()}
    for way in ways:
        assert way == "nothing" or difference(results[way, 0], results["nothing", 0]) > 1e-3, way
        assert difference(results[way, 3], results[way, 0]) < 1e-5, way


def test_context_windows_can_keep_the_true_first_frame(server, graph):
    """With 0 in latent_retain_index_list and the causal fix, frame 0 stands in front of every context window."""
    if "latent_retain_index_list" not in server.object_info("ContextWindowsManual")["input"].get("required", {}):
        pytest.skip("this ComfyUI's context windows cannot keep a latent (0.3.64)")
    model = graph.inflate(attention="first_frame", **CAUSAL)[0]
    models = {"all at once": model}
    for kept in ("", "0"):
        models[kept] = graph.add(
            "ContextWindowsManual", model=model, context_length=3, context_overlap=1, context_stride=1,
            context_schedule="standard_static", closed_loop=False, fuse_method="pyramid", dim=0, freenoise=False,
            cond_retain_index_list="", split_conds_to_windows=False, latent_retain_index_list=kept,
            causal_window_fix=True,
        )[0]  # fmt: skip
    saved = {name: graph.save(graph.ksample(each, graph.latents[0], steps=1)[0]) for name, each in models.items()}
    entry = server.run(graph)
    results = {name: server.latent(entry, node) for name, node in saved.items()}
    assert difference(results[""], results["all at once"]) > 1e-3
    assert difference(results["0"], results["all at once"]) < 1e-5


def test_a_long_clip_is_tuned_and_goes_on_through_windows(server, graph):
    """One-Shot Tune learns from a window in each step; the memory manager is asked for that of a window."""
    recorded = graph.add("RecordMemory", model=graph.inflate(window=3, overlap=2)[0])
    tuned = graph.tune(recorded[0], steps=1)
    noise = graph.invert(tuned[0], steps=1)
    longer = graph.add("TAVExtendVideoLatent", latent=noise[0], frames=12, mode="mirror", seed=0)
    rendered = graph.sample(tuned[0], longer[0], steps=1)
    asked = graph.add("MemoryAsked", model=tuned[0], after=rendered[0])
    results = [graph.save(node[0]) for node in (longer, rendered)]
    entry = server.run(graph)
    noise, sampled = (server.latent(entry, node) for node in results)
    assert len(sampled) == 12 and sampled.isfinite().all()
    assert noise[5].equal(noise[3]) and noise[8].equal(noise[0]) and not noise[8].equal(noise[1])
    assert report(entry, asked) == [3, 6]  # for one prompt, and for both
