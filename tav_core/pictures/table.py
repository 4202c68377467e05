"""Draw a table of figures."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from .image import font_for, shorten, wrap

_FONT, _SMALL, _PAD = 18, 14, 14
_ROW, _LINE = 34, 21
"""Height of a row, and of a line of small print."""
_NAME_WIDTH = (120, 420)
_NOTE_WIDTH = 640
_PAPER, _INK, _GREY, _RULE, _BEST = (255, 255, 255), (28, 28, 28), (110, 110, 110), (205, 205, 205), (199, 232, 205)


def draw_table(
    titles: Sequence[tuple[str, str]], rows: Sequence[tuple[str, Sequence[tuple[str, bool]]]], notes: Sequence[str]
) -> Image.Image:
    """Draw a table.

    Args:
        titles: two lines above each column of figures.
        rows: a name, shortened if it is too long, and per column a figure and whether to mark it.
        notes: sentences below the table.
    """
    font = font_for([name for name, _ in rows], _FONT)
    small = font_for(notes, _SMALL)
    least, most = _NAME_WIDTH
    name_width = round(min(most, max([least, *(font.getlength(name) for name, _ in rows)])))
    right, rights = _PAD + name_width + 2 * _PAD, []
    for number, title in enumerate(titles):
        words = [small.getlength(line) for line in title]
        figures = [font.getlength(cells[number][0]) for _, cells in rows]
        right += round(max(*words, *figures)) + 2 * _PAD
        rights.append(right)
    width = max(right, _NOTE_WIDTH if notes else 0) + _PAD
    notes = [line for note in notes for line in wrap(note, small, width - 4 * _PAD)]
    top = 2 * _PAD + 2 * _LINE
    bottom = top + len(rows) * _ROW + _PAD

    picture = Image.new("RGB", (width, bottom + len(notes) * _LINE + _PAD), _PAPER)
    draw = ImageDraw.Draw(picture)
    for title, right in zip(titles, rights):
        for number, line in enumerate(title):
            draw.text((right - _PAD, _PAD + number * _LINE), line, _GREY, small, anchor="ra")
    for y in (top - _PAD // 2, bottom - _PAD // 2):
        draw.line([(_PAD, y), (width - _PAD, y)], _RULE, 2)
    for number, (name, cells) in enumerate(rows):
        middle = top + number * _ROW + _ROW // 2
        draw.text((2 * _PAD, middle), shorten(name, font, most), _INK, font, anchor="lm")
        for (figure, marked), right in zip(cells, rights):
            if marked:
                left = right - 2 * _PAD - font.getlength(figure)
                draw.rounded_rectangle([left, middle - 14, right - 2, middle + 14], radius=6, fill=_BEST)
            draw.text((right - _PAD, middle), figure, _INK, font, anchor="rm")
    for number, line in enumerate(notes):
        draw.text((2 * _PAD, bottom + number * _LINE), line, _GREY, small)
    return picture
