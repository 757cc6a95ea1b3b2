"""What the desk answers: net.Orchestrator over gRPC, and the list as JSON over HTTP.

Service and messages: livepeer/go-livepeer net/lp_rpc.proto. Messages are passed as bytes: the
answer is serialised once per list, and nothing in a request changes it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import grpc
import grpc.aio
from aiohttp import web

from mediafleet_scheduler.advertise.board import Board
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics

SERVICE: Final = "net.Orchestrator"
_NOT_YET: Final = "the list of nodes is not known yet"
_NOT_HERE: Final = "this entry only advertises nodes: end the session at the node that has it"
Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Method = Callable[[bytes, Context], Awaitable[bytes]]


def handler(board: Board, metrics: AdvertiseMetrics) -> grpc.GenericRpcHandler:
    """The gRPC methods, on top of a board."""

    answered = metrics.get_orchestrator.labels("ok")
    not_ready = metrics.get_orchestrator.labels("not_ready")

    async def get_orchestrator(_: bytes, context: Context) -> bytes:
        notice = board.notice
        if notice is not None:
            answered.inc()
            return notice.orchestrator_info
        not_ready.inc()
        return _refuse(context, grpc.StatusCode.UNAVAILABLE, _NOT_YET)

    async def ping(request: bytes, _: Context) -> bytes:
        # A node signs the value; a desk has no key, and whoever cares about it asks a node.
        return request

    async def end_transcoding_session(_: bytes, context: Context) -> bytes:
        return _refuse(context, grpc.StatusCode.UNIMPLEMENTED, _NOT_HERE)

    methods: dict[str, Method] = {
        "GetOrchestrator": get_orchestrator,
        "Ping": ping,
        "EndTranscodingSession": end_transcoding_session,
    }
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()},
    )


def _refuse(context: Context, code: grpc.StatusCode, why: str) -> bytes:
    context.set_code(code)
    context.set_details(why)
    return b""


def orchestrators_route(board: Board) -> web.RouteDef:
    """`GET /orchestrators`, for -orchWebhookUrl and the Python SDK; `caps` is not looked at."""

    async def orchestrators(_: web.Request) -> web.Response:
        if board.notice is None:
            return web.Response(status=503, text=_NOT_YET)
        return web.Response(body=board.notice.orchestrators_json, content_type="application/json")

    return web.get("/orchestrators", orchestrators)
