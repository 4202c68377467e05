"""GPU memory of tuning and sampling, by count: full SD 1.5 size, on tensors without data."""

import pytest

pytest.importorskip("torch", "2.11", reason="torch 2.4 and 2.5 cannot checkpoint without a device; 2.11 can")
pytest.importorskip("diffusers")

import torch
from gpu_memory import full_size_unet, sampling_bytes, tuned_weights, tuning_bytes

import tav_core

GB = 10**9


@pytest.mark.slow
def test_the_published_setting_fits_a_gpu_of_8_gb():
    """24 frames of 512x512, the autoencoder and the text encoder aside; CUDA and its libraries take their share too."""
    tuning = tuning_bytes(24, 512)
    assert tuning < 6 * GB
    assert tuning < tuning_bytes(24, 512, gradient_checkpointing=False) - 15 * GB
    assert sampling_bytes(24, 512) < 4.5 * GB


@pytest.mark.slow
def test_sdxl_at_the_rank_that_it_has_by_itself_fits_a_gpu_of_12_gb():
    """16 frames of 768x768."""
    rank = tav_core.default_rank(full_size_unet("sdxl", torch.bfloat16))
    assert tuning_bytes(16, 768, rank=rank, family="sdxl") < 10.5 * GB


def test_motions_of_low_rank_are_files_of_a_few_megabytes():
    """Full size, by count; the published full tuning of SD 1.5 beside it."""
    for family, most in (("sd15", 12e6), ("sdxl", 60e6)):
        learned, file = tuned_weights(family, 16)
        assert file < most and learned * 2 < file
    assert tuned_weights("sd15", 0)[0] == 74_354_880
