"""What the desk answers: net.Orchestrator over gRPC, and the list as JSON over HTTP.

Service and messages: livepeer/go-livepeer net/lp_rpc.proto. Messages are passed as bytes: `lineup`
serialises an answer once, and a request is parsed only where the answer depends on the gateway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import grpc
import grpc.aio
from aiohttp import web

from mediafleet_common.probes.ping import ADVERTISER
from mediafleet_scheduler.advertise.gateways import NOT_ALLOWED, Gateways
from mediafleet_scheduler.advertise.geography import Geography, host_of
from mediafleet_scheduler.advertise.head.answers import Asker, Context, HeadAnswers, refuse
from mediafleet_scheduler.advertise.head.head import Head
from mediafleet_scheduler.advertise.lineup import Peer
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.advertise.served_list import ServedList
from mediafleet_scheduler.core.advertise.capabilities import UnknownCapabilityError, wanted
from mediafleet_scheduler.directory.sourced import OWN

SERVICE: Final = "net.Orchestrator"
_NOT_YET: Final = "the list of nodes is not known yet"
_NOT_HERE: Final = "this entry only advertises nodes: end the session at the node that has it"
Method = Callable[[bytes, Context], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts that answers are made from."""

    served_list: ServedList
    head: Head
    gateways: Gateways
    geography: Geography
    metrics: AdvertiseMetrics


def handler(desk: Desk) -> grpc.GenericRpcHandler:
    """The gRPC methods: from the served list, and through the head where the pool has one."""

    served_list, gateways, geography = desk.served_list, desk.gateways, desk.geography
    count = desk.metrics.get_orchestrator.labels
    answered, not_ready, not_allowed = count("ok"), count("not_ready"), count("not_allowed")
    through_head = HeadAnswers(desk.head, desk.metrics)

    async def get_orchestrator(request: bytes, context: Context) -> bytes:
        notice = served_list.notice
        if notice is None:
            not_ready.inc()
            return refuse(context, grpc.StatusCode.UNAVAILABLE, _NOT_YET)
        gateway = gateways.admit(request)
        if gateway is None:
            not_allowed.inc()
            return refuse(context, grpc.StatusCode.PERMISSION_DENIED, NOT_ALLOWED)
        region = geography.of_peer(context.peer()) if geography.matters else None
        caller = gateway or Peer(host_of(context.peer()))
        if notice.advertise.head is not None:
            asker = Asker(caller, region)
            return await through_head.get_orchestrator(request, context, notice, asker)
        answered.inc()
        return notice.lineup.orchestrator_info(caller, region)

    async def ping(request: bytes, context: Context) -> bytes:
        if served_list.notice is not None and served_list.notice.advertise.head is not None:
            return await through_head.ping(request, context, served_list.notice)
        context.set_trailing_metadata((ADVERTISER,))
        # A node signs the value. A desk has no key.
        return request

    async def end_transcoding_session(request: bytes, context: Context) -> bytes:
        if served_list.notice is not None and served_list.notice.advertise.head is not None:
            return await through_head.end_transcoding_session(request, context)
        return refuse(context, grpc.StatusCode.UNIMPLEMENTED, _NOT_HERE)

    methods: dict[str, Method] = {
        "GetOrchestrator": get_orchestrator,
        "Ping": ping,
        "EndTranscodingSession": end_transcoding_session,
    }
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()},
    )


def orchestrators_route(
    served_list: ServedList, geography: Geography, metrics: AdvertiseMetrics
) -> web.RouteDef:
    """`GET /orchestrators`, for -orchWebhookUrl and the Python SDK.

    Every caller gets the list, in the order of GetOrchestrator; with by_gateway the caller's IP
    address stands for the gateway. An unchanged list keeps its ETag. `caps=PIPELINE/MODEL`,
    repeated, leaves out nodes that are known to lack any of them (livepeer/livepeer-python-gateway
    capabilities.py).
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
