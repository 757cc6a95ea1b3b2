"""The forecast: what the weeks before say, when they say nothing, and that it never costs a pod."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kit.operator.demand_builders import EACH, NOW, UNKNOWN, Autoscaler, asked, demand

from mediafleet_common.api.scaling.autoscaling import Autoscaling
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.autoscaling.decision import decide
from mediafleet_operator.core.autoscaling.forecast import forecast, share_of_usual, usual
from mediafleet_operator.core.autoscaling.model import Past, Policy, Situation
from mediafleet_operator.core.autoscaling.record import (
    EMPTY,
    QUARTER_SECONDS,
    WEEK,
    Record,
    recorded,
)

QUARTER = int(NOW // QUARTER_SECONDS)
MIDDLE = QUARTER * QUARTER_SECONDS + 450.0


def record(weeks: dict[int, int | None], quarter: int = QUARTER, base: Record = EMPTY) -> Record:
    """What rushes needed so many weeks before a quarter hour."""
    made = base
    for back in sorted(weeks, reverse=True):
        pods = weeks[back]
        if pods is not None:
            made = recorded(made, quarter - back * WEEK, pods)
    return made


def day(pods: list[int], back: int, until: int = QUARTER, base: Record = EMPTY) -> Record:
    """The quarter hours before a moment, so many weeks back."""
    made = base
    for at, each in enumerate(pods):
        made = recorded(made, until - back * WEEK - len(pods) + at, each)
    return made


@pytest.mark.parametrize(
    ("weeks", "pods"),
    [
        ({1: 4, 2: 6, 3: 5, 4: 7}, 6),
        ({1: 4, 2: 4, 3: 4, 4: 90}, 4),
        ({1: 0, 2: 6, 3: 6, 4: 6}, 6),
        ({1: 4, 2: 6, 3: 5}, 5),
        ({1: 4, 4: 6}, 4),
        ({1: 0, 2: 0, 3: 9}, 0),
        ({2: 6}, None),
        ({}, None),
        ({5: 6, 6: 6}, None),
    ],
)
def test_the_second_highest_of_the_weeks_that_are_known_counts(
    weeks: dict[int, int | None], pods: int | None
) -> None:
    assert usual(record(weeks), QUARTER) == pods
    assert forecast(record(weeks), MIDDLE, 60).pods == pods


def test_what_comes_within_the_lead_counts_now() -> None:
    made = EMPTY
    for back in (2, 1):
        made = record({back: 3}, base=made)
        made = record({back: 9}, QUARTER + 1, made)
    assert forecast(made, MIDDLE, 449).pods == 3
    assert forecast(made, MIDDLE, 450).pods == 9
    assert forecast(made, MIDDLE + 450, 0).pods == 9
    assert forecast(made, MIDDLE - 900, 450).pods == 3
    assert forecast(made, MIDDLE - 900, 449).pods is None


@pytest.mark.parametrize(
    ("share", "pods"), [(0.3, 30), (0.29, None), (0.985, 99), (1.0, 100), (3.0, 100)]
)
def test_the_forecast_follows_what_came_of_the_usual_in_the_last_two_hours(
    share: float, pods: int | None
) -> None:
    usually = [1000] * 8 + [100]
    made = day(usually, 2, QUARTER + 1)
    made = day(usually, 1, QUARTER + 1, made)
    made = day([round(1000 * share)] * 8, 0, QUARTER, made)
    assert share_of_usual(made, QUARTER) == pytest.approx(share)
    found = forecast(made, MIDDLE, 60)
    assert found.pods == pods
    assert (f"{share:.0%} of" in found.why) == (share < 1)


def test_hours_without_a_usual_rush_say_nothing_about_the_day() -> None:
    made = day([0] * 8 + [5], 2, QUARTER + 1)
    made = day([0] * 8 + [5], 1, QUARTER + 1, made)
    made = day([0] * 8, 0, QUARTER, made)
    assert share_of_usual(made, QUARTER) is None
    assert forecast(made, MIDDLE, 60).pods == 5


def ahead(use: str, **more: Any) -> Policy:
    return asked(forecast={"use": use, "lead": "1m"}, **more)


def look(policy: Policy, replicas: int, said: FleetDemand | None, made: Record) -> Any:
    return decide(Situation(policy, replicas, said, Past(record=made), MIDDLE))


BUSY = record({1: 9, 2: 9})


def test_it_raises_the_count_and_says_so() -> None:
    verdict = look(ahead("apply"), 2, demand([1, 1]), BUSY)
    assert (verdict.replicas, verdict.wanted, verdict.forecast) == (9, 9, 9)
    assert "raised to 9 by spec.autoscaling.forecast, 9 is usual" in verdict.why


def test_one_that_is_only_observed_changes_nothing() -> None:
    verdict = look(ahead("observe"), 2, demand([1, 1]), BUSY)
    assert (verdict.replicas, verdict.wanted, verdict.forecast) == (2, 2, 9)
    assert verdict.why == look(asked(), 2, demand([1, 1]), BUSY).why


def test_max_holds_and_so_does_the_pace() -> None:
    assert look(ahead("apply", max=6), 2, demand([1, 1]), BUSY).replicas == 6
    slow = {"scaleUp": {"perMinute": 3}, "scaleDown": {"stabilization": "0s"}}
    verdict = look(ahead("apply", behavior=slow), 2, demand([1, 1]), BUSY)
    assert (verdict.replicas, verdict.wanted) == (5, 9)


def test_it_wakes_a_fleet_that_sleeps() -> None:
    verdict = look(ahead("apply", min=0), 0, demand([]), BUSY)
    assert verdict.replicas == 9
    none = look(ahead("apply", min=0), 0, demand([]), record({1: 0, 2: 0}))
    assert (none.replicas, none.forecast) == (0, 0)


def test_unknown_demand_has_no_forecast_and_is_no_part_of_the_record() -> None:
    verdict = look(ahead("apply"), 2, UNKNOWN, BUSY)
    assert (verdict.replicas, verdict.forecast) == (2, None)
    assert verdict.past.record == BUSY


def test_what_is_needed_close_together_counts_and_nothing_while_idle() -> None:
    def most(said: FleetDemand) -> int | None:
        watched = look(ahead("observe"), 4, said, EMPTY).past.record.watched
        return None if watched is None else int(watched.least)

    assert most(demand([EACH, EACH, 0, 0])) == 3
    assert most(demand([1, 1, 1, 1])) == 2, "four pods have work that two would take"
    assert most(demand([0, 0, 0, 0])) == 0
    assert most(demand([0], leaving=1)) == 1
    assert look(asked(), 4, demand([1]), BUSY).past.record == EMPTY


def test_what_was_refused_counts_in_the_record_and_asks_for_no_pod() -> None:
    full = demand([EACH, EACH])
    refused = full.model_copy(update={"refused": {"web": 3 * EACH, "movie": 9}})
    plain, short = (look(ahead("observe"), 2, said, EMPTY) for said in (full, refused))
    assert (plain.wanted, short.wanted) == (3, 3)
    assert "12 refused lately" in short.why
    least = [each.past.record.watched.least for each in (plain, short) if each.past.record.watched]
    assert least == [3, 6]


def test_the_wake_of_a_fleet_nobody_can_measure_is_one_pod() -> None:
    said = demand([], queued=3, each=0)
    watched = look(ahead("apply", min=0), 0, said, EMPTY).past.record.watched
    assert watched is not None
    assert watched.least == 1


RECORDS = st.builds(
    record,
    st.dictionaries(st.integers(1, 4), st.integers(0, 30), max_size=4),
    st.integers(QUARTER - 1, QUARTER + 2),
)
DEMANDS = st.one_of(
    st.none(),
    st.just(UNKNOWN),
    st.builds(
        demand,
        st.lists(st.integers(0, EACH), max_size=20),
        st.integers(0, 60),
        refused=st.dictionaries(st.just("web"), st.integers(1, 60)),
    ),
)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    low = draw(st.integers(0, 5))
    paces = {
        way: {
            "stabilization": f"{draw(st.integers(0, 90))}s",
            **({"perMinute": draw(st.integers(1, 8))} if draw(st.booleans()) else {}),
        }
        for way in ("scaleUp", "scaleDown")
    }
    return {
        "min": low,
        "max": draw(st.integers(max(low, 1), 25)),
        "buffer": {"slots": draw(st.integers(0, 9))},
        "coolDown": f"{draw(st.integers(0, 60))}s",
        "behavior": paces,
    }


@given(
    specs(),
    RECORDS,
    st.integers(0, 25),
    st.lists(st.tuples(DEMANDS, st.sampled_from([1.0, 5.0, 30.0, 200.0])), max_size=25),
)
def test_there_are_never_fewer_pods_than_without_it(
    spec: dict[str, Any],
    made: Record,
    replicas: int,
    told: list[tuple[FleetDemand | None, float]],
) -> None:
    plain = Autoscaler(asked(**spec), replicas)
    fleet = Autoscaler(ahead("apply", **spec), replicas)
    watcher = Autoscaler(ahead("observe", **spec), replicas)
    fleet.past = watcher.past = replace(Past(), record=made)
    for said, after in told:
        without = plain.look(said, after)
        assert watcher.look(said, after).replicas == without.replicas
        verdict = fleet.look(said, after)
        assert verdict.replicas >= without.replicas
        assert (verdict.wanted or 0) >= (without.wanted or 0)


@given(specs(), RECORDS, st.integers(0, 25), DEMANDS)
def test_it_wants_no_more_than_what_two_weeks_needed(
    spec: dict[str, Any], made: Record, replicas: int, said: FleetDemand | None
) -> None:
    verdict = look(ahead("apply", **spec), replicas, said, made)
    told = [made.at(each) for each in range(made.end - 4 * WEEK, made.end)]
    if verdict.forecast is not None:
        assert sum(peak is not None and peak >= verdict.forecast for peak in told) >= 2


@pytest.mark.parametrize(
    "spec",
    [
        {"engine": "keda"},
        {"engine": "hpa", "hpa": {"name": "other"}},
        {"engine": "hpa", "hpa": {"type": "pods"}},
    ],
)
def test_it_is_refused_where_the_operator_does_not_know_what_is_wanted(
    spec: dict[str, Any],
) -> None:
    whole = {"max": 3, "forecast": {"use": "apply"}, **spec}
    with pytest.raises(ValueError, match=r"autoscaling\.forecast is for engine builtin"):
        Autoscaling.model_validate(whole)
    for fine in ({"engine": "builtin"}, {"engine": "hpa"}, {"engine": "none"}):
        Autoscaling.model_validate({**whole, "hpa": {}, **fine})
