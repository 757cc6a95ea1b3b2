"""What the fleets of the desk ask for at this moment, as its ledgers tell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from mediafleet_common.api.demand import FleetDemand
from mediafleet_common.api.names import Kind
from mediafleet_scheduler.core.demand import egress_demand, unknown
from mediafleet_scheduler.directory.views import Directory, EgressView
from mediafleet_scheduler.egress.branches import Branch, Branches


def read(directory: Directory[EgressView], branches: Branches) -> list[FleetDemand] | None:
    """The demand of each fleet; `None`: the fleets are not known yet."""
    if directory.view is None:
        return None
    return [demand for branch in branches.all for demand in _of_branch(branch)]


def _of_branch(branch: Branch) -> Iterator[FleetDemand]:
    view = branch.fleets.view
    now, loop_now = time.time(), asyncio.get_running_loop().time()
    service, complaint = branch.service, branch.complaint
    if service is not None and complaint is None:
        complaint = service.complaint
    for fleet in view.fleets if view is not None else ():
        if service is None or complaint is not None:
            why = f"the ledger in Redis cannot be read: {complaint}"
            yield unknown(Kind.EGRESS_FLEET, fleet.namespace, fleet.name, why, now)
        else:
            complete = loop_now < service.pods.complete_until
            yield egress_demand(fleet, service.ledger, complete, now)
