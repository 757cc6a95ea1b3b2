"""Metrics of autoscaling: absent where unknown; the time from demand to capacity."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from mediafleet_common.api.names import Kind, Reason
from mediafleet_common.api.scaling.autoscaling import Engine
from mediafleet_common.clock import Clock
from mediafleet_operator.core.autoscaling.model import Past, Scaling
from mediafleet_operator.core.fleet.actions import Rescale
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.core.fleet.state import FleetState
from mediafleet_operator.rounds.counters import ScaleCounts
from mediafleet_operator.rounds.metrics import OperatorMetrics

REGISTRY = CollectorRegistry()
METRICS = OperatorMetrics(REGISTRY)
KEY = FleetKey(Kind.EGRESS_FLEET, "media", "counted")
LABELS = {"kind": "egress", "fleet": "media/counted"}


class Counts:
    """ScaleCounts with a clock of the test's."""

    def __init__(self) -> None:
        self.now = 100.0
        self.counts = ScaleCounts(METRICS, Clock(monotonic=lambda: self.now))
        self.state = FleetState("uid")

    def look(
        self,
        wanted: int | None,
        ready: int,
        *,
        engine: Engine = Engine.BUILTIN,
        target: float | None = 1,
        forecast: int | None = None,
    ) -> None:
        active = wanted is not None
        past = Past(replicas=ready, last_change=5.0)
        scaling = Scaling(engine, active, Reason.AUTOSCALING, "", past, wanted, forecast)
        self.counts.count(KEY, self.state, scaling, target, ready)


@pytest.fixture
def counts() -> Iterator[Counts]:
    made = Counts()
    yield made
    made.counts.forget(KEY)


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"mediafleet_{name}", {**LABELS, **labels})


def for_an_hpa() -> float | None:
    labels = {"kind": "egress", "fleet_namespace": "media", "fleet_name": "counted"}
    assert not any("/" in each for each in labels.values()), "a selector's values have no slash"
    return REGISTRY.get_sample_value("mediafleet_autoscaling_demand", labels)


def test_an_hpa_is_told_wanted_pods_times_its_target(counts: Counts) -> None:
    counts.look(7, 5, target=2.5)
    assert for_an_hpa() == 17.5
    assert value("autoscaling_wanted") == 7
    assert value("autoscaling_replicas") == 5
    assert value("autoscaling_last_change_timestamp_seconds") == 5.0


def test_what_others_want_is_shown_and_told_to_no_hpa(counts: Counts) -> None:
    counts.look(7, 5)
    counts.look(6, 5, engine=Engine.KEDA, target=None)
    assert value("autoscaling_wanted") == 6
    assert for_an_hpa() is None, "whoever follows it would follow itself"


def test_while_demand_is_unknown_there_is_no_number_that_an_hpa_could_take_for_one(
    counts: Counts,
) -> None:
    counts.look(7, 5)
    counts.look(None, 5)
    assert for_an_hpa() is None
    assert value("autoscaling_wanted") is None
    assert value("autoscaling_active", engine="builtin") == 0


def test_a_forecast_is_shown_while_there_is_one(counts: Counts) -> None:
    counts.look(7, 5, forecast=9)
    assert value("autoscaling_forecast") == 9
    counts.look(7, 5)
    assert value("autoscaling_forecast") is None
    counts.look(None, 5, forecast=0)
    assert value("autoscaling_forecast") == 0
    counts.counts.forget(KEY)
    assert value("autoscaling_forecast") is None


def test_one_engine_is_shown_at_a_time(counts: Counts) -> None:
    counts.look(7, 5)
    counts.look(7, 5, engine=Engine.HPA)
    assert value("autoscaling_active", engine="builtin") is None
    assert value("autoscaling_active", engine="hpa") == 1


def test_a_fleet_that_is_gone_leaves_no_series(counts: Counts) -> None:
    counts.look(7, 5)
    counts.counts.forget(KEY)
    assert value("autoscaling_wanted") is None
    assert value("autoscaling_active", engine="builtin") is None


def test_the_time_from_demand_to_capacity_is_measured_once(counts: Counts) -> None:
    def told() -> tuple[float, float]:
        kind = {"kind": "egress"}
        name = "mediafleet_demand_to_capacity_seconds"
        total = REGISTRY.get_sample_value(f"{name}_sum", kind) or 0.0
        return REGISTRY.get_sample_value(f"{name}_count", kind) or 0.0, total

    count, total = told()
    for ready in (2, 2, 3, 4, 4):
        counts.look(4, ready)
        counts.now += 10
    assert told() == (count + 1, total + 30.0)


def test_changes_are_counted_by_direction(counts: Counts) -> None:
    def changes(direction: str) -> float:
        labels = {"kind": "egress", "direction": direction}
        name = "mediafleet_autoscaling_changes_total"
        return REGISTRY.get_sample_value(name, labels) or 0.0

    before = changes("up"), changes("down")
    counts.counts.changed(KEY, Rescale(2, 5, ""))
    counts.counts.changed(KEY, Rescale(5, 4, ""))
    assert (changes("up"), changes("down")) == (before[0] + 1, before[1] + 1)
