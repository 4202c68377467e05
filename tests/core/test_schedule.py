"""The noise schedule, and the two DDIM loops on predictors whose answers are known."""

import pytest
import torch

pytest.importorskip("diffusers")

from diffusers import DDIMInverseScheduler
from networks import relative_error, stable_diffusion_schedule, stable_diffusion_scheduler

import tav_core

PREDICTION_TYPES = ("epsilon", "v_prediction")
STEPS = (1, 7, 50)


@pytest.fixture(params=PREDICTION_TYPES)
def prediction_type(request) -> str:
    return request.param


@pytest.fixture
def clip() -> tuple[torch.Tensor, torch.Tensor]:
    """Return (clean latents, noise), each [2, 4, 3, 5, 6]."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, 4, 3, 5, 6, generator=generator) for _ in range(2))


CONTEXT = torch.zeros(1, 3, 8)


def predict(latents, timestep, context):
    """Return some smooth function of latents and timestep."""
    return torch.sin(latents + int(timestep) / 100)


@pytest.mark.parametrize("steps", [*STEPS, 4, 1000])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_timesteps_are_those_of_diffusers(steps, offset, spacing):
    scheduler = stable_diffusion_scheduler(steps_offset=offset, timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    expected = scheduler.timesteps.clamp(max=999).tolist()
    if (spacing, steps) == ("linspace", 1):
        expected = [999]  # diffusers gives 0, where there is no noise
    assert tav_core.NoiseSchedule.from_scheduler(scheduler).timesteps(steps) == expected


def test_few_steps_of_a_distilled_checkpoint_start_at_the_last_timestep():
    trailing = tav_core.NoiseSchedule.stable_diffusion(spacing="trailing")
    assert trailing.timesteps(4) == [999, 749, 499, 249] and trailing.timesteps(1) == [999]
    assert trailing.spaced("leading").timesteps(4)[0] == 751


def test_the_schedule_of_stable_diffusion_is_that_of_diffusers(prediction_type):
    expected = stable_diffusion_scheduler(prediction_type=prediction_type)
    schedule = tav_core.NoiseSchedule.stable_diffusion(prediction_type)
    torch.testing.assert_close(schedule.alphas_cumprod, expected.alphas_cumprod)
    assert vars(schedule).keys() == vars(taken_over := tav_core.NoiseSchedule.from_scheduler(expected)).keys()
    assert schedule.final_alpha_cumprod == pytest.approx(taken_over.final_alpha_cumprod)
    zero = stable_diffusion_scheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    zero_schedule = tav_core.NoiseSchedule.stable_diffusion("v_prediction", zero_terminal_snr=True)
    torch.testing.assert_close(zero_schedule.alphas_cumprod, zero.alphas_cumprod, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
def test_zero_terminal_snr_uses_its_last_timestep_and_inverts(spacing, clip):
    """At alpha 0 a velocity still gives the clean latents; a predicted noise would not."""
    clean, noise = (x.double() for x in clip)
    schedule = tav_core.NoiseSchedule.stable_diffusion("v_prediction", spacing, zero_terminal_snr=True)

    def oracle(latents, timestep, context):
        return schedule.target(clean, noise, torch.tensor([timestep]))

    assert schedule.timesteps(5)[0] == 999 and schedule.alpha(999) == 0
    sampled = tav_core.ddim_sample(oracle, schedule, noise, CONTEXT, steps=5, guidance_scale=1)
    assert relative_error(sampled, schedule.add_noise(clean, noise, torch.tensor([0]))) < 1e-5
    assert tav_core.ddim_invert(predict, schedule, clean, CONTEXT, steps=5)[-1].isfinite().all()
    with pytest.raises(ValueError, match=r"zero terminal SNR. needs a checkpoint that predicts velocity"):
        tav_core.NoiseSchedule.stable_diffusion("epsilon", zero_terminal_snr=True)


def test_noise_and_targets_are_those_of_diffusers(prediction_type, clip):
    clean, noise = clip
    scheduler, timesteps = stable_diffusion_scheduler(), torch.tensor([3, 870])
    schedule = stable_diffusion_schedule(prediction_type)
    torch.testing.assert_close(
        schedule.add_noise(clean, noise, timesteps), scheduler.add_noise(clean, noise, timesteps)
    )
    target = noise if prediction_type == "epsilon" else scheduler.get_velocity(clean, noise, timesteps)
    torch.testing.assert_close(schedule.target(clean, noise, timesteps), target)


@pytest.mark.parametrize("to_one", [False, True])
def test_sampling_is_that_of_diffusers(prediction_type, to_one, clip):
    scheduler = stable_diffusion_scheduler(prediction_type=prediction_type, set_alpha_to_one=to_one)
    scheduler.set_timesteps(7)

    expected = clip[1]
    for timestep in scheduler.timesteps:
        expected = scheduler.step(predict(expected, timestep, None), timestep, expected).prev_sample
    schedule = tav_core.NoiseSchedule.from_scheduler(scheduler)
    sampled = tav_core.ddim_sample(predict, schedule, clip[1], CONTEXT, None, steps=7, guidance_scale=1)
    assert relative_error(sampled, expected) < 1e-5


def test_inversion_is_that_of_diffusers(prediction_type, clip):
    scheduler = DDIMInverseScheduler.from_config(stable_diffusion_scheduler(prediction_type=prediction_type).config)
    scheduler.set_timesteps(7)
    expected = [clip[0]]
    for timestep in scheduler.timesteps:
        expected.append(scheduler.step(predict(expected[-1], timestep, None), timestep, expected[-1]).prev_sample)
    trajectory = tav_core.ddim_invert(predict, stable_diffusion_schedule(prediction_type), clip[0], CONTEXT, steps=7)
    assert max(map(relative_error, trajectory[1:], expected[1:])) < 1e-5


@pytest.mark.parametrize("steps", STEPS)
def test_a_perfect_predictor_inverts_and_samples_exactly(prediction_type, steps, clip):
    clean, noise = (x.double() for x in clip)
    schedule = stable_diffusion_schedule(prediction_type)

    def oracle(latents, timestep, context):
        return schedule.target(clean, noise, torch.tensor([timestep]))

    def at(timestep):
        return schedule.add_noise(clean, noise, torch.tensor([timestep]))

    last = schedule.timesteps(steps)[0]
    sampled = tav_core.ddim_sample(oracle, schedule, at(last), CONTEXT, None, steps=steps, guidance_scale=1)
    assert relative_error(sampled, at(0)) < 1e-5  # the published sampler lands on a_0, not on 1
    if prediction_type == "epsilon":  # a velocity is used at the level moved from, as diffusers does, and is not exact
        trajectory = tav_core.ddim_invert(oracle, schedule, at(0), CONTEXT, steps=steps)
        for latents, timestep in zip(trajectory, [0, *reversed(schedule.timesteps(steps))], strict=True):
            assert relative_error(latents, at(timestep)) < 1e-5


def test_sampling_lands_on_the_final_alpha(clip):
    clean, noise = (x.double() for x in clip)
    schedule = tav_core.NoiseSchedule(torch.linspace(0.99, 0.01, 1000), final_alpha_cumprod=0.75)
    start = schedule.add_noise(clean, noise, torch.tensor([schedule.timesteps(4)[0]]))
    sampled = tav_core.ddim_sample(lambda *_, **__: noise, schedule, start, CONTEXT, None, steps=4, guidance_scale=1)
    assert relative_error(sampled, 0.75**0.5 * clean + 0.25**0.5 * noise) < 1e-5


def test_guidance(clip):
    """Both predictions in one call, negative first; none without guidance."""
    schedule, calls = stable_diffusion_schedule(), []

    def words(latents, timestep, context):
        calls.append(context)
        return context[:, :1, :1, None, None].expand(latents.shape)

    positive, negative = torch.full((1, 3, 8), 0.3), torch.full((1, 3, 8), 0.1)
    guided = tav_core.ddim_sample(words, schedule, clip[1], positive, negative, steps=1, guidance_scale=5)
    assert torch.equal(torch.cat(calls), torch.cat([negative, negative, positive, positive]))
    calls.clear()
    strong = torch.full((1, 3, 8), 0.1 + 5 * (0.3 - 0.1))
    plain = tav_core.ddim_sample(words, schedule, clip[1], strong, negative, steps=1, guidance_scale=1)
    torch.testing.assert_close(guided, plain)
    for guidance in (1, 0.5):  # published: the second pass is for scales above 1
        calls.clear()
        tav_core.ddim_sample(words, schedule, clip[1], strong, negative, steps=1, guidance_scale=guidance)
        assert len(calls) == 1 and calls[0] is strong
    with pytest.raises(ValueError, match="negative context"):
        tav_core.ddim_sample(words, schedule, clip[1], positive, None, steps=1)
    with pytest.raises(ValueError, match=r"\[1, 3, 6\] and \[1, 3, 8\] do not fit"):
        tav_core.ddim_sample(words, schedule, clip[1], positive, torch.zeros(1, 3, 6), steps=1)


def test_conditions_by_name(clip):
    """Everything in a dictionary reaches the model, in dictionaries too, negative first; prompts of different lengths
    are repeated to one."""
    seen = {}

    def model(latents, timestep, context, pooled):
        seen.update(context=context, **pooled)
        return torch.zeros_like(latents)

    def condition(value, tokens):
        return {"context": torch.full((1, tokens, 8), value), "pooled": {"y": torch.full((1, 5), value)}}

    schedule = stable_diffusion_schedule()
    tav_core.ddim_sample(model, schedule, clip[1], condition(1.0, 6), condition(2.0, 4), steps=1)
    assert seen["context"].shape == (4, 12, 8) and seen["y"].shape == (4, 5)
    assert all(x.flatten(1)[:, 0].tolist() == [2, 2, 1, 1] for x in seen.values())
    with pytest.raises(ValueError, match="same entries"):
        tav_core.ddim_sample(model, schedule, clip[1], condition(1.0, 6), CONTEXT, steps=1)


def test_loops_report_and_stop(clip):
    schedule = stable_diffusion_schedule()
    seen = []

    def on_step(step, latents):
        seen.append((step, latents))
        return step < 3

    trajectory = tav_core.ddim_invert(predict, schedule, clip[0], CONTEXT, steps=9, on_step=on_step)
    assert [step for step, _ in seen] == [1, 2, 3] and len(trajectory) == 4
    assert all(a is b for a, (_, b) in zip(trajectory[1:], seen))
    seen.clear()
    latents = tav_core.ddim_sample(predict, schedule, clip[1], CONTEXT, None, 9, 1.0, on_step)
    assert [step for step, _ in seen] == [1, 2, 3] and latents is seen[-1][1]


@pytest.mark.parametrize("steps", [0, 1001])
def test_number_of_steps_out_of_range(steps, clip):
    for loop in (
        lambda: tav_core.ddim_invert(predict, stable_diffusion_schedule(), clip[0], CONTEXT, steps),
        lambda: tav_core.ddim_sample(predict, stable_diffusion_schedule(), clip[0], CONTEXT, None, steps, 1),
    ):
        with pytest.raises(ValueError, match=f"between 1 and 1000, not {steps}"):
            loop()


def test_a_schedule_that_is_none():
    with pytest.raises(ValueError, match="'sample' is not supported"):
        tav_core.NoiseSchedule(torch.linspace(0.9, 0.1, 10), "sample")
    with pytest.raises(ValueError, match="'even' is unknown: choose leading"):
        tav_core.NoiseSchedule.stable_diffusion(spacing="even")
    for alphas in ([[0.9, 0.8], [0.7, 0.6]], [0.5], [1.5, 0.5], [0.9, float("nan")], [0.1, 0.9], [0.5, -0.5]):
        with pytest.raises(ValueError, match="alphas_cumprod"):
            tav_core.NoiseSchedule(torch.tensor(alphas))
