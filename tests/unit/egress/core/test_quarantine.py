"""Which pods are left out for a while."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_scheduler.core.egress.attempt import Outcome
from mediafleet_scheduler.core.egress.quarantine import (
    Case,
    Fault,
    Rules,
    Standing,
    after,
    left_out,
    room_to_spare,
)
from mediafleet_scheduler.egress.peers.forwarding import Forwarded, fault_of
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError

RULES = Rules(faults=3, first_back_off_seconds=10.0, max_back_off_seconds=60.0)


def told(*faults: float) -> Case | None:
    """A pod that failed at these times."""
    case = None
    for now in faults:
        case = after(case, Fault.FAILED, now, RULES)
    return case


@pytest.mark.parametrize(
    ("faults", "now", "standing"),
    [
        ((0,), 0, Standing.WELL),
        ((0, 1), 1, Standing.WELL),
        ((0, 1, 2), 2, Standing.OUT),
        ((0, 1, 2), 11.9, Standing.OUT),
        ((0, 1, 2), 12, Standing.ON_TRIAL),
        ((0, 1, 2), 1000, Standing.ON_TRIAL),
        # Starts that were under way when it was sent away send it away no further.
        ((0, 1, 2, 3, 4), 12, Standing.ON_TRIAL),
        # A fault on trial: at once, and for twice as long.
        ((0, 1, 2, 13), 32.9, Standing.OUT),
        ((0, 1, 2, 13), 33, Standing.ON_TRIAL),
        ((0, 1, 2, 13, 33), 72.9, Standing.OUT),
        ((0, 1, 2, 13, 33), 73, Standing.ON_TRIAL),
        # No longer than the longest back-off.
        ((0, 1, 2, 13, 33, 100), 159.9, Standing.OUT),
        ((0, 1, 2, 13, 33, 100), 160, Standing.ON_TRIAL),
    ],
)
def test_three_faults_in_a_row_send_a_pod_away_and_it_comes_back_by_itself(
    faults: tuple[float, ...], now: float, standing: Standing
) -> None:
    case = told(*faults)
    assert case is not None
    assert case.standing(now) is standing


def test_on_trial_a_pod_gets_one_job_at_a_time() -> None:
    case = told(0, 1, 2)
    assert case is not None
    cases = {"a": case}
    assert left_out(cases, ["a", "b"], busy=["a"], now=20) == {"a"}
    assert left_out(cases, ["a", "b"], busy=["b"], now=20) == frozenset()


@pytest.mark.parametrize(("pods", "out"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
def test_at_most_half_of_a_fleet_is_out(pods: int, out: int) -> None:
    case = told(0, 1, 2)
    assert case is not None
    uids = [f"uid-{n}" for n in range(pods)]
    assert len(left_out(dict.fromkeys(uids, case), uids, (), now=3)) == out


def test_of_too_many_those_are_out_that_have_the_longest_to_go() -> None:
    cases = {"a": Case(3, Fault.FAILED, 1, 15.0), "b": Case(3, Fault.FAILED, 2, 30.0)}
    assert left_out(cases, ["a", "b"], (), now=3) == {"b"}


@pytest.mark.parametrize(
    ("others", "free", "known", "fault"),
    [
        (0, 4.0, True, True),
        (0, None, True, True),
        (3, 4.0, True, True),
        (3, 3.9, True, False),
        (3, None, True, False),
        (0, 4.0, False, False),
        (3, 40.0, False, False),
    ],
    ids=["idle", "idle, CPUs unknown", "roomy", "nearly full", "unknown", "others?", "others??"],
)
def test_a_full_pod_is_not_room_to_spare(
    others: int, free: float | None, known: bool, fault: bool
) -> None:
    assert room_to_spare(others, free, cores=4.0, known=known) is fault


def refused(code: Code) -> Forwarded:
    return Forwarded(Outcome.REFUSED, error=PsrpcError(code, "x"))


@pytest.mark.parametrize(
    ("forwarded", "had_room", "fault"),
    [
        (Forwarded(Outcome.STARTED), True, None),
        (Forwarded(Outcome.ALREADY_EXISTS), True, None),
        (Forwarded(Outcome.TOO_LATE), True, None),
        (Forwarded(Outcome.NO_BID), False, None),
        (Forwarded(Outcome.NO_BID), True, Fault.NO_BID),
        (Forwarded(Outcome.NOT_ENOUGH_CPU), False, None),
        (Forwarded(Outcome.NOT_ENOUGH_CPU), True, Fault.REFUSED),
        (Forwarded(Outcome.SHUTTING_DOWN), False, Fault.REFUSED),
        (Forwarded(Outcome.NO_ANSWER), False, Fault.NO_ANSWER),
        (refused(Code.INTERNAL), False, Fault.FAILED),
        (refused(Code.UNAVAILABLE), False, Fault.FAILED),
        (refused(Code.INVALID_ARGUMENT), True, None),
        (refused(Code.NOT_FOUND), True, None),
        (refused(Code.PERMISSION_DENIED), True, None),
    ],
)
def test_what_is_the_pods_fault_and_what_the_requests(
    forwarded: Forwarded, had_room: bool, fault: Fault | None
) -> None:
    assert fault_of(forwarded, lambda: had_room) is fault


@given(st.lists(st.floats(0, 50), max_size=40))
def test_a_pod_is_never_away_for_longer_than_the_longest_back_off(waits: list[float]) -> None:
    now, case = 0.0, None
    for wait in waits:
        now += wait
        case = after(case, Fault.NO_ANSWER, now, RULES)
        assert case.until <= now + RULES.max_back_off_seconds
        assert case.standing(max(case.until, now)) is not Standing.OUT
