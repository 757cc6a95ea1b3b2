"""What is reported beside what somebody else counted."""

from __future__ import annotations

import math

import pytest

from mediafleet_scheduler.core.community.checks.convergence import (
    BYTES,
    MINUTES,
    Verdict,
    compare,
)


@pytest.mark.parametrize(
    ("reported", "verdict"),
    [
        (979, Verdict.OUTSIDE),
        (980, Verdict.WITHIN),
        (1000, Verdict.WITHIN),
        (1020, Verdict.WITHIN),
        (1021, Verdict.OUTSIDE),
        (0, Verdict.OUTSIDE),
    ],
)
def test_bytes_may_differ_by_two_in_a_hundred(reported: float, verdict: Verdict) -> None:
    found = compare("bytes", reported, 1000, BYTES)
    assert (found.verdict, found.ratio) == (verdict, reported / 1000)


def test_a_warning_names_both_figures_the_ratio_and_the_band() -> None:
    assert compare("bytes", 1_500_000, 1e6, BYTES).text == (
        "bytes: outside: reported 1,500,000, counted 1,000,000, ratio 1.500, expected 0.98 to 1.02"
    )
    assert compare("minutes", None, 60, MINUTES).text == (
        "minutes: not measurable: reported ?, counted 60, ratio ?, expected 0.95 to 1.05"
    )


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -1])
def test_a_side_that_is_missing_makes_it_not_measurable(missing: float | None) -> None:
    for reported, counted in ((missing, 10), (10, missing)):
        found = compare("bytes", reported, counted, BYTES)
        assert (found.verdict, found.ratio) == (Verdict.NOT_MEASURABLE, None)
        assert {found.reported, found.counted} == {None, 10}


def test_beside_nothing_there_is_no_ratio() -> None:
    found = compare("bytes", 10, 0, BYTES)
    assert (found.verdict, found.ratio) == (Verdict.NOT_MEASURABLE, None)
