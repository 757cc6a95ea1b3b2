"""Bytes and minutes, as a worker reports them and as the kernel counts them."""

from __future__ import annotations

from typing import Any

import pytest

from mediafleet_scheduler.core.community.checks.convergence import Verdict
from mediafleet_scheduler.core.community.checks.samples import (
    BUSY_BYTES_A_SECOND,
    Counter,
    Sample,
    comparisons,
    network_of,
)

TIME = "2026-11-29T08:00:30Z"
AT = 1_795_939_230.0


def samples(reported: list[float], counted: list[float], busy: bool | None = True) -> list[Sample]:
    """One each ten seconds."""
    return [
        Sample(Counter(10.0 * number, one), Counter(10.0 * number + 3, other), busy)
        for number, (one, other) in enumerate(zip(reported, counted, strict=True))
    ]


def test_bytes_are_compared_by_the_minute_whenever_each_side_was_read() -> None:
    bytes_, minutes = comparisons(samples([0, 1e6, 2e6], [5e6, 6e6, 7e6]))
    assert (bytes_.reported, bytes_.counted, bytes_.verdict) == (6e6, 6e6, Verdict.WITHIN)
    assert (minutes.reported, minutes.counted, minutes.verdict) == (20, 20, Verdict.WITHIN)


def test_bytes_that_the_kernel_has_not_seen_are_outside() -> None:
    bytes_, _ = comparisons(samples([0, 1.1e6], [0, 1e6]))
    assert (bytes_.verdict, bytes_.ratio) == (Verdict.OUTSIDE, 1.1)


def test_a_counter_that_fell_began_anew() -> None:
    bytes_, _ = comparisons(samples([9e6, 1e6, 2e6], [0, 1e6, 2e6]))
    assert bytes_.ratio == 1


def test_jobs_without_traffic_are_outside_and_idle_ones_are_not_measurable() -> None:
    quiet = [0.0, 10 * BUSY_BYTES_A_SECOND, 20 * BUSY_BYTES_A_SECOND]
    _, minutes = comparisons(samples([0, 1, 2], quiet))
    assert (minutes.reported, minutes.counted) == (20, 0)
    assert minutes.verdict is Verdict.NOT_MEASURABLE
    _, minutes = comparisons(samples([0, 1, 2], [0, 1e6, 1e6]))
    assert (minutes.counted, minutes.verdict) == (10, Verdict.OUTSIDE)
    _, minutes = comparisons(samples([0, 1, 2], [0, 1e6, 2e6], busy=False))
    assert (minutes.reported, minutes.verdict) == (0, Verdict.OUTSIDE)


@pytest.mark.parametrize("few", [[], [Sample()], samples([1], [1]), [Sample(), Sample()]])
def test_fewer_than_two_readings_are_not_measurable(few: list[Sample]) -> None:
    assert {each.verdict for each in comparisons(few)} == {Verdict.NOT_MEASURABLE}


def test_a_side_that_is_silent_makes_only_what_it_says_not_measurable() -> None:
    silent = [Sample(None, each.counted, None) for each in samples([0, 1], [0, 1e6])]
    assert [each.counted for each in comparisons(silent)] == [6e6, 10]
    assert {each.verdict for each in comparisons(silent)} == {Verdict.NOT_MEASURABLE}
    changed = samples([0, 1e6], [0, 1e6])
    changed[1] = Sample(changed[1].reported, changed[1].counted, False)
    assert comparisons(changed)[1].reported is None
    stuck = [Sample(Counter(0, 1), Counter(5, 1), True)] * 2
    assert {each.verdict for each in comparisons(stuck)} == {Verdict.NOT_MEASURABLE}


def pod(**changes: Any) -> dict[str, Any]:
    network = {"time": TIME, "rxBytes": 70, "txBytes": 7, "name": "eth0", **changes}
    return {"podRef": {"name": "orch-0", "namespace": "media"}, "network": network}


def test_a_pod_is_found_in_kubelets_summary_by_name_and_namespace() -> None:
    other = {"podRef": {"name": "orch-0", "namespace": "elsewhere"}}
    summary = {"pods": ["odd", {"podRef": {}}, other, pod()]}
    assert network_of(summary, "media", "orch-0") == Counter(AT, 77)
    assert network_of(summary, "media", "orch-1") is None
    assert network_of(summary, "elsewhere", "orch-0") is None


@pytest.mark.parametrize("changes", [{"time": "now"}, {"rxBytes": None}, {"txBytes": "7"}])
def test_a_summary_of_another_form_says_nothing(changes: dict[str, Any]) -> None:
    assert network_of({"pods": [pod(**changes)]}, "media", "orch-0") is None
    none: list[Any] = [None, [], {}, {"pods": 5}]
    for odd in none:
        assert network_of(odd, "media", "orch-0") is None
