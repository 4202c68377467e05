"""Going on with a tuning that was stopped, in memory and from the file of its state."""

import sys
from itertools import repeat
from types import ModuleType

import pytest
import torch

pytest.importorskip("diffusers")

from networks import fixed_draw, small_unet, tune

import tav_core


def test_half_precision_skips_a_step_that_overflows(tmp_path):
    """The first loss scale is often too large: that step changes nothing, and tuning can go on from there."""
    video_unet = tav_core.inflate(small_unet().half())
    before = video_unet.tuned_state_dict()
    large = fixed_draw()[0] * 100, torch.tensor([400])
    _, result = tune(video_unet, draws=repeat(large), on_step=lambda *_: False)
    assert result.state.scaler["scale"] < 65536
    assert all(torch.equal(tensor, before[name]) for name, tensor in video_unet.tuned_state_dict().items())
    tav_core.save_tune_state(tmp_path / "state.safetensors", result.state)
    _, result = tune(video_unet, 3, state=tav_core.load_tune_state(tmp_path / "state.safetensors"))
    assert len(result.losses) == 3
    assert result.state.scaler["_growth_tracker"] > 0  # counts the steps up to a larger scale across pauses
    result.state.scaler["scale"] = 128.0
    _, result = tune(video_unet, 4, state=result.state)
    assert result.state.scaler["scale"] == 128


class AdamW8bit(torch.optim.Optimizer):
    """Imitate bitsandbytes' optimizer: steps counted in an int, and a table shared by all parameters."""

    table = torch.arange(4.0)

    def __init__(self, parameters, lr, betas, weight_decay, eps):
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for parameter in self.param_groups[0]["params"]:
            state = self.state[parameter]
            assert type(state.setdefault("step", 0)) is int
            state["step"], state["qmap1"] = state["step"] + 1, self.table
            parameter -= self.param_groups[0]["lr"] * parameter.grad.sign() / state["step"]


@pytest.fixture
def bitsandbytes(monkeypatch):
    package, optim = ModuleType("bitsandbytes"), ModuleType("bitsandbytes.optim")
    optim.AdamW8bit = AdamW8bit
    monkeypatch.setitem(sys.modules, "bitsandbytes", package)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", optim)


@pytest.mark.parametrize(
    "damage",
    [
        {"exp_avg": torch.zeros(3)},
        {"exp_avg": None},
        {"exp_avg_sq": None},
        {"step": torch.ones(2)},
        {"step": None, "exp_avg": None, "exp_avg_sq": None},
    ],
)
def test_moments_that_do_not_fit_are_refused(damage):
    """The optimizer's kernel would read beyond them, or start that parameter anew."""
    video_unet, result = tune(small_unet(), 1)
    values = next(iter(result.state.optimizer.values()))
    for key, value in damage.items():
        values[key] = value
        if value is None:
            del values[key]
    with pytest.raises(ValueError, match=r"state is damaged .what it holds for .* does not fit.: start anew"):
        tune(video_unet, 2, state=result.state)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr_scheduler": "cosine", "warmup_steps": 3, "weight_decay": 0.1},
        {"optimizer": "adamw8bit"},
        {"rank": 2},
        {"frames_per_step": 2, "validate_every": 3},
    ],
)
@pytest.mark.usefixtures("bitsandbytes")
def test_two_and_two_steps_are_four(options, tmp_path):
    through, result = tune(small_unet(), 4, **options)
    first, half = tune(small_unet(), 4, on_step=lambda step, loss: step < 2, **options)
    assert half.stopped and not result.stopped and half.losses == result.losses[:2]
    assert isinstance(half.state, tav_core.TuneState)
    tav_core.save_tune_state(tmp_path / "state.safetensors", half.state)
    second, resumed = tune(small_unet(), 4, state=tav_core.load_tune_state(tmp_path / "state.safetensors"), **options)
    tune(first, 4, state=half.state, **options | {"learning_rate": 1e-2})  # leaves the state as it was
    in_memory, resumed_in_memory = tune(first, 4, state=half.state, **options)
    for video_unet, continued in ((second, resumed), (in_memory, resumed_in_memory)):
        assert continued.losses == result.losses and continued.validation == result.validation
        for name, tensor in through.tuned_state_dict().items():
            assert torch.equal(video_unet.tuned_state_dict()[name], tensor), name


@pytest.mark.usefixtures("bitsandbytes")
def test_a_state_of_another_tuning_is_refused(tmp_path):
    _, result = tune(small_unet(), trainable_modules=("attn1.to_q",))
    with pytest.raises(ValueError, match="saved tuning state holds"):
        tune(small_unet(), state=result.state)
    video_unet, result = tune(small_unet(), 1)
    with pytest.raises(ValueError, match="does not come from the optimizer 'adamw8bit'"):
        tune(small_unet(), state=result.state, optimizer="adamw8bit")
    file, other = tmp_path / "state.safetensors", small_unet(seed=5)
    tav_core.save_tune_state(file, result.state, tav_core.fingerprint(video_unet.unet))
    with pytest.raises(ValueError, match="another checkpoint"):
        tav_core.load_tune_state(file, tav_core.fingerprint(other))
