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
from mediafleet_scheduler.psrpc.envelope import Bid, Grant, Request, Response, decode, encode
from mediafleet_scheduler.psrpc.errors import BadMessageError, Code, PsrpcError

MAX_WAITING_BYTES: Final = 32 << 20
"""Payloads of requests that wait for a grant; the oldest are given up beyond this."""
REMEMBERED_GRANTS: Final = 10_000
MAX_RUNNING: Final = 10_000
"""Requests that run at a time; no bid is made beyond this."""

Handler = Callable[[Request], Awaitable[bytes]]
"""Runs a request and returns the answer's payload, or raises the error to answer with."""
Affinity = Callable[[Request], float | None]
"""How gladly a request is taken, `None`: not at all. Raises `BadMessageError` for nonsense."""
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
    ) -> None:
        self.server_id: Final = identifiers.server_id(family)
        self.bus: Final = bus
        self.service: Final = service
        self.on_bad_message: Final = on_bad_message
        self.clock: Final = clock
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
        """Take requests of a method on a topic, until the result is closed."""
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

    def _take_request(self, data: bytes) -> None:
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
