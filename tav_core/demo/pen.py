"""Flat shapes with an outline, in one of the drawn world's styles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[float, float, float]
Point = tuple[float, float]

STYLES = ("none", "sketch", "neon")
OUTLINE = 1.1
INK: Colour = (34.0, 30.0, 44.0)
PAPER: Colour = (248.0, 243.0, 230.0)
NAVY: Colour = (14.0, 10.0, 38.0)


@dataclass(frozen=True)
class Line:
    """A stroke with round ends."""

    start: Point
    end: Point
    width: float


@dataclass(frozen=True)
class Disc:
    """An ellipse; a circle when only one radius is given."""

    centre: Point
    rx: float
    ry: float | None = None


@dataclass(frozen=True)
class Polygon:
    """A filled polygon."""

    points: tuple[Point, ...]


@dataclass(frozen=True)
class Part:
    """A shape and the name of what it shows, by which it gets its colour."""

    name: str
    shape: Line | Disc | Polygon


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Return a colour that is a at share 0 and b at share 1."""
    return tuple(x + (y - x) * share for x, y in zip(a, b))


def lit(colour: Colour, light: float) -> Colour:
    """Return a colour at another brightness."""
    return tuple(min(255.0, v * light) for v in colour)


class Pen:
    """Draw on a square canvas measured in pixels of the finished picture.

    Args:
        size: width and height of the finished picture.
        style: one of STYLES.
        detail: strokes are drawn this many times larger and averaged.
    """

    def __init__(self, size: int, style: str, detail: int = 3) -> None:
        self.size, self.style, self.detail = size, style, detail
        self.image = Image.new("RGB", (size * detail, size * detail))
        self.draw = ImageDraw.Draw(self.image)

    def area(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Fill a rectangle of the background."""
        s = self.detail
        self.draw.rectangle([x0 * s, y0 * s, x1 * s - 1, y1 * s - 1], fill=_bytes(self.background(colour)))

    def background(self, colour: Colour) -> Colour:
        """Return what the style makes of a colour of sky or ground."""
        if self.style == "sketch":
            grey = sum(colour) / 3
            return mix(mix((grey,) * 3, colour, 0.8), PAPER, 0.62)
        if self.style == "neon":
            return mix(NAVY, colour, 0.26)
        return colour

    def props(self, parts: list[tuple[Line | Disc | Polygon, Colour]]) -> None:
        """Draw things of the background."""
        for shape, colour in parts:
            if self.style == "sketch":
                self.fill(shape, (108, 104, 110), 0.8)
                self.fill(shape, mix(mix((sum(colour) / 3,) * 3, colour, 0.8), PAPER, 0.55))
            elif self.style == "neon":
                self.fill(shape, mix(colour, (255, 255, 255), 0.12), 0.7)
                self.fill(shape, mix(NAVY, colour, 0.28))
            else:
                self.fill(shape, colour)

    def group(self, parts: list[Part], colours: dict[str, Colour]) -> None:
        """Draw the parts of a figure with one outline around all of them."""
        for part in parts:
            self.fill(part.shape, self.outline(colours[part.name]), OUTLINE)
        for part in parts:
            self.fill(part.shape, self.inside(colours[part.name]))

    def outline(self, colour: Colour) -> Colour:
        """Return the colour of the line around a figure's part of this colour."""
        if self.style == "sketch":
            return (62, 58, 66)
        if self.style == "neon":
            return mix(lit(colour, 255 / max(60.0, *colour)), (255, 255, 255), 0.15)
        return INK

    def inside(self, colour: Colour) -> Colour:
        """Return what the style makes of a colour of a figure."""
        if self.style == "sketch":
            return mix(colour, PAPER, 0.5)
        if self.style == "neon":
            return mix(NAVY, colour, 0.42)
        return colour

    def fill(self, shape: Line | Disc | Polygon, colour: Colour, grow: float = 0.0) -> None:
        """Fill a shape that is larger by `grow` pixels on every side."""
        s, fill = self.detail, _bytes(colour)
        if isinstance(shape, Line):
            (x0, y0), (x1, y1) = ((x * s, y * s) for x, y in (shape.start, shape.end))
            r = (shape.width / 2 + grow) * s
            self.draw.line([x0, y0, x1, y1], fill=fill, width=max(1, round(2 * r)))
            for x, y in ((x0, y0), (x1, y1)):
                self.draw.ellipse([x - r, y - r, x + r, y + r], fill=fill)
        elif isinstance(shape, Disc):
            x, y = shape.centre
            rx, ry = shape.rx + grow, (shape.ry or shape.rx) + grow
            self.draw.ellipse([(x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s], fill=fill)
        else:
            points = [(x * s, y * s) for x, y in shape.points]
            self.draw.polygon(points, fill=fill)
            if grow:
                self.draw.line([*points, points[0]], fill=fill, width=round(2 * grow * s), joint="curve")

    def picture(self) -> np.ndarray:
        """Return the finished picture, uint8 [size, size, 3]."""
        return np.asarray(self.image.resize((self.size, self.size), Image.Resampling.BOX))


def _bytes(colour: Colour) -> tuple[int, int, int]:
    return tuple(int(max(0.0, min(255.0, v))) for v in colour)
