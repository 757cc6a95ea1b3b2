"""What is published and not yet confirmed by Redis, so that a lost connection loses little."""

from __future__ import annotations

import collections
import logging
from typing import Final

from mediafleet_common.clock import Clock
from mediafleet_scheduler.psrpc.bus import OnTrouble, Trouble
from mediafleet_scheduler.psrpc.link import Link
from mediafleet_scheduler.psrpc.resp import Refusal, Reply
from mediafleet_scheduler.psrpc.times import BusTimes

MAX_WAITING: Final = 20_000
"""More are dropped, as pub/sub promises nothing."""

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

    def put(self, data: bytes) -> None:
        """Send a command, at once if that can be."""
        if len(self._sent) + len(self._waiting) >= MAX_WAITING:
            self._on_trouble(Trouble.DROPPED)
            return
        self._waiting.append((self._clock.monotonic(), data))
        self.flush()

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
        while self._waiting and self._link is not None and self._link.writable:
            message = self._waiting.popleft()
            if message[0] < oldest:
                self._on_trouble(Trouble.DROPPED)
                continue
            self._link.write(message[1])
            self._sent.append(message)

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
