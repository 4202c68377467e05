"""Reads pictures of the drawn world, and compares an edited clip with the clip it was made from.

Written rules, no learned weights: colours are judged by their direction in RGB (a shade darker is still red), shapes
by their overlap with outlines of the same area at every rotation, styles by where the object is dark.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, max_pool2d

from .world import COLOURS, SHAPES, SIZE, Words, signed_distance

UNCLEAR = "unclear"
"""The name given where the judge cannot say: a colour that is none of the world's, or a shape like none of them."""

COLOUR_ANGLE = 10.5
"""A colour this many degrees from every colour of the world is unclear."""
SHAPE_OVERLAP = 0.70
"""A shape that overlaps every shape of the world less than this (intersection over union) is unclear."""
DARK = 0.55
"""Pixels below this share of the object's own brightness are ink or dark stripes."""


@dataclass(frozen=True)
class Reading:
    """What the judge sees in one picture. Places and sizes are in pixels of a 64x64 picture."""

    colour: str
    shape: str
    background: str
    style: str
    x: float
    y: float
    size: float
    found: bool

    def right(self, words: Words) -> dict[str, bool]:
        """Which of colour, shape, background and style are what the words say."""
        names = ("colour", "shape", "background", "style")
        return {name: self.found and getattr(self, name) == getattr(words, name) for name in names}


@dataclass(frozen=True)
class Comparison:
    """How an edited clip follows its words and its source. See compare."""

    frames_right: float
    right: dict[str, float]
    track_distance: float
    slope: float
    object_drift: float
    background_drift: float

    @property
    def drift(self) -> float:
        """Mean of the object's and the background's drift."""
        return (self.object_drift + self.background_drift) / 2


def read(pictures: Tensor) -> list[Reading]:
    """Read pictures.

    Args:
        pictures: [n, h, w, 3] in 0..1, any resolution; one object each.
    """
    seen = [_see(chunk) for chunk in _at_size(pictures).split(32)]
    return [reading for readings, _ in seen for reading in readings]


def compare(edited: Tensor, source: Tensor, words: Words) -> Comparison:
    """Compare an edited clip with its source.

    Args:
        edited, source: [f, h, w, 3] in 0..1, the same number of frames.
        words: what the edited clip should show.

    Returns:
        frames_right: share of frames with all of colour, shape, background and style right;
        right: the share for each of the four;
        track_distance: mean distance between the two objects' centres, as a share of the picture's width; a frame
            without an object counts as half a width;
        slope: of the edited against the source motion, 1 when it goes as far (least squares over the frames with an
            object, nan when the source stands still or fewer than two frames have one);
        object_drift, background_drift: mean change of brightness per pixel and channel (0..1) from frame to frame,
            of the object with its motion taken out, and of what lies behind it.

    Raises:
        ValueError: the clips have different numbers of frames.
    """
    if len(edited) != len(source):
        raise ValueError(f"the edited clip has {len(edited)} frames and its source {len(source)}; they must match.")
    readings, originals = read(edited), read(source)
    verdicts = [r.right(words) for r in readings]
    distances, moved = [], []
    for ours, theirs in zip(readings, originals):
        if ours.found and theirs.found:
            distances.append(math.hypot(ours.x - theirs.x, ours.y - theirs.y) / SIZE)
            moved.append((ours.x, ours.y, theirs.x, theirs.y))
        else:
            distances.append(0.5)
    object_drift, background_drift = drift(edited)
    return Comparison(
        frames_right=sum(all(v.values()) for v in verdicts) / len(verdicts),
        right={name: sum(v[name] for v in verdicts) / len(verdicts) for name in verdicts[0]},
        track_distance=sum(distances) / len(distances),
        slope=_slope(moved),
        object_drift=object_drift,
        background_drift=background_drift,
    )


