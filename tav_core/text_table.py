"""Format tables and counts as text."""

from collections.abc import Sequence


def text_table(lines: Sequence[Sequence[str]], remarks: Sequence[str] = ()) -> list[str]:
    """Format a table: first column left-aligned, the others right-aligned.

    Args:
        lines: rows with the same number of cells.
        remarks: text after each line; none when empty.
    """
    widths = [max(map(len, column)) for column in zip(*lines)]
    table = []
    for (name, *figures), remark in zip(lines, remarks or [""] * len(lines), strict=True):
        aligned = (figure.rjust(width) for figure, width in zip(figures, widths[1:]))
        table.append("  ".join([name.ljust(widths[0]), *aligned, remark]).rstrip())
    return table


def counted(number: int, noun: str) -> str:
    """Format a number with its noun: "1 frame", "2 frames"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
