"""Tenants take turns: what a desk does for one is measured, and one that uses much of it rests.

Tenants are the namespaces whose fleets share a Redis. While one rests, its connection to Redis is
not read, so its messages wait in its own Redis. The rules are in core/psrpc/turns.py. A desk that
serves one tenant measures nothing and lets nobody wait.
"""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.serving.logs import on_behalf_of
from mediafleet_scheduler.core.psrpc import turns as rules
from mediafleet_scheduler.core.psrpc.turns import TurnTimes
from mediafleet_scheduler.psrpc.link import OnReply
from mediafleet_scheduler.psrpc.resp import Reply

Hold = Callable[[bool], None]
"""Stops or goes on reading a connection."""
OnRest = Callable[[str, float], None]
"""Told that a tenant rests for so many seconds."""

_UNREAD: Final = 256
"""Messages that are read and not yet handled; at most a read's worth more."""
_UNREAD_BYTES: Final = 4 << 20
"""The same by their size: few can be as large as many."""
_working_for: Final[ContextVar[Tenant | None]] = ContextVar("working_for", default=None)


def _nothing(tenant: str, seconds: float) -> None:
    del tenant, seconds


class Turns:
    """The tenants of one desk."""

    def __init__(
        self,
        times: TurnTimes,
        on_rest: OnRest = _nothing,
        clock: Clock = SYSTEM,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        """`cpu`: seconds that this thread has worked."""
        self.times: Final = times
        self.on_rest: Final = on_rest
        self.clock: Final = clock
        self.cpu: Final = cpu
        self._tenants: dict[str, Tenant] = {}
        self._speed = 1.0

    @contextmanager
    def tenant(self, name: str) -> Iterator[Tenant]:
        """All tasks that are begun inside work for a tenant."""
        tenant = self._tenants.setdefault(name, Tenant(self, name))
        tenant.branches += 1
        before, named = _working_for.set(tenant), on_behalf_of.set(name)
        try:
            yield tenant
        finally:
            on_behalf_of.reset(named)
            _working_for.reset(before)
            tenant.branches -= 1
            if not tenant.branches:
                del self._tenants[name]

    @property
    def are_taken(self) -> bool:
        """Whether there is more than one tenant."""
        return len(self._tenants) > 1 and self.times.part < 1

    def rate(self) -> float:
        """How fast allowances are filled now."""
        in_debt = sum(each.in_debt for each in self._tenants.values())
        return rules.rate(self.times, in_debt, self._speed)

    def note_speed(self, worked: float, passed: float) -> None:
        """So much was worked, and so long did that take."""
        self._speed = rules.speed(self._speed, worked, passed)


class Tenant:
    """What is done for one, and whether it may go on."""

    def __init__(self, turns: Turns, name: str) -> None:
        self.name: Final = name
        self.branches = 0
        self.cpu: Final = turns.cpu
        self._turns = turns
        self._allowance = rules.full(turns.times, turns.clock.monotonic())
        self._used = 0.0
        """In this turn."""
        self._next: asyncio.Handle | None = None

    @property
    def takes_turns(self) -> bool:
        """Whether others share the desk."""
        return self._turns.are_taken

    @property
    def in_debt(self) -> bool:
        """Whether it has used more than it may."""
        return self._allowance.left < 0

    @contextmanager
    def work(self) -> Iterator[None]:
        """What is done inside is done for it."""
        before, began = _working_for.set(self), self.begin()
        named = on_behalf_of.set(self.name)
        try:
            yield
        finally:
            self.spend(began)
            on_behalf_of.reset(named)
            _working_for.reset(before)

    def begin(self) -> tuple[float, float]:
        """Something is done for it from now on, until `spend` gets what this returns."""
        return self.cpu(), self._turns.clock.monotonic()

    def spend(self, began: tuple[float, float]) -> None:
        """What was begun is done."""
        cpu, at = began
        seconds = self.cpu() - cpu
        self._turns.note_speed(seconds, self._turns.clock.monotonic() - at)
        self._allowance = replace(self._allowance, left=self._allowance.left - seconds)
        self._used += seconds
        if self._next is None:
            self._next = asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._used, self._next = 0.0, None

    @property
    def turn_is_over(self) -> bool:
        """Whether others come before more is done for it."""
        return self._used >= self._turns.times.turn_seconds

    def rest_seconds(self) -> float:
        """How long nothing more should be done for it."""
        turns = self._turns
        fills = turns.rate()
        now = turns.clock.monotonic()
        self._allowance = rules.filled(self._allowance, fills, turns.times, now)
        return rules.rest_seconds(self._allowance, fills, turns.times)

    def rests(self, seconds: float) -> None:
        """It rests for so long."""
        self._turns.on_rest(self.name, seconds)


class Inbox:
    """What was read from a tenant's connection and is not handled yet."""

    def __init__(self, tenant: Tenant, handle: OnReply, hold: Hold) -> None:
        self._tenant = tenant
        self._handle = handle
        self._hold = hold
        self._replies: collections.deque[tuple[Reply, int]] = collections.deque()
        self._bytes = 0
        self._due: asyncio.Handle | None = None
        self._held = False

    def put(self, reply: Reply) -> None:
        """Handle it now, or in its tenant's turn."""
        if not self._replies and not self._tenant.takes_turns:
            self._handle(reply)
            return
        size = _size(reply)
        self._replies.append((reply, size))
        self._bytes += size
        if self._due is None:
            self._take_turn()
        if not self._held and (len(self._replies) >= _UNREAD or self._bytes >= _UNREAD_BYTES):
            self._held = True
            self._hold(True)

    def _take_turn(self) -> None:
        self._due = None
        tenant = self._tenant
        rest = tenant.rest_seconds()
        while self._replies and not rest and not tenant.turn_is_over:
            reply, size = self._replies.popleft()
            self._bytes -= size
            with tenant.work():
                self._handle(reply)
            rest = tenant.rest_seconds()
        loop = asyncio.get_running_loop()
        if not self._replies:
            if self._held:
                self._held = False
                self._hold(False)
        elif rest:
            tenant.rests(rest)
            self._due = loop.call_later(rest, self._take_turn)
        else:
            self._due = loop.call_soon(self._take_turn)


def _size(reply: Reply) -> int:
    """About how many bytes it is."""
    if isinstance(reply, list):
        return sum(map(_size, reply))
    return len(reply) if isinstance(reply, bytes | str) else 0


@dataclass(slots=True)
class _Measured(Coroutine[Any, Any, Any]):
    """A coroutine whose steps are work for a tenant."""

    inner: Coroutine[Any, Any, Any]
    tenant: Tenant

    def send(self, value: Any) -> Any:
        began = self.tenant.begin()
        try:
            return self.inner.send(value)
        finally:
            self.tenant.spend(began)

    def throw(self, *error: Any) -> Any:
        return self.inner.throw(*error)

    def close(self) -> None:
        self.inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.inner.__await__()


def measured_task(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    """A task factory: whatever a tenant's task begins is work for the tenant, too."""
    tenant = _working_for.get()
    if tenant is not None and tenant.takes_turns and asyncio.iscoroutine(work):
        work = _Measured(work, tenant)
    return asyncio.Task(work, loop=loop, **options)
