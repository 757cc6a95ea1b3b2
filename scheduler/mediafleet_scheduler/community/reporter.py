"""Counts what an operator shares of the demand on its nodes, and shows it over HTTP.

Nothing is sent: whoever may reach the port reads it. Names of sources are hashes under a key that
lives in memory for a UTC day; no address is kept. On disk are closed hours alone, if at all: what
was open at a restart is lost, and the time down is not filled.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mediafleet_common.api.community import Community
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_scheduler.community.exchange.redis import Exchange, ExchangeError
from mediafleet_scheduler.community.exchange.work import WorkHearing
from mediafleet_scheduler.community.leaving import Leaving
from mediafleet_scheduler.community.origins import Origins
from mediafleet_scheduler.community.state import State
from mediafleet_scheduler.core.community.cells import Cell
from mediafleet_scheduler.core.community.counting import Counting
from mediafleet_scheduler.core.community.publishing import HourRecord
from mediafleet_scheduler.core.community.rendering import DAY_HOURS, Shared
from mediafleet_scheduler.core.community.sources import KEY_BYTES, pseudonym, source_of
from mediafleet_scheduler.core.community.stored import day_of, deletions_as_stored
from mediafleet_scheduler.core.community.windows import Use
from mediafleet_scheduler.core.community.work.counting import WorkCounting
from mediafleet_scheduler.core.community.work.kinds import Kind

_log: Final = logging.getLogger(__name__)
LOOK_SECONDS: Final = 15.0
_GAP_SECONDS: Final = 4 * LOOK_SECONDS
"""After a longer pause what was in between is not known, and is not filled."""
_MOST_SOURCES: Final = 100_000
"""Remembered between two looks; a flood of addresses costs no more memory than that."""


@dataclass(frozen=True, slots=True)
class _Heard:
    day: str
    uses: list[Use]


class Reporter:
    """What one operator shares."""

    def __init__(
        self,
        community: Community,
        streams: Callable[[], int | None],
        database: Path | None = None,
        clock: Clock = SYSTEM,
        state: State | None = None,
        exchange: Exchange | None = None,
    ) -> None:
        now = clock.unix()
        self.community = community
        self.state = state
        self.clock = clock
        self.leaving = None if community.leave is None else Leaving(community.leave, state, clock)
        """What collectors are asked; `None`: the file does not say to leave."""
        self.left = _begin(state, self.leaving)
        """Whether the operator has left: nothing is counted or published."""
        self._streams = streams
        self.origins = Origins(database)
        self._key = secrets.token_bytes(KEY_BYTES)
        self.work = WorkHearing(community.share.further, exchange, clock)
        """Further groups."""
        self._counting = _counting(community, state, self.work.kinds, now)
        self._hours: deque[HourRecord] = deque(_read(state, now), maxlen=DAY_HOURS)
        self._asked: dict[str, Cell] = {}
        self._exchange = exchange
        self._heard: _Heard | None = None
        self._complaint: str | None = None
        self._looked_at: float | None = None

    def asked(self, gateway: str | None, peer: str) -> None:
        """A gateway asked for nodes.

        Args:
            gateway: its ETH address, verified, as `0x` and hex; `None`: it has none.
            peer: IP address that it called from.
        """
        if not self.community.share.gateways_by_origin or len(self._asked) >= _MOST_SOURCES:
            return
        source = source_of(gateway, peer)
        if source is None:
            return
        name = pseudonym(self._key, source)
        if name not in self._asked:
            self._asked[name] = self.origins.of(peer)

    async def run(self) -> None:
        """Look every 15 s until cancelled."""
        while True:
            # A disk that hangs must not hold up the desk.
            self.left = self.left or await asyncio.to_thread(self._has_left)
            if self.left and self.leaving is not None:
                await self.leaving.look()
            await self.hear()
            closed = self.look()
            if closed and self.state is not None:
                await asyncio.to_thread(self.keep)
            await asyncio.sleep(LOOK_SECONDS)

    async def hear(self) -> None:
        """Take in what others of the pool tell, where there is a Redis for it."""
        if self._exchange is None or self.left:
            return
        self._heard, before = None, self._complaint
        try:
            self._complaint = await self._hear_origins(self._exchange)
            await self.work.hear()
        except ExchangeError as error:
            self._complaint = str(error)
        if self._complaint is not None and self._complaint != before:
            _log.warning("origins are not known: %s", self._complaint)

    async def _hear_origins(self, exchange: Exchange) -> str | None:
        """Take in who asks and streams, where it is shared; a complaint."""
        if not self.community.share.origins:
            return None
        # Of the moment before: what is under way at midnight may be of either day.
        day = day_of(self.clock.unix())
        said = await exchange.hear()
        self._heard = _Heard(day, said.uses)
        return said.why or (None if said.tellers else "nobody tells who asks or streams")

    @property
    def complaint(self) -> str | None:
        """Why origins are not known; `None`: they are, or it is too early to say."""
        return self._complaint or self.origins.complaint

    def keep(self) -> None:
        """Write the day's hours and groups, where there is a folder for them."""
        if self.state is None or not self._hours:
            return
        now = self.clock.unix()
        self.state.keep(tuple(self._hours), now)
        groups, work = self._counting.groups, self._counting.work.groups
        self.state.keep_groups(groups, now, self.community.k, work)

    def look(self) -> bool:
        """Take in what runs now, and close the windows that are over; whether an hour closed."""
        if self.left:
            return False
        now = self.clock.unix()
        passed = 0.0 if self._looked_at is None else now - self._looked_at
        self._looked_at = now
        self.origins.reopen()
        if self._counting.is_new_day(now):
            # Under two names one source would count as two.
            self._key = secrets.token_bytes(KEY_BYTES)
            self._asked.clear()
        uses = self._uses(now)
        # Streams of groups that are not told are left out of it, so those must be known.
        known = uses is not None or not self._by_origin
        own = self._streams() if known and self.community.share.own_streams else None
        held = passed if 0 < passed <= _GAP_SECONDS else 0.0
        record = self._counting.look(now, uses, own, held)
        if (work := self.work.take(now)) is not None:
            self._counting.look_at_work(work.work, work.families, held)
        if record is None or not self._is_later(record):
            return False
        self._hours.append(record)
        return True

    def _uses(self, now: float) -> list[Use] | None:
        """What is known of each source now, as far as it is shared; `None`: nothing is known."""
        share = self.community.share
        if self._exchange is None:
            uses = [Use(name, cell, asks=True) for name, cell in self._asked.items()]
            self._asked.clear()
            return uses
        heard, self._heard = self._heard, None
        # Names of yesterday would make two of one source.
        if heard is None or heard.day != day_of(now):
            return None
        return [
            Use(
                each.source,
                each.cell,
                each.streams if share.streams_by_origin else 0,
                each.asks and share.gateways_by_origin,
            )
            for each in heard.uses
        ]

    @property
    def shared(self) -> Shared:
        """All that is shared at this moment."""
        oldest = self.clock.unix() - (DAY_HOURS + 1) * 3600
        hours = [each for each in self._hours if each.start >= oldest]
        return Shared(
            self.community.region,
            # Before the hour is over nobody knows which groups will be told.
            None if self._by_origin else self._counting.own_now,
            hours,
            self.community.share.detail,
        )

    @property
    def _by_origin(self) -> bool:
        """Whether streams are told by where they come from."""
        return self._exchange is not None and self.community.share.streams_by_origin

    def _is_later(self, record: HourRecord) -> bool:
        """Whether its hour is new: each is published once, also where the clock was set back."""
        return not self._hours or record.start > self._hours[-1].start

    def _has_left(self) -> bool:
        return self.state is not None and self.state.left


def _counting(
    community: Community, state: State | None, kinds: Iterable[Kind], now: float
) -> Counting:
    """By the day's groups, where they are on disk."""
    k = community.k
    groups = None if state is None else state.groups(now, k)
    work = None if state is None else state.work_groups(now, k)
    return Counting(now, k, groups, WorkCounting(kinds, k, work))


def _begin(state: State | None, leaving: Leaving | None) -> bool:
    """Leave, or come back, as the file says; whether the operator has left."""
    if state is None:
        return leaving is not None
    if leaving is None:
        state.come_back()
    elif not state.left:
        state.leave(deletions_as_stored(leaving.deletions))
    return state.left


def _read(state: State | None, now: float) -> list[HourRecord]:
    """The hours of yesterday and today that are on disk."""
    if state is None:
        return []
    days = (day_of(now - 86_400), day_of(now))
    return [each for day in days for each in state.day(day) if each.start <= now]
