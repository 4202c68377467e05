"""The nodes on a real ComfyUI: the whole chain on a video, and what people put around it."""

import json

import pytest
import torch
from chain import FRAMES, SIZE, Chain, base_state, difference, report
from checkpoint import make_lora
from comfy_server import Node
from safetensors.torch import save_file

from tav_core import load_tuned, save_tuned


def test_whole_chain_on_a_video(server, clip):
    before = base_state(server, clip)
    graph = Chain(clip)
    tuned = graph.tune(graph.inflate()[0], seed=5)  # no other test tunes with it, to go on from
    inverted = graph.invert(tuned[0])
    sampled = graph.sample(tuned[0], inverted[0])
    decoded = graph.add("VAEDecode", samples=sampled[0], vae=graph.checkpoint[2])
    images = graph.add("SaveImage", images=decoded[0], filename_prefix="chain")
    plot = graph.add("SaveImage", images=tuned[2], filename_prefix="plot")
    graph.add("TAVSaveTuned", tuned=tuned[1], name="square")
    probe = graph.probe(after=sampled[0])
    entry = server.run(graph)

    assert server.images(entry, images).shape == (FRAMES, SIZE, SIZE, 3)
    assert server.images(entry, plot).shape[0] == 1
    after = report(entry, probe)
    assert (after["weights"], after["modules"]) == (before["weights"], before["modules"])
    assert not after["overrides"] and not after["gradients"] and not after["patches"]
    events = server.events
    steps = [e.data["value"] for e in events if e.kind == "progress" and e.data.get("node") == tuned.id]
    assert steps[-1] == 3
    assert sum(len(e.data["losses"]) for e in events if e.kind == "tune_a_video.step") == 3
    assert sampled.id in {e.data["node_id"] for e in events if e.kind == "preview"}

    state, metadata = load_tuned(server.folder / "models" / "tune_a_video" / "square.safetensors")
    assert metadata["prompt"] == "a square is moving" and metadata["frames"] == FRAMES and metadata["fps"] == 8
    assert metadata["base_architecture"].startswith("SD 1.x")
    assert any(name.startswith("mid_block.attentions.0.transformer_blocks.0.attn_temp.") for name in state)


@pytest.mark.parametrize("rank", [0, 4])
def test_saved_motion_equals_the_tuned_model(server, clip, rank):
    """A tuned file on the plain checkpoint samples what the tuned MODEL samples; at strength 0, the untuned one's."""
    graph = Chain(clip)
    inflated = graph.inflate()
    tuned = graph.tune(inflated[0], rank=rank)
    graph.add("TAVSaveTuned", tuned=tuned[1], name=f"again{rank}", precision="fp32")
    graph.add("TAVSaveTuned", tuned=tuned[1], name=f"half{rank}")
    noise = graph.latents[0]
    results = [graph.save(graph.ksample(model[0], noise)[0]) for model in (tuned, inflated)]
    entry = server.run(graph)
    expected, untuned = (server.latent(entry, node) for node in results)
    assert difference(expected, untuned) > 1e-3

    saved = server.folder / "models" / "tune_a_video" / f"again{rank}.safetensors"
    saved = saved.rename(server.folder / "elsewhere" / saved.name)  # a folder of extra_model_paths.yaml
    half = saved.parent.parent / "models" / "tune_a_video" / f"half{rank}.safetensors"
    assert half.stat().st_size < saved.stat().st_size * 0.6
    published = saved.with_name(f"published{rank}.safetensors")  # the parameters alone, as a published U-Net holds them
    state, metadata = load_tuned(saved)
    save_file(state, published)
    keys = {name.replace("attn1.to_q", "attn1.to_k"): -weight for name, weight in state.items() if "attn1.to_q" in name}
    with_keys = saved.with_name(f"with_keys{rank}.safetensors")  # as the command line can learn them
    save_tuned(with_keys, state | keys, metadata, torch.float32)
    graph = Chain(clip)
    loaded = [
        graph.add("TAVLoadTuned", model=graph.checkpoint[0], name=path.name, strength=strength)
        for path, strength in ((saved, 1.0), (saved, 0.0), (published, 1.0), (with_keys, 1.0), (half, 1.0))
    ]
    results = [graph.save(graph.ksample(model[0], graph.latents[0])[0]) for model in loaded]
    entry = server.run(graph)
    assert difference(server.latent(entry, results[0]), expected) < 1e-4
    assert difference(server.latent(entry, results[1]), untuned) < 1e-5
    assert difference(server.latent(entry, results[2]), expected) < 1e-4
    assert difference(server.latent(entry, results[3]), expected) > 1e-3
    assert difference(server.latent(entry, results[4]), expected) < 1e-2


