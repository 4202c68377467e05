"""Intervals and agreement of the preference study, on published examples."""

import pytest

from tav_core.study.statistics import krippendorff_alpha, raw_agreement, wilson_interval


@pytest.mark.parametrize(
    "successes, trials, low, high",  # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(trials - successes, trials) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_agreement():
    # K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), examples A and C
    binary = list(zip("0100000010", "1110010000"))
    assert krippendorff_alpha(binary) == pytest.approx(0.095, abs=5e-4)
    assert raw_agreement(binary) == pytest.approx(0.6)
    raters = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")  # a point: did not see it
    units = ["".join(unit).replace(".", "") for unit in zip(*raters)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(["aa", "bb"]) == 1
    assert krippendorff_alpha(["aa", "aa"]) is None
    assert raw_agreement(["aaab", "b"]) == pytest.approx(3 / 6)
    assert raw_agreement(["a", "b"]) is None
