"""How many pods demand needs: room for what waits, and for `buffer` more jobs.

The rule, in places for jobs of the buffer's type:

    wanted = ready pods + away - floor((free - waiting - buffer) / places on an empty pod)

but no fewer than are busy; away are busy pods that are not Ready any more.
It does not depend on how many pods there are: one more pod adds as many free places as it takes
away in the next reckoning, so that constant demand never flaps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.autoscaling.model import Policy


@dataclass(frozen=True, slots=True)
class Need:
    """What demand asks for, whatever the bounds."""

    pods: int
    why: str


def idle(demand: FleetDemand) -> bool:
    """Whether nothing runs, not even on pods that leave, and nothing waits."""
    runs = demand.work or demand.busy or demand.leaving
    return not runs and not any(demand.queued.values())


def counted_type(policy: Policy, demand: FleetDemand) -> str | None:
    """The type that room is counted in: the policy's, else the dearest that fits on a pod.

    `None`: an empty pod takes none of it, or nobody knows how many.
    """
    if policy.type is not None:
        return policy.type if demand.each.get(policy.type, 0) > 0 else None
    fitting = {kind: count for kind, count in demand.each.items() if count > 0}
    # Of the dearest an empty pod takes fewest.
    return min(fitting, key=lambda kind: (fitting[kind], kind), default=None)


def need(policy: Policy, demand: FleetDemand) -> Need | None:
    """The pods that demand needs; `None`: nobody can tell."""
    kind = counted_type(policy, demand)
    if kind is None:
        return None
    each = demand.each[kind]
    free = demand.free.get(kind, 0)
    buffer = max(policy.slots, math.ceil(policy.percent * demand.work / 100))
    waiting = _waiting(demand, each)
    spare = math.floor((free - waiting - buffer) / each)
    pods = max(demand.ready + demand.away - spare, demand.busy)
    waits = sum(demand.queued.values())
    why = (
        f"{demand.work} running, {waits} waiting; free for {free} more {kind} on {demand.ready} "
        f"pods, wanted free for {buffer}, an empty pod takes {each}"
    )
    return Need(pods, why)


def _waiting(demand: FleetDemand, each: int) -> int:
    """What waits, in places of the counted type; what no pod could ever take is left out."""
    share = sum(
        count / demand.each[kind]
        for kind, count in sorted(demand.queued.items())
        if demand.each.get(kind, 0) > 0
    )
    # A sum of fractions that ought to be whole may be a little more.
    return math.ceil(share * each - 1e-9)
