"""An HPA and draining pods: what it writes, by its own arithmetic, at 10 % and without tolerance.

The cluster tier asks a real one. Here the table is complete.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kit.operator.fleet_builders import draining, fleet, observe, pod

from mediafleet_operator.core.plan import plan
from mediafleet_operator.core.status.status import report
from mediafleet_operator.simulate.hpa import DEFAULT_TOLERANCE, Behavior, Hpa, average_value


def status_replicas(wanted: int, leaving: int) -> int:
    """What our status says of a fleet that has so many pods, and so many draining beside them."""
    pods = [pod(slot) for slot in range(wanted)]
    pods += [draining(slot) for slot in range(wanted, wanted + leaving)]
    observation = observe(fleet(wanted), pods, dict.fromkeys(range(wanted + leaving), 1))
    said = report(observation, plan(observation), None).replicas
    assert said is not None
    return said


def test_with_draining_pods_in_the_status_the_tolerance_would_undo_the_drain() -> None:
    """Why ours leaves them out: 20 are wanted, 22 were counted, and 10 % makes 22 of it."""
    assert average_value(20, 1, 22, DEFAULT_TOLERANCE) == 22
    assert average_value(20, 1, 22, 0.0) == 20


@pytest.mark.parametrize("tolerance", [DEFAULT_TOLERANCE, 0.0])
@pytest.mark.parametrize(("wanted", "leaving"), [(20, 2), (20, 1), (10, 1), (3, 1), (100, 10)])
def test_no_drain_is_undone_by_the_hpa(wanted: int, leaving: int, tolerance: float) -> None:
    status = status_replicas(wanted, leaving)
    assert status == wanted
    hpa = Hpa(1, 200, Behavior(tolerance=tolerance, down_window_seconds=0))
    for sync in range(10):
        assert hpa.sync(float(wanted), 1, wanted, status, 15.0 * sync) == wanted


@given(st.integers(1, 300), st.integers(0, 50), st.sampled_from([0.0, DEFAULT_TOLERANCE]))
def test_no_drain_is_undone_whatever_the_numbers(
    wanted: int, leaving: int, tolerance: float
) -> None:
    del leaving  # they are not in the status: test_no_drain_is_undone_by_the_hpa
    assert average_value(float(wanted), 1, wanted, tolerance) == wanted


def test_twenty_never_becomes_twenty_one_with_a_tolerance_and_does_without() -> None:
    assert average_value(21, 1, 20, DEFAULT_TOLERANCE) == 20
    assert average_value(21, 1, 20, 0.0) == 21
    assert average_value(23, 1, 20, DEFAULT_TOLERANCE) == 23


@given(st.integers(0, 300), st.integers(1, 300), st.sampled_from([1.0, 0.5, 3.0]))
def test_without_tolerance_wanted_times_target_comes_back_as_wanted(
    wanted: int, status: int, target: float
) -> None:
    assert average_value(wanted * target, target, status, 0.0) == wanted


def test_one_sync_reaches_the_maximum_by_our_policy_and_not_by_the_default() -> None:
    ours, default = Hpa(1, 50, Behavior(up_pods=50)), Hpa(1, 50, Behavior(up_pods=4))
    assert ours.sync(50, 1, 1, 1, 0.0) == 50
    assert default.sync(50, 1, 1, 1, 0.0) == 5


def test_an_hpa_without_a_metric_changes_nothing() -> None:
    hpa = Hpa(1, 50)
    assert hpa.sync(None, 1, 7, 7, 0.0) == 7
