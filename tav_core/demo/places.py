"""Places of the drawn world: sky, ground and props, at a time of day."""

from __future__ import annotations

import math
import random

from .pen import Colour, Disc, Line, Pen, Polygon, lit

PLACES: dict[str, str] = {
    "beach": "on the beach",
    "snow": "in the snow",
    "city": "in the city",
    "park": "in the park",
    "desert": "in the desert",
}
"""By name, how a caption says it."""

SKIES: dict[str, tuple[Colour, float]] = {
    "day": ((96, 178, 250), 1.0),
    "dusk": ((252, 140, 70), 0.9),
    "night": ((28, 30, 92), 0.62),
    "dawn": ((248, 176, 208), 0.97),
    "overcast": ((170, 178, 186), 0.9),
}
"""Times of day: the sky's colour, and how bright everything is."""

GROUNDS: dict[str, Colour] = {
    "beach": (244, 222, 156),
    "snow": (242, 246, 252),
    "city": (112, 112, 122),
    "park": (98, 178, 72),
    "desert": (222, 142, 84),
}


def draw_place(
    pen: Pen, place: str, sky: str, kind: int, accent: Colour, horizon: float, camera: float, layout: int
) -> None:
    """Draw sky, ground and props.

    Args:
        place: one of PLACES; sky: one of SKIES.
        kind: 0, 1 or 2, which props stand there.
        accent: colour of the props' bright parts.
        horizon: its y in pixels.
        camera: how far the camera has moved to the right, pixels.
        layout: decides where the props stand.
    """
    above, light = SKIES[sky]
    size, h, bright = pen.size, horizon, lit(accent, light)
    bands = 6
    for i in range(bands):
        shade = 1 + 0.18 * (i / (bands - 1) - 0.4) * (2 if sky == "night" else 1)
        pen.area(0, h * i / bands, size, h * (i + 1) / bands + 1, lit(above, shade))
    if sky in ("day", "dusk", "night"):
        x = (random.Random(layout).uniform(0, 160) - 0.1 * camera) % 160 - 32
        pen.props([(Disc((x, 13), 6), (255, 244, 180) if sky != "night" else (232, 236, 250))])
    ground = lit(GROUNDS[place], light)
    if place == "beach":
        pen.area(0, h - 11, size, h, lit((34, 112, 196), light))
    pen.area(0, h, size, size, ground)
    if place == "city":
        for x in _spots(camera, 32.0, size):
            pen.area(x, size - 6, x + 16, size - 3.5, lit((240, 236, 200), light))
    draw, step = _PROPS[place], _STEPS[place]
    for x in _spots(camera, step, size):
        number = round((x + camera) / step)
        chance = random.Random(layout * 8191 + number)
        draw(pen, x + chance.uniform(0, 0.3) * step, h, kind, bright, light, chance)


def _spots(camera: float, step: float, size: int) -> list[float]:
    first = math.floor((camera - 40) / step)
    return [k * step - camera for k in range(first, first + math.ceil((size + 80) / step) + 1)]


def _beach(pen: Pen, x: float, h: float, kind: int, accent: Colour, light: float, chance: random.Random) -> None:
    wood, z = lit((126, 84, 50), light), chance.uniform(0.9, 1.2)
    if kind == 0:  # umbrellas
        pen.props([(Line((x, h + 3), (x, h - 21 * z), 2.0), wood)])
        pen.props([(_dome(x, h - 17 * z, 15 * z, 12 * z), accent)])
    elif kind == 1:  # palms
        pen.props([(Line((x, h + 3), (x + 4, h - 26 * z), 3.2), wood)])
        leaf = lit((30, 140, 62), light)
        tips = [(-13, -20), (-9, -33), (4, -38), (16, -33), (20, -20)]
        pen.props([(Line((x + 4, h - 27 * z), (x + u, h + v * z), 4.2), leaf) for u, v in tips])
    else:  # boats
        pen.props([(Line((x, h - 9), (x, h - 30 * z), 1.6), wood)])
        pen.props([(Polygon(((x + 1, h - 30 * z), (x + 14 * z, h - 13), (x + 1, h - 13))), accent)])
        hull = ((x - 12 * z, h - 11), (x + 14 * z, h - 11), (x + 9 * z, h - 4), (x - 8 * z, h - 4))
        pen.props([(Polygon(hull), lit((250, 250, 250), light))])


