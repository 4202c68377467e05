"""Windows of frames: the numbers of all frames at once where the network is causal, and nothing kept afterwards."""

import pytest
import torch

pytest.importorskip("diffusers")

from networks import LAYOUTS, MODES, inputs, relative_error, small_unet, tuned
from torch import Tensor, nn

import tav_core
from tav_core.network.windows import frames_in_time

FRAMES = 11


def predict(layout: str, window: int, overlap: int = 0, videos: int = 2, **options) -> Tensor:
    """Return the prediction for two videos at different timesteps and prompts, as of the two branches of guidance."""
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


@pytest.mark.parametrize(
    ("overlap", "second", "third"),
    [
        (0, [(4, 8)] * 4, [(8, 12)] * 4),
        (2, [(2, 6)] * 2 + [(3, 7), (4, 8)], [(6, 10)] * 2 + [(7, 11), (8, 12)]),
        (3, [(1, 5), (2, 6), (3, 7), (4, 8)], [(5, 9), (6, 10), (7, 11), (8, 12)]),
        (7, [(0, 8)] * 4, [(1, 9), (2, 10), (3, 11), (4, 12)]),
    ],
)
def test_frames_that_temporal_attention_sees(overlap, second, third):
    """A window's frames, or the overlap and itself; with an overlap of 3, they move on by one frame each."""
    for window, expected in ((range(4), [(0, 4)] * 4), (range(4, 8), second), (range(8, 12), third)):
        first = max(0, window.start - overlap)
        seen = frames_in_time(window, window.stop - first, overlap)
        assert [(first + frames.start, first + frames.stop) for frames in seen] == expected


@torch.no_grad()
def test_temporal_attention_sees_frames_before_the_window():
    """Also those from further back than one window."""
    video_unet = tuned(tav_core.inflate(small_unet(), window=4, overlap=7))
    attn_temp, seen = video_unet.temporal[0].attn_temp, []
    kernel = attn_temp.kernel
    attn_temp.kernel = lambda query, key, value: seen.append((query.shape[2], key)) or kernel(query, key, value)
    video_unet(*inputs(1, 12))
    assert [(queries, key.shape[2]) for queries, key in seen] == [(4, 4), (4, 8)] + [(1, 8)] * 4
    first, second, *_, last = (key for _, key in seen)
    assert torch.equal(second[:, :, :4], first) and torch.equal(last[:, :, :4], second[:, :, 4:])


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


@torch.no_grad()
def test_joint_norms_follow_the_frames_without_a_jump():
    """Frames of the first window have its statistics; later ones, those of as many frames up to themselves."""
    video_unet, checked = tav_core.inflate(small_unet(), temporal_attention=False, window=4), []
    norm = video_unet.unet.down_blocks[0].resnets[0].norm1
    hook = norm.register_forward_hook(lambda _, args, output: checked.append((args[0], output)))
    video_unet(*inputs(2, 12))
    hook.remove()
    x, output = (torch.cat([part.unflatten(0, (2, -1)) for part in parts], dim=1) for parts in zip(*checked))
    for frame in range(12):
        seen = x[:, :4] if frame < 4 else x[:, frame - 3 : frame + 1]
        at = frame if frame < 4 else 3
        expected = nn.functional.group_norm(
            seen.transpose(1, 2), norm.num_groups, norm.weight, norm.bias, norm.eps
        ).transpose(1, 2)[:, at]
        torch.testing.assert_close(output[:, frame], expected, rtol=1e-4, atol=1e-5)
