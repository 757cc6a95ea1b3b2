"""Winning tickets of the last day: from a file, or asked of an RPC of the chain, range by range."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.probes.http_client import client
from mediafleet_common.serving.small_files import read_small
from mediafleet_scheduler.community.tickets.rpc import (
    MOST_BYTES,
    NoTicketsError,
    Rpc,
    TooMuchError,
)
from mediafleet_scheduler.core.community.checks.ranges import Reading
from mediafleet_scheduler.core.community.checks.tickets import (
    TOPIC,
    NotTicketsError,
    Ticket,
    tickets_by_block,
    tickets_of,
)

DAY_SECONDS: Final = 86_400.0
SETTLED_BLOCKS: Final = 64
"""Newer ones are left for the next time: the chain may still replace them."""
MOST_TICKETS: Final = 500_000


class UnfinishedError(NoTicketsError):
    """More is to be read than there was time for; the next reading goes on from there."""


@dataclass(slots=True)
class Winning:
    """Where winning tickets are told, and how far they are read."""

    place: str
    """A file with what eth_getLogs answered for the last day, or the URL of an RPC."""
    broker: str | None = None
    """Contract TicketBroker, where an RPC is asked."""
    clock: Clock = SYSTEM
    recipient: str | None = None
    """Whose tickets; `None`: of all."""
    from_block: int | None = None
    """The first block, up to the newest; `None`: those of the last day."""
    _reading: Reading | None = None
    _found: list[tuple[int, Ticket]] = field(default_factory=list)

    @property
    def is_rpc(self) -> bool:
        """Whether tickets are asked for."""
        return self.place.startswith(("http://", "https://"))

    async def tickets(self, seconds: float | None = None) -> list[Ticket]:
        """Those that were redeemed.

        Args:
            seconds: after which the reading pauses; `None`: it goes on to its end.

        Raises:
            UnfinishedError: that time is over.
            NoTicketsError: they cannot be read, or are none. What was read is not read again.
        """
        try:
            if self.is_rpc:
                async with client(reach=OWN_WORD) as session, asyncio.timeout(seconds):
                    return await self._asked(Rpc(session, self.place))
            body = await asyncio.to_thread(read_small, Path(self.place), MOST_BYTES)
            said: Any = json.loads(body)
            return tickets_of(said["result"] if isinstance(said, dict) else said)
        except TimeoutError as error:
            at = "" if self._reading is None else f"; block {self._reading.next_block} is next"
            raise UnfinishedError(f"not all is read yet{at}") from error
        except OSError as error:
            raise NoTicketsError(error.strerror or type(error).__name__) from error
        except (ValueError, KeyError, TypeError, NotTicketsError) as error:
            raise NoTicketsError(f"no list of tickets: {error}") from error

    async def _asked(self, rpc: Rpc) -> list[Ticket]:
        newest, at = await rpc.block("latest")
        first, last = self.from_block, newest
        if first is None:
            first = await self._first_block(rpc, newest, at)
            last = newest - SETTLED_BLOCKS
        self._found = [each for each in self._found if each[0] >= first]
        reading = Reading(first) if self._reading is None else self._reading.later()
        if reading.next_block < first:
            reading = Reading(first, reading.width)
        self._reading = reading
        while (span := self._reading.range(last)) is not None:
            await self._ask(rpc, self._reading, *span)
        return [ticket for _, ticket in self._found]

    async def _ask(self, rpc: Rpc, reading: Reading, begin: int, end: int) -> None:
        """Ask for one range, and note how far that leads."""
        whose = [] if self.recipient is None else [None, f"0x{self.recipient[2:].lower():0>64}"]
        query = {
            "address": self.broker,
            "topics": [TOPIC, *whose],
            "fromBlock": hex(begin),
            "toBlock": hex(end),
        }
        try:
            found = tickets_by_block(await rpc.call("eth_getLogs", query), begin, end)
        except TooMuchError:
            halves = reading.refused(end)
            if halves is None:
                raise
            self._reading = halves
            return
        if len(self._found) + len(found) > MOST_TICKETS:
            raise NoTicketsError(f"there are more than {MOST_TICKETS}")
        self._found += found
        self._reading = reading.took(end)

    async def _first_block(self, rpc: Rpc, newest: int, at: float) -> int:
        """The first block of the last day, by halves."""
        since = self.clock.unix() - DAY_SECONDS
        low, high = 0, newest
        if at < since:
            return newest
        while low < high:
            middle = (low + high) // 2
            _, at = await rpc.block(hex(middle))
            low, high = (low, middle) if at >= since else (middle + 1, high)
        return low
