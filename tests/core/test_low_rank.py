"""Motions of low rank: small files, whose spatial part other programs read as a LoRA."""

import pytest
import torch

pytest.importorskip("diffusers")

from diffusers import DDIMScheduler, StableDiffusionPipeline
from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft
from networks import LAYOUTS, assert_clean, call, copy_of, inputs, relative_error, small_unet, tune
from safetensors.torch import load_file

import tav_core


@pytest.fixture(scope="module")
def tuned() -> tav_core.VideoUNet:
    return tune(small_unet(), 4, learning_rate=1e-2, rank=2)[0]


def prediction(video_unet: tav_core.VideoUNet) -> torch.Tensor:
    with torch.no_grad():
        return video_unet(*inputs())


def test_only_factors_and_a_narrow_temporal_attention_are_learned():
    unet = small_unet()
    weights, untuned = copy_of(unet.state_dict()), prediction(tav_core.inflate(unet))
    unet = unet._tune_a_video.deflate()
    video_unet, result = tune(unet, 2, learning_rate=1e-2, rank=2)
    assert_clean(unet, weights)
    assert relative_error(prediction(video_unet), untuned) > 1e-3
    assert all(2 in tensor.shape for name, tensor in result.state.weights.items() if name.endswith("weight"))
    assert {name.rsplit(".", 2)[1] for name in result.state.weights if ".attn1." in name} == {"lora_down", "lora_up"}
    video_unet.deflate()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in unet.state_dict().items())


def test_a_first_step_is_as_large_as_one_of_full_tuning():
    """At the same learning rate, so that the published one serves both; within a factor of three."""
    sizes = []
    for rank in (0, 2, 8):
        video_unet, _ = tune(small_unet(), 1, learning_rate=1e-3, rank=rank, weight_decay=0)
        changes = [change for _, change in video_unet.tuned.projection_changes().values()]
        dense = [change if isinstance(change, torch.Tensor) else change[1] @ change[0] for change in changes]
        sizes.append(float(torch.cat([change.flatten() for change in dense]).square().mean().sqrt()))
    assert max(sizes) < 3 * min(sizes), sizes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip_through_a_file(tuned, layout, tmp_path):
    path = tmp_path / "motion.safetensors"
    tav_core.save_tuned(path, tuned.tuned_state_dict(), {})
    state, metadata = tav_core.load_tuned(path)
    assert metadata["format_version"] == 2
    other = tav_core.inflate(small_unet(layout))
    untuned = prediction(other)
    other.load_tuned_state_dict(state)  # the narrow temporal attention takes the place of the full one
    assert relative_error(prediction(other), prediction(tuned)) < 1e-3
    assert other.tuned_state_dict().keys() == tuned.tuned_state_dict().keys()
    whole = prediction(other)
    other.load_tuned_state_dict(state, 0.5)
    assert not torch.allclose(prediction(other), whole) and not torch.allclose(prediction(other), untuned)
    other.load_tuned_state_dict(state, 0.0)
    torch.testing.assert_close(prediction(other), untuned)


@pytest.fixture(scope="module")
def spatial_part(tuned) -> torch.Tensor:
    """The prediction for one frame with the spatial part of the motion alone."""
    image = tav_core.inflate(small_unet(), attention="spatial")
    image.load_tuned_state_dict(tuned.tuned_state_dict())
    image.temporal_of.clear()
    return image(*inputs(frames=1))[:, :, 0]


def test_the_spatial_part_is_a_lora_of_diffusers(tuned, spatial_part, tmp_path):
    """Its loader takes the file, and the factors it finds, added to the network's weights, give what ours gives."""
    path = tmp_path / "motion.safetensors"
    tav_core.save_tuned(path, tuned.tuned_state_dict(), {}, torch.float32)
    found, alphas = StableDiffusionPipeline.lora_state_dict(load_file(path))  # raises for names without "lora"
    assert not alphas
    found = {name.removeprefix("unet."): tensor for name, tensor in found.items() if name.startswith("unet.")}
    found = convert_unet_state_dict_to_peft(found)
    unet = small_unet()
    names = {name.removesuffix(".lora_A.weight") for name in found if name.endswith(".lora_A.weight")}
    assert len(found) == 2 * len(names) == 4 * len(tuned.blocks)
    with torch.no_grad():
        for name in names:
            unet.get_submodule(name).weight += found[f"{name}.lora_B.weight"] @ found[f"{name}.lora_A.weight"]
    assert relative_error(spatial_part, predicted_alone(unet)) < 1e-5


def test_diffusers_loads_the_spatial_part(tuned, spatial_part, tmp_path):
    pytest.importorskip("peft")
    path = tmp_path / "motion.safetensors"
    tav_core.save_tuned(path, tuned.tuned_state_dict(), {}, torch.float32)
    unet = small_unet()
    untuned = predicted_alone(unet)
    none = dict.fromkeys(("vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    scheduler = DDIMScheduler(steps_offset=1, clip_sample=False)
    pipeline = StableDiffusionPipeline(unet=unet, scheduler=scheduler, requires_safety_checker=False, **none)
    pipeline.load_lora_weights(tmp_path, weight_name=path.name)
    assert relative_error(predicted_alone(unet), spatial_part) < 1e-5 < relative_error(untuned, spatial_part)


def predicted_alone(unet: torch.nn.Module) -> torch.Tensor:
    x, timesteps, context = inputs(frames=1)
    with torch.no_grad():
        return call(unet, x[:, :, 0], timesteps, context)


def test_tuning_goes_on_in_the_form_that_the_weights_have(tuned):
    state = tuned.tuned_state_dict()
    for rank in (0, 3):
        other = tav_core.inflate(small_unet())
        other.load_tuned_state_dict(state)
        _, result = tune(other, 1, rank=rank)
        assert result.state.weights.keys() == {name for name in state if "norm_temp" not in name}
        assert {n: t.shape for n, t in other.tuned_state_dict().items()} == {n: t.shape for n, t in state.items()}
    full = tav_core.inflate(small_unet())
    full.load_tuned_state_dict(tune(small_unet(), 1)[0].tuned_state_dict())
    full.load_tuned_state_dict(state)  # nothing is left of the full weights
    torch.testing.assert_close(prediction(full), prediction(tuned))


def test_factors_that_do_not_fit_are_listed(tuned):
    state = tuned.tuned_state_dict()
    place = "down_blocks.0.attentions.0.transformer_blocks.0"
    del state[f"{place}.attn1.to_q.lora_up.weight"]
    state[f"{place}.attn_temp.to_k.weight"] = torch.zeros(3, 16)
    with pytest.raises(ValueError, match=r"1 missing \(first: .*attn1.to_q.lora_up.weight\); 1 of another shape"):
        tav_core.inflate(small_unet()).load_tuned_state_dict(state)
