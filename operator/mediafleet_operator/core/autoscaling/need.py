"""How many pods demand needs: room for what waits, and for `buffer` more jobs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.scaling.wanted import for_places
from mediafleet_operator.core.autoscaling.model import Policy


@dataclass(frozen=True, slots=True)
class Need:
    """What demand asks for, whatever the bounds."""

    pods: int
    why: str
    packed: int
    """Pods that would do if work lay as close together as it can: the forecast goes
    by it, since a fleet that spreads its work over more pods would else count them as needed."""


def idle(demand: FleetDemand) -> bool:
    """Whether nothing runs, not even on pods that leave, and nothing waits."""
    runs = demand.work or demand.busy or demand.leaving
    return not runs and not any(demand.queued.values())


def need(policy: Policy, demand: FleetDemand) -> Need | None:
    """The pods that demand needs; `None`: unknown."""
    buffer = max(policy.slots, math.ceil(policy.percent * demand.work / 100))
    found = for_places(demand, policy.type, buffer)
    if found is None:
        return None
    waits = sum(demand.queued.values())
    why = (
        f"{demand.work} running, {waits} waiting; free for {found.free} more {found.kind} on "
        f"{demand.ready} pods, wanted free for {buffer}, an empty pod takes {found.each}"
    )
    return Need(found.pods, why, found.packed)
