"""Windows of frames: the numbers of all frames at once where the network is causal, and nothing kept afterwards."""

import pytest
import torch

pytest.importorskip("diffusers")

from networks import LAYOUTS, MODES, inputs, relative_error, small_unet, tuned
from torch import Tensor

import tav_core

FRAMES = 11


def predict(layout: str, window: int, overlap: int = 0, videos: int = 2, **options) -> Tensor:
    """Prediction for two videos at different timesteps and prompts, as of the two branches of guidance."""
    video_unet = tuned(tav_core.inflate(small_unet(layout), window=window, overlap=overlap, **options))
    with torch.no_grad():
        return video_unet(*inputs(videos, FRAMES))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "full"])
def test_windows_equal_all_frames_at_once_where_the_network_is_causal(layout, mode):
    options = {"attention": mode, "temporal_attention": False, "joint_norm": False}
    at_once = predict(layout, 0, **options)
    for window in (1, 3, 5):
        assert relative_error(predict(layout, window, **options), at_once) < 1e-5, window


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_window_of_all_frames_is_no_window_to_the_bit(layout):
    at_once = predict(layout, 0)
    for window in (FRAMES, FRAMES + 1):
        assert torch.equal(predict(layout, window, overlap=4), at_once)


def test_full_attention_sees_its_window_and_frame_0():
    video_unet, seen = tav_core.inflate(small_unet(), attention="full", window=4), []
    kernel = video_unet.kernel
    video_unet.kernel = lambda query, key, value: (
        seen.append(key.shape[2] / query.shape[2]) or kernel(query, key, value)
    )
    with torch.no_grad():
        video_unet(*inputs(1, 12))
    blocks = len(video_unet.blocks)
    assert seen == [1] * blocks + [5 / 4] * 2 * blocks


@pytest.mark.parametrize("overlap", [0, 2, 7])
def test_temporal_attention_sees_the_overlap(overlap):
    """Keys of the last frames before the window come before those of the window, from further back than one window."""
    video_unet = tuned(tav_core.inflate(small_unet(), window=4, overlap=overlap))
    attn_temp, seen = video_unet.temporal[0].attn_temp, []
    kernel = attn_temp.kernel
    attn_temp.kernel = lambda query, key, value: seen.append(key.shape[2]) or kernel(query, key, value)
    with torch.no_grad():
        video_unet(*inputs(1, 12))
    assert seen == [4, 4 + min(overlap, 4), 4 + min(overlap, 8)]


def test_the_last_frames_of_a_window_reach_the_next_one():
    """Without an overlap, temporal attention does not see over the seam; with one, what it sees is that of all."""
    at_once = predict("diffusers", 0, attention="spatial", joint_norm=False)
    errors = []
    for overlap in (0, 5):
        windowed = predict("diffusers", 6, overlap, attention="spatial", joint_norm=False)
        errors.append(relative_error(windowed[:, :, 6:], at_once[:, :, 6:]))
    assert errors[1] < errors[0] / 2


def test_nothing_is_kept_after_a_call_that_fails():
    video_unet = tuned(tav_core.inflate(small_unet(), window=3, overlap=2))
    calls, x = [], inputs(1, FRAMES)

    def fail_in_the_second_window(*_: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            assert video_unet.kept._kept
            raise KeyboardInterrupt

    hook = video_unet.unet.conv_out.register_forward_hook(fail_in_the_second_window)
    with torch.no_grad(), pytest.raises(KeyboardInterrupt):
        video_unet(*x)
    assert not video_unet.kept._kept
    hook.remove()
    with torch.no_grad():
        again = video_unet(*x)
    assert torch.equal(again, predict("diffusers", 3, 2, videos=1))
    assert not video_unet.kept._kept


def test_learning_takes_all_frames_at_once():
    video_unet = tuned(tav_core.inflate(small_unet(), window=3))
    parameters, x = video_unet.trainable_parameters(), inputs(1, 7)
    prediction = video_unet(*x)
    torch.autograd.grad(prediction.sum(), parameters.values())
    video_unet.window = 0
    assert torch.equal(video_unet(*x), prediction)


def test_a_window_below_0_is_refused():
    with pytest.raises(ValueError, match="numbers of frames from 0 up"):
        tav_core.inflate(small_unet(), window=-1)
