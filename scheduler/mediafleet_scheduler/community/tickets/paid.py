"""What operators are paid, read again and again, and held to what they share."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_scheduler.community.tickets.rpc import NoTicketsError
from mediafleet_scheduler.community.tickets.winning import UnfinishedError, Winning
from mediafleet_scheduler.core.community.checks.payouts import Payouts, payouts
from mediafleet_scheduler.core.community.checks.tickets import Ticket
from mediafleet_scheduler.core.community.collecting import Summary

READ_SECONDS: Final = 600.0
PAUSE_SECONDS: Final = 30.0
"""A reading that takes longer goes on at the next look, so that operators are asked meanwhile."""
OLD_SECONDS: Final = 86_400.0
"""Older tickets are of another day than what is shared."""

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Paid:
    """The tickets of the last day."""

    winning: Winning
    wei_per_stream_hour: float | None = None
    """What a stream pays in an hour; `None`: no claim is judged."""
    clock: Clock = SYSTEM
    _tickets: list[Ticket] = field(default_factory=list)
    _asked_at: float | None = None
    _read_at: float | None = None

    async def read(self, seconds: float | None = PAUSE_SECONDS) -> None:
        """Read them, every ten minutes; `seconds`: for so long at once, `None`: to the end.

        Raises:
            UnfinishedError: there is more to read, at the next call.
            NoTicketsError: they cannot be read; those of before stay, for a day.
        """
        now = self.clock.unix()
        if self._asked_at is not None and now < self._asked_at + READ_SECONDS:
            return
        self._asked_at = now
        try:
            self._tickets = await self.winning.tickets(seconds)
        except NoTicketsError as error:
            if isinstance(error, UnfinishedError):
                self._asked_at = None
            if self._read_at is None or now - self._read_at >= OLD_SECONDS:
                self._tickets = []
            raise
        self._read_at = now

    async def try_to_read(self, seconds: float | None = PAUSE_SECONDS) -> None:
        """The same, with a word in the log where they cannot be read."""
        try:
            await self.read(seconds)
        except UnfinishedError as error:
            _log.info("--tickets: %s", error)
        except NoTicketsError as error:
            _log.warning("--tickets: %s; those of before stay for a day", error)

    @property
    def knows(self) -> bool:
        """Whether there are any."""
        return bool(self._tickets)

    def say(self, summaries: Mapping[str, Summary], addresses: Mapping[str, bytes]) -> Payouts:
        """What they say of who shares and who does not, both by target."""
        if not self.knows:
            return Payouts()
        texts = {target: f"0x{address.hex()}" for target, address in addresses.items()}
        return payouts(summaries, texts, self._tickets, self.wei_per_stream_hour)
