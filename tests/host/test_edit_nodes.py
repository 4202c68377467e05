"""Edits that keep a part of the clip, in a real ComfyUI."""

import torch
from chain import FRAMES, SIZE, Chain, base_state, difference


def test_masks_structure_and_refined_inversion(server, clip):
    before = base_state(server, clip)
    graph = Chain(clip, demo=True)
    model = graph.inflate()[0]
    published, inverted = (
        graph.add(
            "TAVDDIMInvert", model=model, latent=graph.latents[0], positive=graph.empty[0], steps=3, **options
        )
        for options in ({}, {"refine": 2, "keep_trajectory": True})
    )  # fmt: skip

    def sampled(latent: list = inverted[0], **options) -> object:
        return graph.add(
            "TAVSampleVideo", model=model, latent=latent, positive=graph.words[0], negative=graph.empty[0], steps=3,
            guidance=3.0, **options,
        )  # fmt: skip

    nothing, all_of_it = (graph.add("SolidMask", value=v, width=SIZE, height=SIZE) for v in (0.0, 1.0))
    masked = graph.add("SetLatentNoiseMask", samples=inverted[0], mask=nothing[0])
    nodes = {
        "published": published, "inverted": inverted, "free": sampled(), "changed": sampled(mask=all_of_it[0]),
        "kept": sampled(mask=nothing[0], feather=4), "noise_mask": sampled(masked[0]), "held": sampled(structure=1.0),
        "clip": graph.latents,
    }  # fmt: skip
    saved = {name: graph.save(node[0]) for name, node in nodes.items()}
    entry = server.run(graph)
    results = {name: server.latent(entry, node) for name, node in saved.items()}
    assert torch.equal(results["changed"], results["free"])
    assert torch.equal(results["kept"], results["noise_mask"])
    assert difference(results["kept"], results["clip"]) < 1e-6
    assert difference(results["held"], results["free"]) > 1e-3
    assert difference(results["inverted"], results["published"]) > 1e-3
    assert "MB of main memory" in entry["outputs"][inverted.id]["text"][0]
    assert base_state(server, clip) == before


def test_mask_of_words(server, clip):
    graph = Chain(clip, demo=True)
    mask = graph.add(
        "TAVMaskFromPrompt", model=graph.inflate()[0], clip=graph.checkpoint[1], latent=graph.latents[0],
        prompt="a robot is running on the beach", words="the robot", steps=2, threshold=0.5, grow=0, feather=0,
        images=graph.video[0],
    )  # fmt: skip
    shown = graph.add("MaskToImage", mask=mask[0])
    images = graph.add("SaveImage", images=shown[0], filename_prefix="mask")
    entry = server.run(graph)
    pixels = server.images(entry, images)
    assert pixels.shape == (FRAMES, SIZE, SIZE, 3) and 0 < pixels.mean() < pixels.max()
    assert len(entry["outputs"][mask.id]["images"]) == FRAMES
