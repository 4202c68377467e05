"""Checkpoints that are not plain SD 1.5: each works, or is refused at once with a sentence that helps."""

import pytest
from chain import Chain, difference
from checkpoint import (
    make_depth_unet,
    make_editing_unet,
    make_fp8_unet,
    make_inpainting_unet,
    make_lora,
    make_sdxl_unet,
    make_sdxl_velocity_unet,
    make_unclip_unet,
    make_v2_unet,
)
from comfy_server import ComfyError

from tav_core import load_tuned


def unet(server, clip, make) -> tuple[Chain, list]:
    path = server.folder / "models" / "diffusion_models" / f"{make.__name__}.safetensors"
    if not path.exists():
        make(path)
    graph = Chain(clip)
    return graph, graph.add("UNETLoader", unet_name=path.name, weight_dtype="default")[0]


@pytest.mark.parametrize("rank", [0, 4])
def test_scaled_fp8(server, clip, rank):
    """Tuning, inversion, sampling and a saved motion work, and the loaded checkpoint samples as before."""
    graph, model = unet(server, clip, make_fp8_unet)
    before = graph.save(graph.ksample(model, graph.latents[0])[0])
    before = server.latent(server.run(graph), before)
    graph, model = unet(server, clip, make_fp8_unet)
    inflated = graph.inflate(model)
    tuned = graph.tune(inflated[0], rank=rank)
    if server.install.version == "0.3.64":
        with pytest.raises(ComfyError, match="update it, or load the checkpoint in 16 bit"):
            server.run(graph)
        return
    inverted = graph.invert(tuned[0])
    graph.save(graph.sample(tuned[0], inverted[0])[0])
    results = [graph.save(graph.ksample(m[0], inverted[0], noise="disable")[0]) for m in (tuned, inflated)]
    graph.add("TAVSaveTuned", tuned=tuned[1], name=f"fp8{rank}", precision="fp32")
    entry = server.run(graph)
    expected, untuned = (server.latent(entry, node) for node in results)
    assert difference(expected, untuned) > 1e-2
    graph, model = unet(server, clip, make_fp8_unet)
    after = graph.save(graph.ksample(model, graph.latents[0])[0])
    assert difference(server.latent(server.run(graph), after), before) < 1e-6


@pytest.mark.parametrize("make, rank", [(make_sdxl_unet, 0), (make_sdxl_velocity_unet, -1)])
def test_sdxl(server, clip, make, rank):
    """The whole chain, noise with full tuning and velocity at the rank that SDXL has by itself; a saved motion gives
    what the tuned model gives, the loaded checkpoint samples as before, and KSampler continues from the inversion."""
    graph, model = unet(server, clip, make)
    graph.words, graph.empty = (graph.add("RandomText", width=2048, seed=seed) for seed in range(2))
    inflated = graph.inflate(model)
    before = graph.save(graph.ksample(model, graph.latents[0])[0])
    tuned = graph.tune(inflated[0], steps=2, rank=rank)
    inverted = graph.invert(tuned[0], steps=4, spacing="leading")
    by_node = graph.save(graph.sample(tuned[0], inverted[0], steps=4, spacing="leading")[0])
    by_host, untuned = (
        graph.save(graph.ksample(each[0], inverted[0], steps=4, noise="disable")[0]) for each in (tuned, inflated)
    )
    graph.add("TAVSaveTuned", tuned=tuned[1], name=make.__name__, precision="fp32")
    entry = server.run(graph)
    assert difference(server.latent(entry, by_node), server.latent(entry, by_host)) < 0.1
    assert difference(server.latent(entry, untuned), server.latent(entry, by_host)) > 1e-3
    _, metadata = load_tuned(server.folder / "models" / "tune_a_video" / f"{make.__name__}.safetensors")
    assert metadata["base_architecture"].startswith("SDXL") and metadata["rank"] == (16 if rank else 0)
    again, model = unet(server, clip, make)
    again.words, again.empty = (again.add("RandomText", width=2048, seed=seed) for seed in range(2))
    loaded = again.add("TAVLoadTuned", model=model, name=f"{make.__name__}.safetensors", strength=1.0)
    inverted = again.invert(loaded[0], steps=4, spacing="leading")
    of_file = again.save(again.sample(loaded[0], inverted[0], steps=4, spacing="leading")[0])
    plain = again.save(again.ksample(model, again.latents[0])[0])
    second = server.run(again)
    assert difference(server.latent(second, of_file), server.latent(entry, by_node)) < 1e-3
    assert difference(server.latent(second, plain), server.latent(entry, before)) < 1e-6


REFUSED = {
    make_inpainting_unet: "takes 9 channels",
    make_editing_unet: "takes 8 channels",
    make_depth_unet: "takes 5 channels",
    make_unclip_unet: "takes a picture",
}


@pytest.mark.parametrize("make", REFUSED)
def test_a_base_that_takes_more_than_text_is_refused_at_once(server, clip, make):
    graph, model = unet(server, clip, make)
    graph.save(graph.ksample(graph.inflate(model)[0], graph.latents[0])[0])
    with pytest.raises(Exception, match=REFUSED[make]):
        server.run(graph)


def test_guidance_that_a_distilled_lora_does_not_take_is_advised_against(server, clip):
    """On Sample Video, by the name of the file, and no longer once the guidance suits it."""
    name = "Hyper-SD15-8steps.safetensors"
    make_lora(server.folder / "models" / "loras" / name, ["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"])
    graph = Chain(clip)
    lora = graph.add("LoraLoaderModelOnly", model=graph.checkpoint[0], lora_name=name, strength_model=1.0)
    model = graph.inflate(lora[0])[0]
    inverted = graph.invert(model, steps=1)
    sampled = graph.sample(model, inverted[0], steps=1, guidance=7.5)
    graph.save(sampled[0])
    server.run(graph)
    (advice,) = [event.data for event in server.events if event.kind == "text"]
    assert advice["node_id"] == sampled.id and "does not take a guidance of 7.5" in advice["text"]
    graph.nodes[sampled.id]["inputs"]["guidance"] = 1.5
    server.run(graph)
    assert [event.data["text"] for event in server.events if event.kind == "text"] == [""]


def test_zero_terminal_snr_starts_at_the_last_timestep(server, clip):
    """By itself; the clip comes back from there as it does from the spacing that is published."""
    graph, unet_of_v2 = unet(server, clip, make_v2_unet)
    model = graph.add("ModelSamplingDiscrete", model=unet_of_v2, sampling="v_prediction", zsnr=True)
    graph.words, graph.empty = (graph.add("RandomText", width=1024, seed=seed) for seed in range(2))
    inflated = graph.inflate(model[0])
    results = []
    for spacing in ("auto", "trailing", "leading"):
        noise = graph.add(
            "TAVDDIMInvert",
            model=inflated[0],
            latent=graph.latents[0],
            positive=graph.empty[0],
            steps=5,
            spacing=spacing,
        )
        results.append(graph.save(noise[0]))
    entry = server.run(graph)
    auto, trailing, leading = (server.latent(entry, node) for node in results)
    assert difference(auto, trailing) < 1e-6 and auto.isfinite().all()
    assert auto.std() > 100 * leading.std()  # in ComfyUI's convention noise is as large as its sigma
