"""How many pods leave so many places free: the rule of `builtin` and of KEDA's metric `slots`.

In places for jobs of one type:

    wanted = ready pods + away - floor((free - waiting - places) / places on an empty pod)

but no fewer than are busy; away are busy pods that are not Ready any more.
It does not depend on how many pods there are: one more pod adds as many free places as it takes
away in the next reckoning, so that constant demand never flaps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from mediafleet_common.reports.demand import FleetDemand

_ROUNDING: Final = 1e-9
"""Sums of fractions that ought to be whole may be a little more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The pods that a demand needs, whatever the bounds, and what they are counted by."""

    pods: int
    packed: int
    """Pods that would do if work lay as close together as it can."""
    kind: str
    """The type of work that places are counted in."""
    each: int
    """Places on an empty pod."""
    free: int
    """Places on the ready pods now."""


def for_places(demand: FleetDemand, kind: str | None, places: int) -> Wanted | None:
    """The pods that leave `places` free for jobs of a type, beyond what waits.

    Without a type, the dearest that fits on a pod counts. `None`: an empty pod takes none of it,
    or nobody knows how many. The demand has to be known. Where each type has room of its own,
    the type that needs most pods counts.
    """
    if kind is None and demand.own_room:
        found = (_for_own_room(demand, each, places) for each in sorted(demand.each))
        return max(found, key=lambda wanted: wanted.pods, default=None)
    counted = _counted(demand, kind)
    if counted is None:
        return None
    each, free = demand.each[counted], demand.free.get(counted, 0)
    spare = math.floor((free - _waiting(demand, each) - places) / each)
    return _wanted(demand, spare, counted, free)


def _for_own_room(demand: FleetDemand, kind: str, places: int) -> Wanted:
    each, free = demand.each[kind], demand.free.get(kind, 0)
    spare = math.floor((free - demand.queued.get(kind, 0) - places) / each)
    return _wanted(demand, spare, kind, free)


def _wanted(demand: FleetDemand, spare: int, kind: str, free: int) -> Wanted:
    close = max(demand.ready + demand.away - spare, 0)
    return Wanted(max(close, demand.busy), close, kind, demand.each[kind], free)


def _counted(demand: FleetDemand, kind: str | None) -> str | None:
    if kind is not None:
        return kind if demand.each.get(kind, 0) > 0 else None
    fitting = {name: count for name, count in demand.each.items() if count > 0}
    # Of the dearest an empty pod takes fewest.
    return min(fitting, key=lambda name: (fitting[name], name), default=None)


def _waiting(demand: FleetDemand, each: int) -> int:
    """What waits, in places of the counted type; what no pod could ever take is left out."""
    share = sum(
        count / demand.each[name]
        for name, count in sorted(demand.queued.items())
        if demand.each.get(name, 0) > 0
    )
    return math.ceil(share * each - _ROUNDING)
