"""Every score on inputs whose value is known."""

import math

import pytest
import torch
from einops import repeat
from torch.nn.functional import interpolate

import tav_core


def test_frame_consistency_compares_all_pairs_and_consecutive_ones():
    east, north = torch.eye(2)
    assert tav_core.frame_consistency(repeat(torch.rand(5), "d -> f d", f=4)) == pytest.approx(100)
    assert tav_core.frame_consistency(torch.eye(6)) == 0
    turned = torch.stack([east, 3 * north, -east])  # pairs: 0, -1, 0; consecutive ones: 0, 0
    assert tav_core.frame_consistency(turned) == pytest.approx(-100 / 3)
    assert tav_core.consecutive_consistency(turned) == pytest.approx(0)
    drifting = torch.stack([torch.tensor([math.cos(a), math.sin(a)]) for a in (0.0, math.pi / 3, 2 * math.pi / 3)])
    assert tav_core.consecutive_consistency(drifting) == pytest.approx(50)
    assert tav_core.frame_consistency(drifting) == pytest.approx(100 * (0.5 + 0.5 - 0.5) / 3)
    with pytest.raises(ValueError, match="at least two frames"):
        tav_core.frame_consistency(torch.rand(1, 4))


def test_textual_alignment_and_pick_score_are_mean_cosines():
    text = torch.tensor([0.0, 2.0])
    images = torch.tensor([[0.0, 5.0], [1.0, 0.0], [3.0, 3.0]])
    expected = 100 * (1 + 0 + math.sqrt(0.5)) / 3
    assert tav_core.textual_alignment(images, text) == pytest.approx(expected)
    assert tav_core.pick_score(images, text, logit_scale=98.5) == pytest.approx(0.985 * expected)


def test_psnr_of_known_noise():
    source = torch.full((3, 40, 50, 3), 0.5)
    assert tav_core.psnr(source + 0.1, source) == pytest.approx(20, abs=1e-5)
    noise = 0.01 * torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    assert tav_core.psnr(source + noise, source) == pytest.approx(40, abs=0.1)
    assert tav_core.psnr(source, source) == math.inf
    with pytest.raises(ValueError, match=r"\[3, 40, 50, 3\]"):
        tav_core.psnr(source[:2], source)


def test_ssim_of_known_pictures():
    generator = torch.Generator().manual_seed(0)
    source = torch.rand(2, 24, 20, 3, generator=generator)
    noisy = (source + 0.2 * torch.rand(2, 24, 20, 3, generator=generator)).clamp(0, 1)
    assert tav_core.ssim(source, source) == pytest.approx(1)
    # scikit-image 0.26: structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    assert tav_core.ssim(noisy, source) == pytest.approx(0.9653847, abs=1e-6)
    dark, bright = torch.full((1, 16, 16, 3), 0.2), torch.full((1, 16, 16, 3), 0.6)
    assert tav_core.ssim(dark, bright) == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4))
    with pytest.raises(ValueError, match="11 pixels"):
        tav_core.ssim(source[:, :8], source[:, :8])


def moving(seed: int, dx: int, dy: int, frames: int = 4, size: int = 96) -> torch.Tensor:
    """Return a random texture that moves by (dx, dy) pixels from frame to frame."""
    grain = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(seed))
    texture = interpolate(grain, (2 * size, 2 * size), mode="bicubic")[0].clamp(0, 1).permute(1, 2, 0)
    corners = [(size // 2 - i * dy, size // 2 - i * dx) for i in range(frames)]
    return torch.stack([texture[y : y + size, x : x + size] for y, x in corners])


def test_motion_fidelity_of_translations_of_known_speed():
    pytest.importorskip("cv2")
    source = moving(0, 3, -2)
    scores = {
        "same video": tav_core.motion_fidelity(source, source),
        "same motion, another texture": tav_core.motion_fidelity(source, moving(1, 3, -2)),
        "twice the speed": tav_core.motion_fidelity(source, moving(1, 6, -4)),
        "across": tav_core.motion_fidelity(source, moving(1, 2, 3)),
        "backwards": tav_core.motion_fidelity(source, moving(1, -3, 2)),
        "still": tav_core.motion_fidelity(source, source[:1].expand_as(source)),
    }
    assert scores["same video"] == 100
    assert scores["same motion, another texture"] == pytest.approx(100, abs=1)
    assert scores["twice the speed"] == pytest.approx(80, abs=2)
    assert scores["across"] == pytest.approx(0, abs=2)
    assert scores["backwards"] == pytest.approx(-100, abs=2)
    assert scores["still"] == 0


def test_motion_fidelity_sees_colour_and_minds_neither_size_nor_length():
    pytest.importorskip("cv2")
    source = moving(0, 3, -2)
    red = source[..., 0]
    one_brightness = torch.stack([red, (0.6 - 0.299 * red) / 0.587, 0 * red], dim=-1)  # as grey values, 0.6 all over
    noise = 0.01 * torch.randn(source.shape, generator=torch.Generator().manual_seed(0))
    assert tav_core.motion_fidelity(source, one_brightness + noise) > 95
    larger = repeat(moving(1, 3, -2), "f h w c -> f (h 2) (w 2) c")
    longer = torch.cat([larger, larger[-1:], larger[-1:]])
    assert tav_core.motion_fidelity(source, longer) > 97
    with pytest.raises(ValueError, match="at least two frames"):
        tav_core.motion_fidelity(source, source[:1])


def test_motion_overlap_needs_no_model_and_sees_where_and_when_it_moves():
    source = torch.zeros(4, 64, 64, 3)
    for i in range(4):
        source[i, 20:40, 8 * i : 8 * i + 16] = torch.tensor([0.9, 0.3, 0.1])
    recoloured = repeat(source.flip(-1) / 2, "f h w c -> f (h 2) (w 2) c")
    assert tav_core.motion_overlap(recoloured, source) > 99
    assert tav_core.motion_overlap(source.roll(24, dims=1), source) < 1  # it moves elsewhere
    assert tav_core.motion_overlap(source[:1].expand_as(source), source) == 0
    with pytest.raises(ValueError, match="at least two frames"):
        tav_core.motion_overlap(source[:1], source)


def test_steadiness_falls_with_flicker_and_not_with_slow_change():
    fading = torch.linspace(0, 1, 9)[:, None, None, None].expand(9, 16, 16, 3)
    flicker = 0.05 * torch.tensor([1.0, -1.0]).repeat(5)[:9, None, None, None]
    assert tav_core.steadiness(fading) == 100
    assert tav_core.steadiness(fading + flicker) == pytest.approx(20, abs=0.1)  # 0.1 from the mean of its neighbours
    with pytest.raises(ValueError, match="give 3 or more"):
        tav_core.steadiness(fading[:2])


def test_motion_fidelity_without_opencv_says_what_to_install(monkeypatch):
    monkeypatch.setattr("tav_core.scoring.motion.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install opencv-python-headless"):
        tav_core.motion_fidelity(moving(0, 1, 0), moving(0, 1, 0))
