"""How many pods demand needs: room for what waits, and for `buffer` more jobs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
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
    """Pods that would do if work lay as close together as it can, and nothing had been refused
    lately: the forecast goes by it. A fleet that spreads its work over more pods would else count
    them as needed, and one that is too small would learn to stay so."""


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
    # What no pod takes, no pod was missing for.
    refused = {kind: n for kind, n in demand.refused.items() if demand.each.get(kind, 0) > 0}
    if refused:
        why += f"; {sum(refused.values())} refused lately"
    return Need(found.pods, why, _packed(policy, demand, buffer, refused) or found.packed)


def _packed(
    policy: Policy, demand: FleetDemand, buffer: int, refused: Mapping[str, int]
) -> int | None:
    """The pods that would have done, close together, for what was refused as well."""
    if not refused:
        return None
    asked_for = dict(Counter(demand.queued) + Counter(refused))
    found = for_places(demand.model_copy(update={"queued": asked_for}), policy.type, buffer)
    return found.packed if found else None
