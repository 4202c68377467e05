"""Tuning: what it learns, what it may change, what it leaves behind, and how it ends."""

import math
import re
import weakref
from copy import copy
from importlib.util import find_spec
from itertools import repeat

import pytest
import torch

pytest.importorskip("diffusers")

from networks import (
    LAYOUTS,
    SCHEDULE,
    copy_of,
    fixed_draw,
    inputs,
    random_tuning,
    small_unet,
    stable_diffusion_schedule,
    tune,
)
from torch import Tensor, nn

import tav_core
from tav_core import TuneSettings


def assert_clean(unet: nn.Module, weights: dict[str, Tensor]) -> None:
    """The network holds what it held, and nothing of the learning."""
    assert all(torch.equal(tensor, weights[name]) for name, tensor in unet.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in unet.parameters())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_the_learned_parameters_change(layout):
    unet = small_unet(layout)
    weights, video_unet = copy_of(unet.state_dict()), tav_core.inflate(unet)
    before = video_unet.tuned_state_dict()
    tune(video_unet)
    assert_clean(unet, weights)
    after = video_unet.tuned_state_dict()
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    learned = video_unet.trainable_parameters()
    assert changed == {name for name in after if "norm_temp" not in name} == learned.keys()
    assert all(p.grad is None and p.dtype == torch.float32 for p in learned.values())
    video_unet.deflate()
    assert all(p.requires_grad for p in unet.parameters())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in unet.state_dict().items())


def test_choice_of_what_is_tuned():
    video_unet = tav_core.inflate(small_unet())
    before = video_unet.tuned_state_dict()
    tune(video_unet, trainable_modules=("attn1.to_k", "norm_temp"))
    after = video_unet.tuned_state_dict()
    changed = {name for name in after if name not in before or not torch.equal(before[name], after[name])}
    places = [block.published_name for block in video_unet.blocks]
    endings = ("attn1.to_k.weight", "norm_temp.weight", "norm_temp.bias")
    expected = {f"{place}.{ending}" for place in places for ending in endings}
    # A fresh temporal attention gives zero and passes no gradient on, so its norm only decays.
    assert changed == {name for name in expected if not name.endswith("norm_temp.bias")}

    untuned = tav_core.inflate(small_unet())
    untuned.load_tuned_state_dict(after)
    x, timesteps, context = inputs(videos=1)
    with torch.no_grad():
        assert torch.equal(untuned(x, timesteps, context), video_unet(x, timesteps, context))
    for modules in ((), ("attn1.to_z",)):
        with pytest.raises(ValueError, match="Nothing to tune is called"):
            tune(small_unet(), trainable_modules=modules)
    with pytest.raises(ValueError, match="'attn_temp' in this network"):
        tune(tav_core.inflate(small_unet(), temporal_attention=False), trainable_modules=("attn_temp",))


def test_a_v_prediction_network_learns():
    video_unet = tav_core.inflate(small_unet(v2=True))
    video_unet.load_tuned_state_dict(random_tuning(video_unet))
    _, result = tune(
        video_unet, 12, 3e-3, schedule=stable_diffusion_schedule("v_prediction"), draws=repeat(fixed_draw())
    )
    assert result.losses[-1] < 0.9 * result.losses[0]


@pytest.fixture(scope="module")
def losses_in_full() -> list[float]:
    """In float32 throughout."""
    return tune(small_unet(), draws=repeat(fixed_draw()))[1].losses


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16"])
@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_precisions(stored, precision, losses_in_full):
    """Frozen weights stay as they were loaded, learned ones are float32, and the loss is about the same."""
    unet = small_unet().to(stored)
    weights = copy_of(unet.state_dict())
    computed = []
    unet.conv_out.register_forward_hook(lambda _, args, output: computed.append(output.dtype))
    video_unet, result = tune(unet, precision=precision, draws=repeat(fixed_draw()))
    assert set(computed) == {{"auto": stored, "fp32": torch.float32, "bf16": torch.bfloat16}[precision]}
    assert_clean(unet, weights)
    assert all(p.dtype == torch.float32 for p in video_unet.trainable_parameters().values())
    torch.testing.assert_close(result.losses, losses_in_full, rtol=0.02, atol=0)
    assert bool(result.state.scaler) == (computed[0] == torch.float16)
    assert video_unet.dtype == stored  # samples as loaded again


def test_on_step_stops_and_keeps_what_was_learned():
    seen = []
    video_unet, result = tune(small_unet(), 9, on_step=lambda step, loss: seen.append((step, loss)) or step < 2)
    assert result.stopped and seen == list(enumerate(result.losses, start=1)) and len(seen) == 2
    expected, _ = tune(small_unet(), 2)
    for name, tensor in expected.tuned_state_dict().items():
        assert torch.equal(video_unet.tuned_state_dict()[name], tensor)


