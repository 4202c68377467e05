"""Tables for the terminal."""

from collections.abc import Sequence


def text_table(lines: Sequence[Sequence[str]], remarks: Sequence[str] = ()) -> list[str]:
    """The lines of a table: names, which come first, at the left of their column, figures at the right of theirs.

    Args:
        lines: equally many cells each.
        remarks: what follows behind each line; none when empty.
    """
    widths = [max(map(len, column)) for column in zip(*lines)]
    table = []
    for (name, *figures), remark in zip(lines, remarks or [""] * len(lines), strict=True):
        aligned = (figure.rjust(width) for figure, width in zip(figures, widths[1:]))
        table.append("  ".join([name.ljust(widths[0]), *aligned, remark]).rstrip())
    return table
