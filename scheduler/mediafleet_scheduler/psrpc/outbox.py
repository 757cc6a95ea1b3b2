"""What is published and not yet confirmed by Redis, so that a lost connection loses little.

All that one turn of the event loop publishes is one write: most of what a message costs to send is
the system call.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import logging
from typing import Final

from mediafleet_common.clock import Clock
from mediafleet_scheduler.psrpc.bus import OnTrouble, Trouble
from mediafleet_scheduler.psrpc.link import Link
from mediafleet_scheduler.psrpc.resp import Refusal, Reply
from mediafleet_scheduler.psrpc.times import BusTimes

MAX_WAITING: Final = 20_000
"""More are dropped, as pub/sub promises nothing."""

_MOST_AT_ONCE: Final = 256
"""Commands in one write, so that a connection that takes no more is noticed."""

_log: Final = logging.getLogger(__name__)


class Outbox:
    """Commands in order: some sent and waiting for their replies, the rest waiting to be sent."""

    def __init__(self, on_trouble: OnTrouble, clock: Clock, times: BusTimes) -> None:
        self._on_trouble = on_trouble
        self._clock = clock
        self._times = times
        self._sent: collections.deque[tuple[float, bytes]] = collections.deque()
        self._waiting: collections.deque[tuple[float, bytes]] = collections.deque()
        self._link: Link | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        """Kept: to ask for it is a system call in Python 3.11."""
        self._due: asyncio.Handle | None = None
        """The write at the end of this turn."""

    def put(self, data: bytes) -> None:
        """Send a command at the end of this turn of the event loop, if that can be."""
        if len(self._sent) + len(self._waiting) >= MAX_WAITING:
            self._on_trouble(Trouble.DROPPED)
            return
        self._waiting.append((self._clock.monotonic(), data))
        if self._due is None:
            self._loop = self._loop or asyncio.get_running_loop()
            self._due = self._loop.call_soon(self._flush_due)

    def use(self, link: Link | None) -> None:
        """Send on another connection from now on."""
        self._link = link
        # Perhaps some of these were heard: psrpc takes a message heard twice for one.
        self._waiting.extendleft(reversed(self._sent))
        self._sent.clear()
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the connection takes it."""
        oldest = self._clock.monotonic() - self._times.keep_seconds
        while self._waiting and self._waiting[0][0] < oldest:
            self._waiting.popleft()
            self._on_trouble(Trouble.DROPPED)
        while self._waiting and self._link is not None and self._link.writable:
            batch = list(itertools.islice(self._waiting, _MOST_AT_ONCE))
            for _ in batch:
                self._waiting.popleft()
            self._sent.extend(batch)
            self._link.write(b"".join(data for _, data in batch))

    def _flush_due(self) -> None:
        self._due = None
        self.flush()

    def confirmed(self, reply: Reply) -> None:
        """Redis has replied to the oldest command that was sent."""
        if self._sent:
            self._sent.popleft()
        if isinstance(reply, Refusal):
            self._on_trouble(Trouble.REFUSED)
            _log.error("Redis refuses: %s", reply.text)

    async def watch(self) -> None:
        """End a connection that does not reply any more."""
        if self._link is None or not self._sent:
            return
        waited = self._clock.monotonic() - self._sent[0][0]
        if waited > self._times.answer_seconds:
            await self._link.close(TimeoutError(f"Redis has not replied for {waited:.0f} s"))
