"""Answers through a head, and in its place while it is away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

import grpc

from mediafleet_common.api.pool.advertise import HeadFallback
from mediafleet_common.probes.ping import ADVERTISER, END_TRANSCODING_SESSION, PING
from mediafleet_common.serving.unary.call import Call
from mediafleet_scheduler.advertise.head.head import Head, HeadIsUsError
from mediafleet_scheduler.advertise.head.link import HeadAwayError, Metadata, Reply
from mediafleet_scheduler.advertise.lineup import Caller, Lineup
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.advertise.served_list import Notice
from mediafleet_scheduler.core.advertise import head as core
from mediafleet_scheduler.core.advertise.capabilities import Wanted

_NO_LIMIT_SECONDS: Final = 60.0
"""Of a caller that gives none: longer than `head.answer_seconds`, which counts then."""
_NO_TOKEN: Final = "no auth_token: a session is ended by the token that GetOrchestrator gave"


@dataclass(frozen=True, slots=True)
class Asker:
    """The caller that a list is made for."""

    gateway: Caller
    region: str | None
    wanted: tuple[Wanted, ...] = ()

    def lineup(self, notice: Notice) -> Lineup:
        """The nodes that can do what it asks for."""
        return notice.lineup.having(self.wanted)


class HeadAnswers:
    """The methods of net.Orchestrator where the pool has a head."""

    def __init__(self, head: Head, metrics: AdvertiseMetrics) -> None:
        self._head = head
        self._count = metrics.get_orchestrator.labels

    async def get_orchestrator(
        self, request: bytes, call: Call, notice: Notice, asker: Asker
    ) -> bytes:
        """The head's answer with our nodes; its refusal; or what `headFallback` says."""
        try:
            reply = await self._head.orchestrator_info(request, *_terms(call))
        except HeadAwayError as error:
            return self._without(call, notice, asker, f"the head cannot be asked: {error}")
        except HeadIsUsError as error:
            self._count("head_is_us").inc()
            if notice.advertise.head_fallback is HeadFallback.ADVERTISE:
                return asker.lineup(notice).orchestrator_info(asker.gateway, asker.region)
            return call.refuse(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        if reply.code is not grpc.StatusCode.OK:
            self._count("head_refused").inc()
            return _pass_on(reply, call)
        try:
            answer = core.read(reply.message)
        except core.NotAnInfoError as error:
            self._count("head_unreadable").inc()
            why = f"the head answered something that is no OrchestratorInfo: {error}"
            return call.refuse(grpc.StatusCode.INTERNAL, why)
        self._count("ok").inc()
        _pass_on(reply, call)
        return answer.with_nodes(asker.lineup(notice).nodes(asker.gateway, asker.region))

    async def ping(self, request: bytes, call: Call, notice: Notice) -> bytes:
        """The head's signature over the value."""
        try:
            reply = await self._head.call(PING, request, *_terms(call))
        except HeadAwayError as error:
            if notice.advertise.head_fallback is HeadFallback.ADVERTISE:
                call.trailing = (ADVERTISER,)
                return request
            return call.refuse(grpc.StatusCode.UNAVAILABLE, f"the head cannot be asked: {error}")
        return _pass_on(replace(reply, trailing=(*reply.trailing, ADVERTISER)), call)

    async def end_transcoding_session(self, request: bytes, call: Call) -> bytes:
        """Ends a session at the head; a request that names none is refused here."""
        if not core.names_a_session(request):
            return call.refuse(grpc.StatusCode.INVALID_ARGUMENT, _NO_TOKEN)
        try:
            reply = await self._head.call(END_TRANSCODING_SESSION, request, *_terms(call))
        except HeadAwayError as error:
            return call.refuse(grpc.StatusCode.UNAVAILABLE, f"the head cannot be asked: {error}")
        return _pass_on(reply, call)

    def _without(self, call: Call, notice: Notice, asker: Asker, why: str) -> bytes:
        if notice.advertise.head_fallback is HeadFallback.ADVERTISE:
            self._count("head_fallback").inc()
            return asker.lineup(notice).orchestrator_info(asker.gateway, asker.region)
        self._count("head_away").inc()
        return call.refuse(grpc.StatusCode.UNAVAILABLE, why)


def _terms(call: Call) -> tuple[Metadata, float]:
    """What the caller sent beside the message, and how many seconds it waits."""
    if call.gives_up_at is None:
        return call.metadata(), _NO_LIMIT_SECONDS
    return call.metadata(), call.gives_up_at - asyncio.get_running_loop().time()


def _pass_on(reply: Reply, call: Call) -> bytes:
    call.initial, call.trailing = reply.initial, reply.trailing
    call.code, call.details = reply.code, reply.details
    return reply.message
