"""Tuning: what it learns, what it may change, and what it leaves behind."""

import math
from itertools import repeat

import pytest
import torch

pytest.importorskip("diffusers")

from networks import (
    LAYOUTS,
    SCHEDULE,
    assert_clean,
    copy_of,
    fixed_draw,
    inputs,
    random_tuning,
    small_unet,
    stable_diffusion_schedule,
    tune,
)
from torch import nn

import tav_core
from tav_core import TuneSettings


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
        with pytest.raises(ValueError, match="Unknown trainable modules"):
            tune(small_unet(), trainable_modules=modules)
    with pytest.raises(ValueError, match="trainable modules 'attn_temp'"):
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
    """Tune in float32 throughout, and return the losses."""
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
    assert seen == list(enumerate(result.losses, start=1)) and len(seen) == 2
    assert result == tav_core.TuneResult(result.losses, result.state, stopped=True)
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


def test_a_host_whose_cross_attention_lets_no_gradient_pass():
    """ComfyUI's does so with SageAttention: the queries of the text are learned all the same."""
    expected, unet = tune(small_unet("ldm"))[0].tuned_state_dict(), small_unet("ldm")
    for block in unet.modules():
        if hasattr(block, "attn2"):
            block.attn2.forward = lambda *args, forward=block.attn2.forward, **kw: forward(*args, **kw).detach()
    for name, tensor in tune(unet)[0].tuned_state_dict().items():
        torch.testing.assert_close(tensor, expected[name], msg=name)


@pytest.mark.parametrize("loaded_there", [False, True])
def test_in_inference_mode(loaded_there):
    """A ComfyUI node runs in inference mode, and its weights were loaded there."""
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


def test_a_step_on_a_long_clip_learns_from_frame_0_and_neighbours(monkeypatch):
    """Each step learns from another place; the clip stays in the memory of its own device."""
    seen, call = [], tav_core.VideoUNet.__call__
    monkeypatch.setattr(
        tav_core.VideoUNet, "__call__", lambda self, x, *rest, **more: seen.append(x) or call(self, x, *rest, **more)
    )
    x, _, context = inputs(videos=1, frames=9)
    x += torch.arange(9).view(1, 1, 9, 1, 1) * 1000  # the frames can be told after noise was added
    draws = [(torch.zeros_like(x), torch.tensor([1]))] * 30
    settings = TuneSettings(steps=30, frames_per_step=4)
    tav_core.tune(tav_core.inflate(small_unet(), window=2), SCHEDULE, x, context, settings, draws)
    numbers = [(part.mean(dim=(0, 1, 3, 4)) / 1000).round().int().tolist() for part in seen]
    assert all(n == [0, n[1], n[1] + 1, n[1] + 2] for n in numbers)
    assert {n[1] for n in numbers} == {1, 2, 3, 4, 5, 6}
    seen.clear()
    tav_core.tune(tav_core.inflate(small_unet(), window=5), SCHEDULE, x, context, TuneSettings(steps=1))
    assert seen[0].shape[2] == 5  # without the setting, the window that the network was inflated with


def test_steps_of_all_frames_are_those_without_the_setting():
    assert tune(small_unet(), frames_per_step=3)[1].losses == tune(small_unet())[1].losses


def test_the_validation_loss_falls_and_changes_nothing():
    unet, seen = small_unet(), []
    settings = {"steps": 6, "learning_rate": 1e-2}
    validated = tune(unet, validate_every=4, on_validation=lambda *pair: seen.append(pair), **settings)[1]
    assert validated.validation == seen and [step for step, _ in seen] == [0, 4, 6]
    assert seen[-1][1] < seen[0][1]
    assert validated.losses == tune(small_unet(), **settings)[1].losses
