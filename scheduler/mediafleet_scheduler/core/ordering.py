"""In which order one request is told of the nodes: whoever stands first gets the work.

A gateway visits only the first -extraNodes entries, so that the order is what places work. All
orders put nodes that are known to be full last; whoever is dead, draining or a duplicate is not
here any more (`advertised`). What is not known is no reason to prefer or to avoid a node.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.advertise import Order

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
        return self.free == 0


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


def fixed(rooms: Sequence[Room]) -> list[int]:
    """The order given, the full ones last."""
    return sorted(range(len(rooms)), key=lambda index: (rooms[index].full, index))


def rotated(start: Sequence[int], inviting: int, turn: int) -> list[int]:
    """Each turn begins with the next of the first `inviting` of `start`; the full are behind."""
    first = turn % max(1, inviting)
    return [*start[first:inviting], *start[:first], *start[inviting:]]


Standing = tuple[bool, bool, float]
"""Full, of unknown load, and how loaded: the least comes first."""


def standings(rooms: Sequence[Room]) -> list[Standing]:
    """How nodes stand to each other: by free sessions, or sessions where a capacity is unknown.

    Nodes whose load is unknown come after those that are known to have room.
    """
    capacities = [room.capacity for room in rooms if room.sessions is not None]
    known = bool(capacities) and None not in capacities
    return [
        (
            room.full,
            room.sessions is None,
            float((room.sessions or 0) - (room.capacity or 0 if known else 0)),
        )
        for room in rooms
    ]


def least_loaded(
    found: Sequence[Standing], expected: Sequence[float], most: int | None
) -> list[int]:
    """The `most` least loaded nodes, the full ones last.

    `expected` are sessions that those who were told of a node since it was last read may have
    begun.
    """
    keys = [
        (full, unknown, load + more, index)
        for index, ((full, unknown, load), more) in enumerate(zip(found, expected, strict=True))
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
    gateway: bytes, names: Sequence[str], shares: Sequence[float], most: int | None
) -> list[int]:
    """The `most` nodes of one gateway, always the same while they are there.

    Weighted rendezvous hashing: each pair of gateway and node draws from an exponential
    distribution with the node's share as its rate, and the least draws come first. So a node is
    first for gateways in proportion to its share, and one that leaves moves only its own gateways.
    """

    def key(index: int) -> tuple[float, int]:
        draw = _draw(gateway, names[index])
        return (draw / shares[index] if shares[index] > 0 else math.inf), index

    return heapq.nsmallest(len(names) if most is None else most, range(len(names)), key=key)


def _draw(gateway: bytes, name: str) -> float:
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=gateway[:64]).digest()
    return -math.log((int.from_bytes(digest, "big") + 1) / (_HASH_RANGE + 1))
