"""Cancel, in the middle of each node that takes long."""

import pytest
from chain import SIZE, Chain, base_state
from comfy_server import Interrupted, Node


def test_cancel_during_tuning_then_a_normal_run(server, clip):
    before = base_state(server, clip)
    graph = Chain(clip)
    tuned = graph.tune(graph.inflate()[0], steps=1000)
    graph.add("TAVSaveTuned", tuned=tuned[1], name="cancelled")
    prompt_id = server.post(graph)
    server.wait_for("progress", node=tuned.id)
    server.interrupt()
    with pytest.raises(Interrupted):
        server.finish(prompt_id)
    assert not (server.folder / "models" / "tune_a_video" / "cancelled.safetensors").exists()
    after = base_state(server, clip)
    assert after["weights"] == before["weights"] and not after["overrides"] and not after["gradients"]
    graph = Chain(clip)
    tuned = graph.tune(graph.inflate()[0], seed=2)
    graph.save(graph.sample(tuned[0], graph.invert(tuned[0])[0])[0])
    assert server.run(graph)["status"]["status_str"] == "success"


def refined(graph: Chain, model: list) -> Node:
    return graph.invert(model, 1000, refine=3, keep_trajectory=True)


def masked(graph: Chain, model: list) -> Node:
    mask = graph.add("SolidMask", value=0.5, width=SIZE, height=SIZE)
    inverted = graph.invert(model, 40, keep_trajectory=True)
    return graph.sample(model, inverted[0], 40, mask=mask[0], structure=1.0)


def held(graph: Chain, model: list) -> Node:
    return graph.sample(model, graph.invert(model, 1)[0], 1000, structure=1.0)


def in_the_latent(graph: Chain, model: list) -> Node:
    mask = graph.add("SolidMask", value=0.5, width=SIZE, height=SIZE)
    inverted = graph.invert(model, 40, keep_trajectory=True)
    latent = graph.add("SetLatentNoiseMask", samples=inverted[0], mask=mask[0])
    return graph.sample(model, latent[0], 40, feather=8, seed=1, variation=0.5)


def several(graph: Chain, model: list) -> Node:
    inverted, prompts = graph.invert(model, 1)[0], "a square\na circle"
    return graph.sample(model, inverted, 1000, prompts=prompts, clip=graph.checkpoint[1], spacing="trailing")


def found(graph: Chain, model: list) -> Node:
    return graph.add(
        "TAVMaskFromPrompt", model=model, clip=graph.checkpoint[1], latent=graph.latents[0], words="square",
        prompt="a square is moving", steps=100, threshold=0.5, grow=0, feather=0,
    )  # fmt: skip


CANCELLED = {
    "DDIM Invert": lambda graph, model: graph.invert(model, 1000),
    "DDIM Invert, refined": refined,
    "Sample Video": lambda graph, model: graph.sample(model, graph.invert(model, 1)[0], 1000),
    "Sample Video, masked": masked,
    "Sample Video, structure": held,
    "Sample Video, mask of the latent, feather and variation": in_the_latent,
    "Sample Video, prompts and spacing": several,
    "Video Mask from Prompt": found,
}


@pytest.mark.parametrize("node", CANCELLED)
def test_cancel_during_inversion_and_sampling(server, clip, node):
    before = base_state(server, clip)
    graph = Chain(clip)
    end = CANCELLED[node](graph, graph.inflate()[0])
    if node == "Video Mask from Prompt":
        graph.add("PreviewImage", images=graph.add("MaskToImage", mask=end[0])[0])
    else:
        graph.save(end[0])
    prompt_id = server.post(graph)
    server.wait_for("progress", node=end.id)
    server.interrupt()
    with pytest.raises(Interrupted):
        server.finish(prompt_id)
    assert base_state(server, clip) == before
