"""Failures of tuning: one sentence, and nothing left behind."""

import re
import weakref
from copy import copy
from importlib.util import find_spec

import pytest
import torch

pytest.importorskip("diffusers")

from networks import assert_clean, copy_of, fixed_draw, inputs, small_unet, tune
from torch import Tensor, nn

import tav_core
from tav_core import TuneSettings


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("CUDA out of memory."), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")]
)
def test_a_shortage_of_memory_is_told_and_ends_it_cleanly(error, backward):
    activations = []

    def fail(*_: object) -> None:
        raise copy(error)

    def kernel(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        activations.append(weakref.ref(query))
        if not backward:
            fail()
        out = nn.functional.scaled_dot_product_attention(query, key, value)
        out.register_hook(fail)
        return out

    unet = small_unet()
    weights, video_unet = copy_of(unet.state_dict()), tav_core.inflate(unet)
    video_unet.kernel = kernel
    few = "on 3 frames with latents of 8x6: use fewer or smaller frames"
    with pytest.raises(tav_core.TuningError, match=few) as told:
        tune(video_unet, gradient_checkpointing=False)
    assert_clean(unet, weights)
    assert activations[0]() is None, f"{told.value!r} holds the activations for as long as it is kept"


def test_a_loss_that_is_no_number_ends_it_cleanly():
    unet = small_unet()
    weights, video_unet = copy_of(unet.state_dict()), tav_core.inflate(unet)
    draws = [fixed_draw(), (fixed_draw()[0] * float("nan"), torch.tensor([400]))]
    with pytest.raises(tav_core.TuningError, match="The loss of step 2 is nan: lower the learning rate"):
        tune(video_unet, draws=draws)
    assert_clean(unet, weights)
    assert all(tensor.isfinite().all() for tensor in video_unet.tuned_state_dict().values())
    assert not any(p.requires_grad or p.grad is not None for p in video_unet.temporal.parameters())


@pytest.mark.parametrize(
    ("draws", "sentence"),
    [
        ([fixed_draw()], "The draws ended after step 1 of 2"),
        ([(torch.ones(4, 1, 1, 1), torch.tensor([400]))] * 2, r"Noise \[4, 1, 1, 1\] and timesteps \[1\]"),
        ([(fixed_draw()[0], torch.tensor([400, 1]))] * 2, r"timesteps \[2\] were drawn for latents"),
        ([(fixed_draw()[0], torch.tensor([1000]))] * 2, r"from 0 to 999, not tensor\(\[1000\]"),
        ([(fixed_draw()[0], torch.tensor([-1]))] * 2, r"from 0 to 999, not tensor\(\[-1\]"),
        ([(fixed_draw()[0], torch.tensor([0.5]))] * 2, r"from 0 to 999, not tensor\(\[0.5"),
    ],
)
def test_draws_that_do_not_fit(draws, sentence):
    unet = small_unet()
    weights = copy_of(unet.state_dict())
    with pytest.raises(ValueError, match=sentence):
        tune(unet, draws=draws)
    assert_clean(unet, weights)


def test_an_error_in_on_step_ends_it_cleanly():
    unet = small_unet()
    weights, video_unet = copy_of(unet.state_dict()), tav_core.inflate(unet)

    def interrupt(step, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(video_unet, on_step=interrupt)
    assert_clean(unet, weights)
    x, timesteps, context = inputs()
    assert not video_unet(x, timesteps, context).requires_grad
    assert not video_unet.gradient_checkpointing


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_adamw8bit_asked_for_and_missing():
    with pytest.raises(ValueError, match="bitsandbytes is not installed: run 'pip install bitsandbytes' or choose"):
        tune(video_unet := tav_core.inflate(small_unet()), optimizer="adamw8bit")
    x, timesteps, context = inputs()
    assert not video_unet(x, timesteps, context).requires_grad


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"frames_per_step": 1},
        {"learning_rate": 0},
        {"max_grad_norm": 0},
        {"warmup_steps": -1},
        {"betas": (0.9, 2)},
        {"weight_decay": -0.5},
        {"eps": 0},
        {"lr_scheduler": "step"},
        {"precision": "fp8"},
        {"optimizer": "sgd"},
    ],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match=re.escape(str(next(iter(wrong.values()))))):
        TuneSettings(**wrong)
