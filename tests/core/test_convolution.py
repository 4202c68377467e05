"""Frozen convolutions, which pass gradients on without keeping what goes in."""

import pytest
import torch
from torch import nn

from tav_core.network import frozen_convolution


@pytest.mark.parametrize("size", [6, 24])
@pytest.mark.parametrize(
    "options", [{}, {"padding_mode": "circular"}, {"groups": 2}, {"dilation": 2}, {"stride": 2}, {"bias": False}]
)
def test_every_kind_computes_what_it_did(options, size):
    layer = nn.Conv2d(4, 6, 3, padding=1, **options).requires_grad_(False)
    x = torch.randn(2, 4, size, size, requires_grad=True)
    for weight in (layer.weight, layer.weight + 1):  # the latter is patched for one use
        ours = frozen_convolution.frozen(layer, layer._conv_forward)(x, weight, layer.bias)
        theirs = layer._conv_forward(x, weight, layer.bias)
        torch.testing.assert_close(ours, theirs)
        gradients = (torch.autograd.grad(out.square().sum(), x)[0] for out in (ours, theirs))
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-3)
