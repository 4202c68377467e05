"""The published way of working, which the benchmark times beside ours: the same figures, the slow way."""

import pytest

pytest.importorskip("diffusers")

from networks import inputs, small_unet
from test_reference import SCHEDULE
from torch import nn

import tav_core
from bench import PublishedVideoUNet


def test_the_published_way_learns_the_same_with_convolutions_of_torch():
    x, _, context = inputs(videos=1)
    settings = tav_core.TuneSettings(steps=2, learning_rate=1e-3, gradient_checkpointing=True)
    losses = []
    for kind in (tav_core.VideoUNet, PublishedVideoUNet):
        video_unet = kind(small_unet()).attach()
        losses.append(tav_core.tune(video_unet, SCHEDULE, x, context, settings).losses)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    convolutions = [module for module in video_unet.unet.modules() if isinstance(module, nn.Conv2d)]
    assert convolutions and not any("_conv_forward" in vars(module) for module in convolutions)
