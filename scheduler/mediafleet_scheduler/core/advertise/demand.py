"""Demand of a pool by the loads of its own nodes, as the advertiser reads them."""

from __future__ import annotations

from collections.abc import Mapping

from mediafleet_common.api.names import PodState
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.scaling.pool_demand import NodeSessions, Standing, pool_demand
from mediafleet_scheduler.core.advertise.listing import NodeKey, node_key
from mediafleet_scheduler.core.advertise.ordering import UNKNOWN, Room
from mediafleet_scheduler.core.advertise.views import Node, PoolView
from mediafleet_scheduler.core.scaling.away import is_away


def demand_of(pool: PoolView, rooms: Mapping[NodeKey, Room], now: float) -> FleetDemand:
    """The demand of a pool; `rooms` has the nodes whose load is known."""
    nodes = [
        NodeSessions(node.name, standing, room.sessions, room.capacity)
        for node in pool.nodes
        if node.source is None and (standing := _standing(node)) is not None
        for room in [rooms.get(node_key(node), UNKNOWN)]
    ]
    found = pool_demand(pool.namespace, pool.name, nodes, pool.sessions_max, now)
    return found.model_copy(update={"forecast": pool.forecast}) if found.known else found


def streams(pool: PoolView, rooms: Mapping[NodeKey, Room]) -> int | None:
    """Sessions on the pool's own nodes together; `None`: of one it is not known."""
    sessions = [
        rooms.get(node_key(node), UNKNOWN).sessions
        for node in pool.nodes
        if node.source is None and _standing(node) is not None
    ]
    known = [each for each in sessions if each is not None]
    return sum(known) if len(known) == len(sessions) else None


def _standing(node: Node) -> Standing | None:
    if node.state is PodState.READY:
        return Standing.READY
    if node.state is PodState.DRAINING:
        return Standing.DRAINING
    return Standing.AWAY if is_away(node) else None
