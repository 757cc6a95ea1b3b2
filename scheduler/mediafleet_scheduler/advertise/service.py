"""What the desk answers: net.Orchestrator over gRPC, and the list as JSON over HTTP.

Service and messages: livepeer/go-livepeer net/lp_rpc.proto. Messages are passed as bytes: `lineup`
serialises an answer once, and a request is parsed only where the answer depends on the gateway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, Protocol

import grpc
from aiohttp import web

from mediafleet_common.probes.ping import (
    ADVERTISER,
    END_TRANSCODING_SESSION,
    GET_ORCHESTRATOR,
    PING,
)
from mediafleet_common.serving.unary.call import Call, Method
from mediafleet_scheduler.advertise.gateways import NOT_ALLOWED, Gateways
from mediafleet_scheduler.advertise.geography import Geography
from mediafleet_scheduler.advertise.head.answers import Asker, HeadAnswers
from mediafleet_scheduler.advertise.head.head import Head
from mediafleet_scheduler.advertise.lineup import Peer
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.advertise.served_list import ServedList
from mediafleet_scheduler.core.advertise.capabilities import UnknownCapabilityError, wanted
from mediafleet_scheduler.directory.sourced import OWN

_NOT_YET: Final = "the list of nodes is not known yet"
_NOT_HERE: Final = "this entry only advertises nodes: end the session at the node that has it"


class Asked(Protocol):
    """Counts gateways that ask, under names of the day."""

    def asked(self, gateway: str | None, peer: str) -> None:
        """One asked: its verified ETH address, if it has one, and where it called from."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts that answers are made from."""

    served_list: ServedList
    head: Head
    gateways: Gateways
    geography: Geography
    metrics: AdvertiseMetrics
    community: Asked | None = None
    """Counts gateways that ask. `None`: who asks is not shared, and is not counted for others."""


def methods(desk: Desk) -> dict[bytes, Method]:
    """The gRPC methods: from the served list, and through the head where the pool has one."""

    served_list, gateways, geography = desk.served_list, desk.gateways, desk.geography
    count = desk.metrics.get_orchestrator.labels
    answered, not_ready, not_allowed = count("ok"), count("not_ready"), count("not_allowed")
    through_head, community = HeadAnswers(desk.head, desk.metrics), desk.community

    def get_orchestrator(request: bytes, call: Call) -> bytes | Awaitable[bytes]:
        notice = served_list.notice
        if notice is None:
            not_ready.inc()
            return call.refuse(grpc.StatusCode.UNAVAILABLE, _NOT_YET)
        asking = gateways.admit(request)
        if asking is None:
            not_allowed.inc()
            return call.refuse(grpc.StatusCode.PERMISSION_DENIED, NOT_ALLOWED)
        region = geography.of(call.host) if geography.matters else None
        caller = asking.address or Peer(call.host)
        if community is not None:
            community.asked(gateways.verified(request), call.host)
        if notice.advertise.head is not None:
            asker = Asker(caller, region, asking.wanted)
            return through_head.get_orchestrator(request, call, notice, asker)
        answered.inc()
        return notice.lineup.having(asking.wanted).orchestrator_info(caller, region)

    def ping(request: bytes, call: Call) -> bytes | Awaitable[bytes]:
        if served_list.notice is not None and served_list.notice.advertise.head is not None:
            return through_head.ping(request, call, served_list.notice)
        call.trailing = (ADVERTISER,)
        # A node signs the value. A desk has no key.
        return request

    def end_transcoding_session(request: bytes, call: Call) -> bytes | Awaitable[bytes]:
        if served_list.notice is not None and served_list.notice.advertise.head is not None:
            return through_head.end_transcoding_session(request, call)
        return call.refuse(grpc.StatusCode.UNIMPLEMENTED, _NOT_HERE)

    return {
        GET_ORCHESTRATOR.encode(): get_orchestrator,
        PING.encode(): ping,
        END_TRANSCODING_SESSION.encode(): end_transcoding_session,
    }


def orchestrators_route(
    served_list: ServedList, geography: Geography, metrics: AdvertiseMetrics
) -> web.RouteDef:
    """`GET /orchestrators`, for -orchWebhookUrl and the Python SDK.

    Every caller gets the list, in the order of GetOrchestrator; with by_gateway the caller's IP
    address stands for the gateway. An unchanged list keeps its ETag. `caps=PIPELINE/MODEL`,
    repeated, leaves out nodes that are known to lack any of them, as GetOrchestrator does
    (livepeer/livepeer-python-gateway capabilities.py).
    `scope=own` leaves out nodes of sources: advertisers read each other so.
    """

    count = metrics.json_lists.labels

    async def orchestrators(request: web.Request) -> web.Response:
        if served_list.notice is None:
            count("not_ready").inc()
            return web.Response(status=503, text=_NOT_YET)
        try:
            caps = tuple(sorted({wanted(each) for each in request.query.getall("caps", ())}))
        except UnknownCapabilityError as error:
            count("bad_caps").inc()
            return web.Response(status=400, text=f"caps {error}")
        lineup = served_list.notice.lineup
        if request.query.get("scope") == OWN:
            lineup = lineup.own()
        caller = request.remote or ""
        body = lineup.having(caps).json(caller.encode(), geography.of(caller))
        etag = hashlib.blake2b(body, digest_size=12).hexdigest()
        headers = {"ETag": f'"{etag}"', "Cache-Control": "no-cache"}
        known = request.if_none_match or ()
        if any(each.value in (etag, "*") for each in known):
            count("unchanged").inc()
            return web.Response(status=304, headers=headers)
        count("ok").inc()
        return web.Response(body=body, content_type="application/json", headers=headers)

    return web.get("/orchestrators", orchestrators)
