"""The drawn world, and the judge on pictures whose truth is known and that it was not trained on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from einops import rearrange
from torch.nn.functional import avg_pool2d

from tav_core.demo.clips import clip_scenes, draw_clip
from tav_core.demo.figures import FIGURES, VERBS, pose
from tav_core.demo.judge import LOOKS, NAMES, compare, read, truth
from tav_core.demo.pen import STYLES
from tav_core.demo.places import PLACES
from tav_core.demo.world import COLOURS, HELD_OUT, Words, all_words, draw, parse_caption, random_scene

SOME = all_words()[::13]


@pytest.fixture(scope="module")
def scenes():
    return [random_scene(words, 10_000 + i) for i, words in enumerate(SOME)]


@pytest.fixture(scope="module")
def pictures(scenes):
    return torch.from_numpy(np.stack([draw(scene) for scene in scenes])).float() / 255


def shares(pictures, scenes):
    """Return the share read right of every name."""
    readings = read(pictures)
    right = [{n: r.named[n] == NAMES[n][truth(s)[0][n]] for n in NAMES} for r, s in zip(readings, scenes)]
    return {name: sum(r[name] for r in right) / len(right) for name in NAMES}


def test_captions_say_each_thing_once_and_read_back():
    captions = {words.caption: words for words in all_words()}
    assert len(captions) == len(FIGURES) * len(VERBS) * len(PLACES) * (1 + len(COLOURS)) * len(STYLES)
    assert all(parse_caption(caption) == words for caption, words in list(captions.items())[::37])
    assert parse_caption("A man,  wearing a red shirt, is running on the beach, sketch style") == Words(
        "man", "running", "beach", "red", "sketch"
    )
    assert parse_caption("two frogs, wearing red shirts, are jumping in the snow").two
    with pytest.raises(ValueError, match="not a caption of the drawn world"):
        parse_caption("a cat is running on the beach")
    assert all(Words(figure, "running", "city", other).held_out for figure, other in HELD_OUT if other in COLOURS)


def test_a_scene_is_its_words_and_its_seed():
    words = Words("robot", "dancing", "city")
    assert random_scene(words, 3) == random_scene(words, 3) != random_scene(words, 4)
    assert random_scene(replace(words, clothes="red"), 5).shirt == "red"
    looks = [random_scene(words, seed) for seed in range(40)]
    for name in ("shirt", "trousers", "sky", "hat", "prop", "facing", "body"):
        assert len({getattr(scene, name) for scene in looks}) >= 2, name


def test_frames_of_a_clip_share_all_but_the_pose_and_the_path():
    first, *others = clip_scenes(Words("panda", "running", "park"), 12, seed=2)
    assert all(replace(s, phase=first.phase, camera=first.camera) == first for s in others)
    assert len({scene.phase for scene in others}) == 11
    assert draw_clip(Words("man", "waving", "snow"), 3).shape == (3, 96, 96, 3)


def angles(verb: str, phase: float, facing: int = 1) -> tuple[float, ...]:
    seen = pose(verb, phase, facing)
    return (*seen.thighs, *seen.shins, *seen.arms, *seen.forearms, seen.lean)


@pytest.mark.parametrize("verb", VERBS)
def test_poses_close_their_cycle_and_mirror(verb):
    assert angles(verb, 0.0) == pytest.approx(angles(verb, 1.0))
    steps = [np.abs(np.subtract(angles(verb, i / 24), angles(verb, (i + 1) / 24))).max() for i in range(24)]
    assert max(steps) < 0.6
    assert sorted(np.abs(angles(verb, 0.2, 1))) == pytest.approx(sorted(np.abs(angles(verb, 0.2, -1))))


def test_judge_reads_drawn_pictures(pictures, scenes):
    right = shares(pictures, scenes)
    assert min(right.values()) >= 0.9, right
    off = [(r.points - truth(s)[1]).norm(dim=1).mean() for r, s in zip(read(pictures), scenes)]
    assert sum(off) / len(off) < 2.5


def test_judge_reads_blurred_noisy_and_larger_pictures(pictures, scenes):
    soft = rearrange(
        avg_pool2d(rearrange(pictures, "n h w c -> n c h w"), 3, 1, 1, count_include_pad=False), "n c h w -> n h w c"
    )
    noise = 0.05 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    larger = pictures.repeat_interleave(2, 1).repeat_interleave(2, 2)
    for changed in (soft, (pictures + noise).clamp(0, 1), larger):
        right = shares(changed, scenes)
        assert min(right.values()) >= 0.87, right


def test_judge_says_which_word_is_wrong():
    shown = Words("man", "jumping", "beach", "red")
    reading = read(draw_clip(shown, 4, seed=1))[0]
    assert all(reading.right(shown).values())
    wrong = {"figure": "frog", "verb": "running", "place": "snow", "clothes": "blue", "style": "neon"}
    for name, value in wrong.items():
        verdict = reading.right(replace(shown, **{name: value}))
        assert [word for word, right in verdict.items() if not right] == [name]


def test_compare_sees_a_changing_look_and_another_pose_and_not_motion():
    words = Words("man", "dancing", "park")
    source = draw_clip(words, 8, seed=6)
    same = compare(source, source, words, words)
    assert same.frames_right >= 0.8 and same.pose_distance == 0 and same.order == pytest.approx(1) and same.away == 0
    scenes = clip_scenes(words, 8, seed=6)
    looks = [random_scene(words, 50 + i) for i in range(8)]
    flickering = [replace(look, phase=s.phase, x=s.x, facing=s.facing) for look, s in zip(looks, scenes)]
    flicker = compare(torch.from_numpy(np.stack([draw(s) for s in flickering])).float() / 255, source, words, words)
    assert flicker.drift > 3 * same.drift and flicker.flips > same.flips + 1 and flicker.away > 0.05
    other = compare(draw_clip(Words("man", "jumping", "park"), 8, seed=6), source, words, words)
    assert other.right["verb"] < 0.3 and other.pose_distance > 0.05 and other.order < 0.8
    assert len(LOOKS) == read(source)[0].colours.shape[0]
    with pytest.raises(ValueError, match="frames, its source"):
        compare(source[:4], source, words, words)
