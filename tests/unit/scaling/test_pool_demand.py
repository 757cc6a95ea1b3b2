"""The operator and the advertiser tell the same demand of a pool whose nodes they both see."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.kit.operator.fleet_builders import draining, fleet, observe, pending, pod

from mediafleet_common.api.names import Kind, PodState
from mediafleet_common.api.pool.advertise import Advertise
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.fleet.model import FleetKey, PodView
from mediafleet_operator.core.fleet.pool_demand import of_pool
from mediafleet_scheduler.core.advertise.demand import demand_of
from mediafleet_scheduler.core.advertise.listing import node_key
from mediafleet_scheduler.core.advertise.ordering import Room
from mediafleet_scheduler.core.advertise.views import Node, PoolView

POOL = replace(fleet(3), key=FleetKey(Kind.ORCHESTRATOR_POOL, "media", "rec"))
STATES = ("ready", "away", "draining", "pending")


def as_pod(slot: int, state: str) -> PodView:
    """A node as the operator sees it."""
    if state == "away":
        return pod(slot, ready=False)
    return {"ready": pod, "draining": draining, "pending": pending}[state](slot)


def as_node(slot: int, state: str) -> Node:
    """The same node as the advertiser sees it: one that is away is pending by its readiness."""
    by_state = {"ready": PodState.READY, "draining": PodState.DRAINING}
    at = by_state.get(state, PodState.PENDING)
    url = f"https://rec-{slot}:8935"
    return Node(f"rec-{slot}", f"uid-{slot}", url, None, at, was_ready=state != "pending")


def by_operator(nodes: list[tuple[str, int | None]], sessions_max: int | None) -> FleetDemand:
    pods = [as_pod(slot, state) for slot, (state, _) in enumerate(nodes)]
    loads = {slot: sessions for slot, (_, sessions) in enumerate(nodes)}
    return of_pool(observe(POOL, pods, loads), sessions_max)


def by_advertiser(nodes: list[tuple[str, int | None]], sessions_max: int | None) -> FleetDemand:
    seen = [as_node(slot, state) for slot, (state, _) in enumerate(nodes)]
    rooms = {
        node_key(node): Room(sessions, sessions_max)
        for node, (_, sessions) in zip(seen, nodes, strict=True)
        if sessions is not None
    }
    view = PoolView("media", "rec", Advertise(), tuple(seen), sessions_max=sessions_max)
    return demand_of(view, rooms, 0.0)


@given(
    st.lists(st.tuples(st.sampled_from(STATES), st.none() | st.integers(0, 9)), max_size=8),
    st.none() | st.integers(1, 6),
)
def test_operator_and_advertiser_tell_the_same_demand_of_the_same_nodes(
    nodes: list[tuple[str, int | None]], sessions_max: int | None
) -> None:
    told = by_operator(nodes, sessions_max).model_copy(update={"at": 0.0})
    assert told == by_advertiser(nodes, sessions_max)