def test_the_draws_are_independent_and_cover_all_timesteps(monkeypatch):
    """Noise of every frame and timesteps of every video (section 3.3)."""
    drawn, add_noise = [], tav_core.NoiseSchedule.add_noise
    monkeypatch.setattr(
        tav_core.NoiseSchedule, "add_noise", lambda self, *x: drawn.append(x[1:]) or add_noise(self, *x)
    )
    x, _, context = inputs(videos=4, frames=2)
    tav_core.tune(tav_core.inflate(small_unet()), SCHEDULE, x, context, TuneSettings(steps=25))
    noise, timesteps = (torch.stack(values) for values in zip(*drawn))
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    assert abs((noise[:, :, :, 0] * noise[:, :, :, 1]).mean()) < 0.04
    last = SCHEDULE.train_timesteps - 1
    assert timesteps.min() < 0.1 * last and timesteps.max() > 0.9 * last
    assert (timesteps[:, 0] != timesteps[:, 1]).any()


def test_gradients_are_cut_as_they_are_and_not_as_scaled():
    """With an eps that drowns the second moment, a step is as long as its gradient."""
    changes = []
    for network in (small_unet(), small_unet().half()):
        video_unet = tav_core.inflate(network)
        options = {"weight_decay": 0.0, "draws": [fixed_draw()]}
        _, result = tune(video_unet, 2, 1e-9, on_step=lambda *_: False, **options)
        if result.state.scaler:
            result.state.scaler["scale"] = 1024.0
        before = video_unet.tuned_state_dict()
        tune(video_unet, 2, eps=0.1, state=result.state, **options)
        change = [(after - before[name]).flatten() for name, after in video_unet.tuned_state_dict().items()]
        changes.append(torch.cat(change).norm())
    assert changes[1] == pytest.approx(changes[0], rel=0.5)


def test_the_seed_rules_the_draws():
    losses = [tune(small_unet(), 1, seed=seed)[1].losses for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("constant", [0, 0.5, 1, 1, 1, 1]),
        ("linear", [0, 0.5, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0, 0.5, 1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
    ],
)
def test_learning_rates(scheduler, expected):
    settings = TuneSettings(steps=6, learning_rate=2.0, warmup_steps=2, lr_scheduler=scheduler)
    assert [settings.learning_rate_at(step) / 2 for step in range(6)] == pytest.approx(expected)


def test_every_setting_of_the_optimizer_is_used():
    options = {"betas": (0.5, 0.7), "weight_decay": 0.3, "eps": 1e-3}
    draws = [fixed_draw(), (fixed_draw()[0].flip(2), torch.tensor([90]))]
    video_unet, _ = tune(small_unet(), 2, max_grad_norm=0.02, warmup_steps=1, draws=draws, **options)

    plain = tav_core.inflate(small_unet())
    parameters = plain.trainable_parameters()
    optimizer = torch.optim.AdamW(parameters.values(), **options)
    x, _, context = inputs(videos=1)
    for (noise, timesteps), rate in zip(draws, (0, 1e-3)):
        prediction = plain(SCHEDULE.add_noise(x, noise, timesteps), timesteps, context)
        nn.functional.mse_loss(prediction, noise).backward()
        assert nn.utils.clip_grad_norm_(parameters.values(), 0.02) > 0.04
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
    for name, parameter in parameters.items():
        torch.testing.assert_close(video_unet.tuned_state_dict()[name], parameter.detach(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("CUDA out of memory."), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED")]
)
def test_a_shortage_of_memory_is_told_and_ends_it_cleanly(error):
    activations = []

    def kernel(query: Tensor, *_: Tensor) -> Tensor:
        activations.append(weakref.ref(query))
        raise copy(error)

    unet = small_unet()
    weights, video_unet = copy_of(unet.state_dict()), tav_core.inflate(unet)
    video_unet.kernel = kernel
    few = "on 3 frames with latents of 8x6: use fewer or smaller frames"
    with pytest.raises(tav_core.TuningError, match=few) as told:
        tune(video_unet)
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


def test_a_host_whose_cross_attention_lets_no_gradient_pass():
    """As ComfyUI's does with SageAttention: the queries of the text are learned all the same."""
    expected, unet = tune(small_unet("ldm"))[0].tuned_state_dict(), small_unet("ldm")
    for block in unet.modules():
        if hasattr(block, "attn2"):
            block.attn2.forward = lambda *args, forward=block.attn2.forward, **kw: forward(*args, **kw).detach()
    for name, tensor in tune(unet)[0].tuned_state_dict().items():
        torch.testing.assert_close(tensor, expected[name], msg=name)


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


@pytest.mark.parametrize("loaded_there", [False, True])
def test_in_inference_mode(loaded_there):
    """As a ComfyUI node runs, and holds the weights that it loaded."""
    with torch.inference_mode(loaded_there):
        unet = small_unet()
    weights = copy_of(unet.state_dict())
    with torch.inference_mode():
        video_unet, result = tune(unet, draws=[fixed_draw()] * 2)
        assert_clean(unet, weights)
        video_unet.deflate()
    expected = tune(small_unet(), draws=[fixed_draw()] * 2)[1]
    assert result.losses == expected.losses
    assert all(p.requires_grad for p in unet.parameters())


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