def test_a_lora_under_the_tuning_is_not_saved_with_it(server, clip):
    """The saved motion on the checkpoint with the same LoRA samples what the tuned MODEL samples."""
    modules = ["down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"]
    make_lora(server.folder / "models" / "loras" / "under.safetensors", modules)

    def chain() -> tuple[Chain, list]:
        graph = Chain(clip)
        name = "under.safetensors"
        return graph, graph.add("LoraLoaderModelOnly", model=graph.checkpoint[0], lora_name=name, strength_model=1.0)[0]

    graph, lora = chain()
    tuned = graph.tune(graph.inflate(lora)[0])
    graph.add("TAVSaveTuned", tuned=tuned[1], name="above", precision="fp32")
    result = graph.save(graph.ksample(tuned[0], graph.latents[0])[0])
    expected = server.latent(server.run(graph), result)
    graph, lora = chain()
    loaded = graph.add("TAVLoadTuned", model=lora, name="above.safetensors", strength=1.0)
    result = graph.save(graph.ksample(loaded[0], graph.latents[0])[0])
    assert difference(server.latent(server.run(graph), result), expected) < 1e-4


@pytest.mark.parametrize("ranks", [(0, 0), (4, 2), (4, 0)])
def test_a_tuned_model_learns_on(server, clip, ranks):
    """The saved file holds both tunings: on the plain checkpoint it samples what the MODEL samples."""
    graph = Chain(clip)
    once = graph.tune(graph.inflate()[0], rank=ranks[0])
    twice = graph.tune(once[0], seed=3, rank=ranks[1])
    name = f"twice{ranks[0]}{ranks[1]}"
    graph.add("TAVSaveTuned", tuned=twice[1], name=name, precision="fp32")
    result = graph.save(graph.ksample(twice[0], graph.latents[0])[0])
    expected = server.latent(server.run(graph), result)
    graph = Chain(clip)
    loaded = graph.add("TAVLoadTuned", model=graph.checkpoint[0], name=f"{name}.safetensors", strength=1.0)
    result = graph.save(graph.ksample(loaded[0], graph.latents[0])[0])
    assert difference(server.latent(server.run(graph), result), expected) < 1e-4


def test_a_motion_that_is_dropped_leaves_the_memory(server, clip):
    """ComfyUI tells of one that outlives its MODEL, and then has Python look through all of its memory."""
    before = server.log.read_text().count("memory leak")
    for seed in (11, 12):
        graph = Chain(clip, demo=True)
        tuned = graph.tune(graph.inflate()[0], steps=1, seed=seed)
        graph.save(graph.ksample(tuned[0], graph.latents[0], steps=1)[0])
        server.run(graph)
    assert server.log.read_text().count("memory leak") == before


@pytest.mark.parametrize("plain_first", [True, False])
def test_two_branches_of_one_checkpoint(server, clip, plain_first):
    """The plain branch gives what it gives alone, whether it runs before or after the inflated one."""
    alone = Chain(clip)
    saved = alone.save(alone.ksample(alone.checkpoint[0], alone.latents[0])[0])
    expected = server.latent(server.run(alone), saved)

    graph = Chain(clip)
    model, noise = graph.checkpoint[0], graph.latents[0]
    if plain_first:
        plain = graph.ksample(model, noise)
        video = graph.ksample(graph.inflate()[0], plain[0])
    else:
        video = graph.ksample(graph.inflate()[0], noise)
        moved = graph.add("LatentSubtract", samples1=video[0], samples2=video[0])
        plain = graph.ksample(model, graph.add("LatentAdd", samples1=noise, samples2=moved[0])[0])
    results = [graph.save(plain[0]), graph.save(video[0])]
    entry = server.run(graph)
    assert difference(server.latent(entry, results[0]), expected) < 1e-6
    assert difference(server.latent(entry, results[1]), expected) > 1e-3


def test_ksampler_continues_from_the_inversion(server, clip):
    """KSampler (Advanced) and Sample Video agree on the inverted latents, and go back towards the clip at guidance 1.

    How close they come to the clip is the checkpoint's doing: this one has random weights.
    """
    graph = Chain(clip)
    model = graph.inflate()[0]
    inverted = graph.invert(model, steps=5)
    by_node = graph.save(graph.sample(model, inverted[0], steps=5, guidance=3.0)[0])
    by_host = graph.save(graph.ksample(model, inverted[0], steps=5, cfg=3.0, noise="disable")[0])
    graph.save(graph.sample(model, inverted[0], steps=4, guidance=1.0)[0])
    graph.words = graph.empty
    back = graph.save(graph.sample(model, inverted[0], steps=5, guidance=1.0)[0])
    clean = graph.save(graph.latents[0])
    entry = server.run(graph)
    by_node, by_host, back, clean = (server.latent(entry, node) for node in (by_node, by_host, back, clean))
    assert difference(by_node, by_host) < 0.02
    assert "was inverted in 5 steps and is sampled in 4" in server.log.read_text(errors="replace")
    assert difference(back, clean) < 0.7 < 2 < difference(by_node, clean)


