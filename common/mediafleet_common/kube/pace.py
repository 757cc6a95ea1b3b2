"""How fast the API server is written to: so many calls at a time and a second, fewer in its need.

The rate grows by steps while calls go well and is cut when they do not, as TCP's window is (AIMD).
A call that is slow because this process is counts as slow, too: there is too much to do here then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Generic, TypeVar

from mediafleet_common.kube.errors import KubeError, UnreachableError

_CUT: Final = 0.7
_ROUNDING: Final = 1e-6
_CUT_SECONDS: Final = 1.0
"""Calls that are under way when the rate is cut say nothing new."""
T = TypeVar("T")


class Rank(Enum):
    """Which of the waiting writes goes first."""

    URGENT = auto()
    """Drains and deletes: before all others."""
    PROMPT = auto()
    """Pods to be made, statuses and the rest."""
    PATIENT = auto()
    """That a pod's label says ready, which nobody waits for: after all others, and one at a time,
    so that it takes little from what others do with the API server."""


class Line(Generic[T]):
    """Who waits, and who is next. Pure."""

    def __init__(self) -> None:
        self._waiting: dict[Rank, deque[T]] = {rank: deque() for rank in Rank}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def push(self, rank: Rank, one: T) -> None:
        """One more waits."""
        self._waiting[rank].append(one)

    def next(self) -> Rank | None:
        """The rank of who is next; `None`: nobody waits."""
        return next((rank for rank, line in self._waiting.items() if line), None)

    def pop(self) -> T:
        """The next; within a rank in the order in which they came.

        Raises:
            IndexError: nobody waits.
        """
        if (rank := self.next()) is None:
            raise IndexError("nobody waits")
        return self._waiting[rank].popleft()


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """The pace of writes; times in seconds."""

    in_flight: int = 16
    """Writes at a time."""
    per_second: float = 50.0
    """Writes a second to begin with, as a kubelet has them."""
    burst: int = 100
    """Writes that may go at once after a rest."""
    least_per_second: float = 5.0
    """The rate is never cut below this."""
    most_per_second: float = 200.0
    """It never grows above this."""
    grow_per_second: float = 10.0
    """While writes wait and all goes well, the rate grows by so much each second."""
    slow_seconds: float = 1.0
    """A write that takes longer cuts the rate, as HTTP 429, a server error or no answer does."""


class Pace:
    """The rate in force. Pure: the time comes in."""

    def __init__(self, limits: WriteLimits, now: float) -> None:
        self._limits = limits
        self.rate = limits.per_second
        """Writes a second."""
        self._tokens = float(limits.burst)
        self._at = now
        self._cut_at = float("-inf")

    def wait_seconds(self, now: float) -> float:
        """Until one more may go."""
        self._refill(now)
        missing = 1.0 - self._tokens
        return missing / self.rate if missing > _ROUNDING else 0.0

    def take(self, now: float) -> None:
        """One goes."""
        self._refill(now)
        self._tokens -= 1.0

    def ended(self, now: float, seconds: float, *, well: bool, waited_for: bool) -> None:
        """One has ended after so long; `waited_for`: others wait for their turn."""
        limits = self._limits
        if not well or seconds > limits.slow_seconds:
            if now - self._cut_at >= _CUT_SECONDS:
                self.rate = max(limits.least_per_second, self.rate * _CUT)
                self._tokens = min(self._tokens, 1.0)
                self._cut_at = now
        elif waited_for:
            self.rate = min(limits.most_per_second, self.rate + limits.grow_per_second / self.rate)

    def _refill(self, now: float) -> None:
        most = float(self._limits.burst)
        self._tokens = min(most, self._tokens + (now - self._at) * self.rate)
        self._at = now


class Pacer:
    """Gives turns to writes by their rank, then in the order in which they came."""

    def __init__(
        self, limits: WriteLimits, on_rate: Callable[[float], None] = lambda rate: None
    ) -> None:
        self._limits = limits
        self._on_rate = on_rate
        self._pace: Pace | None = None
        self._running = 0
        self._patient = False
        """Whether a patient one runs."""
        self._line = Line[asyncio.Future[None]]()
        self._alarm: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, rank: Rank = Rank.PROMPT) -> AsyncIterator[None]:
        """Wait for a turn and have it."""
        await self._wait(rank)
        loop = asyncio.get_running_loop()
        began, well = loop.time(), False
        try:
            yield
            well = True
        except UnreachableError:
            raise
        except KubeError:
            well = True
            raise
        finally:
            now = loop.time()
            pace = self._made(now)
            pace.ended(now, now - began, well=well, waited_for=bool(self._line))
            self._on_rate(pace.rate)
            self._give_back(rank)

    async def _wait(self, rank: Rank) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.push(rank, turn)
        self._wake()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(rank)
            raise

    def _give_back(self, rank: Rank) -> None:
        self._running -= 1
        if rank is Rank.PATIENT:
            self._patient = False
        self._wake()

    def _wake(self) -> None:
        loop = asyncio.get_running_loop()
        while (rank := self._line.next()) and self._running < self._limits.in_flight:
            if rank is Rank.PATIENT and self._patient:
                return
            now = loop.time()
            pace = self._made(now)
            if (wait := pace.wait_seconds(now)) > 0:
                if self._alarm is None:
                    self._alarm = loop.call_later(wait, self._ring)
                return
            turn = self._line.pop()
            if turn.done():
                continue  # it was given up
            pace.take(now)
            self._running += 1
            self._patient = self._patient or rank is Rank.PATIENT
            turn.set_result(None)

    def _ring(self) -> None:
        self._alarm = None
        self._wake()

    def _made(self, now: float) -> Pace:
        if self._pace is None:
            self._pace = Pace(self._limits, now)
        return self._pace
