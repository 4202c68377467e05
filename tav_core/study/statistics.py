"""Compute the figures of the report: a share with its interval, and the agreement of raters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from math import sqrt
from statistics import NormalDist


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Compute the score interval of a binomial share, both ends in 0..1; (0, 1) for no trials.

    With p = successes / trials, n = trials and z the normal quantile of (1 + confidence) / 2, its ends are
    ``(p + z²/2n ± z √(p(1 - p)/n + z²/4n²)) / (1 + z²/n)`` (E. B. Wilson, JASA 22, 1927).

    Raises:
        ValueError: successes are not in 0..trials, or the confidence is not between 0 and 1.
    """
    if not 0 <= successes <= trials or not 0 < confidence < 1:
        raise ValueError(f"There is no interval for {successes} of {trials} at confidence {confidence}.")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / trials
    middle = share + z * z / (2 * trials)
    reach = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def raw_agreement(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Compute the share, in 0..1, of pairs of raters of a unit who agree; None if no unit has two raters."""
    same = pairs = 0
    for values in units:
        pairs += len(values) * (len(values) - 1) // 2
        same += sum(count * (count - 1) // 2 for count in Counter(values).values())
    return same / pairs if pairs else None


def krippendorff_alpha(units: Iterable[Sequence[Hashable]]) -> float | None:
    """Compute Krippendorff's alpha for nominal values: 1 for full agreement, 0 for agreement by chance.

    ``alpha = 1 - D_o / D_e``. Over the units with m ≥ 2 raters, n values in all: ``D_o`` is the number of ordered pairs
    of different values within a unit, each divided by (m - 1), over n; ``D_e`` that of all different values across
    units, over n (n - 1) (K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011). Raters may skip
    units.

    Args:
        units: the values that raters gave each unit.

    Returns:
        None if no unit has two raters, or all values are equal.
    """
    seen = [values for values in units if len(values) > 1]
    totals = Counter(value for values in seen for value in values)
    n = sum(totals.values())
    expected = n * n - sum(count * count for count in totals.values())
    if not expected:
        return None
    observed = sum(
        (len(values) ** 2 - sum(count * count for count in Counter(values).values())) / (len(values) - 1)
        for values in seen
    )
    return 1 - (n - 1) * observed / expected
