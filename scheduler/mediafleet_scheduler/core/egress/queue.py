"""Who waits for room, and who is next: rooms take turns, and within a room the first come is first.
Pure.

    wait     -> waits       no pod has room, and the client can still be kept waiting
    refuse   -> kept        the client was told no; its place is held for its own retry
    leave    -> gone        placed, given up, or not asked for again in time

All that wait or are kept are demand: what there would be to do, had there been room. They lie in
Redis beside the ledger (egress/ledger/store.py), so that every desk has the same line.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.durations import seconds
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Queue

KEEP_SECONDS: Final = 6.0
"""How long the place of a refused request is kept. livekit-server's client asks again after 1-2 s,
then after 2-4 s: livekit/protocol rpc/egress_client.go."""
REFUSED_SECONDS: Final = 900.0
"""For so long one that was refused for good is told of: as long as a forecast's record counts."""
_LONGEST_SECONDS: Final = 15.0
"""No entry counts longer than this without news: a desk may have died with it."""


DEFAULT_MAX_WAIT_SECONDS: Final = 5.0
"""In a fleet that autoscales."""


@dataclass(frozen=True, slots=True)
class QueueRule:
    """Whether requests wait for room in a fleet."""

    max_wait_seconds: float = 0.0
    """0: there is no queue, and what finds no room is refused at once."""
    max_length: int = 1000


NO_QUEUE: Final = QueueRule()


def queue_rule(queue: Queue, autoscales: bool) -> QueueRule:
    """What a fleet's `placement.queue` says."""
    default = DEFAULT_MAX_WAIT_SECONDS if autoscales else 0.0
    wait = default if queue.max_wait is None else seconds(queue.max_wait)
    return QueueRule(wait, queue.max_length)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that waits for room, or was refused a moment ago.

    Times are Unix seconds.
    """

    egress_id: str
    fleet: str
    """Key of the fleet whose demand it is: the first that would take it."""
    kind: RequestType
    cores: float
    """What it needs there."""
    room: str
    """Its room; empty when it has none (a web page, say), and then it takes turns by itself."""
    since: float
    """When it was first asked for; a retry keeps its place."""
    keep_until: float | None = None
    """Set once it was refused: until when its place is kept."""
    until: float | None = None
    """While it waits: until when it counts should nobody say more of it."""

    @property
    def flow(self) -> str:
        """What takes turns."""
        return self.room or self.egress_id

    def counts(self, now: float) -> bool:
        """Whether it still waits or is kept."""
        return now < self.over_at

    @property
    def over_at(self) -> float:
        """From when it counts no more, unless there is news of it."""
        return self.keep_until or self.until or self.since + _LONGEST_SECONDS


def line(waiting: Iterable[Waiting], turns: Mapping[str, float], now: float) -> tuple[Waiting, ...]:
    """Who waits, in the order in which places are given.

    `turns` says when a flow was last given one: the one that was longest ago is next, and each
    gets one before any gets two.
    """
    present = [each for each in waiting if each.counts(now)]
    flows: dict[str, list[Waiting]] = {}
    for each in sorted(present, key=lambda each: (each.since, each.egress_id)):
        flows.setdefault(each.flow, []).append(each)
    order = sorted(flows, key=lambda flow: (turns.get(flow, -math.inf), flows[flow][0].since, flow))
    rounds = itertools.zip_longest(*(flows[flow] for flow in order))
    return tuple(each for turn in rounds for each in turn if each is not None)


def of_fleet(waiting: Iterable[Waiting], fleet: str, now: float) -> tuple[Waiting, ...]:
    """A fleet's part of those who wait or are kept: its demand beyond what runs."""
    return tuple(each for each in waiting if each.fleet == fleet and each.counts(now))
