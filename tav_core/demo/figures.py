"""Articulated figures of the drawn world: their poses, and the parts that draw them.

A pose is a set of joint angles, measured from straight down and in radians, positive towards the right of the picture.
A verb is a cycle of poses: phase 0 and phase 1 are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .pen import Disc, Line, Part, Polygon

FIGURES = ("man", "robot", "panda", "frog", "skeleton")
VERBS = ("running", "jumping", "waving", "dancing")
HATS = ("none", "cap", "top hat")
SIDEWAYS = ("running",)
"""Verbs seen from the side; a figure does the others with its face to the viewer."""


@dataclass(frozen=True)
class Pose:
    """Joint angles of one moment.

    Attributes:
        thighs, shins, arms, forearms: the two limbs' angles, each (near or left, far or right).
        lean: of the torso, positive to the right.
        lift: height of the feet over the ground, as a share of the figure's height.
    """

    thighs: tuple[float, float]
    shins: tuple[float, float]
    arms: tuple[float, float]
    forearms: tuple[float, float]
    lean: float = 0.0
    lift: float = 0.0


def pose(verb: str, phase: float, facing: int = 1) -> Pose:
    """Return the pose of a verb's cycle.

    Args:
        verb: one of VERBS.
        phase: 0..1, where in the cycle.
        facing: 1 to the right, -1 to the left.
    """
    turn = 2 * math.pi * phase
    swing = math.sin(turn)
    if verb == "running":
        thighs = (0.95 * swing + 0.1, -0.95 * swing + 0.1)
        bends = [0.25 + 1.35 * max(0.0, math.cos(turn + shift)) for shift in (0.35, math.pi + 0.35)]
        shins = tuple(thigh - bend for thigh, bend in zip(thighs, bends))
        arms = (-1.05 * swing, 1.05 * swing)
        forearms = tuple(arm + 1.45 for arm in arms)
        found = Pose(thighs, shins, arms, forearms, 0.2, 0.04 * abs(math.cos(turn)))
        return found if facing > 0 else _mirrored(found)
    if verb == "jumping":
        s = (1 - math.cos(turn)) / 2
        leg, arm = 0.06 + 0.62 * s, 0.28 + 2.4 * s
        return Pose((-leg, leg), (-leg, leg), (-arm, arm), (-arm - 0.1, arm + 0.1), 0.0, 0.13 * s)
    if verb == "waving":
        raised = 1.95 + 0.1 * swing
        found = Pose((-0.1, 0.1), (-0.1, 0.1), (-0.75, raised), (0.85, 2.85 + 0.6 * swing), 0.06 * swing)
    elif verb == "dancing":
        lifted = [0.75 * max(0.0, swing), 0.75 * max(0.0, -swing)]
        found = Pose(
            (-0.2 - lifted[0], 0.2 + lifted[1]),
            (-0.15 + 0.75 * lifted[0], 0.15 - 0.75 * lifted[1]),
            (-1.45 - 0.6 * swing, 1.45 - 0.6 * swing),
            (-1.45 - 1.5 * swing, 1.45 - 1.5 * swing),
            0.2 * swing,
            0.02 * abs(swing),
        )
    else:
        raise ValueError(f"The verb {verb!r} is unknown: choose one of {', '.join(VERBS)}.")
    return found if facing > 0 else _mirrored(found, swap=True)


def _mirrored(seen: Pose, swap: bool = False) -> Pose:
    """Mirror a pose; swap gives the left limb's angles to the right one, for figures seen from the front."""
    order = slice(None, None, -1 if swap else 1)
    pairs = [tuple(-a for a in pair)[order] for pair in (seen.thighs, seen.shins, seen.arms, seen.forearms)]
    return Pose(*pairs, -seen.lean, seen.lift)


@dataclass(frozen=True)
class Body:
    """Places of the joints, in pixels of the picture."""

    hips: tuple[tuple[float, float], ...]
    knees: tuple[tuple[float, float], ...]
    feet: tuple[tuple[float, float], ...]
    shoulders: tuple[tuple[float, float], ...]
    elbows: tuple[tuple[float, float], ...]
    hands: tuple[tuple[float, float], ...]
    head: tuple[float, float]


