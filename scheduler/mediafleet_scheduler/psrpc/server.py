"""The serving side: bid for a request, run it when it is granted, answer.

An expired request is dropped, a request for which the affinity is `None` gets no bid. Requests are
served beside each other, never one after the other. Source: livekit/psrpc pkg/server/rpc.go.
"""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_scheduler.psrpc import channels, identifiers
from mediafleet_scheduler.psrpc.bus import Bus, Subscription, ignore
from mediafleet_scheduler.psrpc.channels import EMPTY_TOPIC, Topic
from mediafleet_scheduler.psrpc.client import OnBadMessage, log_bad_message
from mediafleet_scheduler.psrpc.envelope import (
    Bid,
    Grant,
    Request,
    Response,
    decode,
    encode,
    request_id_of,
)
from mediafleet_scheduler.psrpc.errors import BadMessageError, Code, PsrpcError

MAX_WAITING_BYTES: Final = 32 << 20
"""Payloads of requests that wait for a grant; the oldest are given up beyond this."""
REMEMBERED_GRANTS: Final = 10_000
MAX_RUNNING: Final = 10_000
"""Requests that run at a time; no bid is made beyond this."""
LATER_SECONDS: Final = 0.03
"""The others bid so much later: longer than a busy client takes to grant and than a server that
stands by rests, and shorter than what anybody notices where the first one is gone."""
_READ_SECONDS: Final = 0.002
RUSH: Final = 200
"""From so many requests in `RUSH_SECONDS` on all bid at once, since one server would keep a queue:
at 500 a second, two desks on two cores, the median was 22 ms by one and is 6 by both."""
RUSH_SECONDS: Final = 0.5
MAX_LEFT_BYTES: Final = 8 << 20
"""Requests that are kept; beyond this each is bid for at once."""

Handler = Callable[[Request], Awaitable[bytes]]
"""Runs a request and returns the answer's payload, or raises the error to answer with."""
Affinity = Callable[[Request], float | None]
"""How gladly a request is taken, `None`: not at all. Raises `BadMessageError` for nonsense."""
OnStandby = Callable[[bool], None]
OnGrant = Callable[[Grant], None]
"""Told each grant that is heard, whomever it names."""

_log: Final = logging.getLogger(__name__)


def _gladly(_: Request) -> float | None:
    return 1.0


class Server:
    """Serves one service, under a server id of its own, as an async context manager.

    Leaving it stops taking requests; `drain` waits for those that run.
    """

    def __init__(
        self,
        bus: Bus,
        service: str,
        *,
        on_bad_message: OnBadMessage = log_bad_message,
        clock: Clock = SYSTEM,
        family: str = "",
        on_standby: OnStandby = ignore,
    ) -> None:
        """`family`: what ids of servers that take the same requests have in common. `on_standby`
        is told whether it leaves all requests to another of them now, and has none in hand."""
        self.server_id: Final = identifiers.server_id(family)
        self.bus: Final = bus
        self.service: Final = service
        self.on_bad_message: Final = on_bad_message
        self.clock: Final = clock
        self.family: Final = family
        self.on_standby: Final = on_standby
        self._running: set[asyncio.Task[None]] = set()
        self._methods: list[Method] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for method in self._methods:
            await method.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    @property
    def is_idle(self) -> bool:
        """Whether no request runs."""
        return not self._running

    @property
    def has_room(self) -> bool:
        """Whether another request may run."""
        return len(self._running) < MAX_RUNNING

    async def register(
        self,
        method: str,
        handler: Handler,
        topic: Topic = EMPTY_TOPIC,
        affinity: Affinity = _gladly,
        on_grant: OnGrant = ignore,
    ) -> Method:
        """Take requests of a method on a topic, until the result is closed.

        Servers of one family all take the same requests, so that one of them bids first
        (`LaterBids`).
        """
        registered = Method(self, method, handler, topic, affinity, on_grant)
        await registered.open()
        self._methods.append(registered)
        return registered

    async def drain(self) -> None:
        """Wait for the requests that run."""
        while self._running:
            await asyncio.wait(set(self._running))

    def run(self, handler: Handler, request: Request) -> None:
        """Run a request and answer it, beside the others."""
        task = asyncio.create_task(self._served(handler, request))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _served(self, handler: Handler, request: Request) -> None:
        payload, failure = b"", None
        try:
            payload = await handler(request)
        except PsrpcError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - logged, and answered
            _log.exception("a handler of %s failed", self.service)
            failure = PsrpcError(Code.INTERNAL, type(error).__name__)
        response = Response(
            request.request_id, self.server_id, self.clock.unix_ns(), payload, failure
        )
        self.bus.publish(channels.answers(self.service, request.client_id), encode(response))