def drift(frames: Tensor) -> tuple[float, float]:
    """Change of appearance from frame to frame: of the object with its motion taken out, and of the background.

    Args:
        frames: [f, h, w, 3] in 0..1.

    Returns:
        Two means of absolute differences, 0..1; nan where no two neighbouring frames have an object.
    """
    pictures = _at_size(frames)
    readings, masks = _see(pictures)
    around = max_pool2d(masks.float()[:, None], 7, stride=1, padding=3)[:, 0] > 0
    objects, backgrounds = [], []
    line = torch.arange(-11.0, 12.0)
    dy, dx = torch.meshgrid(line, line, indexing="ij")

    def crop(i: int, picture: Tensor) -> Tensor:
        where = torch.stack([dx + readings[i].x, dy + readings[i].y], dim=-1) / (SIZE / 2) - 1
        return grid_sample(picture, where[None], align_corners=False)

    for i in range(len(pictures) - 1):
        if not (readings[i].found and readings[i + 1].found):
            continue
        both = [crop(j, masks[j].float()[None, None]) > 0.5 for j in (i, i + 1)]
        change = (crop(i, pictures[i : i + 1]) - crop(i + 1, pictures[i + 1 : i + 2])).abs().mean(dim=1)
        objects.append(change[(both[0] | both[1])[:, 0]].mean().item())
        behind = ~(around[i] | around[i + 1])
        backgrounds.append((pictures[i] - pictures[i + 1]).abs().mean(dim=0)[behind].mean().item())
    if not objects:
        return math.nan, math.nan
    return sum(objects) / len(objects), sum(backgrounds) / len(backgrounds)


def _at_size(pictures: Tensor) -> Tensor:
    """[n, h, w, 3] -> [n, 3, 64, 64] float32."""
    if pictures.ndim != 4 or pictures.shape[-1] != 3:
        raise ValueError(f"expected pictures of shape [n, h, w, 3] in 0..1, got {list(pictures.shape)}.")
    pictures = rearrange(pictures.detach().float().cpu(), "n h w c -> n c h w")
    if pictures.shape[-2:] != (SIZE, SIZE):
        pictures = interpolate(pictures, size=(SIZE, SIZE), mode="bilinear", antialias=True)
    return pictures


def _see(pictures: Tensor) -> tuple[list[Reading], Tensor]:
    """Readings of [n, 3, 64, 64], and the masks [n, 64, 64] of their objects."""
    edge = torch.ones(SIZE, SIZE, dtype=torch.bool)
    edge[4:-4, 4:-4] = False
    ground = pictures[:, :, edge].median(dim=-1).values
    masks = _object(pictures, ground)
    core = _shrink(masks, 2)
    core = torch.where(core.sum(dim=(1, 2), keepdim=True) >= 12, core, masks)
    brightness = pictures.mean(dim=1)
    shapes = _shapes(masks)

    readings = []
    for i, mask in enumerate(masks):
        area = mask.sum().item()
        found = 60 <= area <= 0.5 * SIZE * SIZE
        ys, xs = mask.nonzero(as_tuple=True)
        x, y = (xs.float().mean().item() + 0.5, ys.float().mean().item() + 0.5) if area else (math.nan, math.nan)
        colour = style = UNCLEAR
        if found:
            own = brightness[i][core[i]].quantile(0.85)
            lit = core[i] & (brightness[i] >= 0.8 * own)
            colour = _colour(pictures[i][:, lit].median(dim=-1).values)
            style = _style(brightness[i] < DARK * own, mask, core[i])
        readings.append(
            Reading(
                colour=colour,
                shape=shapes[i] if found else UNCLEAR,
                background=_colour(ground[i]),
                style=style,
                x=x,
                y=y,
                size=math.sqrt(area / math.pi),
                found=found,
            )
        )
    return readings, masks


def _angle(pictures: Tensor, colour: Tensor) -> Tensor:
    """Angle in degrees between every pixel of [n, 3, h, w] and one colour per picture [n, 3]."""
    product = (pictures * colour[:, :, None, None]).sum(dim=1)
    lengths = pictures.norm(dim=1) * colour.norm(dim=1)[:, None, None]
    return torch.rad2deg((product / lengths.clamp(min=1e-6)).clamp(-1, 1).acos())


def _object(pictures: Tensor, ground: Tensor) -> Tensor:
    """Masks [n, 64, 64] of the largest thing that has not the background's colour, its holes filled."""
    brightness = pictures.mean(dim=1)
    away = _angle(pictures, ground)
    dark = brightness < 0.45 * ground.mean(dim=1)[:, None, None]
    first = _largest((away > 13) | dark)

    # Again, with the background's slope of light known, and the edge halfway between the two colours.
    line = torch.linspace(-1, 1, SIZE)
    plane = torch.stack([torch.ones(SIZE, SIZE), line.expand(SIZE, SIZE), line[:, None].expand(SIZE, SIZE)], dim=-1)
    result = torch.zeros_like(first)
    for i, mask in enumerate(first):
        rest = max_pool2d(mask.float()[None, None], 5, stride=1, padding=2)[0, 0] == 0
        if not mask.any() or rest.sum() < 100:
            continue
        fit = torch.linalg.lstsq(plane[rest], brightness[i][rest][:, None]).solution
        level = (plane @ fit)[..., 0]
        coloured = away[i][mask]
        halfway = (coloured.quantile(0.7) / 2).clamp(8, 18)
        result[i] = (away[i] > halfway) | (brightness[i] < DARK * level)
    return _filled(_largest(result))


