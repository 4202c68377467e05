"""The tables of judged edits: a line per row of the ablation, with 95 % intervals by bootstrap over the clips."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tav_core.experiments.ablation_rows import ROWS

DRAWS = 2000
COLUMNS = {
    "frames right, %": ("frames_right", np.nanmean, 100),
    "motion fidelity": ("motion_fidelity", np.nanmean, 1),
    "distance from the track, % of the width": ("track_distance", np.nanmedian, 100),
    "share of the way": ("slope", np.nanmedian, 1),
}
GAINS = {"more frames right, % points": ("frames_right", 100), "more motion fidelity": ("motion_fidelity", 1)}
DRIFTS = {"drift of the object": "object_drift", "of the background": "background_drift"}
FULL = next(row.label for row in ROWS if row.name == "full")


def tables(done: dict[str, list[dict]], edits: Sequence[str]) -> str:
    """Markdown of all that was judged.

    Args:
        done: by label of the row, a dictionary per clip, seed, start and edit.
        edits: kinds of edit, in order.
    """
    inverted, noise = ({name: _from(start, e) for name, e in done.items()} for start in ("inverted", "noise"))
    noise = {name: entries for name, entries in noise.items() if entries}
    lines = [*_edited(inverted), "", *_by_edit(inverted, edits)]
    if noise:
        lines += ["", *_noise(noise)]
    if FULL in inverted and len(inverted) > 1:
        lines += ["", *_gains(inverted), "", *_shares(inverted, noise)]
    return "\n".join(lines)


def _edited(done: dict[str, list[dict]]) -> Iterator[str]:
    yield from _head("from the inverted clip", [*COLUMNS, *DRIFTS])
    for name, entries in done.items():
        cells = [_interval(_by_clip(entries, key) * scale, statistic) for key, statistic, scale in COLUMNS.values()]
        yield _line(name, cells + [_interval(_by_clip(entries, key)) for key in DRIFTS.values()])


def _by_edit(done: dict[str, list[dict]], edits: Sequence[str]) -> Iterator[str]:
    yield from _head("frames right, %", edits)
    for name, entries in done.items():
        right = [[e["frames_right"] for e in entries if e["edit"] == edit] for edit in edits]
        yield _line(name, [f"{100 * np.mean(share):.1f}" for share in right])


def _noise(done: dict[str, list[dict]]) -> Iterator[str]:
    yield from _head("from random noise", DRIFTS)
    for name, entries in done.items():
        yield _line(name, [_interval(_by_clip(entries, key)) for key in DRIFTS.values()])


def _gains(inverted: dict[str, list[dict]]) -> Iterator[str]:
    yield from _head("the full method, from the inverted clip, against", GAINS)
    for name in (name for name in inverted if name != FULL):
        values = [[_by_clip(inverted[row], key) * scale for row in (FULL, name)] for key, scale in GAINS.values()]
        yield _line(name, [_difference(*pair) for pair in values])


def _shares(inverted: dict[str, list[dict]], noise: dict[str, list[dict]]) -> Iterator[str]:
    yield from _head("the full method's drift, as a share of that of", DRIFTS)
    for start, done in (("the inverted clip", inverted), ("random noise", noise)):
        for name in (name for name in done if name != FULL):
            pairs = [(_by_clip(done[FULL], key), _by_clip(done[name], key)) for key in DRIFTS.values()]
            yield _line(f"{name}, from {start}", [_ratio(*pair) for pair in pairs])


def _from(start: str, entries: list[dict]) -> list[dict]:
    return [entry for entry in entries if entry["start"] == start]


def _by_clip(entries: list[dict], key: str) -> np.ndarray:
    """[clips, edits and seeds]; what could not be judged is nan."""
    groups: dict[int, list[float]] = {}
    for entry in entries:
        groups.setdefault(entry["clip"], []).append(entry[key])
    return np.array([groups[clip] for clip in sorted(groups)], dtype=float)


def _drawn(clips: int) -> np.ndarray:
    """[draws, clips]: clips drawn with replacement, the same for every row of a table."""
    return np.random.default_rng(0).integers(0, clips, (DRAWS, clips))


def _interval(values: np.ndarray, statistic: Callable = np.nanmean) -> str:
    draws = values[_drawn(len(values))].reshape(DRAWS, -1)
    low, high = np.percentile(statistic(draws, axis=1), (2.5, 97.5))
    return f"{statistic(values):.3g} ({low:.3g} to {high:.3g})"


def _difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Of the means of the same clips."""
    apart = np.nanmean(ours - theirs, axis=1)
    low, high = np.percentile(apart[_drawn(len(apart))].mean(axis=1), (2.5, 97.5))
    return f"{apart.mean():+.1f} ({low:+.1f} to {high:+.1f})"


def _ratio(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Mean over mean of the same clips."""
    drawn = _drawn(len(ours))
    draws = np.nanmean(ours[drawn], axis=(1, 2)) / np.nanmean(theirs[drawn], axis=(1, 2))
    low, high = np.percentile(draws, (2.5, 97.5))
    return f"{np.nanmean(ours) / np.nanmean(theirs):.2f} ({low:.2f} to {high:.2f})"


def _head(title: str, columns: Sequence[str] | dict) -> Iterator[str]:
    yield _line(title, columns)
    yield "|---|" + "---|" * len(columns)


def _line(name: str, cells: Sequence[str] | dict) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"
