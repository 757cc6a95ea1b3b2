"""The HTTP sides of a stand-in node: go-livepeer's CLI server, and the stand-in's own control.

The CLI server moves money (`/transferTokens`, `/withdraw`, `/withdrawFees` need no password) beside
`/metrics`, which is there only with -monitor: livepeer/go-livepeer server/webserver.go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import choose_encoder

from mediafleet_testbed.standins.node_capabilities import AiModel
from mediafleet_testbed.standins.node_flags import NodeFlags
from mediafleet_testbed.standins.node_sessions import CappedError, Sessions

_MONEY: Final = ("/transferTokens", "/withdraw", "/withdrawFees")
Handler = Callable[[web.Request], Awaitable[web.Response]]


def cli_app(flags: NodeFlags, sessions: Sessions) -> web.Application:
    """The CLI server."""

    async def set_max_sessions(request: web.Request) -> web.Response:
        text = str((await request.post()).get("maxSessions", ""))
        if text == "auto":
            return web.Response(text="Max sessions set to auto")
        if not text.isdigit() or int(text) <= 0:
            return web.Response(status=400, text="maxSessions must be 'auto' or greater than 0")
        sessions.limit = int(text)
        return web.Response()

    async def money(request: web.Request) -> web.Response:
        app[SPENT].append(request.path)
        return web.Response(text="spent")

    async def status(_: web.Request) -> web.Response:
        return web.json_response({"OrchestratorPool": [], "ServiceURI": flags.service_url})

    app = web.Application()
    app[SPENT] = []
    app.router.add_post("/setMaxSessions", set_max_sessions)
    app.router.add_get("/status", status)
    for path in _MONEY:
        app.router.add_route("*", path, money)
    if flags.monitor:
        app.router.add_get("/metrics", _metrics(sessions, flags.models))
    return app


SPENT: Final = web.AppKey("spent", list[str])
"""Money routes that somebody has reached."""


def control_app(sessions: Sessions) -> web.Application:
    """The stand-in's own control: `GET /sessions`, `PUT` and `DELETE /sessions/ID`."""

    async def report(_: web.Request) -> web.Response:
        return web.json_response(sessions.report())

    async def put(request: web.Request) -> web.Response:
        try:
            began = sessions.segment(request.match_info["id"])
        except CappedError as error:
            return web.Response(status=503, text=str(error))
        return web.Response(status=201 if began else 200)

    async def delete(request: web.Request) -> web.Response:
        return web.Response(status=204 if sessions.end(request.match_info["id"]) else 404)

    app = web.Application()
    app.router.add_get("/sessions", report)
    app.router.add_put("/sessions/{id}", put)
    app.router.add_delete("/sessions/{id}", delete)
    return app


def _metrics(sessions: Sessions, models: Sequence[AiModel]) -> Handler:
    registry = CollectorRegistry()
    labels = {"node_type": "orch", "node_id": "standin"}
    current = Gauge(
        "livepeer_current_sessions_total", "Current sessions.", labels, registry=registry
    )
    limit = Gauge("livepeer_max_sessions_total", "Max sessions.", labels, registry=registry)

    docker = [each for each in models if not each.url]
    containers = ("pipeline", "model_name", "orchestrator_uri", *labels)
    in_use, idle = (
        Gauge(f"livepeer_ai_container_{state}", text, containers, registry=registry)
        for state, text in (("in_use", "Containers in use."), ("idle", "Containers idle."))
    )

    requested = Gauge(
        "livepeer_ai_models_requested",
        "AI models requested.",
        ("pipeline", "model_name", *labels),
        registry=registry,
    )

    async def metrics(request: web.Request) -> web.Response:
        sessions.expire()
        for each in models:
            if count := sessions.requested[each.model]:
                requested.labels(pipeline=each.pipeline, model_name=each.model, **labels).set(count)
        current.labels(**labels).set(len(sessions.active))
        limit.labels(**labels).set(sessions.limit)
        for each in docker:
            of_it = {"pipeline": each.pipeline, "model_name": each.model, "orchestrator_uri": ""}
            used = sessions.ai[each.model]
            in_use.labels(**of_it, **labels).set(used)
            idle.labels(**of_it, **labels).set(each.capacity - used)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    return metrics
