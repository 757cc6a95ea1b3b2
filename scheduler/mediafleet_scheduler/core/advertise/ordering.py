"""The order of the nodes in one answer: the first get the work.

A gateway visits only the first -extraNodes entries, so that the order is what places work. All
orders put nodes in the gateway's own region first, and nodes that are known to be full last; of
an answer by capability those that are not known to have it stand between;
dead, draining and duplicate nodes were left out before (`listing`). What is not known is
no reason to prefer or to avoid a node.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.pool.advertise import Order

_WEIGHT_STEPS: Final = 4
"""A node's weight changes in quarters of its capacity, so that a session more or less does not
send gateways elsewhere."""
_HASH_RANGE: Final = 2.0**64


@dataclass(frozen=True, slots=True)
class Room:
    """How much a node has taken on; `None` is unknown."""

    sessions: int | None = None
    capacity: int | None = None
    """Sessions it takes at most."""

    @property
    def free(self) -> int | None:
        """Sessions it would still take."""
        if self.sessions is None or self.capacity is None:
            return None
        return max(0, self.capacity - self.sessions)

    @property
    def full(self) -> bool:
        """Whether it is known to take no more."""
        if self.sessions is None or self.capacity is None:
            return False
        return self.sessions >= self.capacity


UNKNOWN: Final = Room()
FULL: Final = Room(0, 0)
"""It said so itself, and how many sessions that are is not known."""


def basis(order: Order, rooms: Sequence[Room]) -> tuple[object, ...]:
    """What of the rooms decides the order: while it is the same, so is every answer."""
    if order is Order.LEAST_LOADED:
        return tuple(rooms)
    if order is Order.BY_GATEWAY:
        return weights(rooms)
    return tuple(room.full for room in rooms)


NEAR, AWAY, UNSURE_NEAR, UNSURE_AWAY, LAST = range(5)
"""In the gateway's own region or in no matter which, in another region, the same of those of which
nobody knows whether they can do what is asked for, and full."""


def ranks(
    rooms: Sequence[Room],
    away: Sequence[bool] | None = None,
    unsure: Sequence[bool] | None = None,
) -> list[int]:
    """The group in which each node stands whatever the order, the first one first.

    `away` are those in another region than the gateway, `unsure` those of which it is not known
    whether they can do what it asks for.
    """
    no = [False] * len(rooms)
    return [
        LAST if room.full else 2 * is_unsure + is_away
        for room, is_away, is_unsure in zip(rooms, away or no, unsure or no, strict=True)
    ]


def fixed(groups: Sequence[int]) -> list[int]:
    """The order given, in each group."""
    return sorted(range(len(groups)), key=lambda index: (groups[index], index))


def turns(groups: Sequence[int]) -> int:
    """After how many turns `rotated` is back where it began."""
    return math.lcm(*(max(1, groups.count(group)) for group in range(LAST)))


def rotated(groups: Sequence[int], turn: int) -> list[int]:
    """Each turn begins with the next node of each group; the full are behind."""
    order: list[int] = []
    for group in range(LAST):
        members = [index for index, each in enumerate(groups) if each == group]
        first = turn % max(1, len(members))
        order += [*members[first:], *members[:first]]
    return order + [index for index, each in enumerate(groups) if each == LAST]


Standing = tuple[bool, float]
"""Of unknown load, and how loaded: the least comes first."""


def standings(rooms: Sequence[Room]) -> list[Standing]:
    """How nodes stand to each other: by free sessions, or sessions where a capacity is unknown.

    Nodes whose load is unknown come after those that are known to have room.
    """
    capacities = [room.capacity for room in rooms if room.sessions is not None]
    known = bool(capacities) and None not in capacities
    return [
        (
            room.sessions is None,
            float((room.sessions or 0) - (room.capacity or 0 if known else 0)),
        )
        for room in rooms
    ]


def least_loaded(
    groups: Sequence[int],
    found: Sequence[Standing],
    expected: Sequence[float],
    most: int | None,
) -> list[int]:
    """The `most` least loaded nodes, in each group.

    `expected` are sessions that gateways may have begun on a node since its load was last read.
    """
    keys = [
        (group, unknown, load + more, index)
        for index, (group, (unknown, load), more) in enumerate(
            zip(groups, found, expected, strict=True)
        )
    ]
    return [key[-1] for key in heapq.nsmallest(len(keys) if most is None else most, keys)]


def weights(rooms: Sequence[Room]) -> tuple[float, ...]:
    """A share for each node by its free sessions; the average of the known where unknown."""
    found = [_weight(room) for room in rooms]
    known = [weight for weight in found if weight is not None]
    # Where all that are known are full, the unknown ones get everything.
    average = sum(known) / len(known) or 1.0 if known else 1.0
    return tuple(average if weight is None else weight for weight in found)


def _weight(room: Room) -> float | None:
    if room.free is None or room.capacity is None:
        return None
    if room.capacity == 0:
        return 0.0
    return room.capacity * math.ceil(_WEIGHT_STEPS * room.free / room.capacity) / _WEIGHT_STEPS


def by_gateway(
    gateway: bytes,
    names: Sequence[str],
    shares: Sequence[float],
    most: int | None,
    groups: Sequence[int] | None = None,
) -> list[int]:
    """The `most` nodes of one gateway, always the same while they are there.

    Weighted rendezvous hashing: each pair of gateway and node draws from an exponential
    distribution with the node's share as its rate, and the least draws come first. So a node is
    first for gateways in proportion to its share, and one that leaves moves only its own gateways.
    """

    ranked = groups or [NEAR] * len(names)

    def key(index: int) -> tuple[int, float, int]:
        draw = _draw(gateway, names[index])
        return ranked[index], (draw / shares[index] if shares[index] > 0 else math.inf), index

    return heapq.nsmallest(len(names) if most is None else most, range(len(names)), key=key)


def _draw(gateway: bytes, name: str) -> float:
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=gateway[:64]).digest()
    return -math.log((int.from_bytes(digest, "big") + 1) / (_HASH_RANGE + 1))
