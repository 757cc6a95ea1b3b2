"""What goes wrong between a desk or a broker and Redis, and when: one thing in each plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class RedisFault(Enum):
    """One thing that goes wrong."""

    RESET_BEFORE = "the connection ends before the command arrives"
    REPLY_LOST = "the command has run, and the connection ends before its reply"
    CUT = "the connection ends in the middle of the reply"
    SLOW = "the reply takes seconds"
    EMPTIED = "failover to a replica that has nothing"
    STALE = "failover to a replica that lacks the last commands"
    LOADING = "-LOADING"
    READONLY = "-READONLY"
    OOM = "-OOM"
    DROPPED = "a message is left out"
    DOUBLED = "a message comes twice"
    SWAPPED = "two messages come in the wrong order"


REFUSALS: Final[Mapping[RedisFault, bytes]] = {
    RedisFault.LOADING: b"-LOADING Redis is loading the dataset in memory\r\n",
    RedisFault.READONLY: b"-READONLY You can't write against a read only replica.\r\n",
    RedisFault.OOM: b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
}
"""Redis' words (redis/redis src/server.c). It refuses so what reads or writes data; publishing and
subscribing it does not (the flags `loading` and `stale`, and no `denyoom`, of their commands)."""
ON_MESSAGES: Final = frozenset({RedisFault.DROPPED, RedisFault.DOUBLED, RedisFault.SWAPPED})
FAILOVERS: Final = frozenset({RedisFault.EMPTIED, RedisFault.STALE})


@dataclass(frozen=True, slots=True)
class RedisPlan:
    """A story, and what meets its n-th command, command on data, or message."""

    story: str
    fault: RedisFault
    nth: int

    def __str__(self) -> str:
        return f"{self.story}: {self.fault.name.lower()} at {self.nth}"


@dataclass(frozen=True, slots=True)
class RedisCourse:
    """How much goes through the proxy in a story when nothing goes wrong."""

    commands: int
    on_data: int
    """Of these, commands that are about data."""
    messages: int

    def places(self, fault: RedisFault) -> int:
        """How many there are for a fault to meet."""
        if fault in ON_MESSAGES:
            return self.messages
        return self.on_data if fault in REFUSALS else self.commands


def every(courses: Mapping[str, RedisCourse]) -> Iterator[RedisPlan]:
    """Each fault at each place."""
    for story, course in courses.items():
        for fault in RedisFault:
            places = range(1, course.places(fault) + 1)
            yield from (RedisPlan(story, fault, nth) for nth in places)
