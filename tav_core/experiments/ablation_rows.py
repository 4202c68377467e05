"""List the rows of the ablation and the parts of the method in each (Tune-A-Video, section 4.4 and table 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """Define one way to render the edits."""

    name: str
    """Name in file names and on the command line."""
    label: str
    """Label in tables and sheets."""
    attention: str
    """Attention mode, one of :data:`.ATTENTION_MODES`."""
    temporal_attention: bool
    tuned: bool


# Group norms are the same in all rows (joint by default): "each frame alone" refers to self-attention.
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
    """Return the rows of these names, in the order of the table.

    Raises:
        ValueError: a name is unknown, or there is none.
    """
    known = [row.name for row in ROWS]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"Unknown ablation row {', '.join(unknown) or '(empty list)'}: choose from {known}.")
    return tuple(row for row in ROWS if row.name in names)