class LaterBids:
    """Requests for which another server of the family bids first, until they are granted.

    Servers of one family would all take a request. The one that was granted the last one bids at
    once. The others keep it as it came and bid only where it is not granted soon after, so that
    most of them are never read here. All hear all grants: nobody needs to tell who is there, and
    before the first grant, and in a rush, all bid at once.
    """

    def __init__(
        self, server_id: str, on_due: Callable[[], None], bid_for: Callable[[bytes], None]
    ) -> None:
        """`on_due` is called when some request was granted nobody in time: what waits to be heard
        is to be heard now, since its grant may be among it. Then `bid_for` gets its bytes."""
        self._own = server_id
        self._on_due = on_due
        self._first: str | None = None
        """Who was granted the last request."""
        self._has_bid = False
        """Or was about to, since then."""
        self._rush = False
        self._came = 0
        self._counts_until = 0.0
        """Loop time until when those that come are counted together."""
        self._bid_for = bid_for
        self._left: dict[str, tuple[float, bytes]] = {}
        """By request id: until when (loop time), and the request."""
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        # Kept: to ask for it is a system call in Python 3.11.
        self._loop = asyncio.get_running_loop()

    @property
    def stands_by(self) -> bool:
        """Whether it has left all to another since that was granted a request."""
        return self._first not in (None, self._own) and not (self._has_bid or self._rush)

    def leave(self, data: bytes) -> bool:
        """Whether a request is left to another for a moment."""
        now = self._loop.time()
        if self._is_rush(now) or self._first in (None, self._own):
            return False
        request_id = request_id_of(data)
        if request_id is None or self._bytes + len(data) > MAX_LEFT_BYTES:
            return False
        self._forget(request_id)
        self._left[request_id] = (now + LATER_SECONDS, data)
        self._bytes += len(data)
        if self._timer is None:
            self._timer = self._loop.call_later(LATER_SECONDS, self._look)
        return True

    def granted(self, grant: Grant, *, of_family: bool) -> None:
        """A client has chosen among the bidders of a request."""
        if of_family:
            self._first, self._has_bid = grant.server_id, False
        self._forget(grant.request_id)
        if not self._left:
            self.close()

    def close(self) -> None:
        """Bid for nothing that was left."""
        self._left.clear()
        self._bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_rush(self, now: float) -> bool:
        if now >= self._counts_until:
            lately = now < self._counts_until + RUSH_SECONDS
            self._rush = lately and self._came >= RUSH
            self._came, self._counts_until = 0, now + RUSH_SECONDS
        self._came += 1
        self._rush = self._rush or self._came >= RUSH
        return self._rush

    def _look(self) -> None:
        self._has_bid = True
        self._on_due()
        # A busy loop has timers first, and reads what has come meanwhile after them.
        self._timer = self._loop.call_later(_READ_SECONDS, self._bid)

    def _bid(self) -> None:
        self._timer = None
        while self._left:
            request_id, (due, data) = next(iter(self._left.items()))
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self._look)
                return
            self._forget(request_id)
            self._bid_for(data)

    def _forget(self, request_id: str) -> None:
        if (left := self._left.pop(request_id, None)) is not None:
            self._bytes -= len(left[1])


class Method:
    """One method on one topic."""

    def __init__(
        self,
        server: Server,
        method: str,
        handler: Handler,
        topic: Topic,
        affinity: Affinity,
        on_grant: OnGrant,
    ) -> None:
        self._server = server
        self._handler = handler
        self._affinity = affinity
        self._on_grant = on_grant
        self._requests = channels.request(server.service, method, topic)
        self._grants = channels.grant(server.service, method, topic)
        self._waiting: collections.OrderedDict[str, Request] = collections.OrderedDict()
        self._waiting_bytes = 0
        self._granted: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._later: LaterBids | None = None
        if server.family:
            self._later = LaterBids(
                server.server_id, lambda: server.on_standby(False), self._bid_for
            )
        self._subscriptions: list[Subscription] = []

    async def open(self) -> None:
        """Start taking requests."""
        bus = self._server.bus
        # Grants first: a bid made before they are heard would be in vain.
        self._subscriptions.append(await bus.subscribe(self._grants, self._take_grant))
        self._subscriptions.append(await bus.subscribe(self._requests, self._take_request))

    async def close(self) -> None:
        """Stop taking requests; those that run go on, those bid for are let go."""
        while self._subscriptions:
            await self._subscriptions.pop().close()
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._later is not None:
            self._later.close()

    def _take_request(self, data: bytes) -> None:
        if self._later is None or not self._later.leave(data):
            self._bid_for(data)

    def _bid_for(self, data: bytes) -> None:
        try:
            request = decode(data, Request)
            now = self._server.clock.unix_ns()
            if request.expiry_ns <= now or request.request_id in self._granted:
                return
            if request.multi:
                if self._server.has_room:
                    self._server.run(self._handler, request)
                return
            affinity = self._affinity(request)
        except BadMessageError as error:
            self._server.on_bad_message(self._requests, error)
            return
        if affinity is None or not self._server.has_room:
            return
        self._wait(request, now)
        bid = Bid(request.request_id, self._server.server_id, affinity)
        channel = channels.bids(self._server.service, request.client_id)
        self._server.bus.publish(channel, encode(bid))

    def _take_grant(self, data: bytes) -> None:
        try:
            grant = decode(data, Grant)
        except BadMessageError as error:
            self._server.on_bad_message(self._grants, error)
            return
        self._on_grant(grant)
        if self._later is not None:
            family = identifiers.is_of_family(grant.server_id, self._server.family)
            self._later.granted(grant, of_family=family)
            self._server.on_standby(self._later.stands_by and self._server.is_idle)
        request = self._forget(grant.request_id)
        if request is None or grant.server_id != self._server.server_id:
            return
        if request.expiry_ns > self._server.clock.unix_ns():
            # A request heard twice must not run twice, and its grant may be heard twice as well.
            self._granted[request.request_id] = None
            if len(self._granted) > REMEMBERED_GRANTS:
                self._granted.popitem(last=False)
            self._server.run(self._handler, request)

    def _wait(self, request: Request, now_ns: int) -> None:
        self._forget(request.request_id)
        self._waiting[request.request_id] = request
        self._waiting_bytes += len(request.payload)
        while self._waiting:
            oldest = next(iter(self._waiting.values()))
            if oldest.expiry_ns > now_ns and self._waiting_bytes <= MAX_WAITING_BYTES:
                return
            self._forget(oldest.request_id)

    def _forget(self, request_id: str) -> Request | None:
        request = self._waiting.pop(request_id, None)
        if request is not None:
            self._waiting_bytes -= len(request.payload)
        return request
