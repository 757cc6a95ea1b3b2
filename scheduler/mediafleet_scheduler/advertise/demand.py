"""What the pool asks for at this moment, as the loads of its nodes tell."""

from __future__ import annotations

import time

from mediafleet_common.reports.demand import FleetDemand
from mediafleet_scheduler.advertise.served_list import Board
from mediafleet_scheduler.core.advertise.demand import pool_demand


def read(board: Board) -> list[FleetDemand] | None:
    """The demand of the pool; `None`: it is not known yet."""
    if board.view is None:
        return None
    return [pool_demand(board.view, board.rooms, time.time())]
