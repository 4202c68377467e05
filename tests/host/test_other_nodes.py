"""Other nodes on an inflated MODEL: ControlNet, context windows for long clips, and packs that replace attention."""

import pytest
from chain import FRAMES, Chain, difference
from checkpoint import make_controlnet
from comfy_server import Node


def test_controlnet_steers_each_frame_by_its_own_hint(server, clip):
    make_controlnet(server.folder / "models" / "controlnet" / "control.safetensors")
    graph = Chain(clip)
    model = graph.inflate()[0]
    noise = graph.invert(model, steps=3)[0]
    network = graph.add("ControlNetLoader", control_net_name="control.safetensors")
    edges = graph.add("Canny", image=graph.video[0], low_threshold=0.1, high_threshold=0.3)
    first_edges = graph.add("ImageFromBatch", image=edges[0], batch_index=0, length=1)

    def controlled(hint: list) -> Node:
        conds = graph.hinted(network[0], hint)
        return graph.add(
            "TAVSampleVideo", model=model, latent=noise, positive=conds[0], negative=conds[1], steps=3, guidance=3.0
        )

    results = [
        graph.save(node[0]) for node in (graph.sample(model, noise, 3), *map(controlled, (edges[0], first_edges[0])))
    ]
    entry = server.run(graph)
    plain, by_all, by_first = (server.latent(entry, node) for node in results)
    assert difference(by_all, plain) > 0.1
    changes = [difference(by_all[frame], by_first[frame]) for frame in range(FRAMES)]
    assert changes[0] < min(changes[1:]) / 2


def windows(graph: Chain, model: list, length: int) -> list:
    """Return the MODEL behind Context Windows (Manual)."""
    node = graph.add(
        "ContextWindowsManual", model=model, context_length=length, context_overlap=2, context_stride=1,
        context_schedule="standard_static", closed_loop=False, fuse_method="pyramid", dim=0, freenoise=False,
        cond_retain_index_list="", split_conds_to_windows=False, latent_retain_index_list="", causal_window_fix=True,
    )  # fmt: skip
    return node[0]


def test_context_windows_cut_a_clip_into_shorter_ones(server, clip):
    if "freenoise" not in server.object_info("ContextWindowsManual")["input"]["required"]:
        pytest.skip("this ComfyUI's context windows compare one timestep per image with all sigmas, and fail (0.3.64)")
    graph = Chain(clip)
    graph.nodes[graph.video.id]["inputs"]["frames"] = 6
    model, noise = graph.inflate()[0], graph.latents[0]
    models = [model, windows(graph, model, 6), windows(graph, model, 4)]
    inverted = graph.invert(models[2], steps=2)[0]
    results = [graph.ksample(m, noise, steps=2) for m in models] + [graph.sample(models[2], inverted, steps=2)]
    results = [graph.save(node[0]) for node in results]
    entry = server.run(graph)
    whole, one_window, two_windows, sampled = (server.latent(entry, node) for node in results)
    assert difference(one_window, whole) == pytest.approx(0, abs=1e-5)
    assert 1e-3 < difference(two_windows, whole) < 0.5
    assert sampled.shape == whole.shape and sampled.isfinite().all()


PATCHES = {
    "HyperTile": {"tile_size": 32, "swap_size": 1, "max_depth": 1, "scale_depth": False},
    "TomePatchModel": {"ratio": 0.5},
}


@pytest.mark.parametrize("mode", ["sparse_causal", "first_frame"])
@pytest.mark.parametrize("patch", PATCHES)
def test_patches_of_self_attention_do_what_they_do_to_an_image(server, clip, patch, mode):
    """Frames that are all alike see nothing new in each other: they come out as the image does."""
    graph = Chain(clip)
    first = graph.add("LatentFromBatch", samples=graph.latents[0], batch_index=0, length=1)
    alike = graph.add("RepeatLatentBatch", samples=first[0], amount=FRAMES)[0]
    inflated = graph.inflate(attention=mode)[0]
    models = [inflated] + [
        graph.add(patch, model=model, **PATCHES[patch])[0] for model in (graph.checkpoint[0], inflated)
    ]
    results = [graph.save(graph.ksample(model, alike, steps=1, noise="disable")[0]) for model in models]
    entry = server.run(graph)
    unpatched, image, video = (server.latent(entry, node) for node in results)
    assert difference(image, unpatched) > 1e-3
    assert difference(video, image) < 1e-4


def test_attention_that_another_pack_puts_in_place_is_used(server, clip):
    graph = Chain(clip)
    model = graph.inflate()[0]
    silenced = graph.add("SilencedVideoAttention", model=model)[0]
    results = [graph.save(graph.ksample(m, graph.latents[0])[0]) for m in (model, silenced)]
    entry = server.run(graph)
    plain, without = (server.latent(entry, node) for node in results)
    assert difference(without, plain) > 1e-3


def test_tiles_of_a_video_may_be_in_one_batch(server, clip):
    graph = Chain(clip)
    model = graph.inflate()[0]
    models = [model] + [graph.add("Tiles", model=model, batched=batched)[0] for batched in (False, True)]
    results = [graph.save(graph.ksample(m, graph.latents[0])[0]) for m in models]
    entry = server.run(graph)
    whole, one_by_one, batched = (server.latent(entry, node) for node in results)
    assert difference(one_by_one, whole) > 1e-2
    assert difference(batched, one_by_one) < 1e-5


def test_a_motion_is_loaded_while_another_pack_has_modules_in_the_network(server, clip):
    graph = Chain(clip)
    tuned = graph.tune(graph.inflate()[0])
    graph.add("TAVSaveTuned", tuned=tuned[1], name="beside others")
    saved = graph.save(graph.ksample(tuned[0], graph.latents[0])[0])
    expected = server.latent(server.run(graph), saved)
    graph = Chain(clip)
    others = graph.add("ModulesOfOthers", model=graph.checkpoint[0])
    graph.save(graph.ksample(others[0], graph.latents[0])[0])
    server.run(graph)
    graph = Chain(clip)
    loaded = graph.add("TAVLoadTuned", model=graph.checkpoint[0], name="beside others.safetensors", strength=1.0)
    saved = graph.save(graph.ksample(loaded[0], graph.latents[0])[0])
    assert difference(server.latent(server.run(graph), saved), expected) < 1e-4
