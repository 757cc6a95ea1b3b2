"""What holds of the built-in policy whatever the demand, the past and the policy."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from tests.kit.operator.demand_builders import EACH, NOW, UNKNOWN, Autoscaler, asked, demand

from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.autoscaling.decision import decide
from mediafleet_operator.core.autoscaling.model import Past, Policy, Situation
from mediafleet_operator.core.autoscaling.schedule import bounds

JOBS = st.lists(st.integers(0, EACH), max_size=30)


@st.composite
def policies(draw: st.DrawFn, *, pace: bool = True) -> Policy:
    low = draw(st.integers(0, 6))
    spec: dict[str, Any] = {
        "min": low,
        "max": draw(st.integers(max(low, 1), 25)),
        "buffer": {"slots": draw(st.integers(0, 12)), "percent": draw(st.integers(0, 150))},
        "coolDown": f"{draw(st.integers(0, 60))}s",
    }
    if pace:
        spec["behavior"] = {
            way: {
                "stabilization": f"{draw(st.integers(0, 40))}s",
                **({"perMinute": draw(st.integers(1, 8))} if draw(st.booleans()) else {}),
            }
            for way in ("scaleUp", "scaleDown")
        }
    return asked(**spec)


DEMANDS = st.one_of(st.none(), st.just(UNKNOWN), st.builds(demand, JOBS, st.integers(0, 60)))


@given(
    policies(), st.integers(0, 40), st.lists(st.tuples(DEMANDS, st.floats(0.1, 30)), max_size=25)
)
def test_a_count_is_within_its_bounds_and_unknown_demand_takes_nothing_away(
    policy: Policy, replicas: int, told: list[tuple[FleetDemand | None, float]]
) -> None:
    fleet = Autoscaler(policy, replicas)
    for said, after in told:
        before = fleet.replicas
        verdict = fleet.look(said, after)
        assert verdict.replicas >= policy.min
        if said is None or not said.known:
            assert verdict.replicas == max(before, policy.min)
            assert not verdict.active
        else:
            assert verdict.replicas <= policy.max
            # Never below the busy ones, nor any lower than somebody else has set it already.
            assert verdict.replicas >= min(said.busy, policy.max, before)


@given(policies(pace=False), JOBS, st.integers(0, 40), st.integers(0, 25), st.data())
def test_more_demand_never_wants_fewer_pods(
    policy: Policy, jobs: list[int], queued: int, replicas: int, data: st.DataObject
) -> None:
    more_jobs = [data.draw(st.integers(each, EACH)) for each in jobs]
    more_queued = data.draw(st.integers(queued, 60))
    less, more = (
        decide(Situation(policy, replicas, demand(work, waiting), Past(), NOW)).wanted
        for work, waiting in ((jobs, queued), (more_jobs, more_queued))
    )
    assert less is not None
    assert more is not None
    assert less <= more


@dataclass
class Fleet:
    """Pods with constant work: new ones start after a while, idle ones leave at once."""

    jobs: list[int]
    starting: int = 0

    def towards(self, replicas: int, ready: int) -> None:
        """The operator acts on the count; so many of those that start become Ready."""
        while len(self.jobs) + self.starting > replicas and self.starting:
            self.starting -= 1
        while len(self.jobs) > replicas and 0 in self.jobs:
            self.jobs.remove(0)
        self.starting += max(replicas - len(self.jobs) - self.starting, 0)
        ready = min(ready, self.starting)
        self.starting -= ready
        self.jobs += [0] * ready


NEAR_SLEEP = asked(
    min=0,
    max=3,
    buffer={"slots": 9},
    coolDown="46s",
    behavior={"scaleUp": {"stabilization": "0s"}, "scaleDown": {"perMinute": 1}},
)


@given(policies(), JOBS, st.lists(st.integers(0, 3), min_size=1, max_size=5), st.booleans())
@example(policy=NEAR_SLEEP, jobs=[0], ready=[0], restarts=True)
def test_constant_demand_never_makes_the_count_turn_round(
    policy: Policy, jobs: list[int], ready: list[int], restarts: bool
) -> None:
    """Whatever the start, it goes one way and stays; one process' way to sleep goes down alone."""
    fleet = Fleet(list(jobs))
    autoscaler = Autoscaler(policy, len(jobs))
    counts, begun = [len(jobs)], [1]
    for step in range(120):
        if restarts and step % 37 == 36:
            autoscaler.restart()
            begun.append(len(counts))
        counts.append(autoscaler.look(demand(fleet.jobs), 5.0).replicas)
        fleet.towards(counts[-1], ready[step % len(ready)])
    if policy.min == 0 and not any(jobs):
        # It may grow to its buffer, and then sleeps once its cool-down is over; another process
        # does not know for how long nothing has run, and begins anew.
        for start, end in pairwise([*begun, len(counts)]):
            ups = turns(counts[start:end])
            assert ups == sorted(ups, reverse=True), counts
    else:
        # The first step may be to the bounds, which wait for nothing.
        assert len(set(turns(counts[1:]))) <= 1, counts


