"""A placement request: a place that a start attempt wants, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from mediafleet_common.value import value
from mediafleet_scheduler.core.egress.placement.choice import NoCapacity, Placed
from mediafleet_scheduler.core.egress.requests import Request
from mediafleet_scheduler.egress.ledger.records import Record
from mediafleet_scheduler.egress.ledger.script_calls import StoreError


@value
class AlreadyKnown:
    """The egress id was used before: by a job that runs, may run or is over."""

    record: Record
    over: bool


Found = Placed | AlreadyKnown | NoCapacity


@dataclass(slots=True)
class PlacementRequest:
    """A place that is wanted. Times are Unix seconds."""

    request: Request
    token: str
    came: float
    """When the request came."""
    since: float
    """From when it counts in the line: when its id was first asked for."""
    wait_until: float = 0.0
    """It may wait so long, if there is a queue."""
    excluded: Collection[str] = ()
    """Uids of pods that do not take it."""
    found: asyncio.Future[Found] = field(init=False)
    news: int = 0
    """How much had happened when it found no room."""
    waited: bool = False
    """Whether it did not find room at once."""
    claiming: bool = False
    """Whether Redis is being asked for its place."""

    def __post_init__(self) -> None:
        self.again()

    def again(self) -> None:
        """Want it once more."""
        self.found = asyncio.get_running_loop().create_future()

    def answer(self, found: Found) -> None:
        """Say what came of it."""
        if not self.found.done():
            self.found.set_result(found)

    def fail(self, error: StoreError) -> None:
        """Nothing came of it, as far as is known."""
        if not self.found.done():
            self.found.set_exception(error)