def _snow(pen: Pen, x: float, h: float, kind: int, accent: Colour, light: float, chance: random.Random) -> None:
    z, green, white = chance.uniform(0.9, 1.2), lit((26, 104, 74), light), lit((250, 252, 255), light)
    if kind == 0:  # firs
        for wide, up in ((12, 4), (9.5, 13), (7, 21)):
            points = ((x - wide * z, h - up * z + 4), (x + wide * z, h - up * z + 4), (x, h - (up + 14) * z + 4))
            pen.props([(Polygon(points), green)])
        pen.props([(Disc((x, h - 33 * z + 4), 2.6), accent)])
    elif kind == 1:  # mountains
        w, up = 24 * z, 34 * z
        pen.props([(Polygon(((x - w, h), (x + w, h), (x, h - up))), lit((116, 128, 156), light))])
        pen.props([(Polygon(((x - w * 0.4, h - up * 0.6), (x + w * 0.4, h - up * 0.6), (x, h - up))), white)])
    else:  # huts
        pen.props([(Polygon(_box(x - 11, h - 15 * z, x + 11, h + 2)), accent)])
        pen.props([(Polygon(((x - 15, h - 14 * z), (x + 15, h - 14 * z), (x, h - 27 * z))), white)])
        pen.props([(Polygon(_box(x - 3.5, h - 9, x + 3.5, h + 2)), lit((70, 46, 34), light))])


def _city(pen: Pen, x: float, h: float, kind: int, accent: Colour, light: float, chance: random.Random) -> None:
    walls = (((74, 80, 104), (92, 98, 122)), ((142, 86, 72), (164, 104, 84)), ((196, 184, 160), (214, 202, 180)))[kind]
    top, wide = h - chance.uniform(24, 50), chance.uniform(19, 23)
    pen.props([(Polygon(_box(x, top, x + wide, h + 1)), lit(chance.choice(walls), light))])
    for y in range(5, int(h - top) - 4, 11):
        row = [(Polygon(_box(x + u, top + y, x + u + 5, top + y + 6)), accent) for u in (3.5, 11.5)]
        pen.props(row)


def _park(pen: Pen, x: float, h: float, kind: int, accent: Colour, light: float, chance: random.Random) -> None:
    z, trunk = chance.uniform(0.9, 1.2), lit((116, 76, 46), light)
    if kind == 0:  # fruit trees
        pen.props(
            [
                (Line((x, h + 4), (x, h - 14 * z), 4.0), trunk),
                (Disc((x, h - 23 * z), 13 * z), lit((36, 126, 54), light)),
            ]
        )
        pen.props([(Disc((x + u * z, h + v * z), 2.7), accent) for u, v in ((-6, -21), (5, -17), (3, -29), (-3, -29))])
    elif kind == 1:  # poplars
        pen.props(
            [
                (Line((x, h + 4), (x, h - 8), 3.4), trunk),
                (Disc((x, h - 23 * z), 7.5, 21 * z), lit((58, 142, 60), light)),
            ]
        )
    else:  # bushes in flower
        pen.props(
            [
                (Disc((x + u, h + v), r), lit((44, 130, 58), light))
                for u, v, r in ((-9, -2, 9), (8, -2, 10), (0, -8, 11))
            ]
        )
        pen.props([(Disc((x + u, h + v), 3.2), accent) for u, v in ((-10, -4), (8, -5), (-1, -12))])


def _desert(pen: Pen, x: float, h: float, kind: int, accent: Colour, light: float, chance: random.Random) -> None:
    z = chance.uniform(0.9, 1.2)
    if kind == 0:  # cacti
        green = lit((52, 138, 74), light)
        arms = [Line((x, h + 4), (x, h - 27 * z), 6.0), Line((x, h - 9 * z), (x - 9, h - 9 * z), 4.6)]
        arms += [Line((x - 9, h - 9 * z), (x - 9, h - 18 * z), 4.6), Line((x, h - 13 * z), (x + 9, h - 13 * z), 4.6)]
        pen.props([(arm, green) for arm in [*arms, Line((x + 9, h - 13 * z), (x + 9, h - 22 * z), 4.6)]])
        pen.props([(Disc((x, h - 30 * z), 3.0), accent)])
    elif kind == 1:  # pyramids
        w, up = 24 * z, 32 * z
        pen.props([(Polygon(((x - w, h + 1), (x + w, h + 1), (x, h - up))), lit((242, 196, 112), light))])
        pen.props([(Polygon(((x, h - up), (x + w, h + 1), (x + 5, h + 1))), lit((196, 146, 80), light))])
    else:  # table mountains
        points = ((x - 21 * z, h + 1), (x - 14 * z, h - 25 * z), (x + 12 * z, h - 25 * z), (x + 21 * z, h + 1))
        pen.props([(Polygon(points), lit((176, 84, 58), light))])


def _dome(x: float, y: float, rx: float, ry: float) -> Polygon:
    return Polygon(tuple((x + rx * math.cos(math.pi * i / 10), y - ry * math.sin(math.pi * i / 10)) for i in range(11)))


def _box(x0: float, y0: float, x1: float, y1: float) -> tuple[tuple[float, float], ...]:
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


_PROPS = {"beach": _beach, "snow": _snow, "city": _city, "park": _park, "desert": _desert}
_STEPS = {"beach": 46.0, "snow": 42.0, "city": 24.0, "park": 38.0, "desert": 48.0}
