"""Wrong inputs to each node: one clear sentence, and nothing harmed."""

import pytest
from chain import FRAMES, SIZE, Chain, base_state
from checkpoint import make_controlnet
from comfy_server import ComfyError


def inflated_twice(graph):
    return graph.ksample(graph.inflate(graph.inflate()[0])[0], graph.latents[0])


def too_few_frames(graph):
    graph.nodes[graph.video.id]["inputs"]["frames"] = 50
    return graph.latents


def tuned_without_inflating(graph):
    return graph.tune(graph.checkpoint[0])


def inverted_without_inflating(graph):
    return graph.invert(graph.checkpoint[0])


def sampled_from_nothing(graph):
    empty = graph.add("EmptyLatentImage", width=SIZE, height=SIZE, batch_size=FRAMES)
    return graph.sample(graph.inflate()[0], empty[0])


def sampled_from_the_clip(graph):
    return graph.sample(graph.inflate()[0], graph.latents[0])


def tuned_twice_from_file(graph):
    name = "motion.safetensors"
    first = graph.add("TAVLoadTuned", model=graph.checkpoint[0], name=name, strength=1.0)
    second = graph.add("TAVLoadTuned", model=first[0], name=name, strength=1.0)
    return graph.ksample(second[0], graph.latents[0])


def saved_outside(graph):
    return graph.add("TAVSaveTuned", tuned=graph.tune(graph.inflate()[0])[1], name="../outside")


def no_bitsandbytes(graph):
    return graph.tune(graph.inflate()[0], optimizer="adamw8bit")


def tuned_on_few_timesteps(graph):
    lcm = graph.add("ModelSamplingDiscrete", model=graph.inflate()[0], sampling="lcm", zsnr=False)
    return graph.tune(lcm[0])


def tuned_with_modules_of_others(graph):
    return graph.tune(graph.add("ModulesOfOthers", model=graph.inflate()[0])[0])


def tuned_with_two_prompts(graph):
    graph.words = graph.add("ConditioningCombine", conditioning_1=graph.words[0], conditioning_2=graph.empty[0])
    return graph.tune(graph.inflate()[0])


def previewed_with_a_hint(graph):
    net = graph.add("ControlNetLoader", control_net_name="hint.safetensors")
    hinted = graph.hinted(net[0], graph.video[0])
    return graph.tune(graph.inflate()[0], preview_every=1, preview=hinted[0], negative=graph.empty[0])


def sampled_behind_a_mask(graph):
    mask = graph.add("SolidMask", value=0.5, width=SIZE, height=SIZE)
    masked = graph.add("SetLatentNoiseMask", samples=graph.latents[0], mask=mask[0])
    model = graph.inflate()[0]
    return graph.sample(model, graph.invert(model, latent=masked[0])[0])


WRONG = [
    ("TAVInflateUNet", inflated_twice, "inflated already"),
    ("TAVLoadVideo", too_few_frames, "which gives 6 with start 0"),
    ("TAVOneShotTune", tuned_without_inflating, "put Inflate UNet between"),
    ("TAVDDIMInvert", inverted_without_inflating, "put Inflate UNet between"),
    ("TAVSampleVideo", sampled_from_nothing, "connect the latent of DDIM Invert"),
    ("TAVSampleVideo", sampled_from_the_clip, "put DDIM Invert between VAE Encode and Sample Video"),
    ("TAVLoadTuned", tuned_twice_from_file, "tuned already"),
    ("TAVSaveTuned", saved_outside, "is not a valid file name"),
    ("TAVOneShotTune", no_bitsandbytes, "pip install bitsandbytes"),
    ("TAVOneShotTune", tuned_on_few_timesteps, "put the node that changes the sampling after One-Shot Tune"),
    ("TAVOneShotTune", tuned_with_modules_of_others, "carries modules of another pack"),
    ("TAVOneShotTune", tuned_with_two_prompts, "with one prompt for the whole picture"),
    ("TAVOneShotTune", previewed_with_a_hint, "ControlNet or hooks"),
    ("TAVSampleVideo", sampled_behind_a_mask, "switch keep_trajectory on"),
]


@pytest.fixture(scope="module")
def controlnet(server) -> None:
    make_controlnet(server.folder / "models" / "controlnet" / "hint.safetensors")


@pytest.fixture(scope="module")
def motion(server, clip) -> None:
    graph = Chain(clip)
    graph.add("TAVSaveTuned", tuned=graph.tune(graph.inflate()[0])[1], name="motion")
    server.run(graph)


@pytest.mark.usefixtures("controlnet", "motion")
@pytest.mark.parametrize("node, build, message", WRONG, ids=[build.__name__ for _, build, _ in WRONG])
def test_wrong_input_is_told_and_harms_nothing(server, clip, node, build, message):
    before = base_state(server, clip)
    graph = Chain(clip)
    end = build(graph)
    if graph.nodes[end.id]["class_type"] == "TAVOneShotTune":
        graph.save(graph.ksample(end[0], graph.latents[0])[0])
    elif graph.nodes[end.id]["class_type"] != "TAVSaveTuned":
        graph.save(end[0])
    with pytest.raises(ComfyError) as failed:
        server.run(graph)
    assert failed.value.node_type == node
    assert message in failed.value.message
    assert base_state(server, clip) == before