def _largest(masks: Tensor) -> Tensor:
    """Keep each mask's largest connected region."""
    n, h, w = masks.shape
    labels = torch.arange(1, h * w + 1, dtype=torch.float32).view(1, h, w) * masks
    while True:
        spread = max_pool2d(labels[:, None], 3, stride=1, padding=1)[:, 0] * masks
        if torch.equal(spread, labels):
            break
        labels = spread
    counts = torch.zeros(n, h * w + 1).scatter_add_(1, labels.flatten(1).long(), torch.ones(n, h * w))
    counts[:, 0] = 0
    return masks & (labels == counts.argmax(dim=1).view(n, 1, 1))


def _filled(masks: Tensor) -> Tensor:
    """Fill what the outside cannot reach."""
    outside = torch.ones_like(masks)
    outside[:, 1:-1, 1:-1] = False
    outside &= ~masks
    while True:
        spread = (max_pool2d(outside.float()[:, None], 3, stride=1, padding=1)[:, 0] > 0) & ~masks
        if torch.equal(spread, outside):
            return ~outside
        outside = spread


def _shrink(masks: Tensor, pixels: int) -> Tensor:
    return max_pool2d((~masks).float()[:, None], 2 * pixels + 1, stride=1, padding=pixels)[:, 0] == 0


def _colour(rgb: Tensor) -> str:
    palette = torch.tensor(list(COLOURS.values()))
    angles = _angle(palette[:, :, None, None], rgb.expand(len(palette), 3)).flatten()
    best = angles.argmin().item()
    return list(COLOURS)[best] if angles[best] < COLOUR_ANGLE and rgb.mean() > 0.1 else UNCLEAR


def _style(dark: Tensor, mask: Tensor, core: Tensor) -> str:
    rim = _shrink(mask[None], 1)[0] & ~_shrink(mask[None], 2)[0]
    around, within = dark[rim].float().mean().item(), dark[core].float().mean().item()
    if around > 0.75:
        return "outlined"
    return "striped" if within > 0.18 else "plain"


def _shapes(masks: Tensor) -> list[str]:
    """The shape that overlaps each mask best, at the mask's own centre and area."""
    turns = {"circle": (1.0, 1), "cross": (90.0, 12), "triangle": (120.0, 16), "star": (72.0, 12)}
    line = torch.arange(SIZE) + 0.5
    py, px = torch.meshgrid(line, line, indexing="ij")
    area = masks.sum(dim=(1, 2)).clamp(min=1)
    x, y = ((masks * p).sum(dim=(1, 2)) / area for p in (px, py))
    dx, dy = px - x[:, None, None], py - y[:, None, None]
    size = (area / math.pi).sqrt()[:, None, None]
    names, overlaps = [], []
    for shape in SHAPES:
        period, steps = turns[shape]
        for step in range(steps):
            turn = math.radians(period * step / steps)
            u, v = dx * math.cos(turn) + dy * math.sin(turn), dy * math.cos(turn) - dx * math.sin(turn)
            ideal = signed_distance(shape, u, v, size) < 0
            names.append(shape)
            overlaps.append((ideal & masks).sum(dim=(1, 2)) / (ideal | masks).sum(dim=(1, 2)).clamp(min=1))
    best = torch.stack(overlaps).max(dim=0)
    return [names[i] if value >= SHAPE_OVERLAP else UNCLEAR for value, i in zip(best.values, best.indices)]


def _slope(moved: list[tuple[float, float, float, float]]) -> float:
    if len(moved) < 2:
        return math.nan
    places = torch.tensor(moved)
    ours, theirs = (p - p.mean(dim=0) for p in (places[:, :2], places[:, 2:]))
    way = (theirs**2).sum().item()
    return (ours * theirs).sum().item() / way if way > 4.0 else math.nan
