"""Edits that keep what was not asked to change: refined inversion, masks and structure."""

import weakref

import pytest
import torch

pytest.importorskip("diffusers")

from networks import CONTEXT, SCHEDULE, TOKENS, relative_error, small_unet, tuned

import tav_core

STEPS = 4


@pytest.fixture(scope="module")
def video_unet() -> tav_core.VideoUNet:
    return tuned(tav_core.inflate(small_unet()))


@pytest.fixture(scope="module")
def clip() -> torch.Tensor:
    return 0.5 * torch.randn(1, 4, 3, 8, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def contexts() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return tuple(torch.randn(1, TOKENS, CONTEXT, generator=generator) for _ in range(2))


@pytest.fixture(scope="module")
def trajectory(video_unet, clip, contexts) -> list[torch.Tensor]:
    return tav_core.ddim_invert(video_unet, SCHEDULE, clip, contexts[1], STEPS, in_main_memory=True)


def sample(video_unet, start, contexts, **options) -> torch.Tensor:
    return tav_core.ddim_sample(video_unet, SCHEDULE, start[-1], *contexts, STEPS, 3.0, **options)


def test_refining_brings_the_reconstruction_nearer_and_stops_where_it_stands(video_unet, clip, contexts):
    errors, calls = [], 0

    def counted(*arguments, **condition):
        nonlocal calls
        calls += 1
        return video_unet(*arguments, **condition)

    for refine in (0, 1, 3, 20):
        calls = 0
        noise = tav_core.ddim_invert(counted, SCHEDULE, clip, contexts[1], STEPS, refine=refine)[-1]
        assert calls == STEPS if refine == 0 else STEPS < calls <= STEPS * (refine + 1) + 1
        errors.append(
            relative_error(tav_core.ddim_sample(video_unet, SCHEDULE, noise, contexts[1], None, STEPS, 1), clip)
        )
    assert errors == sorted(errors, reverse=True)
    assert calls < STEPS * 20


def test_refining_that_would_diverge_keeps_the_nearest_prediction(clip):
    def steep(latents, timestep):
        return 400 * latents.sin()

    noise = tav_core.ddim_invert(steep, SCHEDULE, clip, {}, STEPS, refine=20)[-1]
    assert noise.isfinite().all()


def test_a_mask_of_zeros_gives_the_clip_and_one_of_ones_the_unmasked_video(video_unet, clip, contexts, trajectory):
    free = sample(video_unet, trajectory, contexts)
    nothing, all_of_it = torch.zeros(8, 6), torch.ones(3, 64, 48)
    for feather in (0, 2):
        masks = [tav_core.latent_mask(mask, clip, feather) for mask in (nothing, all_of_it)]
        kept, changed = (sample(video_unet, trajectory, contexts, mask=m, trajectory=trajectory) for m in masks)
        assert torch.equal(kept, clip) and torch.equal(changed, free)


def test_outside_of_a_mask_nothing_changes(video_unet, clip, contexts, trajectory):
    pixels = torch.zeros(3, 64, 48)
    pixels[1, 10:40, 10:40] = 1
    mask = tav_core.latent_mask(pixels, clip, feather=1)
    assert mask.shape == (1, 1, 3, 8, 6) and 0 < mask[0, 0, 1, 1, 1] < mask[0, 0, 1, 2, 2] < 1
    assert not mask[:, :, [0, 2]].any() and not mask[0, 0, 1, 5:].any()
    video = sample(video_unet, trajectory, contexts, mask=mask, trajectory=trajectory)
    assert torch.equal(video[:, :, [0, 2]], clip[:, :, [0, 2]])
    assert torch.equal(video[:, :, 1, 5:], clip[:, :, 1, 5:])
    assert not torch.equal(video[:, :, 1, 1:5, 1:5], clip[:, :, 1, 1:5, 1:5])


def test_the_trajectory_lies_in_main_memory_in_half_the_size(video_unet, clip, contexts, trajectory):
    full = tav_core.ddim_invert(video_unet, SCHEDULE, clip, contexts[1], STEPS)
    assert torch.equal(trajectory[0], full[0]) and torch.equal(trajectory[-1], full[-1])
    for half, latents in zip(trajectory[1:-1], full[1:-1], strict=True):
        assert half.dtype == torch.float16 and half.device.type == "cpu"
        assert relative_error(half, latents) < 1e-3


@pytest.mark.parametrize("window", [0, 1])
def test_the_trajectory_takes_two_bytes_a_value_and_holds_no_step_at_full_size(clip, contexts, window):
    """With windows, too."""
    net, steps_seen = tuned(tav_core.inflate(small_unet(), window=window)), []

    def at_full_size(step: int, latents: torch.Tensor) -> None:
        steps_seen.append(weakref.ref(latents))
        assert sum(latents() is not None for latents in steps_seen) == 1

    trajectory = tav_core.ddim_invert(
        net, SCHEDULE, clip, contexts[1], STEPS, at_full_size, refine=1, in_main_memory=True
    )
    assert len(steps_seen) == STEPS
    assert sum(latents.nbytes for latents in trajectory) == clip.numel() * (2 * 4 + 2 * (STEPS - 1))


def test_structure_follows_the_reconstruction(video_unet, clip, contexts, trajectory):
    free = sample(video_unet, trajectory, contexts)
    assert torch.equal(sample(video_unet, trajectory, contexts, structure=0.1), free)  # less than a step
    held = [sample(video_unet, trajectory, contexts, structure=share) for share in (0.5, 1.0)]
    assert not torch.equal(held[0], free) and not torch.equal(held[0], held[1])
    # the reconstruction beside a reconstruction is itself
    plain, beside = (
        tav_core.ddim_sample(video_unet, SCHEDULE, trajectory[-1], contexts[1], contexts[1], STEPS, 1, structure=share)
        for share in (0, 1)
    )
    assert torch.equal(plain, beside)
    assert not video_unet.shared_attention._recorded


def test_an_interruption_leaves_nothing_recorded(video_unet, contexts, trajectory):
    for call in (1, 2):  # of the reconstruction, and of the edit
        calls = []

        class Interrupting:
            shared_attention = video_unet.shared_attention

            def __call__(self, *arguments, calls=calls, last=call, **condition):
                prediction = video_unet(*arguments, **condition)
                calls.append(1)
                if len(calls) == last:
                    raise KeyboardInterrupt
                return prediction

        with pytest.raises(KeyboardInterrupt):
            sample(Interrupting(), trajectory, contexts, structure=1.0)
        assert not video_unet.shared_attention._recorded


def test_structure_in_windows_is_that_of_all_frames_at_once(clip, contexts):
    """Without joint norms and temporal attention, where windows are exact."""
    options = {"joint_norm": False, "temporal_attention": False}
    noise = clip * 2
    at_once, in_windows = (
        tav_core.ddim_sample(
            tuned(tav_core.inflate(small_unet(), window=window, **options)), SCHEDULE, noise, *contexts, STEPS, 3.0,
            structure=0.5,
        )
        for window in (0, 1)
    )  # fmt: skip
    assert relative_error(in_windows, at_once) < 1e-5


def test_edits_that_do_not_fit(video_unet, clip, contexts, trajectory):
    mask = torch.ones(1, 1, 3, 8, 6)
    for message, options in {
        "A mask needs the trajectory": {"mask": mask},
        "has 2 steps, and 4 are sampled": {"mask": mask, "trajectory": trajectory[:3]},
        "does not fit latents": {"mask": mask[..., 1:, :], "trajectory": trajectory},
        "structure is 1.5": {"structure": 1.5},
    }.items():
        with pytest.raises(ValueError, match=message):
            sample(video_unet, trajectory, contexts, **options)
    with pytest.raises(ValueError, match="does not fit 3 frames"):
        tav_core.latent_mask(torch.ones(2, 8, 8), clip)
    with pytest.raises(ValueError, match="values from 0"):
        tav_core.latent_mask(255 * torch.ones(8, 8), clip)
    with pytest.raises(ValueError, match="need a negative context"):
        tav_core.ddim_sample(video_unet, SCHEDULE, clip, contexts[0], None, STEPS, 1.0, structure=1.0)


def test_words_are_found_where_their_attention_is(video_unet, clip, contexts):
    assert tav_core.word_tokens([0, 5, 6, 7, 6, 9], [[6, 7], [6]]) == [2, 3, 4]
    with pytest.raises(ValueError, match="not in the clip's prompt"):
        tav_core.word_tokens([0, 5, 6], [[7]])
    arguments = (video_unet.blocks, SCHEDULE, clip, contexts[0])
    seen = tav_core.word_map(video_unet, *arguments, [0], steps=2)
    assert seen.shape == (3, 8, 6) and seen.min() == 0 and seen.max() == 1
    everything = tav_core.word_map(video_unet, *arguments, range(TOKENS), steps=2)
    assert not torch.equal(seen, everything)
    assert not any(block.module.attn2._forward_pre_hooks for block in video_unet.blocks)
    calls = []
    tav_core.word_map(video_unet, *arguments, [0], steps=5, on_step=lambda step, _: calls.append(step))
    assert calls == [1, 2, 3, 4, 5]


def test_a_map_becomes_a_mask_that_grows_and_softens():
    seen = torch.zeros(3, 8, 6)
    seen[:, 3:5, 2:4] = 1
    mask, larger, soft = (
        tav_core.mask_from_map(seen, 64, 48, growth=growth, feather=feather)
        for growth, feather in ((0, 0), (3, 0), (0, 2))
    )
    assert mask.shape == (3, 64, 48) and set(mask.unique().tolist()) == {0, 1} and mask[0, 32, 24] == 1
    assert (larger >= mask).all() and larger.sum() > mask.sum()
    assert ((soft > 0) & (soft < 1)).any() and abs(float(soft.mean() - mask.mean())) < 0.01
