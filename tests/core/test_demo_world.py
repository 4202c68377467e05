"""The drawn world, and the judge on pictures whose truth is known, most of them unlike those its rules were set on."""

import math
from dataclasses import replace

import pytest
import torch
from einops import rearrange
from torch.nn.functional import avg_pool2d, pad

from tav_core.demo.clips import draw_clip, track
from tav_core.demo.judge import UNCLEAR, compare, drift, read
from tav_core.demo.world import (
    COLOURS,
    HELD_OUT,
    Words,
    all_words,
    draw,
    parse_caption,
    random_scenes,
)

SOME = all_words()[::11]


def scenes_of_some(seed=7):
    return random_scenes(SOME, torch.Generator().manual_seed(seed))


def pictures_of(scenes, resolution=64):
    return rearrange(draw(scenes, resolution), "n c h w -> n h w c")


def blurred(pictures):
    around = pad(rearrange(pictures, "n h w c -> n c h w"), (1, 1, 1, 1), mode="replicate")
    return rearrange(avg_pool2d(around, 3, stride=1), "n c h w -> n h w c")


def share_right(pictures):
    verdicts = [reading.right(words) for reading, words in zip(read(pictures), SOME)]
    return sum(all(v.values()) for v in verdicts) / len(verdicts)


def test_captions_say_each_thing_once_and_read_back():
    captions = {words.caption: words for words in all_words()}
    assert len(captions) == 360
    assert all(parse_caption(caption) == words for caption, words in captions.items())
    assert parse_caption("An outlined  red circle on a blue background") == Words("red", "circle", "blue", "outlined")
    with pytest.raises(ValueError, match="not a caption of the drawn world"):
        parse_caption("a red circle on a red background")


def test_held_out_pairs_leave_their_colours_and_shapes_to_training():
    trained = [words for words in all_words() if not words.held_out]
    assert len(trained) == 315
    for colour, shape in HELD_OUT:
        assert any(words.colour == colour for words in trained) and any(words.shape == shape for words in trained)


def test_one_seed_is_one_picture_and_the_unsaid_differs_between_seeds():
    first, again, other = (draw(scenes_of_some(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first - other).abs().mean(dim=(1, 2, 3)).min() > 0.02
    assert first.min() >= 0 and first.max() <= 1


CHANGES = {
    "as trained": {},
    "larger": {
        "size": lambda s: torch.full_like(s.size, 17.0),
        "x": lambda s: s.x * 0 + 31,
        "y": lambda s: s.y * 0 + 33,
    },
    "smaller": {"size": lambda s: torch.full_like(s.size, 9.0)},
    "turned": {"angle": lambda s: s.angle + 1.0},
    "narrow stripes": {"stripe_period": lambda s: s.stripe_period * 0 + 7.5},
    "darker object, lighter ground": {
        "object_tint": lambda s: s.object_tint * 0.85,
        "background_tint": lambda s: s.background_tint * 1.1,
    },
    "stronger light": {"background_light": lambda s: s.background_light * 1.5},
}


@pytest.mark.parametrize("change", CHANGES)
def test_judge_reads_every_word_place_and_size(change):
    scenes = scenes_of_some()
    scenes = replace(scenes, **{name: new(scenes) for name, new in CHANGES[change].items()})
    pictures = pictures_of(scenes)
    assert share_right(pictures) >= 0.97
    for reading, x, y, size in zip(read(pictures), scenes.x, scenes.y, scenes.size):
        assert math.hypot(reading.x - x, reading.y - y) < 0.6
        assert abs(reading.size - size) < 0.5


def test_judge_reads_blurred_noisy_and_larger_pictures():
    pictures = pictures_of(scenes_of_some())
    noise = 0.04 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    assert share_right(blurred(blurred(pictures))) >= 0.97
    assert share_right((pictures + noise).clamp(0, 1)) >= 0.97
    assert share_right(pictures_of(scenes_of_some(), resolution=128)) >= 0.97


def test_judge_says_which_word_is_wrong():
    shown = Words("red", "star", "blue", "striped")
    reading = read(draw_clip(shown, torch.tensor([[32.0, 32.0]])))[0]
    for name, value in (("colour", "green"), ("shape", "circle"), ("background", "white"), ("style", "plain")):
        verdict = reading.right(replace(shown, **{name: value}))
        assert [word for word, right in verdict.items() if not right] == [name]


def test_judge_does_not_name_what_is_not_there():
    empty = torch.full((1, 64, 64, 3), 0.5) * torch.tensor(COLOURS["green"])
    assert not read(empty)[0].found
    assert not any(read(empty)[0].right(Words("red", "circle", "green")).values())
    bar = empty.clone()
    bar[:, 28:36, 12:52] = torch.tensor([0.85, 0.47, 0.19])  # an orange bar: none of the shapes, none of the colours
    assert (read(bar)[0].shape, read(bar)[0].colour) == (UNCLEAR, UNCLEAR)


def test_compare_measures_words_distance_and_slope():
    words = Words("yellow", "triangle", "purple")
    way = track("line", (22.0, 24.0), (42.0, 40.0), 8)
    source = draw_clip(words, way, seed=3, size=12)
    same = compare(source, source, words)
    assert (same.frames_right, same.track_distance) == (1.0, 0.0) and same.slope == pytest.approx(1.0)

    edited_words = Words("blue", "circle", "white", "outlined")
    half = way.mean(dim=0) + (way - way.mean(dim=0)) / 2
    edited = draw_clip(edited_words, half + torch.tensor([0.0, 6.0]), seed=4, size=12)
    figures = compare(edited, source, edited_words)
    assert figures.frames_right == 1.0
    assert figures.slope == pytest.approx(0.5, abs=0.05)
    expected = (half + torch.tensor([0.0, 6.0]) - way).norm(dim=1).mean().item() / 64
    assert figures.track_distance == pytest.approx(expected, abs=0.01)
    assert compare(edited, source, words).frames_right == 0.0
    with pytest.raises(ValueError, match="must match"):
        compare(edited[:4], source, words)


def test_a_frame_without_an_object_counts_as_lost():
    words = Words("red", "circle", "white")
    source = draw_clip(words, track("line", (20.0, 32.0), (44.0, 32.0), 4), size=12)
    edited = source.clone()
    edited[1] = torch.tensor(COLOURS["white"])
    figures = compare(edited, source, words)
    assert figures.frames_right == 0.75 and figures.track_distance == pytest.approx(0.125)


@pytest.mark.parametrize("kind", ["line", "arc", "bounce"])
def test_drift_sees_a_changing_look_and_not_motion(kind):
    words = Words("green", "star", "red", "striped")
    way = track(kind, (24.0, 38.0), (40.0, 40.0), 8)
    steady = drift(draw_clip(words, way, seed=1, size=12))
    changing = drift(torch.cat([draw_clip(words, way[i : i + 1], seed=10 + i, size=12) for i in range(8)]))
    assert steady[0] < 0.05 and steady[1] < 0.005
    assert changing[0] > 3 * steady[0] and changing[1] > 0.03
