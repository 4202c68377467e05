"""What tuning and sampling take on a GPU, by count: full SD 1.5 size, on tensors without data."""

import pytest

pytest.importorskip("diffusers")

from gpu_memory import sampling_bytes, tuning_bytes

GB = 10**9


def test_the_published_setting_fits_a_gpu_of_8_gb():
    """24 frames of 512x512, the autoencoder and the text encoder aside; CUDA and its libraries take their share too."""
    assert tuning_bytes(24, 512) < 6 * GB
    assert sampling_bytes(24, 512) < 4.5 * GB


def test_activations_are_not_kept_for_each_layer():
    with_checkpointing, without = (
        tuning_bytes(8, 256, gradient_checkpointing=recompute) for recompute in (True, False)
    )
    assert with_checkpointing < without - GB
