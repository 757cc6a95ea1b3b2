"""Demand of a fleet or pool, and how many pods that asks for. Pure.

Two steps: what the desk knows -> `FleetDemand` (common.api.demand), and that with a trigger
(core/trigger.py) -> a number of pods. What is not known raises; it is never 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.demand import SESSION, FleetDemand
from mediafleet_common.api.egress_fleet import RequestType
from mediafleet_common.api.names import Kind, PodState
from mediafleet_scheduler.core.accounts import Job
from mediafleet_scheduler.core.advertised import NodeKey, node_key
from mediafleet_scheduler.core.capacity import Counts, capacity, pod_cores
from mediafleet_scheduler.core.ledger import Ledger, Pod
from mediafleet_scheduler.core.ordering import Room
from mediafleet_scheduler.core.queue import of_fleet
from mediafleet_scheduler.core.resources import rules_of
from mediafleet_scheduler.core.trigger import Metric, Trigger, TriggerError
from mediafleet_scheduler.core.views import Fleet, Node, PoolView, is_away

_ROUNDING: Final = 1e-9
"""Sums of costs are off by less; without it a pod too many would be wanted now and then."""


class UnknownDemandError(Exception):
    """What a trigger asks for is not known at this moment; the text says why."""


def unknown(kind: Kind, namespace: str, name: str, reason: str, now: float) -> FleetDemand:
    """A fleet of which nothing is known."""
    return FleetDemand(
        kind=kind, namespace=namespace, name=name, known=False, reason=reason, at=now
    )


def egress_demand(fleet: Fleet, ledger: Ledger, complete: bool, now: float) -> FleetDemand:
    """The demand of an egress fleet by the ledger; `now` is Unix time.

    `complete` says that the ledger surely holds every job of every pod. Else each pod that is or
    was ready must have told its load lately. Jobs on pods that are not ready any more are work like
    any other; only room there is none on them.
    """
    ready = [worker for worker in fleet.workers if worker.state is PodState.READY]
    unready = [worker for worker in fleet.workers if worker.state is PodState.PENDING]
    rules, utilization = rules_of(fleet.placement), fleet.placement.max_cpu_utilization
    pods = {each.uid: Pod(each.name, each.uid, each.cpu_cores, rules) for each in ready + unready}
    accounts = {uid: ledger.account(pod, utilization, now) for uid, pod in pods.items()}
    silent = [
        each.name
        for each in (*ready, *filter(is_away, unready))
        if not (complete or accounts[each.uid].measured)
    ]
    if silent:
        reason = _silent(silent, "has not told its load lately")
        return unknown(Kind.EGRESS_FLEET, fleet.namespace, fleet.name, reason, now)
    fits, cores = capacity(fleet, ledger, now), pod_cores(fleet)
    size = None if cores is None or fits.free is None else cores * utilization
    costs = _Costs(fleet, size, fits.each or {})
    waiting = of_fleet(ledger.waiting.values(), fleet.key, now)
    jobs = {uid: account.jobs for uid, account in accounts.items()}
    return FleetDemand(
        kind=Kind.EGRESS_FLEET,
        namespace=fleet.namespace,
        name=fleet.name,
        known=True,
        at=now,
        ready=len(ready),
        busy=sum(count > 0 for count in jobs.values()),
        away=sum(jobs[each.uid] > 0 for each in unready),
        work=sum(jobs.values()),
        leaving=_leaving(fleet, ledger),
        used=float(sum(costs.on(ledger.on(uid), count) for uid, count in jobs.items())),
        size=size,
        free={} if size is None else _counts(fits.free),
        each={} if size is None else _counts(fits.each),
        queued=_counts(Counter(each.kind for each in waiting)),
        queued_cost=float(sum(costs.of(each.kind) for each in waiting)),
    )


def _leaving(fleet: Fleet, ledger: Ledger) -> int:
    """Jobs that are known of on draining pods; these may not tell their load any more."""
    draining = (each for each in fleet.workers if each.state is PodState.DRAINING)
    return sum(len(ledger.on(each.uid)) for each in draining)


@dataclass(frozen=True, slots=True)
class _Costs:
    """What jobs take of a pod, in CPUs: a type of which three fit takes a third of a pod, be it
    for its CPU, its memory or a limit of the fleet."""

    fleet: Fleet
    size: float | None
    each: Counts

    def of(self, kind: RequestType) -> float:
        """One job of a type."""
        if self.size is None:
            return self.fleet.placement.cpu_cost.of(kind)
        return self.size / max(1, self.each.get(kind, 1))

    def on(self, jobs: Mapping[str, Job], count: int) -> float:
        """A pod's jobs: those of the ledger, and up to `count` that it does not have, which cost
        the most. A pod that is full is one pod."""
        unseen = max(0, count - len(jobs))
        dearest = max(self.of(kind) for kind in self.fleet.accepts or RequestType)
        used = sum(self.of(job.kind) for job in jobs.values()) + unseen * dearest
        return used if self.size is None else min(used, self.size)


def _counts(counts: Counts | None) -> dict[str, int]:
    return {kind.value: counts[kind] for kind in sorted(counts)} if counts else {}


def _silent(names: list[str], what: str) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{min(names)}{more} {what}"


def pool_demand(pool: PoolView, rooms: Mapping[NodeKey, Room], now: float) -> FleetDemand:
    """The demand of a pool by the loads of its nodes; `rooms` has those that are known."""
    own = [node for node in pool.nodes if node.source is None]
    ready = [node for node in own if node.state is PodState.READY]
    known = [(node, rooms[node_key(node)]) for node in ready if node_key(node) in rooms]
    told = [(node, room, room.sessions) for node, room in known if room.sessions is not None]
    if len(told) < len(ready):
        silent = _silent_nodes(ready, (node for node, _, _ in told))
        reason = _silent(silent, "does not tell its sessions")
        return unknown(Kind.ORCHESTRATOR_POOL, pool.namespace, pool.name, reason, now)
    sizes = [room.capacity for _, room, _ in told] or [pool.sessions_max]
    capacities = [size for size in sizes if size]
    sized = len(capacities) == len(sizes)
    full = max(capacities) if sized else None
    away = {node.name: _sessions(node, rooms, full) for node in own if is_away(node)}
    lost = sorted(name for name, sessions in away.items() if sessions is None)
    if lost:
        reason = _silent(lost, "is not Ready and does not tell its sessions")
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
    """Sessions on draining nodes: one at least while nobody can tell, so that none is idle."""
    draining = (node for node in nodes if node.state is PodState.DRAINING)
    return sum(_sessions(node, rooms, 1) or 0 for node in draining)


def _sessions(node: Node, rooms: Mapping[NodeKey, Room], otherwise: int | None) -> int | None:
    """Sessions of a node that takes none; `otherwise` when it does not tell."""
    room = rooms.get(node_key(node))
    return otherwise if room is None or room.sessions is None else room.sessions


def _silent_nodes(ready: Iterable[Node], told: Iterable[Node]) -> list[str]:
    return sorted({node.name for node in ready} - {node.name for node in told})


def wanted(demand: FleetDemand, trigger: Trigger) -> int:
    """How many pods a trigger asks for.

    Raises:
        UnknownDemandError: that is not known.
        TriggerError: this fleet can never answer the trigger.
    """
    if not demand.known:
        raise UnknownDemandError(demand.reason or "the demand is not known")
    _check(demand, trigger)
    queued = sum(demand.queued.values())
    match trigger.metric:
        case Metric.UTILIZATION:
            used = demand.used + demand.queued_cost
            return _up(used / (_size(demand) * trigger.target))
        case Metric.SESSIONS:
            return _up((demand.work + queued) / trigger.target)
        case Metric.QUEUE:
            if trigger.type is not None:
                queued = demand.queued.get(trigger.type, 0)
            return demand.busy + _up(queued / trigger.target)
        case Metric.SLOTS:
            return _for_slots(demand, trigger)


def active(demand: FleetDemand, trigger: Trigger) -> bool:
    """Whether there is something to do: more than `activation` jobs or sessions run or wait. Those
    that run on draining pods count too: a fleet goes to zero once the last job has finished.

    Raises:
        UnknownDemandError: that is not known.
        TriggerError: this fleet can never answer the trigger.
    """
    if not demand.known:
        raise UnknownDemandError(demand.reason or "the demand is not known")
    _check(demand, trigger)
    jobs = demand.work + demand.leaving + sum(demand.queued.values())
    return jobs > trigger.activation


def _check(demand: FleetDemand, trigger: Trigger) -> None:
    is_pool = demand.kind is not Kind.EGRESS_FLEET
    if trigger.metric is Metric.QUEUE and is_pool:
        raise TriggerError("metric queue: nothing queues for a pool; use sessions or slots")
    kind = trigger.type
    if kind is None or (not demand.each and is_pool == (kind == SESSION)):
        return
    takes = [SESSION] if is_pool else sorted(demand.each)
    if kind not in takes:
        raise TriggerError(f"type {kind}: {demand.name} takes {', '.join(takes)}")


def _size(demand: FleetDemand) -> float:
    if not demand.size:
        raise UnknownDemandError(f"the size of a pod of {demand.name} is not known")
    return demand.size


def _for_slots(demand: FleetDemand, trigger: Trigger) -> int:
    """Pods for `target` free places, beyond what waits; never fewer than have work."""
    size = _size(demand)
    kind = trigger.type or min(demand.each, key=lambda kind: (demand.each[kind], kind))
    each = demand.each[kind]
    if not each:
        raise TriggerError(f"type {kind}: not even one fits on a pod of {demand.name}")
    taken = _up(demand.queued_cost / size * each)
    missing = math.ceil(trigger.target) + taken - demand.free.get(kind, 0)
    return max(demand.busy, demand.ready + demand.away + math.ceil(missing / each))


def _up(pods: float) -> int:
    return math.ceil(pods - _ROUNDING)
