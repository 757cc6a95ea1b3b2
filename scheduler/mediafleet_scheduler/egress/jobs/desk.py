"""The desk: stands on the empty topic, where livekit-server sends StartEgress, for all fleets.

It bids the maximum, so that the client waits for no other bid, and answers requests concurrently. A
request for an egress id that is being started joins that start attempt.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from mediafleet_common.api.egress.placement import WhenFull
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.core.egress.requests import (
    Request,
    UnknownRequestTypeError,
    UnreadableRequestError,
    classify,
)
from mediafleet_scheduler.core.egress.views import Fleet
from mediafleet_scheduler.egress.jobs.start import StartAttempt, Tools
from mediafleet_scheduler.egress.peers import answers
from mediafleet_scheduler.egress.peers.answers import RefusedError
from mediafleet_scheduler.egress.peers.forwarding import START_EGRESS
from mediafleet_scheduler.egress.places.pods import label
from mediafleet_scheduler.psrpc import envelope
from mediafleet_scheduler.psrpc.errors import BadMessage, BadMessageError, Code, PsrpcError
from mediafleet_scheduler.psrpc.identifiers import is_of_family
from mediafleet_scheduler.psrpc.server import Method, Server

_GLADLY: Final = 1.0
"""livekit-server's MaximumAffinity: it takes such a bid without waiting for others."""

_KEPT_ATTEMPTS: Final = 20_000
_KEPT_PARSED: Final = 1000
_MARGIN: Final = 0.05
"""Of a client's time: an answer leaves at least so long before its end, if the time is short."""

_log: Final = logging.getLogger(__name__)


class Desk:
    """Answers StartEgress."""

    def __init__(self, server: Server, tools: Tools, heard: Callable[[], None]) -> None:
        self._server = server
        self._tools = tools
        self._heard = heard
        """Called for every request that another desk is granted."""
        self._tasks: dict[str, asyncio.Task[bytes]] = {}
        self._running: dict[str, StartAttempt] = {}
        """Those of them that run."""
        self._parsed: OrderedDict[str, Request] = OrderedDict()
        """Requests that were bid for, by request id."""
        self._method: Method | None = None

    async def open(self) -> None:
        """Start taking requests."""
        self._method = await self._server.register(
            START_EGRESS,
            self._answer,
            affinity=self._affinity,
            on_grant=self._take_grant,
        )

    async def close(self) -> None:
        """Take no more, and give those that run a while to end."""
        if self._method is not None:
            await self._method.close()
        await self._tools.queue.close()
        running = [task for task in self._tasks.values() if not task.done()]
        if running:
            await asyncio.wait(running, timeout=self._tools.settings.close_seconds)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0)  # Those who waited for them publish their answers.

    def is_starting(self, egress_id: str) -> bool:
        """Whether a job is being started here at this moment."""
        task = self._tasks.get(egress_id)
        return task is not None and not task.done()

    def _take_grant(self, grant: envelope.Grant) -> None:
        self._tools.foreign_bidders.take(grant)
        server = self._server
        if grant.server_id != server.server_id and is_of_family(grant.server_id, server.family):
            self._heard()

    def _affinity(self, message: envelope.Request) -> float | None:
        request = _read(message)
        self._parsed[message.request_id] = request
        if len(self._parsed) > _KEPT_PARSED:
            self._parsed.popitem(last=False)
        fleets = self._tools.pods.accepting(request.kind, request.room)
        return _GLADLY if fleets and not self._leaves_to_others(request, fleets) else None

    def _leaves_to_others(self, request: Request, fleets: list[Fleet]) -> bool:
        """Whether egress workers outside of fleets may take it: there is no room here."""
        tools = self._tools
        silent = all(fleet.placement.when_full is WhenFull.SILENT for fleet in fleets)
        if not silent and not tools.foreign_bidders.are_there:
            return False
        # Whoever asks again for what was started here must not have it started elsewhere.
        known = request.egress_id in self._tasks or tools.store.copy.knows(request.egress_id)
        if known or tools.placer.could(request):
            return False
        tools.metrics.silences.labels(label(fleets[0])).inc()
        return True

    async def _answer(self, message: envelope.Request) -> bytes:
        request = self._parsed.pop(message.request_id, None) or _read(message)
        task = self._tasks.get(request.egress_id)
        if task is None:
            attempt = self._running[request.egress_id] = StartAttempt(self._tools, message, request)
            task = asyncio.create_task(attempt.run(), name=f"start {request.egress_id}")
            self._tasks[request.egress_id] = task
            task.add_done_callback(lambda _: self._keep(request.egress_id))
        else:
            self._tools.metrics.joins.inc()
            if running := self._running.get(request.egress_id):
                running.joined(message)
        fleets = self._tools.pods.accepting(request.kind, request.room)
        try:
            return await self._in_time(task, message, fleets)
        except RefusedError as error:
            fleet = label(fleets[0]) if fleets else ""
            self._tools.metrics.rejections.labels(fleet, error.reason).inc()
            _log.warning("refused %s: %s", printable(request.egress_id), error.message)
            raise

    async def _in_time(
        self, task: asyncio.Task[bytes], message: envelope.Request, fleets: list[Fleet]
    ) -> bytes:
        """The answer of a start attempt, or word that it goes on.

        It comes before the client gives up; where requests may wait, before the most impatient
        clients do.
        """
        settings = self._tools.settings
        sent_at, expiry = message.sent_at_ns / 1e9, message.expiry_ns / 1e9
        until = expiry - min(settings.answer_margin_seconds, _MARGIN * (expiry - sent_at))
        if any(fleet.queue.max_wait_seconds for fleet in fleets):
            until = min(until, sent_at + settings.answer_within_seconds)
        await asyncio.wait((task,), timeout=max(0.0, until - self._tools.clock.unix()))
        if not task.done():
            sentence = "it is still being started"
            raise RefusedError(Code.UNAVAILABLE, answers.UNDECIDED, sentence)
        return task.result()

    def _keep(self, egress_id: str) -> None:
        """Keep an answer for a while; after a refusal the next request starts a new attempt."""
        task = self._tasks[egress_id]
        del self._running[egress_id]
        stands = not task.cancelled() and (
            task.exception() is None
            or (isinstance(e := task.exception(), PsrpcError) and not isinstance(e, RefusedError))
        )
        if not stands or len(self._tasks) > _KEPT_ATTEMPTS:
            # An answer that stands is in Redis too, without the request.
            del self._tasks[egress_id]
            return
        loop = asyncio.get_running_loop()
        loop.call_later(self._tools.settings.keep_answer_seconds, self._tasks.pop, egress_id, None)


def _read(message: envelope.Request) -> Request:
    try:
        return classify(message.payload)
    except UnknownRequestTypeError as error:
        raise BadMessageError(BadMessage.UNKNOWN_REQUEST_TYPE, str(error)) from error
    except UnreadableRequestError as error:
        raise BadMessageError(BadMessage.NOT_A_START_EGRESS, str(error)) from error
