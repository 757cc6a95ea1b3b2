"""The built-in policy, case by case: what demand wants, and what holds it back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.kit.operator.demand_builders import NOW, UNKNOWN, Autoscaler, asked, demand

from mediafleet_common.api.names import Reason
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.autoscaling.decision import decide
from mediafleet_operator.core.autoscaling.model import Past, Situation


@dataclass(frozen=True)
class Case:
    claim: str
    replicas: int
    demand: FleetDemand | None
    then: int
    policy: dict[str, Any] = field(default_factory=dict)
    says: str = ""


CASES = [
    Case("room for one more is room enough", 2, demand([4, 3]), 2),
    Case("without room for one more a pod is added", 2, demand([4, 4]), 3),
    Case("what waits needs room beside the buffer", 1, demand([4], queued=4), 3),
    Case("all that waits is answered at once", 1, demand([4], queued=39), 11),
    Case("an idle pod too many leaves", 3, demand([4, 3, 0]), 2),
    Case("a busy pod never counts as too many", 3, demand([1, 1, 1]), 3),
    Case("pods yet to come are not asked for twice", 5, demand([4, 4], queued=11), 5),
    Case(
        "a bigger buffer is kept free",
        2,
        demand([4, 4]),
        5,
        {"buffer": {"slots": 10}},
        says="wanted free for 10",
    ),
    Case(
        "percent of the jobs, where that is more", 2, demand([4, 4]), 4, {"buffer": {"percent": 80}}
    ),
    Case(
        "slots, where they are more than the percentage",
        2,
        demand([4, 4]),
        4,
        {"buffer": {"percent": 10, "slots": 5}},
    ),
    Case("never below min", 4, demand([1, 0, 0, 0]), 3, {"min": 3}, says="raised to 3 by min"),
    Case(
        "never above max",
        3,
        demand([4, 4, 4], queued=50),
        4,
        {"max": 4},
        says="16 would be needed, max is 4",
    ),
    Case("above max the count comes down even when busy", 5, demand([4] * 5), 4, {"max": 4}),
    Case("demand that nobody has told holds the count", 7, None, 7, says="unknown"),
    Case("demand that is said to be unknown holds it", 7, UNKNOWN, 7, says="ledger not rebuilt"),
    Case("min holds whatever is known", 1, None, 3, {"min": 3}),
    Case("max is no reason to go down blindly", 7, None, 7, {"max": 4}),
    Case(
        "a type that no pod takes holds the count",
        3,
        demand([0, 0, 0]),
        3,
        {"buffer": {"type": "room_composite"}},
        says="buffer.type",
    ),
    Case(
        "a pod of unknown size holds the count",
        3,
        demand([0, 0, 0]).model_copy(update={"each": {}, "free": {}}),
        3,
    ),
    Case(
        "of several types room is kept for the dearest that fits",
        2,
        demand([4, 4]).model_copy(
            update={"each": {"track": 20, "web": 4, "room_composite": 0}, "free": {"track": 9}}
        ),
        3,
        says="more web",
    ),
    Case(
        "what waits counts by its own cost",
        1,
        demand([4]).model_copy(
            update={"each": {"track": 20, "web": 4}, "queued": {"track": 10}, "free": {}}
        ),
        2,
    ),
    Case(
        "what no pod could ever take wakes nobody",
        1,
        demand([0]).model_copy(update={"queued": {"room_composite": 3}}),
        1,
    ),
    Case("an empty fleet sleeps on", 0, demand([]), 0, {"min": 0}),
    Case("a request wakes it", 0, demand([], queued=1), 1, {"min": 0}),
    Case("as many as waiting requests need", 0, demand([], queued=8), 3, {"min": 0}),
    Case(
        "a request wakes it also while nobody knows how much a pod takes",
        0,
        demand([], queued=3).model_copy(update={"each": {}, "free": {}}),
        1,
        {"min": 0},
    ),
    Case("one idle pod waits for the cool-down", 1, demand([0]), 1, {"min": 0}),
    Case(
        "no buffer is no reason to sleep before it",
        1,
        demand([0]),
        1,
        {"min": 0, "buffer": {"slots": 0}},
    ),
    Case(
        "a schedule that cannot be followed holds the count",
        3,
        demand([0, 0, 0]),
        3,
        {"schedule": [{"start": "0 1 * * *", "end": "0 2 * * *", "timeZone": "X/Y", "min": 1}]},
        says="timeZone 'X/Y'",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.claim)
def test_one_decision(case: Case) -> None:
    situation = Situation(asked(**case.policy), case.replicas, case.demand, Past(), NOW)
    verdict = decide(situation)
    assert verdict.replicas == case.then, verdict.why
    assert case.says in verdict.why
    assert verdict.why.endswith(".")


def test_a_paused_fleet_is_left_alone_even_below_its_minimum() -> None:
    situation = Situation(asked(min=3), 1, demand([4]), Past(), NOW, paused=True)
    verdict = decide(situation)
    assert (verdict.replicas, verdict.active, verdict.reason) == (1, False, Reason.PAUSED)


def test_scale_down_waits_until_the_most_that_was_wanted_is_out_of_the_window() -> None:
    fleet = Autoscaler(asked(behavior={"scaleDown": {"stabilization": "30s"}}), 1)
    assert fleet.look(demand([4], queued=8)).replicas == 4
    fleet.look(demand([4, 4, 4, 0]))
    counts = [fleet.look(demand([4, 0, 0, 0])).replicas for _ in range(40)]
    assert counts == [4] * 30 + [2] * 10


def test_demand_that_flaps_faster_than_the_window_flaps_no_pods() -> None:
    fleet = Autoscaler(asked(behavior={"scaleDown": {"stabilization": "30s"}}), 4)
    busy, quiet = demand([4, 4, 4, 0]), demand([4, 0, 0, 0])
    counts = {fleet.look(busy if at % 20 < 5 else quiet).replicas for at in range(400)}
    assert counts == {4}


def test_the_most_within_the_window_is_what_it_comes_down_to() -> None:
    fleet = Autoscaler(asked(behavior={"scaleDown": {"stabilization": "10s"}}), 6)
    for _ in range(5):
        fleet.look(demand([4, 4, 4, 0, 0, 0]))
    counts = [fleet.look(demand([4, 0, 0, 0, 0, 0])).replicas for _ in range(12)]
    # Six were wanted before anybody looked; four for five seconds; then two.
    assert counts == [6] * 5 + [4] * 5 + [2] * 2


def test_scale_up_may_wait_too_and_takes_the_least_of_the_window() -> None:
    calm = {"scaleUp": {"stabilization": "10s"}, "scaleDown": {"stabilization": "0s"}}
    fleet = Autoscaler(asked(behavior=calm), 2)
    fleet.look(demand([4, 3]))
    for _ in range(9):
        assert fleet.look(demand([4, 4], queued=7)).replicas == 2
    assert fleet.look(demand([4, 4], queued=3)).replicas == 2
    assert fleet.look(demand([4, 4], queued=7)).replicas == 3


def test_what_is_unknown_in_between_begins_the_window_anew() -> None:
    fleet = Autoscaler(asked(behavior={"scaleDown": {"stabilization": "10s"}}), 5)
    idle = demand([1, 0, 0, 0, 0])
    for _ in range(9):
        assert fleet.look(idle).replicas == 5
    assert fleet.look(UNKNOWN).replicas == 5
    counts = [fleet.look(idle).replicas for _ in range(12)]
    assert counts == [5] * 10 + [1] * 2


def test_a_restart_begins_the_window_and_the_cool_down_anew() -> None:
    fleet = Autoscaler(asked(min=0, coolDown="10s"), 1)
    for _ in range(9):
        assert fleet.look(demand([0])).replicas == 1
    fleet.restart()
    counts = [fleet.look(demand([0])).replicas for _ in range(12)]
    assert counts == [1] * 10 + [0] * 2


@pytest.mark.parametrize("seconds_between", [1.0, 7.0])
def test_so_many_a_minute_up_and_no_more(seconds_between: float) -> None:
    fleet = Autoscaler(asked(behavior={"scaleUp": {"perMinute": 3}}), 1)
    began, counts = fleet.now, {}
    while fleet.now < began + 200:
        verdict = fleet.look(demand([4], queued=60), seconds_between)
        counts[fleet.now - began] = verdict.replicas
    for at, count in counts.items():
        before = [each for when, each in counts.items() if at - 60 <= when <= at]
        assert count - min(before) <= 3
    assert max(counts.values()) >= 8


def test_so_many_a_minute_down_and_no_more_and_a_restart_does_not_forget() -> None:
    down = {"scaleDown": {"stabilization": "0s", "perMinute": 2}}
    fleet = Autoscaler(asked(behavior=down), 9)
    idle = demand([1] + [0] * 8)
    assert fleet.look(idle).replicas == 7
    fleet.look(idle)
    fleet.restart()
    assert [fleet.look(idle).replicas for _ in range(55)] == [7] * 55
    fleet.look(idle, 10)
    assert fleet.replicas == 5


def test_a_steady_pace_is_not_slowed_down_by_how_it_is_counted() -> None:
    fleet = Autoscaler(asked(max=900, behavior={"scaleUp": {"perMinute": 60}}), 1)
    counts = [fleet.look(demand([4], queued=3000), 1.0).replicas for _ in range(600)]
    assert 9 * 60 * 0.9 <= counts[-1] <= 10 * 60 + 1


def test_a_process_killed_between_its_write_and_its_status_does_not_go_too_fast() -> None:
    up = {"scaleUp": {"perMinute": 2}}
    fleet = Autoscaler(asked(behavior=up), 1)
    fleet.look(demand([4]))
    remembered = fleet.past
    fleet.look(demand([4], queued=40))
    before = fleet.replicas
    assert before == 3
    # The count was written, the status was not: the next process finds another count than it says.
    fleet.past = remembered
    fleet.restart()
    assert fleet.look(demand([4], queued=40)).replicas == before


def test_bounds_hold_at_once_whatever_the_pace() -> None:
    slow = {"scaleUp": {"stabilization": "5m", "perMinute": 1}}
    fleet = Autoscaler(asked(min=6, behavior=slow), 2)
    assert fleet.look(demand([1, 1])).replicas == 6


def test_a_fleet_sleeps_after_its_cool_down_and_not_after_stabilisation_too() -> None:
    fleet = Autoscaler(
        asked(min=0, coolDown="60s", behavior={"scaleDown": {"stabilization": "5m"}}), 3
    )
    fleet.look(demand([1, 0, 0]))
    counts = [fleet.look(demand([0, 0, 0])).replicas for _ in range(62)]
    assert counts == [3] * 60 + [0] * 2


def test_pods_with_jobs_that_are_not_ready_for_long_are_not_scaled_to_zero() -> None:
    fleet = Autoscaler(asked(min=0, coolDown="60s"), 5)
    gone = demand([]).model_copy(update={"work": 5, "busy": 5, "away": 5})
    counts = [fleet.look(gone).replicas for _ in range(400)]
    assert counts == [6] * 400, "room for the buffer, beside the pods that hold the jobs"


def test_a_job_in_between_begins_the_cool_down_anew() -> None:
    fleet = Autoscaler(asked(min=0, coolDown="10s"), 1)
    for _ in range(9):
        fleet.look(demand([0]))
    fleet.look(demand([0], queued=1))
    assert [fleet.look(demand([0])).replicas for _ in range(12)].count(0) == 2


def test_who_sleeps_wakes_at_once_even_when_scale_up_is_slow() -> None:
    slow = {"scaleUp": {"stabilization": "5m"}}
    fleet = Autoscaler(asked(min=0, behavior=slow), 0)
    fleet.look(demand([]), 100)
    assert fleet.look(demand([], queued=2)).replicas == 1


def test_an_open_window_raises_the_count_and_its_end_is_stabilised() -> None:
    start = NOW - NOW % 86400
    schedule = [{"start": "0 18 * * *", "end": "0 19 * * *", "min": 8}]
    down = {"scaleDown": {"stabilization": "30s"}}
    fleet = Autoscaler(asked(schedule=schedule, behavior=down), 1, now=start + 18 * 3600 - 31)
    idle = demand([1])
    for _ in range(30):
        assert fleet.look(idle).replicas == 1
    verdict = fleet.look(idle)
    assert verdict.replicas == 8
    assert "window" in verdict.why
    fleet.look(idle, 3600 - 1)
    assert fleet.look(idle).replicas == 8
    assert [fleet.look(idle).replicas for _ in range(30)][-2:] == [8, 1]


def test_why_there_is_no_demand_is_told_by_who_is_silent() -> None:
    """A desk that cannot be reached is another trouble than one that does not know."""
    away = Situation(
        asked(),
        3,
        None,
        Past(),
        NOW,
        silence="the desk is away",
        silence_reason=Reason.DESK_UNREACHABLE,
    )
    silent = decide(away)
    assert (silent.reason, silent.active) == (Reason.DESK_UNREACHABLE, False)
    assert "the desk is away" in silent.why
    unsure = decide(replace(away, demand=UNKNOWN))
    assert unsure.reason is Reason.DEMAND_UNKNOWN
    assert "ledger not rebuilt" in unsure.why


def test_what_waits_wakes_a_fleet_without_pods_and_takes_none_from_one_that_has_some() -> None:
    """Without a pod to measure nobody knows how many a pod takes."""
    page = asked(min=0, buffer={"type": "room_composite"})
    waits, quiet = demand([0, 0, 0], queued=2), demand([0, 0, 0])
    asleep = decide(Situation(page, 0, demand([], queued=2), Past(), NOW))
    assert (asleep.replicas, asleep.wanted) == (1, 1)
    for said in (waits, quiet):
        assert decide(Situation(page, 3, said, Past(), NOW)).replicas == 3
    assert decide(Situation(page, 0, demand([]), Past(), NOW)).replicas == 0
