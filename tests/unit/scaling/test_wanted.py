"""Engines `builtin` and `keda` with metric `slots` want the same pods for the same demand."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.names import FLEET_KINDS, Kind
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.scaling.autoscaling import Autoscaling, WorkType
from mediafleet_common.reports.demand import SESSION, FleetDemand
from mediafleet_operator.core.autoscaling.model import policy
from mediafleet_operator.core.autoscaling.need import need
from mediafleet_operator.core.autoscaling.schedule import Bounds
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.manifests.children.scaling import Keda, scaled_object
from mediafleet_operator.manifests.resource import Resource
from mediafleet_scheduler.core.scaling.trigger import Trigger, TriggerError, parse
from mediafleet_scheduler.core.scaling.wanted import wanted

EGRESS: Final = EgressFleetSpec.model_validate({"redis": {"address": "redis:6379"}})
TYPES: Final = [kind.value for kind in WorkType if kind is not WorkType.SESSION]


def asked(**buffer: Any) -> Autoscaling:
    return Autoscaling.model_validate({"engine": "keda", "max": 100, "buffer": buffer})


def trigger_of(kind: Kind, autoscaling: Autoscaling) -> Trigger:
    """The trigger of the ScaledObject that the operator makes."""
    spec = EGRESS if kind is Kind.EGRESS_FLEET else OrchestratorPoolSpec()
    resource = Resource(FleetKey(kind, "media", "rec"), "uid-1", "7", 1, False, spec, None)
    made = scaled_object(resource, autoscaling, Bounds(0, 100), Keda("desk:9090"))
    return parse(made["spec"]["triggers"][0]["metadata"], "media")


def by_builtin(demand: FleetDemand, autoscaling: Autoscaling) -> int | None:
    needed = need(policy(autoscaling), demand)
    return None if needed is None else needed.pods


def by_keda(demand: FleetDemand, autoscaling: Autoscaling) -> int | None:
    try:
        return wanted(demand, trigger_of(demand.kind, autoscaling))
    except TriggerError:
        return None


@st.composite
def demands(draw: st.DrawFn) -> FleetDemand:
    """A demand in which some types fit on no pod, and what waits is of any type."""
    kind = draw(st.sampled_from(FLEET_KINDS))
    names = TYPES if kind is Kind.EGRESS_FLEET else [SESSION]
    each = draw(st.dictionaries(st.sampled_from(names), st.integers(0, 12), min_size=1))
    ready = draw(st.integers(0, 40))
    free = {name: draw(st.integers(0, ready * count)) for name, count in each.items()}
    waiting = st.dictionaries(st.sampled_from(names), st.integers(0, 60), max_size=4)
    queued = draw(waiting) if kind is Kind.EGRESS_FLEET else {}
    size = draw(st.sampled_from([0.8, 3.2, 12.8]))
    away = draw(st.integers(0, 5))
    busy = away + draw(st.integers(0, ready))
    return FleetDemand(
        kind=kind,
        namespace="media",
        name="rec",
        known=True,
        at=1.0,
        ready=ready,
        busy=busy,
        away=away,
        work=busy + draw(st.integers(0, 40)),
        size=size,
        free=free,
        each=each,
        queued=queued,
        queued_cost=sum(size / max(1, each.get(name, 1)) * n for name, n in queued.items()),
    )


@given(demands(), st.integers(1, 50), st.data())
def test_builtin_and_keda_want_the_same_pods_for_any_demand(
    demand: FleetDemand, slots: int, data: st.DataObject
) -> None:
    kind = data.draw(st.none() | st.sampled_from(sorted(demand.each)))
    autoscaling = asked(slots=slots, **({} if kind is None else {"type": kind}))
    assert by_keda(demand, autoscaling) == by_builtin(demand, autoscaling)


SMALL_PODS: Final = FleetDemand(
    kind=Kind.EGRESS_FLEET,
    namespace="media",
    name="rec",
    known=True,
    at=1.0,
    ready=2,
    busy=2,
    work=5,
    size=1.6,
    free={"room_composite": 0, "web": 0, "track_composite": 1, "track": 1},
    each={"room_composite": 0, "web": 0, "track_composite": 1, "track": 3},
    queued={"track_composite": 2},
    queued_cost=3.2,
)


def test_keda_scales_a_fleet_whose_small_pods_take_no_page_by_the_dearest_that_fits() -> None:
    """2 pods, one place free, two wait and one more is to be free."""
    assert by_keda(SMALL_PODS, asked(slots=1)) == 4


def test_what_fits_on_no_pod_asks_for_none_however_much_of_it_waits() -> None:
    demand = SMALL_PODS.model_copy(update={"queued": {"web": 9}, "queued_cost": 14.4})
    assert by_keda(demand, asked(slots=1)) == by_builtin(demand, asked(slots=1)) == 2


@pytest.mark.parametrize("kind", ["web", "participant"])
def test_a_type_that_is_asked_for_by_name_and_fits_on_no_pod_is_counted_by_nobody(
    kind: str,
) -> None:
    assert by_keda(SMALL_PODS, asked(type=kind)) is None
    assert by_builtin(SMALL_PODS, asked(type=kind)) is None
