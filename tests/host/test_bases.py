"""Checkpoints that are not plain SD 1.5: each works, or is refused at once with a sentence that helps."""

import pytest
from chain import Chain, difference
from checkpoint import make_fp8_unet, make_inpainting_unet, make_v2_unet


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


def test_inpainting_is_refused_at_once(server, clip):
    graph, model = unet(server, clip, make_inpainting_unet)
    graph.save(graph.ksample(graph.inflate(model)[0], graph.latents[0])[0])
    with pytest.raises(Exception, match="takes 9 channels"):
        server.run(graph)


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
