"""GPU memory of tuning and sampling, by count: full SD 1.5 size, on tensors without data."""

import pytest

pytest.importorskip("torch", "2.11", reason="torch 2.4 and 2.5 cannot checkpoint without a device; 2.11 can")
pytest.importorskip("diffusers")

from gpu_memory import sampling_bytes, tuning_bytes

GB = 10**9


@pytest.mark.slow
def test_the_published_setting_fits_a_gpu_of_8_gb():
    """24 frames of 512x512, the autoencoder and the text encoder aside; CUDA and its libraries take their share too."""
    tuning = tuning_bytes(24, 512)
    assert tuning < 6 * GB
    assert tuning < tuning_bytes(24, 512, gradient_checkpointing=False) - 15 * GB
    assert sampling_bytes(24, 512) < 4.5 * GB