def test_lora_on_an_inflated_model_takes_effect(server, clip):
    modules = ["down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"]
    make_lora(server.folder / "models" / "loras" / "test.safetensors", modules)
    graph = Chain(clip)
    inflated = graph.inflate()
    lora = graph.add("LoraLoaderModelOnly", model=inflated[0], lora_name="test.safetensors", strength_model=1.0)
    results = [graph.save(graph.ksample(model[0], graph.latents[0])[0]) for model in (inflated, lora)]
    entry = server.run(graph)
    plain, changed = (server.latent(entry, node) for node in results)
    assert difference(changed, plain) > 1e-3


def test_the_spatial_part_of_a_motion_of_low_rank_is_a_lora(server, clip):
    """ComfyUI's loader takes the file: it samples what the motion without its temporal attention does."""
    graph = Chain(clip)
    graph.add("TAVSaveTuned", tuned=graph.tune(graph.inflate()[0], rank=4)[1], name="as_lora", precision="fp32")
    server.run(graph)
    motion = server.folder / "models" / "tune_a_video" / "as_lora.safetensors"
    (server.folder / "models" / "loras" / motion.name).write_bytes(motion.read_bytes())
    state, metadata = load_tuned(motion)
    still = {name: tensor * (0 if ".to_out." in name else 1) for name, tensor in state.items()}
    save_tuned(motion.with_name("still.safetensors"), still, metadata, torch.float32)
    graph = Chain(clip)
    inflated = graph.inflate()
    models = [
        inflated,
        graph.add("LoraLoaderModelOnly", model=inflated[0], lora_name=motion.name, strength_model=1.0),
        graph.add("TAVLoadTuned", model=inflated[0], name="still.safetensors", strength=1.0),
    ]
    results = [graph.save(graph.ksample(model[0], graph.latents[0])[0]) for model in models]
    entry = server.run(graph)
    plain, lora, ours = (server.latent(entry, node) for node in results)
    assert difference(lora, plain) > 1e-3 and difference(lora, ours) < 1e-4


def test_prompts_make_a_video_each_and_variation_another_take(server, clip):
    graph = Chain(clip, demo=True)
    model = graph.inflate()[0]
    noise = graph.invert(model, steps=2)[0]
    published = graph.save(graph.sample(model, noise, steps=2)[0])

    def sample(**options) -> Node:
        return graph.add(
            "TAVSampleVideo", model=model, latent=noise, positive=graph.words[0], negative=graph.empty[0], steps=2,
            guidance=3.0, **options,
        )  # fmt: skip

    same, other, again = (
        graph.save(sample(seed=seed, variation=amount)[0]) for seed, amount in ((5, 0.0), (5, 0.1), (5, 0.1))
    )
    several = sample(prompts="a red circle\n\na green square", clip=graph.checkpoint[1])
    text = graph.add("PrimitiveStringMultiline", value=" a blue star ")
    of_text = sample(prompts=text[0], clip=graph.checkpoint[1])
    decoded = [graph.add("VAEDecode", samples=each[0], vae=graph.checkpoint[2])[0] for each in (several, of_text)]
    compare = graph.add(
        "TAVCompareVideos", source=graph.video[0], labels="", fps=8.0, result_1=decoded[0], result_2=graph.video[0],
        result_3=decoded[1],
    )  # fmt: skip
    entry = server.run(graph)
    published, same, other, again = (server.latent(entry, node) for node in (published, same, other, again))
    assert torch.equal(same, published) and torch.equal(again, other)
    assert 0.01 < difference(other, published) < 1
    shown = [json.loads(video) for video in entry["outputs"][compare.id]["tav_comparison"]]
    names = ["source", "a red circle", "a green square", "result 2", "a blue star"]
    assert [video["label"] for video in shown] == names


def test_other_numbers_of_steps_are_advised_against_on_the_node(server, clip):
    graph = Chain(clip, demo=True)
    model = graph.inflate()[0]
    sampled = graph.sample(model, graph.invert(model, steps=2)[0], steps=1)
    graph.save(sampled[0])
    server.run(graph)
    (advice,) = [event.data for event in server.events if event.kind == "text"]
    assert advice["node_id"] == sampled.id and "same number" in advice["text"]
