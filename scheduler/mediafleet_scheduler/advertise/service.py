"""What the desk answers: net.Orchestrator over gRPC, and the list as JSON over HTTP.

Service and messages: livepeer/go-livepeer net/lp_rpc.proto. Messages are passed as bytes: `lineup`
serialises an answer once, and a request is read only where it matters who asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Final

import grpc
import grpc.aio
from aiohttp import web
from google.protobuf.message import DecodeError

from mediafleet_common.wire.livepeer_pb2 import OrchestratorRequest
from mediafleet_scheduler.advertise.board import Board
from mediafleet_scheduler.advertise.head import Head
from mediafleet_scheduler.advertise.head_answers import Context, HeadAnswers, refuse
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.core.capabilities import UnknownCapabilityError, wanted
from mediafleet_scheduler.directory.sourced import OWN

SERVICE: Final = "net.Orchestrator"
_NOT_YET: Final = "the list of nodes is not known yet"
_NOT_HERE: Final = "this entry only advertises nodes: end the session at the node that has it"
Method = Callable[[bytes, Context], Awaitable[bytes]]


def handler(board: Board, head: Head, metrics: AdvertiseMetrics) -> grpc.GenericRpcHandler:
    """The gRPC methods, on top of a board, and of a head where the pool has one."""

    answered = metrics.get_orchestrator.labels("ok")
    not_ready = metrics.get_orchestrator.labels("not_ready")
    through_head = HeadAnswers(head, metrics)

    async def get_orchestrator(request: bytes, context: Context) -> bytes:
        notice = board.notice
        if notice is None:
            not_ready.inc()
            return refuse(context, grpc.StatusCode.UNAVAILABLE, _NOT_YET)
        gateway = _gateway(request) if notice.lineup.by_gateway else b""
        if notice.advertise.head is not None:
            return await through_head.get_orchestrator(request, context, notice, gateway)
        answered.inc()
        return notice.lineup.orchestrator_info(gateway)

    async def ping(request: bytes, context: Context) -> bytes:
        if board.notice is not None and board.notice.advertise.head is not None:
            return await through_head.ping(request, context, board.notice)
        # A node signs the value; a desk has no key, and whoever cares about it asks a node.
        return request

    async def end_transcoding_session(request: bytes, context: Context) -> bytes:
        if board.notice is not None and board.notice.advertise.head is not None:
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


def _gateway(request: bytes) -> bytes:
    """The ETH address that a gateway says it has; its signature is not looked at, since nothing
    is given away by an order."""
    try:
        return OrchestratorRequest.FromString(request).address
    except DecodeError:
        return b""


def orchestrators_route(board: Board) -> web.RouteDef:
    """`GET /orchestrators`, for -orchWebhookUrl and the Python SDK.

    In the order of GetOrchestrator; with by_gateway the caller's IP address stands for the
    gateway. An ETag tells the same list. `caps=PIPELINE/MODEL`, repeated, leaves out nodes that are
    known to lack any of them (livepeer/livepeer-python-gateway capabilities.py). `scope=own` leaves
    out what sources told: so advertisers ask each other.
    """

    async def orchestrators(request: web.Request) -> web.Response:
        if board.notice is None:
            return web.Response(status=503, text=_NOT_YET)
        try:
            caps = tuple(sorted({wanted(each) for each in request.query.getall("caps", ())}))
        except UnknownCapabilityError as error:
            return web.Response(status=400, text=f"caps {error}")
        lineup = board.notice.lineup
        if request.query.get("scope") == OWN:
            lineup = lineup.own()
        body = lineup.having(caps).json((request.remote or "").encode())
        etag = hashlib.blake2b(body, digest_size=12).hexdigest()
        headers = {"ETag": f'"{etag}"', "Cache-Control": "no-cache"}
        known = request.if_none_match or ()
        if any(each.value in (etag, "*") for each in known):
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type="application/json", headers=headers)

    return web.get("/orchestrators", orchestrators)
