"""Cancel, in the middle of each node that takes long."""

import pytest
from chain import Chain, base_state
from comfy_server import Interrupted


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


@pytest.mark.parametrize("node", ["DDIM Invert", "Sample Video"])
def test_cancel_during_inversion_and_sampling(server, clip, node):
    before = base_state(server, clip)
    graph = Chain(clip)
    model = graph.inflate()[0]
    end = graph.invert(model, 1000) if node == "DDIM Invert" else graph.sample(model, graph.latents[0], 1000)
    graph.save(end[0])
    prompt_id = server.post(graph)
    server.wait_for("progress", node=end.id)
    server.interrupt()
    with pytest.raises(Interrupted):
        server.finish(prompt_id)
    assert base_state(server, clip) == before