def turns(counts: list[int]) -> list[bool]:
    """Whether each change of a count was upwards."""
    return [after > before for before, after in pairwise(counts) if after != before]


@given(policies(), st.lists(st.tuples(st.integers(0, 60), st.floats(0.5, 20)), max_size=40))
def test_the_pace_is_kept_over_any_minute_and_any_restart(
    policy: Policy, told: list[tuple[int, float]]
) -> None:
    fleet = Autoscaler(policy, policy.min)
    history = [(fleet.now, fleet.replicas)]
    for index, (queued, after) in enumerate(told):
        if index % 7 == 6:
            fleet.restart()
        fleet.look(demand([EACH] * policy.min, queued), after)
        history.append((fleet.now, fleet.replicas))
    up = policy.up.per_minute
    for at, count in history if up is not None else ():
        lowest = min(each for when, each in history if at - 60 < when <= at)
        assert count - lowest <= (up or 0)


@given(policies(), JOBS, st.integers(0, 40), st.integers(0, 25))
def test_deciding_twice_is_deciding_once(
    policy: Policy, jobs: list[int], queued: int, replicas: int
) -> None:
    first = decide(Situation(policy, replicas, demand(jobs, queued), Past(), NOW))
    again = decide(Situation(policy, first.replicas, demand(jobs, queued), first.past, NOW))
    assert again.replicas == first.replicas


@given(policies(), st.lists(DEMANDS, max_size=60))
def test_the_past_stays_small(policy: Policy, told: list[FleetDemand | None]) -> None:
    fleet = Autoscaler(policy, 1)
    for said in told * 5:
        fleet.look(said, 1.0)
    assert len(fleet.past.changes) <= 25
    assert len(fleet.past.advice) <= 42


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    """A daily window, over midnight as well, in a zone where clocks change at their own time."""
    start, end = draw(st.lists(st.integers(0, 23), min_size=2, max_size=2, unique=True))
    low = draw(st.integers(0, 10))
    zones = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
    return {
        "start": f"{draw(st.integers(0, 59))} {start} * * *",
        "end": f"0 {end} * * *",
        "timeZone": draw(st.sampled_from(zones)),
        "min": low,
        **({"max": draw(st.integers(max(low, 1), 30))} if draw(st.booleans()) else {}),
    }


@given(
    st.lists(windows(), min_size=1, max_size=3),
    JOBS,
    st.integers(0, 60),
    st.integers(0, 40),
    st.floats(0, 366 * 86400),
)
def test_the_bounds_of_the_moment_hold_in_every_zone_and_over_each_change_of_the_clock(
    schedule: list[dict[str, Any]], jobs: list[int], queued: int, replicas: int, later: float
) -> None:
    policy, now = asked(schedule=schedule), NOW + later
    within = bounds(policy, now)
    count = decide(Situation(policy, replicas, demand(jobs, queued), Past(), now)).replicas
    assert within.min <= count <= max(within.max, within.min)
