"""The calling side: send a request, choose among the bids, wait for the answer.

The order on the wire is request, bids, one grant, answer. A request without a bid runs nowhere; one
that was granted may run even if no answer comes. Source: livekit/psrpc pkg/client/rpc.go, multi.go.
"""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_scheduler.core.psrpc.selection import ACCEPT_FIRST, Selection, auction
from mediafleet_scheduler.psrpc import channels, identifiers
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.channels import EMPTY_TOPIC, Topic
from mediafleet_scheduler.psrpc.envelope import Bid, Grant, Request, Response, decode, encode
from mediafleet_scheduler.psrpc.errors import BadMessageError, NoAnswerError, NoBidError

_log: Final = logging.getLogger(__name__)

OnBadMessage = Callable[[str, BadMessageError], None]
"""Told the channel and what was wrong with a message there."""

OnBid = Callable[[float], None]
_TIMED: Final = 1000


def log_bad_message(channel: str, error: BadMessageError) -> None:
    """One line."""
    _log.warning("unreadable message on %s: %s", channel, error)


class _Call:
    """One request on its way."""

    def __init__(self, loop: asyncio.AbstractEventLoop, selection: Selection) -> None:
        self._loop = loop
        self.chosen: asyncio.Future[str | None] = loop.create_future()
        self.answer: asyncio.Future[Response | None] = loop.create_future()
        """`None`: none came in time."""
        self._sent_at = loop.time()
        self._auction = auction(selection)
        self._timer = self._at_the_close()

    def bid(self, bid: Bid) -> None:
        """A server offers to run it."""
        if self.chosen.done():
            return
        before = self._auction
        at = self._loop.time() - self._sent_at
        self._auction = before.bid(bid.server_id, bid.affinity, at)
        if self._auction.over:
            self._choose()
        elif self._auction.closes != before.closes:
            self._timer.cancel()
            self._timer = self._at_the_close()

    def answered(self, response: Response | None) -> None:
        """An answer came, or none came in time; the first word counts."""
        if not self.answer.done():
            self.answer.set_result(response)

    async def answer_by(self, deadline: float) -> Response | None:
        """The answer; `None`: none came before this time of the event loop."""
        self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self.answered, None)
        return await self.answer

    def close(self) -> None:
        """Cancel the timer and the tasks that wait."""
        self._timer.cancel()
        self.chosen.cancel()
        self.answer.cancel()

    def _choose(self) -> None:
        if not self.chosen.done():
            self.chosen.set_result(self._auction.best)

    def _at_the_close(self) -> asyncio.TimerHandle:
        return self._loop.call_at(self._sent_at + self._auction.closes, self._choose)


@dataclass(slots=True)
class _Collection:
    """The answers to a request that every server answers."""

    expected: int | None
    answers: list[Response] = field(default_factory=list)
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    def answered(self, response: Response) -> None:
        self.answers.append(response)
        if self.expected is not None and len(self.answers) >= self.expected:
            self.complete.set()


