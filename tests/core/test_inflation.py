"""Inflating and deflating a network: what changes on it, and what comes back."""

import gc
import weakref

import pytest
import torch

pytest.importorskip("diffusers")

from diffusers import UNet2DConditionModel
from networks import (
    LAYOUTS,
    call,
    inputs,
    relative_error,
    small_unet,
    tune,
    tuned,
)
from torch import Tensor, nn

import tav_core
from tav_core.network import patches


@pytest.fixture(params=LAYOUTS)
def unet(request) -> nn.Module:
    return small_unet(request.param)


def what_there_is(unet: nn.Module) -> dict:
    """Collect all that a host may look at, by module name."""
    return {
        "types": {name: type(module) for name, module in unet.named_modules()},
        "attributes": {name: sorted(module.__dict__) for name, module in unet.named_modules()},
        "keys": list(unet.state_dict()),
        "frozen": {name: not parameter.requires_grad for name, parameter in unet.named_parameters()},
    }


def test_deflating_gives_back_the_network_to_the_bit(unet):
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_("ff" not in name)
    x, timesteps, context = inputs(frames=1)
    before, weights = what_there_is(unet), {k: v.clone() for k, v in unet.state_dict().items()}
    image = call(unet, x[:, :, 0], timesteps, context)

    video_unet = tuned(tav_core.inflate(unet))
    assert list(unet.state_dict()) == before["keys"]
    assert not any(parameter.requires_grad for parameter in unet.parameters())
    assert relative_error(video_unet(x, timesteps, context)[:, :, 0], image) > 0.01
    assert video_unet.deflate() is unet

    assert what_there_is(unet) == before
    assert all(torch.equal(tensor, weights[name]) for name, tensor in unet.state_dict().items())
    assert torch.equal(call(unet, x[:, :, 0], timesteps, context), image)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_deflated_network_leaves_the_memory_at_once(layout):
    """And not when Python next looks for what holds itself: the next item of a sweep needs the room."""
    video_unet, result = tune(small_unet(layout), 1)
    unet, learned = weakref.ref(video_unet.deflate()), weakref.ref(video_unet.temporal[0])
    gc.disable()
    try:
        del video_unet, result
        assert unet() is None and learned() is None
    finally:
        gc.enable()


def test_modules_that_a_pack_puts_behind_a_block_change_no_names():
    unet = small_unet("ldm")
    names = tav_core.VideoUNet(unet).tuned_state_dict().keys()
    for block in unet.output_blocks:
        block.append(torch.nn.Identity())
    assert tav_core.VideoUNet(unet).tuned_state_dict().keys() == names


def test_inflating_or_deflating_twice(unet):
    video_unet = tav_core.inflate(unet)
    with pytest.raises(ValueError, match="inflated already"):
        tav_core.inflate(unet)
    video_unet.deflate()
    with pytest.raises(ValueError, match="not inflated"):
        video_unet.deflate()
    with pytest.raises(ValueError, match="not inflated"):
        video_unet(*inputs())
    tav_core.inflate(unet).deflate()


def test_what_was_put_on_for_one_call_comes_off_when_that_fails():
    unet = small_unet()
    with pytest.raises(KeyboardInterrupt), tav_core.VideoUNet(unet).attached(2):
        raise KeyboardInterrupt
    assert not any("forward" in module.__dict__ for module in unet.modules())
    tav_core.inflate(unet).deflate()


def test_an_override_of_someone_else_comes_back():
    unet = small_unet()
    attention = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    attention.forward = theirs = lambda tokens, **_: torch.zeros_like(tokens)
    tav_core.inflate(unet).deflate()
    assert attention.forward is theirs


def test_a_network_that_was_loaded_in_inference_mode():
    with torch.inference_mode():
        unet = small_unet()
    tav_core.inflate(unet).deflate()
    assert all(parameter.requires_grad for parameter in unet.parameters())


@pytest.mark.parametrize("method", ["forward", "_conv_forward"])
def test_an_adapter_on_a_convolution_takes_effect(method):
    """A LoRA replaces the one; what makes pictures that tile, the other."""
    unet, calls = small_unet(), []
    convolution = unet.mid_block.resnets[0].conv1
    original = getattr(convolution, method)
    setattr(convolution, method, lambda *args: calls.append(args) or original(*args))
    tav_core.inflate(unet)(*inputs())
    assert len(calls) == 1


@pytest.mark.parametrize("checkpointing", [True, False])
def test_a_long_video_is_fed_forward_in_groups_of_frames(unet, monkeypatch, checkpointing):
    video_unet = tuned(tav_core.inflate(unet))
    video_unet.gradient_checkpointing = checkpointing
    parameters, (x, timesteps, context) = video_unet.trainable_parameters(), inputs()

    def prediction_and_gradients() -> list[Tensor]:
        prediction = video_unet(x, timesteps, context)
        return [prediction.detach(), *torch.autograd.grad(prediction.square().sum(), parameters.values())]

    at_once, tokens = prediction_and_gradients(), []
    video_unet.blocks[0].module.ff.net[0].register_forward_hook(lambda _, args, output: tokens.append(len(args[0])))
    monkeypatch.setattr(patches, "LARGEST_ACTIVATION", x[0].nbytes)
    torch.testing.assert_close(prediction_and_gradients(), at_once, rtol=1e-4, atol=1e-6)
    assert max(tokens) < x.shape[0] * x.shape[2]


def test_a_network_of_another_kind():
    with pytest.raises(ValueError, match="A Linear is not a Stable Diffusion U-Net"):
        tav_core.inflate(nn.Linear(2, 2))
    plain = UNet2DConditionModel(
        block_out_channels=(16,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), norm_num_groups=4,
        layers_per_block=1, mid_block_type=None,
    )  # fmt: skip
    with pytest.raises(ValueError, match="no transformer blocks"):
        tav_core.inflate(plain)


@torch.no_grad()
def test_temporal_attention_follows_the_network_to_its_device():
    video_unet = tav_core.inflate(small_unet())
    video_unet.unet.to("meta")
    x, _, context = inputs(videos=1)
    video_unet(x.to("meta"), 1, context.to("meta"))
    assert {parameter.device.type for parameter in video_unet.temporal.parameters()} == {"meta"}
