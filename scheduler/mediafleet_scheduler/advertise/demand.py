"""What the pool asks for at this moment, as the loads of its nodes tell."""

from __future__ import annotations

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_scheduler.advertise.served_list import ServedList
from mediafleet_scheduler.core.advertise.demand import demand_of


def read(served_list: ServedList, clock: Clock = SYSTEM) -> list[FleetDemand] | None:
    """The demand of the pool; `None`: it is not known yet."""
    if served_list.view is None:
        return None
    return [demand_of(served_list.view, served_list.rooms, clock.unix())]