class Client:
    """Calls one service, under a client id of its own, as an async context manager."""

    def __init__(
        self,
        bus: Bus,
        service: str,
        *,
        on_bad_message: OnBadMessage = log_bad_message,
        clock: Clock = SYSTEM,
    ) -> None:
        self.client_id: Final = identifiers.client_id()
        self._bus = bus
        self._service = service
        self._on_bad_message = on_bad_message
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._calls: dict[str, _Call] = {}
        self.waiting = 0
        """How many requests wait for a bid."""
        self._timed: collections.OrderedDict[str, tuple[float, OnBid]] = collections.OrderedDict()
        """Requests whose first bid is to be told, also when it comes late."""
        self._collections: dict[str, _Collection] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        bids = channels.bids(self._service, self.client_id)
        answers = channels.answers(self._service, self.client_id)
        for channel, receive in ((bids, self._take_bid), (answers, self._take_answer)):
            subscription = await self._bus.subscribe(channel, receive)
            self._open.push_async_callback(subscription.close)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def request(
        self,
        method: str,
        payload: bytes,
        topic: Topic = EMPTY_TOPIC,
        *,
        timeout_seconds: float,
        wait_seconds: float | None = None,
        selection: Selection = ACCEPT_FIRST,
        metadata: Mapping[str, str] | None = None,
        on_bid: OnBid | None = None,
    ) -> Response:
        """The answer of the server that was chosen; its `error` is the server's, if any.

        The request expires after `timeout_seconds`; an answer is waited for as long, or for
        `wait_seconds`. `on_bid` is called with the seconds that the first bid took, perhaps when
        nobody waits for it any more.

        Raises:
            NoBidError: nobody bid; it runs nowhere.
            NoAnswerError: it was granted and not answered; it may run.
            PsrpcError: a server refused to bid with an error, and nobody else bid.
        """
        request = self._made(payload, timeout_seconds, metadata, multi=False)
        call = self._calls[request.request_id] = _Call(self._loop, selection)
        began = self._loop.time()
        deadline = began + (wait_seconds or timeout_seconds)
        if on_bid is not None:
            self._timed[request.request_id] = (began, on_bid)
            if len(self._timed) > _TIMED:
                self._timed.popitem(last=False)
        try:
            self._bus.publish(channels.request(self._service, method, topic), encode(request))
            server_id = await self._chosen(call)
            if server_id is None:
                early = call.answer.result() if call.answer.done() else None
                if early is not None and early.error:
                    raise early.error
                raise NoBidError
            grant = encode(Grant(request.request_id, server_id))
            self._bus.publish(channels.grant(self._service, method, topic), grant)
            answer = await call.answer_by(deadline)
            if answer is None:
                raise NoAnswerError(server_id)
            return answer
        finally:
            del self._calls[request.request_id]
            call.close()

    async def bidder(
        self, method: str, payload: bytes, topic: Topic, *, timeout_seconds: float
    ) -> str | None:
        """A server that bids for a request, which is then granted to nobody; `None`: none did."""
        request = self._made(payload, timeout_seconds, None, multi=False)
        selection = Selection(accept_first=True, affinity_timeout_seconds=timeout_seconds)
        call = self._calls[request.request_id] = _Call(self._loop, selection)
        try:
            self._bus.publish(channels.request(self._service, method, topic), encode(request))
            return await self._chosen(call)
        finally:
            del self._calls[request.request_id]
            call.close()

    async def request_all(
        self,
        method: str,
        payload: bytes,
        topic: Topic = EMPTY_TOPIC,
        *,
        timeout_seconds: float,
        expected: int | None = None,
    ) -> list[Response]:
        """The answers of all servers that came in time, errors included.

        Returns before the time when `expected` of them are there.
        """
        request = self._made(payload, timeout_seconds, None, multi=True)
        collection = self._collections[request.request_id] = _Collection(expected)
        try:
            self._bus.publish(channels.request(self._service, method, topic), encode(request))
            try:
                async with asyncio.timeout(timeout_seconds):
                    await collection.complete.wait()
            except TimeoutError:
                pass
            return collection.answers
        finally:
            del self._collections[request.request_id]

    async def _chosen(self, call: _Call) -> str | None:
        self.waiting += 1
        try:
            return await call.chosen
        finally:
            self.waiting -= 1

    def _made(
        self,
        payload: bytes,
        timeout_seconds: float,
        metadata: Mapping[str, str] | None,
        *,
        multi: bool,
    ) -> Request:
        now = self._clock.unix_ns()
        return Request(
            request_id=identifiers.request_id(),
            client_id=self.client_id,
            sent_at_ns=now,
            expiry_ns=now + int(timeout_seconds * 1e9),
            payload=payload,
            multi=multi,
            metadata=metadata or {},
        )

    def _take_bid(self, data: bytes) -> None:
        try:
            bid = decode(data, Bid)
        except BadMessageError as error:
            self._on_bad_message(channels.bids(self._service, self.client_id), error)
            return
        if timed := self._timed.pop(bid.request_id, None):
            began, on_bid = timed
            on_bid(self._loop.time() - began)
        if call := self._calls.get(bid.request_id):
            call.bid(bid)

    def _take_answer(self, data: bytes) -> None:
        try:
            response = decode(data, Response)
        except BadMessageError as error:
            self._on_bad_message(channels.answers(self._service, self.client_id), error)
            return
        if call := self._calls.get(response.request_id):
            call.answered(response)
        elif collection := self._collections.get(response.request_id):
            collection.answered(response)
