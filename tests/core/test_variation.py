"""Variations: new noise in inverted latents."""

import pytest
import torch

import tav_core


def test_new_noise_takes_its_share_of_the_variance():
    latents = torch.randn(1, 4, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(tav_core.vary(latents, 0.0, seed=1), latents)
    varied = tav_core.vary(latents, 0.3, seed=1)
    assert varied.var().item() == pytest.approx(1, abs=0.02)
    assert (varied * latents).mean().item() == pytest.approx(0.7**0.5, abs=0.02)
    assert torch.equal(varied, tav_core.vary(latents, 0.3, seed=1))
    assert not torch.equal(varied, tav_core.vary(latents, 0.3, seed=2))
    assert (tav_core.vary(latents, 1.0, seed=1) * latents).mean().abs() < 0.02
    with pytest.raises(ValueError, match="expected 0"):
        tav_core.vary(latents, 1.1, seed=1)
