"""Demand of a pool by the loads of its nodes. What is not known is said to be; it is never 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mediafleet_common.api.names import Kind, PodState
from mediafleet_common.reports.demand import SESSION, FleetDemand
from mediafleet_scheduler.core.advertise.listing import NodeKey, node_key
from mediafleet_scheduler.core.advertise.ordering import Room
from mediafleet_scheduler.core.advertise.views import Node, PoolView
from mediafleet_scheduler.core.scaling.away import is_away
from mediafleet_scheduler.core.scaling.demand import silence, unknown


def pool_demand(pool: PoolView, rooms: Mapping[NodeKey, Room], now: float) -> FleetDemand:
    """The demand of a pool by the loads of its nodes; `rooms` has those that are known."""
    own = [node for node in pool.nodes if node.source is None]
    ready = [node for node in own if node.state is PodState.READY]
    known = [(node, rooms[node_key(node)]) for node in ready if node_key(node) in rooms]
    told = [(node, room, room.sessions) for node, room in known if room.sessions is not None]
    if len(told) < len(ready):
        silent = _silent_nodes(ready, (node for node, _, _ in told))
        reason = silence(silent, "does not tell its sessions")
        return unknown(Kind.ORCHESTRATOR_POOL, pool.namespace, pool.name, reason, now)
    sizes = [room.capacity for _, room, _ in told] or [pool.sessions_max]
    capacities = [size for size in sizes if size]
    sized = len(capacities) == len(sizes)
    full = max(capacities) if sized else None
    away = {node.name: _sessions(node, rooms, full) for node in own if is_away(node)}
    lost = sorted(name for name, sessions in away.items() if sessions is None)
    if lost:
        reason = silence(lost, "is not Ready and does not tell its sessions")
        return unknown(Kind.ORCHESTRATOR_POOL, pool.namespace, pool.name, reason, now)
    unready = [sessions for sessions in away.values() if sessions]
    work = sum(sessions for _, _, sessions in told) + sum(unready)
    return FleetDemand(
        kind=Kind.ORCHESTRATOR_POOL,
        namespace=pool.namespace,
        name=pool.name,
        known=True,
        at=now,
        ready=len(ready),
        busy=sum(sessions > 0 for _, _, sessions in told) + len(unready),
        away=len(unready),
        work=work,
        leaving=_on_draining(own, rooms),
        used=float(work),
        size=sum(capacities) / len(capacities) if sized else None,
        free={SESSION: sum(room.free or 0 for _, room, _ in told)} if sized else {},
        each={SESSION: min(capacities)} if sized else {},
    )


def _on_draining(nodes: Iterable[Node], rooms: Mapping[NodeKey, Room]) -> int:
    """Sessions on draining nodes: one at least while unknown, so that none counts as idle."""
    draining = (node for node in nodes if node.state is PodState.DRAINING)
    return sum(_sessions(node, rooms, 1) or 0 for node in draining)


def _sessions(node: Node, rooms: Mapping[NodeKey, Room], otherwise: int | None) -> int | None:
    """Sessions of a node that takes none; `otherwise` when it does not tell."""
    room = rooms.get(node_key(node))
    return otherwise if room is None or room.sessions is None else room.sessions


def _silent_nodes(ready: Iterable[Node], told: Iterable[Node]) -> list[str]:
    return sorted({node.name for node in ready} - {node.name for node in told})
