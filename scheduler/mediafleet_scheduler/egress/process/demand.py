"""What the fleets of the desk ask for at this moment, as its ledgers tell.

A fleet is counted anew when something of it has changed, and every now and then since time alone
changes things too; so hundreds of fleets can be looked at ten times a second.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from mediafleet_common.api.names import Kind, PodState
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.scaling.unknown import unknown
from mediafleet_scheduler.core.egress.demand import egress_demand
from mediafleet_scheduler.core.egress.views import EgressView, Fleet
from mediafleet_scheduler.directory.directory import Directory
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_scheduler.egress.process.branch_state import Branch
from mediafleet_scheduler.egress.process.branches import Branches

_ROUND_LOOKS: Final = 10
"""Within so many looks each fleet is counted anew at least once."""
_OLD_SECONDS: Final = 5.0
"""After a while in which nobody looked, a fleet is counted anew whose demand is older."""


@dataclass(slots=True)
class _Counted:
    """A fleet's demand, and what it was counted of."""

    fleet: Fleet
    service: EgressService
    complete: bool
    demand: FleetDemand


@dataclass(slots=True)
class Demands:
    """Reads the demand of all fleets."""

    directory: Directory[EgressView]
    branches: Branches
    _looks: int = 0
    _counted: dict[str, _Counted] = field(default_factory=dict)

    def read(self) -> list[FleetDemand] | None:
        """The demand of each fleet; `None`: the fleets are not known yet."""
        if self.directory.view is None:
            return None
        self._looks += 1
        before, self._counted = self._counted, {}
        return [each for branch in self.branches.all for each in self._of_branch(branch, before)]

    def _of_branch(self, branch: Branch, before: dict[str, _Counted]) -> list[FleetDemand]:
        view, service, complaint = branch.fleets.view, branch.service, branch.complaint
        fleets = view.fleets if view is not None else ()
        if service is not None and complaint is None:
            complaint = service.complaint
        if service is None or complaint is not None:
            now, why = (
                self.branches.clock.unix(),
                f"the ledger in Redis cannot be read: {complaint}",
            )
            kind = Kind.EGRESS_FLEET
            return [unknown(kind, each.namespace, each.name, why, now) for each in fleets]
        complete = asyncio.get_running_loop().time() < service.pods.complete_until
        touched = service.demand_news.take()
        now = service.clock.unix()
        found = []
        for index, fleet in enumerate(fleets):
            counted = before.get(fleet.key)
            due = index % _ROUND_LOOKS == self._looks % _ROUND_LOOKS
            if (
                counted is None
                or due
                or now - counted.demand.at > _OLD_SECONDS
                or (counted.fleet, counted.service, counted.complete) != (fleet, service, complete)
                or _is_touched(fleet, touched)
            ):
                demand = egress_demand(fleet, service.ledger, complete, now)
                counted = _Counted(fleet, service, complete, demand)
            self._counted[fleet.key] = counted
            found.append(_with_unconfirmed(counted))
        return found


def _with_unconfirmed(counted: _Counted) -> FleetDemand:
    fleet = counted.fleet
    if not any(worker.state is PodState.DRAINING for worker in fleet.workers):
        return counted.demand
    unconfirmed = counted.service.confirmer.unconfirmed(fleet)
    return counted.demand.model_copy(update={"unconfirmed": unconfirmed})


def _is_touched(fleet: Fleet, touched: set[str] | None) -> bool:
    if touched is None:
        return True
    return bool(touched) and (
        fleet.key in touched or any(worker.uid in touched for worker in fleet.workers)
    )
