"""How many pods a trigger asks for. Pure. What is not known raises; it is never 0."""

from __future__ import annotations

import math
from typing import Final

from mediafleet_common.api.names import Kind
from mediafleet_common.reports.demand import SESSION, FleetDemand
from mediafleet_common.scaling.wanted import for_places
from mediafleet_scheduler.core.scaling.trigger import Metric, Trigger, TriggerError

_ROUNDING: Final = 1e-9
"""Sums of costs are off by less; without it a pod too many would be wanted now and then."""


class UnknownDemandError(Exception):
    """What a trigger asks for is not known at this moment; the text says why."""


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
    is_pool = demand.kind is Kind.ORCHESTRATOR_POOL
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
    _size(demand)
    found = for_places(demand, trigger.type, math.ceil(trigger.target))
    if found is None:
        kind = f"type {trigger.type}" if trigger.type else "metric slots"
        raise TriggerError(f"{kind}: not even one fits on a pod of {demand.name}")
    return found.pods


def _up(pods: float) -> int:
    return math.ceil(pods - _ROUNDING)