def joints(seen: Pose, sideways: bool, x: float, ground: float, height: float) -> Body:
    """Return the joints of a figure whose lower foot stands on the ground, or hangs pose.lift above it."""
    h = height
    leg, arm = 0.165 * h, 0.155 * h
    spread = (0.0, 0.0) if sideways else (-1.0, 1.0)

    def along(start: tuple[float, float], angle: float, length: float) -> tuple[float, float]:
        return start[0] + length * math.sin(angle), start[1] + length * math.cos(angle)

    drop = max(leg * (math.cos(a) + math.cos(b)) for a, b in zip(seen.thighs, seen.shins))
    middle = (x - 0.1 * h * math.sin(seen.lean), ground - 0.05 * h - drop - seen.lift * h)
    neck = along(middle, math.pi - seen.lean, 0.25 * h)
    hips = tuple((middle[0] + 0.062 * h * s, middle[1]) for s in spread)
    shoulders = tuple((neck[0] + 0.105 * h * s, neck[1] + 0.05 * h) for s in spread)
    knees = tuple(along(p, a, leg) for p, a in zip(hips, seen.thighs))
    feet = tuple(along(p, a, leg) for p, a in zip(knees, seen.shins))
    elbows = tuple(along(p, a, arm) for p, a in zip(shoulders, seen.arms))
    hands = tuple(along(p, a, arm) for p, a in zip(elbows, seen.forearms))
    return Body(hips, knees, feet, shoulders, elbows, hands, along(neck, math.pi - 0.6 * seen.lean, 0.16 * h))


def figure_parts(
    figure: str, verb: str, phase: float, facing: int, x: float, ground: float, height: float, hat: str, hair: bool
) -> list[list[Part]]:
    """Return what draws a figure, back to front: groups of parts that are outlined together.

    Args:
        figure: one of FIGURES; verb: one of VERBS; phase: 0..1.
        facing: 1 to the right, -1 to the left.
        x, ground: of the feet, pixels; height: pixels.
        hat: one of HATS; hair: whether a man without a hat has hair.
    """
    h, sideways = height, verb in SIDEWAYS
    body = joints(pose(verb, phase, facing), sideways, x, ground, height)
    limb = (0.085 if figure == "skeleton" else 0.115) * h

    def leg(i: int) -> list[Part]:
        out = facing if sideways else (-1, 1)[i]
        hip, knee, foot = body.hips[i], body.knees[i], body.feet[i]
        sole = (foot[0] + 0.055 * h * out, foot[1] + 0.01 * h)
        return [
            Part("body", Line(knee, foot, limb)),
            Part("shoes", Line(foot, sole, limb * 1.1)),
            Part("trousers", Line(hip, _between(knee, foot, 0.35), limb * 1.15)),
        ]

    def arm(i: int) -> list[Part]:
        shoulder, elbow, hand = body.shoulders[i], body.elbows[i], body.hands[i]
        return [
            Part("body", Line(elbow, hand, limb * 0.9)),
            Part("body", Disc(hand, limb * 0.62)),
            Part("shirt", Line(shoulder, elbow, limb)),
        ]

    top = _between(*body.shoulders, 0.5)
    bottom = _between(*body.hips, 0.5)
    wide = 0.235 * h if not sideways else 0.2 * h
    torso = [
        Part("trousers", Line(body.hips[0], body.hips[1], limb * 1.25)),
        Part("shirt", Line((top[0], top[1] + 0.035 * h), (bottom[0], bottom[1] - 0.075 * h), wide)),
    ]
    if figure == "panda":
        torso[1:] = [Part("shirt", Line((top[0], top[1] + 0.05 * h), (bottom[0], bottom[1] - 0.07 * h), wide * 1.2))]
    groups = [arm(1), leg(1), leg(0), torso] if sideways else [leg(0), leg(1), torso, arm(1)]
    return [*groups, *_head(figure, body.head, 0.165 * h, facing, sideways, hat, hair), arm(0)]


