"""The tables of judged edits: a line per row of the ablation, with 95 % intervals by bootstrap over the clips."""

from collections.abc import Iterator, Sequence

import numpy as np

from tav_core.experiments.ablation_rows import ROWS

DRAWS = 2000
FIGURES = {
    "frames right, %": ("frames_right", 100),
    "pose off, % of the height": ("pose_distance", 100),
    "order of poses": ("order", 1),
    "drift above the clip's own": ("drift_above", 1),
    "flips per pair of frames": ("flips", 1),
    "away from the clip": ("away", 1),
    "motion fidelity": ("motion_fidelity", 1),
}
"""By heading: the name of the figure, and what it is multiplied by."""
STARTS = {"inverted": "from the inverted clip", "mix": "from the mix", "noise": "from random noise"}
FULL = next(row.label for row in ROWS if row.name == "full")


def tables(done: dict[str, list[dict]], edits: Sequence[str]) -> str:
    """Return Markdown of all that was judged.

    Args:
        done: by label of the row, a dictionary per clip, seed, start and edit.
        edits: kinds of edit, in order.
    """
    lines: list[str] = []
    for start, title in STARTS.items():
        of_start = {name: [e for e in entries if e["start"] == start] for name, entries in done.items()}
        of_start = {name: entries for name, entries in of_start.items() if entries}
        if of_start:
            lines += [*_figures(title, of_start), "", *_by_edit(title, of_start, edits), ""]
        if FULL in of_start and len(of_start) > 1:
            lines += [*_differences(title, of_start), ""]
    return "\n".join(lines)


def _figures(title: str, done: dict[str, list[dict]]) -> Iterator[str]:
    yield from head(title, FIGURES)
    for name, entries in done.items():
        yield line(name, [interval(by_clip(entries, key) * scale) for key, scale in FIGURES.values()])


def _by_edit(title: str, done: dict[str, list[dict]], edits: Sequence[str]) -> Iterator[str]:
    yield from head(f"frames right, %, {title}", edits)
    for name, entries in done.items():
        right = [[e["frames_right"] for e in entries if e["edit"] == edit] for edit in edits]
        yield line(name, [f"{100 * np.mean(share):.1f}" for share in right])


def _differences(title: str, done: dict[str, list[dict]]) -> Iterator[str]:
    yield from head(
        f"the full method less the row, {title}", [*FIGURES, "drift above the clip's, as a share of the row's"]
    )
    for name in (name for name in done if name != FULL):
        pairs = [[by_clip(done[row], key) * scale for row in (FULL, name)] for key, scale in FIGURES.values()]
        share = _ratio(*(by_clip(done[row], "drift_above") for row in (FULL, name)))
        yield line(name, [*(difference(*pair) for pair in pairs), share])


def by_clip(entries: list[dict], key: str) -> np.ndarray:
    """Return [clips, edits and seeds]; what could not be judged is nan."""
    groups: dict[int, list[float]] = {}
    for entry in entries:
        groups.setdefault(entry["clip"], []).append(entry[key])
    return np.array([groups[clip] for clip in sorted(groups)], dtype=float)


def resampled(clips: int) -> np.ndarray:
    """Return [draws, clips]: clips drawn with replacement, the same for every row of a table."""
    return np.random.default_rng(0).integers(0, clips, (DRAWS, clips))


def interval(values: np.ndarray) -> str:
    low, high = np.percentile(np.nanmean(values[resampled(len(values))].reshape(DRAWS, -1), axis=1), (2.5, 97.5))
    return f"{np.nanmean(values):.3g} ({low:.3g} to {high:.3g})"


def difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Return the difference of the means of the same clips."""
    apart = np.nanmean(ours - theirs, axis=1)
    low, high = np.percentile(apart[resampled(len(apart))].mean(axis=1), (2.5, 97.5))
    return f"{apart.mean():+.3g} ({low:+.3g} to {high:+.3g})"


def _ratio(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Return mean over mean of the same clips."""
    drawn = resampled(len(ours))
    draws = np.nanmean(ours[drawn], axis=(1, 2)) / np.nanmean(theirs[drawn], axis=(1, 2))
    low, high = np.percentile(draws, (2.5, 97.5))
    return f"{np.nanmean(ours) / np.nanmean(theirs):.2f} ({low:.2f} to {high:.2f})"


def head(title: str, columns: Sequence[str] | dict) -> Iterator[str]:
    yield line(title, columns)
    yield "|---|" + "---|" * len(columns)


def line(name: str, cells: Sequence[str] | dict) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"
