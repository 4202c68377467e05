"""The rows of the ablation: which parts of the method each has (Tune-A-Video, section 4.4 and table 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One way to render the edits, as a session's configuration says it."""

    name: str
    """In file names and on the command line."""
    label: str
    """For people."""
    attention: str
    """What self-attention becomes, one of :data:`.ATTENTION_MODES`."""
    temporal_attention: bool
    tuned: bool


# The group norms are the same in all rows, over all frames by default: "alone" is said of the self-attention.
ROWS = (
    # Temporal attention starts at zero: before tuning it changes nothing, so the rows without tuning leave it out.
    Row("per-frame", "each frame alone, untuned", "spatial", False, False),
    Row("per-frame-tuned", "each frame alone, tuned", "spatial", False, True),
    Row("untuned", "sparse-causal, untuned", "sparse_causal", False, False),
    Row("full", "full method: sparse-causal + temporal, tuned", "sparse_causal", True, True),
    Row("factorised", "factorised: spatial + temporal, tuned", "spatial", True, True),
    Row("first-frame", "first frame + temporal, tuned", "first_frame", True, True),
)


def choose_rows(names: Sequence[str]) -> tuple[Row, ...]:
    """The rows of these names, in the order of the table.

    Raises:
        ValueError: there is no row of that name, or none was named.
    """
    known = [row.name for row in ROWS]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"There is no ablation row {', '.join(unknown) or '(empty list)'}: choose from {known}.")
    return tuple(row for row in ROWS if row.name in names)
