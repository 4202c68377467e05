"""Read pictures of the drawn world: who is in them, in which pose, where, in which clothes and in which style.

A small convolutional network, trained by tools/train_demo_judge.py on drawn pictures, whose truth is known, blurred,
faded and noisy as a small model's pictures are. It knows nothing of captions, of clips or of the demo model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
from einops import rearrange
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from .figures import FIGURES, HATS, SIDEWAYS, VERBS, joints, pose
from .pen import STYLES
from .places import PLACES, SKIES
from .world import ANY, COLOURS, SIZE, Scene, Words

WEIGHTS = Path(__file__).parent / "judge.safetensors"
UNCLEAR = "unclear"
"""Reading of a picture where the judge is not sure."""
SURE = 0.5
"""The least probability of what is read."""
NAMES: dict[str, tuple[str, ...]] = {
    "figure": FIGURES,
    "verb": VERBS,
    "place": tuple(PLACES),
    "style": STYLES,
    "clothes": tuple(COLOURS),
    "trousers": tuple(COLOURS),
    "hat": HATS,
    "sky": tuple(SKIES),
}
"""Attributes that are read, and their names; clothes are the shirt's colour."""
UNSAID = ("clothes", "trousers", "hat", "sky")
"""Attributes that a caption leaves open: hats, trousers and time of day always, the shirt often."""
LOOKS = ("head", "shirt", "trousers", "sky", "ground")
"""The rows of Reading.colours."""
POINTS = 13
"""Hips, knees, feet, shoulders, elbows and hands, the left one in the picture first, and the head."""


@dataclass(frozen=True)
class Reading:
    """The judge's reading of one picture.

    Attributes:
        named: by the keys of NAMES, one of the names or UNCLEAR.
        points: [13, 2] x and y in pixels of hips, knees, feet, shoulders, elbows and hands, the left one in the picture
            first, and of the head.
        colours: [5, 3] of LOOKS in 0..1.
    """

    named: dict[str, str]
    points: Tensor
    colours: Tensor

    def right(self, words: Words) -> dict[str, bool]:
        """Return which of the words are what the picture shows; clothes only when they are said."""
        said = ("figure", "verb", "place", "style") + (() if words.clothes == ANY else ("clothes",))
        return {name: self.named[name] == getattr(words, name) for name in said}


