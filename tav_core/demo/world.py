"""The drawn world of the demo model: a figure does something somewhere, 96x96 pixels.

A caption says who, what and where, and it may say the shirt's colour and a style ("a man, wearing a red shirt, is
running on the beach, sketch style"). All else is left unsaid and differs, in kind, between any two pictures of the
same caption: clothes, hat and hair, skin, metal and fur, time of day, kinds and places of props, size, the side it
faces and the phase of its motion. Frames of one clip share all of that but the phase and the path.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from .figures import FIGURES, HATS, VERBS, figure_parts
from .pen import OUTLINE, STYLES, Colour, Pen, lit
from .places import PLACES, SKIES, draw_place

SIZE = 96
"""Width and height of a picture, and the unit that places and sizes are given in, in pixels."""

COLOURS: dict[str, Colour] = {
    "red": (222, 44, 44),
    "yellow": (252, 218, 44),
    "green": (38, 156, 70),
    "blue": (40, 92, 226),
    "purple": (158, 58, 196),
    "white": (248, 248, 248),
}
ANY = "any"
"""Clothes that the caption does not say."""
PLURALS = {"man": "men", "robot": "robots", "panda": "pandas", "frog": "frogs", "skeleton": "skeletons"}

SKINS: tuple[Colour, ...] = ((252, 214, 180), (214, 158, 112), (134, 86, 58))
HAIRS: tuple[Colour, ...] = ((46, 30, 26), (240, 204, 92), (176, 74, 34))
SHOES: tuple[Colour, ...] = ((44, 42, 50), (246, 246, 246), (140, 84, 44), (226, 52, 110))
METALS: tuple[Colour, ...] = ((170, 178, 190), (226, 120, 60), (90, 170, 214), (222, 190, 80), (150, 110, 200))
FURS: tuple[Colour, ...] = ((40, 40, 46), (124, 74, 46))
FROGS: tuple[Colour, ...] = ((112, 204, 66), (60, 176, 160), (206, 196, 60))
BODIES: dict[str, tuple[Colour, ...]] = {
    "man": SKINS,
    "robot": METALS,
    "panda": FURS,
    "frog": FROGS,
    "skeleton": ((240, 236, 220),),
}
"""The colours that a figure's own body may have."""

DARK: Colour = (30, 30, 38)
WHITE: Colour = (250, 250, 250)

HELD_OUT = (("frog", "waving"), ("robot", "snow"), ("panda", "neon"), ("skeleton", "yellow"))
"""Pairs of a figure with a verb, place, style or shirt that the demo model never sees while it is trained."""


@dataclass(frozen=True)
class Words:
    """The content of a caption.

    Attributes:
        figure: one of FIGURES; verb: one of VERBS; place: one of PLACES.
        clothes: colour of the shirt, one of COLOURS, or ANY when the caption does not say it.
        style: one of STYLES.
        two: two figures that look alike instead of one.
    """

    figure: str
    verb: str
    place: str
    clothes: str = ANY
    style: str = "none"
    two: bool = False

    @property
    def caption(self) -> str:
        """Return the plain-English caption, for instance "a man, wearing a red shirt, is running on the beach"."""
        who = f"two {PLURALS[self.figure]}" if self.two else f"a {self.figure}"
        if self.clothes != ANY:
            who += f", wearing {self.clothes} shirts," if self.two else f", wearing a {self.clothes} shirt,"
        style = "" if self.style == "none" else f", {self.style} style"
        return f"{who} {'are' if self.two else 'is'} {self.verb} {PLACES[self.place]}{style}"

    @property
    def held_out(self) -> bool:
        """Return whether training leaves this caption out."""
        others = (self.verb, self.place, self.style, self.clothes)
        return any((self.figure, other) in HELD_OUT for other in others)


def all_words() -> list[Words]:
    """Return every caption of one figure, 2100 of them."""
    choices = (FIGURES, VERBS, PLACES, (ANY, *COLOURS), STYLES)
    return [Words(*chosen) for chosen in product(*choices)]


def parse_caption(caption: str) -> Words:
    """Read a caption of this world back into its words.

    Raises:
        ValueError: the caption is not of the form that Words.caption writes.
    """
    said = " ".join(caption.lower().split())
    for words in all_words():
        for found in (words, replace(words, two=True)):
            if found.caption == said:
                return found
    raise ValueError(
        f"{caption!r} is not a caption of the drawn world; expected one like "
        f"'{Words('man', 'running', 'beach', 'red', 'sketch').caption}' with {', '.join(FIGURES)}; {', '.join(VERBS)}; "
        f"{', '.join(PLACES.values())}; shirts {', '.join(COLOURS)}; styles {', '.join(STYLES[1:])}."
    )


