"""SD 2.x in ComfyUI: linear projections, heads of 64 channels, and prediction of velocity."""

import pytest
from chain import Chain, difference
from checkpoint import make_v2_unet

from tav_core import load_tuned


@pytest.fixture(params=["eps", "v_prediction"])
def chain(server, clip, request) -> Chain:
    """Return the chain with a U-Net of SD 2.x in place of the checkpoint's, predicting as the parameter says."""
    path = server.folder / "models" / "diffusion_models" / "v2.safetensors"
    if not path.exists():
        make_v2_unet(path)
    graph = Chain(clip)
    unet = graph.add("UNETLoader", unet_name=path.name, weight_dtype="default")
    model = graph.add("ModelSamplingDiscrete", model=unet[0], sampling=request.param, zsnr=False)
    graph.words, graph.empty = (graph.add("RandomText", width=1024, seed=seed) for seed in range(2))
    graph.model = model[0]
    return graph


def test_the_whole_chain(server, chain):
    """Tune, invert and sample there; KSampler continues from the inversion as Sample Video does.

    All that tells the two apart is the last step, which leaves a little of the predicted noise in Sample Video's.
    """
    tuned = chain.tune(chain.inflate(chain.model)[0])
    inverted = chain.invert(tuned[0], steps=5)
    by_node = chain.save(chain.sample(tuned[0], inverted[0], steps=5)[0])
    by_host = chain.save(chain.ksample(tuned[0], inverted[0], steps=5, noise="disable")[0])
    chain.add("TAVSaveTuned", tuned=tuned[1], name="v2")
    entry = server.run(chain)
    assert difference(server.latent(entry, by_node), server.latent(entry, by_host)) < 0.1
    _, metadata = load_tuned(server.folder / "models" / "tune_a_video" / "v2.safetensors")
    assert metadata["base_architecture"].startswith("SD 2.x")