class Judge(nn.Module):
    """Logits of every name, and the points, of pictures [n, 3, 96, 96] in 0..1."""

    def __init__(self) -> None:
        super().__init__()

        def layer(inner: int, outer: int, stride: int) -> list[nn.Module]:
            return [nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer), nn.ReLU()]

        self.layers = nn.Sequential(
            *layer(3, 32, 2),
            *layer(32, 64, 2),
            *layer(64, 96, 1),
            *layer(96, 128, 2),
            nn.Flatten(),
            nn.Linear(128 * 36, 192),
            nn.BatchNorm1d(192),
            nn.ReLU(),
            nn.Linear(192, sum(map(len, NAMES.values())) + 2 * POINTS),
        )

    def forward(self, pictures: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        out = self.layers(2 * avg_pool2d(pictures, 2) - 1)
        parts = out.split([*map(len, NAMES.values()), 2 * POINTS], dim=-1)
        return dict(zip(NAMES, parts)), SIZE * (0.5 + rearrange(parts[-1], "n (p c) -> n p c", c=2))


def truth(scene: Scene) -> tuple[dict[str, int], Tensor]:
    """Return what a scene of one figure shows: the number of every name, and the points."""
    words = scene.words
    named = {name: getattr(words, name) for name in ("figure", "verb", "place", "style")}
    named |= {"clothes": scene.shirt, "trousers": scene.trousers, "hat": scene.hat, "sky": scene.sky}
    seen = pose(words.verb, scene.phase[0], scene.facing)
    body = joints(seen, words.verb in SIDEWAYS, scene.x[0], scene.ground, scene.height)
    pairs = (body.hips, body.knees, body.feet, body.shoulders, body.elbows, body.hands)
    points = [point for pair in pairs for point in sorted(pair)]
    return {name: NAMES[name].index(value) for name, value in named.items()}, torch.tensor([*points, body.head])


@cache
def _judge() -> Judge:
    judge = Judge()
    judge.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    return judge.eval().requires_grad_(False)


def read(pictures: Tensor) -> list[Reading]:
    """Read pictures.

    Args:
        pictures: [n, h, w, 3] in 0..1, any resolution; one figure each.
    """
    pictures = rearrange(pictures, "n h w c -> n c h w").float().cpu()
    if pictures.shape[-2:] != (SIZE, SIZE):
        pictures = interpolate(pictures, (SIZE, SIZE), mode="area")
    with torch.no_grad():
        logits, points = _judge()(pictures)
    readings = []
    for i, (picture, places) in enumerate(zip(pictures, points)):
        named = {}
        for name, values in logits.items():
            probability, number = values[i].softmax(dim=-1).max(dim=-1)
            named[name] = NAMES[name][int(number)] if probability >= SURE else UNCLEAR
        readings.append(Reading(named, places, _looks(picture, places)))
    return readings


def _looks(picture: Tensor, points: Tensor) -> Tensor:
    """Return the median colours of patches on head, shirt and trousers, and of the picture's top and bottom."""
    hips, knees, shoulders, head = points[:2].mean(0), points[2:4].mean(0), points[6:8].mean(0), points[12]
    middles = (head + torch.tensor([0.0, -8.0]), 0.45 * hips + 0.55 * shoulders, 0.6 * hips + 0.4 * knees)
    areas = []
    for (x, y), (wide, high) in zip(middles, ((6, 3), (5, 4), (4, 3))):
        left, top = (int(min(max(v, r), SIZE - 1 - r)) for v, r in ((x, wide), (y, high)))
        areas.append(picture[:, top - high : top + high + 1, left - wide : left + wide + 1])
    areas += [picture[:, :6], torch.cat([picture[:, 74:87, :20], picture[:, 74:87, -20:]], dim=-1)]
    return torch.stack([area.flatten(1).median(dim=1).values for area in areas])


@dataclass(frozen=True)
class Comparison:
    """Agreement of an edited clip with its words and its source. See compare."""

    frames_right: float
    right: dict[str, float]
    pose_distance: float
    order: float
    drift: float
    drift_above: float
    flips: float
    away: float


def compare(edited: Tensor, source: Tensor, words: Words, source_words: Words) -> Comparison:
    """Compare an edited clip with its source.

    Args:
        edited, source: [f, h, w, 3] in 0..1, the same number of frames.
        words: what the edited clip should show; source_words: what the source shows.

    Returns:
        frames_right: share of frames with all that the words say right; right: the share for each;
        pose_distance: mean distance of knees, feet, elbows and hands from the source's, seen from between the hips, as
            a share of the figure's height;
        order: correlation of those places with the source's over the frames, 1 when the poses follow the source's;
        drift: mean change of the colours of LOOKS from frame to frame, 0..1; drift_above: less the source's own;
        flips: unsaid things (UNSAID) that change their name, per pair of frames;
        away: mean distance of the colours that the words left as they were from the source's, 0..1.

    Raises:
        ValueError: the clips have different numbers of frames.
    """
    if len(edited) != len(source):
        raise ValueError(f"The edited clip has {len(edited)} frames, its source {len(source)}: give as many of both.")
    ours, theirs = read(edited), read(source)
    verdicts = [reading.right(words) for reading in ours]
    limbs, sources = _limbs(ours), _limbs(theirs)
    colours, originals = (torch.stack([r.colours for r in readings]) for readings in (ours, theirs))
    kept = [look for look in LOOKS if look not in _changed(words, source_words)]
    apart = (colours - originals)[:, [LOOKS.index(look) for look in kept]].abs().mean()
    return Comparison(
        frames_right=sum(all(v.values()) for v in verdicts) / len(verdicts),
        right={name: sum(v[name] for v in verdicts) / len(verdicts) for name in verdicts[0]},
        pose_distance=float((limbs - sources).norm(dim=-1).mean()),
        order=_correlation(limbs, sources),
        drift=_drift(colours),
        drift_above=_drift(colours) - _drift(originals),
        flips=flips(ours, words),
        away=float(apart) if kept else math.nan,
    )


def drift(pictures: Tensor) -> float:
    """Return the mean change of the colours of LOOKS from frame to frame of a clip [f, h, w, 3], 0..1."""
    return _drift(torch.stack([reading.colours for reading in read(pictures)]))


def _drift(colours: Tensor) -> float:
    return float(colours.diff(dim=0).abs().mean())


def flips(readings: list[Reading], words: Words) -> float:
    """Return how many unsaid things change their name, per pair of frames."""
    unsaid = [name for name in UNSAID if name != "clothes" or words.clothes == ANY]
    changes = [sum(a.named[n] != b.named[n] for n in unsaid) for a, b in pairwise(readings)]
    return sum(changes) / max(1, len(changes))


def _limbs(readings: list[Reading]) -> Tensor:
    """Return [f, 8, 2] knees, feet, elbows and hands from between the hips, in heights."""
    points = torch.stack([reading.points for reading in readings])
    hips = points[:, :2].mean(dim=1, keepdim=True)
    height = (points[:, 4:6, 1].amax(dim=1) - points[:, 12, 1]).clamp(min=20.0) * 1.25
    return (points[:, [2, 3, 4, 5, 8, 9, 10, 11]] - hips) / height[:, None, None]


def _correlation(limbs: Tensor, sources: Tensor) -> float:
    """Return the correlation of two clips' limbs over the frames, those that move more counting more."""
    a, b = (rearrange(value, "f p c -> f (p c)") for value in (limbs, sources))
    a, b = a - a.mean(dim=0), b - b.mean(dim=0)
    return float((a * b).sum() / (a.norm() * b.norm() + 1e-9))


def _changed(words: Words, source: Words) -> set[str]:
    """Return the looks that a changed word changes."""
    changed = set()
    if words.figure != source.figure:
        changed.add("head")
    if words.clothes not in (source.clothes, ANY):
        changed.add("shirt")
    if words.place != source.place:
        changed.add("ground")
    return set(LOOKS) if words.style != source.style else changed
