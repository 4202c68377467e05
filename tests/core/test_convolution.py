"""Frozen convolutions, which pass gradients on without saving their input."""

from functools import partial

import pytest
import torch
from torch import nn

from tav_core.network import patches


@pytest.mark.parametrize(
    "options", [{}, {"padding_mode": "circular"}, {"groups": 2}, {"dilation": 2}, {"stride": 2}, {"bias": False}]
)
def test_every_kind_computes_what_it_did(options):
    layer = nn.Conv2d(4, 6, 3, padding=1, **options).requires_grad_(False)
    frozen = partial(patches.frozen_convolution, None, layer, layer._conv_forward)
    x = torch.randn(2, 4, 24, 24, requires_grad=True)
    for weight in (layer.weight, layer.weight + 1):  # the latter is patched for one use
        ours, theirs = frozen(x, weight, layer.bias), layer._conv_forward(x, weight, layer.bias)
        torch.testing.assert_close(ours, theirs)
        gradients = (torch.autograd.grad(out.square().sum(), x)[0] for out in (ours, theirs))
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-3)