@dataclass(frozen=True)
class Scene:
    """Everything needed to draw one picture.

    Attributes:
        words: what the caption says.
        shirt, trousers, hat_colour, accent: names of COLOURS; accent is that of the props' bright parts.
        shoes, hair: numbers in their tables; hair 3 is none. body: likewise in BODIES, counted round and round.
        hat: one of HATS; sky: one of SKIES; prop: 0, 1 or 2.
        x, phase: of each figure, pixels from the left and 0..1.
        ground, height: y of the feet and the figure's height, pixels.
        facing: 1 to the right, -1 to the left.
        horizon: its y in pixels; camera: pixels it has moved to the right; layout: decides where the props stand.
    """

    words: Words
    shirt: str
    trousers: str
    hat_colour: str
    accent: str
    shoes: int
    hair: int
    body: int
    hat: str
    sky: str
    prop: int
    x: tuple[float, ...]
    phase: tuple[float, ...]
    ground: float
    height: float
    facing: int
    horizon: float
    camera: float
    layout: int


def random_scene(words: Words, seed: int) -> Scene:
    """Return a scene of these words, with everything unsaid drawn from the seed."""
    r = random.Random(seed)
    colours = list(COLOURS)
    shirt = r.choice(colours) if words.clothes == ANY else words.clothes
    x = (r.uniform(23, 29), r.uniform(67, 73)) if words.two else (r.uniform(40, 56),)
    phase = r.random()
    return Scene(
        words=words,
        shirt=shirt,
        trousers=r.choice([c for c in colours if c != shirt]),
        hat_colour=r.choice(colours),
        accent=r.choice(colours),
        shoes=r.randrange(len(SHOES)),
        hair=r.randrange(len(HAIRS) + 1),
        body=r.randrange(30),
        hat=r.choice(("none", *HATS)),
        sky=r.choice(list(SKIES)),
        prop=r.randrange(3),
        x=x,
        phase=(phase, r.random()) if words.two else (phase,),
        ground=r.uniform(87, 91),
        height=r.uniform(54, 60) if words.two else r.uniform(66, 74),
        facing=r.choice((-1, 1)),
        horizon=r.uniform(56, 64),
        camera=r.uniform(-500, 500),
        layout=r.randrange(1 << 30),
    )


def figure_colours(
    figure: str, sky: str, body: int, shirt: int, trousers: int, shoes: int, hat: int, hair: int
) -> dict[str, Colour]:
    """Return the colour of every part of a figure, as the time of day lights it.

    Args:
        figure: one of FIGURES; sky: one of SKIES.
        body, shirt, trousers, shoes, hat, hair: numbers in BODIES, COLOURS, SHOES and HAIRS.
    """
    light, clothes = 0.4 + 0.6 * SKIES[sky][1], list(COLOURS.values())
    bodies = BODIES[figure]
    own = bodies[body % len(bodies)]
    parts = {
        "body": own,
        "head": WHITE if figure == "panda" else own,
        "shirt": clothes[shirt],
        "trousers": clothes[trousers],
        "shoes": SHOES[shoes],
        "hat": clothes[hat],
        "hair": HAIRS[hair % len(HAIRS)],
        "dark": DARK,
        "white": WHITE,
    }
    return {name: lit(colour, light) for name, colour in parts.items()}


def draw(scene: Scene) -> np.ndarray:
    """Draw a scene: uint8 [96, 96, 3]."""
    pen = Pen(SIZE, scene.words.style)
    accent = COLOURS[scene.accent]
    draw_place(pen, scene.words.place, scene.sky, scene.prop, accent, scene.horizon, scene.camera, scene.layout)
    words, hair, names = scene.words, scene.hair < len(HAIRS), list(COLOURS)
    clothes = names.index(scene.shirt), names.index(scene.trousers), scene.shoes, names.index(scene.hat_colour)
    colours = figure_colours(words.figure, scene.sky, scene.body, *clothes, scene.hair)
    for x, phase in zip(scene.x, scene.phase):
        for group in figure_parts(
            words.figure, words.verb, phase, scene.facing, x, scene.ground, scene.height, scene.hat, hair
        ):
            pen.group(group, colours)
    return pen.picture()


def mask(scene: Scene) -> np.ndarray:
    """Return where the figures are: float32 [96, 96] in 0..1."""
    pen, words, hair = Pen(SIZE, "none"), scene.words, scene.hair < len(HAIRS)
    for x, phase in zip(scene.x, scene.phase):
        for group in figure_parts(
            words.figure, words.verb, phase, scene.facing, x, scene.ground, scene.height, scene.hat, hair
        ):
            for part in group:
                pen.fill(part.shape, (255, 255, 255), OUTLINE)
    return pen.picture()[..., 0].astype(np.float32) / 255