def _between(a: tuple[float, float], b: tuple[float, float], share: float) -> tuple[float, float]:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _head(
    figure: str, centre: tuple[float, float], r: float, facing: int, sideways: bool, hat: str, hair: bool
) -> list[list[Part]]:
    x, y = centre
    look = facing * r * (0.42 if sideways else 0.12)

    def at(u: float, v: float) -> tuple[float, float]:
        return x + u * r, y + v * r

    def box(u0: float, v0: float, u1: float, v1: float) -> Polygon:
        return Polygon((at(u0, v0), at(u1, v0), at(u1, v1), at(u0, v1)))

    def eyes(apart: float, v: float, size: float, name: str) -> list[Part]:
        return [Part(name, Disc((x + look + e * apart * r, y + v * r), size * r)) for e in (-1, 1)]

    behind: list[Part] = []
    face: list[Part] = []
    if figure == "robot":
        skull = [Part("head", box(-1.05, -0.95, 1.05, 0.9))]
        face = [Part("white", box(look / r - 0.75, -0.45, look / r + 0.75, 0.1)), *eyes(0.38, -0.17, 0.2, "dark")]
        face += [Part("dark", box(look / r - 0.5, 0.4, look / r + 0.5, 0.62))]
    else:
        skull = [Part("head", Disc(centre, r * (1.15 if figure == "frog" else 1.0), r * 0.95))]
        if figure == "panda":
            behind = [Part("body", Disc(at(e * 0.8, -0.78), 0.44 * r)) for e in (-1, 1)]
            face = [*eyes(0.42, -0.02, 0.33, "body"), *eyes(0.42, -0.02, 0.13, "white")]
            face += [Part("dark", Disc((x + look, y + 0.42 * r), 0.17 * r, 0.13 * r))]
        elif figure == "frog":
            behind = [Part("head", Disc(at(e * 0.6, -0.8), 0.5 * r)) for e in (-1, 1)]
            face = [Part("white", Disc((x + look + e * 0.58 * r, y - 0.85 * r), 0.34 * r)) for e in (-1, 1)]
            face += [Part("dark", Disc((x + 1.2 * look + e * 0.58 * r, y - 0.85 * r), 0.19 * r)) for e in (-1, 1)]
            face += [Part("dark", Line((x + look - 0.6 * r, y + 0.3 * r), (x + look + 0.6 * r, y + 0.3 * r), 0.16 * r))]
        elif figure == "skeleton":
            skull += [Part("head", box(-0.55, 0.4, 0.55, 1.1))]
            face = [*eyes(0.42, -0.05, 0.31, "dark"), Part("dark", Disc((x + look, y + 0.4 * r), 0.12 * r))]
            face += [Part("dark", Line((x - 0.4 * r, y + 0.78 * r), (x + 0.4 * r, y + 0.78 * r), 0.14 * r))]
        else:
            face = eyes(0.4, -0.02, 0.15, "dark")
            face += [Part("dark", Line((x + look - 0.3 * r, y + 0.5 * r), (x + look + 0.3 * r, y + 0.5 * r), 0.14 * r))]
    top: list[Part] = []
    if hat == "cap":
        top = [Part("hat", Polygon(tuple(at(math.cos(a) * 1.08, -0.35 - 0.8 * math.sin(a)) for a in _HALF)))]
        top += [Part("hat", Line(at(0, -0.4), at(1.5 * facing, -0.36), 0.24 * r))]
    elif hat == "top hat":
        top = [
            Part("hat", box(-0.68, -1.75, 0.68, -0.65)),
            Part("hat", Line(at(-1.1, -0.62), at(1.1, -0.62), 0.24 * r)),
        ]
    elif figure == "man" and hair:
        top = [Part("hair", Polygon(tuple(at(math.cos(a) * 1.1, -0.25 - 0.85 * math.sin(a)) for a in _HALF)))]
    return [group for group in (behind, skull, face, top) if group]


_HALF = [math.pi * i / 8 for i in range(9)]
