"""Videos longer than the clip: extended latents and autoregressive sampling."""

import pytest
import torch

pytest.importorskip("diffusers")

from networks import CONTEXT, SCHEDULE, TOKENS, relative_error, small_unet, tuned

import tav_core


def test_a_mirrored_clip_has_no_jump_and_a_loop_begins_again():
    latents = torch.arange(4.0).view(1, 1, 4, 1, 1)
    assert tav_core.extend(latents, 10).flatten().tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]
    assert tav_core.extend(latents, 10, "loop").flatten().tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    for mode in tav_core.EXTENSION_MODES:
        assert tav_core.extend(latents[:, :, :1], 3, mode)[:, :, :1].flatten().tolist() == [0]


def test_new_noise_shares_what_the_frames_of_the_clip_share():
    generator = torch.Generator().manual_seed(1)
    shared, own = (torch.randn(1, 4, f, 32, 32, generator=generator) for f in (1, 16))
    latents = 0.8 * shared + 0.6 * own
    longer = tav_core.extend(latents, 400, "noise")
    assert torch.equal(longer[:, :, :16], latents)
    assert torch.equal(longer, tav_core.extend(latents, 400, "noise"))
    assert not torch.equal(longer, tav_core.extend(latents, 400, "noise", seed=1))
    new = longer[:, :, 16:]
    assert float(new.std()) == pytest.approx(float(latents.std()), rel=0.03)
    assert relative_error(new.mean(dim=2), latents.mean(dim=2)) < 0.06  # and not 0, the mean of plain noise
    assert float((new - new.mean(dim=2, keepdim=True)).std()) == pytest.approx(0.6, rel=0.03)


def test_what_cannot_be_extended():
    latents = torch.zeros(1, 4, 8, 2, 2)
    with pytest.raises(ValueError, match="has 8 frames already, more than the 7 asked for"):
        tav_core.extend(latents, 7)
    with pytest.raises(ValueError, match="'repeat' is unknown: choose one of mirror, loop, noise"):
        tav_core.extend(latents, 9, "repeat")
    with pytest.raises(ValueError, match="continue from for 1 steps, not 2"):
        tav_core.ddim_sample(
            lambda *_, **__: latents, SCHEDULE, latents, {}, steps=2, guidance_scale=1, continue_from=[latents]
        )


@pytest.fixture
def video_unet() -> tav_core.VideoUNet:
    return tuned(tav_core.inflate(small_unet(), temporal_attention=False, joint_norm=False, attention="first_frame"))


def test_windows_in_turn_are_one_video_where_only_frame_0_is_seen(video_unet):
    """Frame 0 is at every noise level what it was when it was denoised, so the frames that see it are exact."""
    noise, contexts = torch.randn(1, 4, 7, 8, 6), (torch.randn(1, TOKENS, CONTEXT), torch.zeros(1, TOKENS, CONTEXT))
    at_once = tav_core.ddim_sample(video_unet, SCHEDULE, noise, *contexts, steps=3)
    parts = list(
        tav_core.ddim_sample_autoregressive(video_unet, SCHEDULE, noise, *contexts, steps=3, window=3, overlap=1)
    )
    assert [part.shape[2] for part in parts] == [2, 2, 3]
    assert relative_error(torch.cat(parts, dim=2), at_once) < 1e-5


def test_autoregressive_sampling_holds_and_shows_the_network_a_few_frames_only():
    seen = []

    def model(latents, timestep, context):
        seen.append(latents.shape[2])
        return torch.zeros_like(latents)

    noise = torch.randn(1, 4, 40, 2, 2)
    video = tav_core.ddim_sample_autoregressive(
        model, SCHEDULE, noise, torch.zeros(1, 1, 1), steps=2, guidance_scale=1, window=8, overlap=3
    )
    assert next(video).shape[2] == 8 and set(seen) == {8}
    next(video)
    assert seen[-1] == 1 + 3 + 8
    stopping = tav_core.ddim_sample_autoregressive(
        model, SCHEDULE, noise, torch.zeros(1, 1, 1), steps=2, guidance_scale=1, window=8, on_step=lambda *_: False
    )
    assert list(stopping) == []
