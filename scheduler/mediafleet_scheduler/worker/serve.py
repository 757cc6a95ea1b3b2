"""The HTTP port of a worker in a pod: whether it is registered, how many tasks it has, and a hold
on its end while it has some."""

from __future__ import annotations

import asyncio
from typing import Protocol

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from mediafleet_common.serving.http import HttpServer
from mediafleet_scheduler.worker.client import Worker


class Beside(Protocol):
    """What tasks go through in the same pod, where the worker does not take them to runners."""

    def why_not_ready(self) -> str | None: ...

    def why_not_healthy(self) -> str | None: ...

    def has_stopped(self) -> bool: ...

    def routes(self) -> list[web.RouteDef]: ...


async def serve(
    worker: Worker,
    http: str,
    stop: asyncio.Event,
    registry: CollectorRegistry = REGISTRY,
    beside: Beside | None = None,
) -> None:
    """Work until `stop`, and answer on `http`.

    Raises:
        CannotStartError: the address cannot be listened on.
        TurnedAwayError: the broker will never have the worker.
    """

    def ready() -> str | None:
        if not worker.registered:
            return "not registered at the broker"
        return None if beside is None else beside.why_not_ready()

    def healthy() -> str | None:
        return None if beside is None else beside.why_not_healthy()

    async def hold(_: web.Request) -> web.Response:
        # Kubernetes ends no container of the pod before this has answered (preStop).
        await worker.drain()
        # It also asks where it only starts one container anew, as after a failed probe.
        seconds = worker.settings.times.resume_seconds
        asyncio.get_running_loop().call_later(seconds, worker.resume)
        return web.Response(text="idle")

    async def hold_beside(request: web.Request) -> web.Response:
        # One that has stopped would keep the tasks that it is waited for with.
        if beside is not None and beside.has_stopped():
            return web.Response(text="stopped")
        return await hold(request)

    tasks = Gauge("mediafleet_worker_tasks", "Tasks that the worker has", registry=registry)
    tasks.set_function(lambda: worker.tasks)
    capacity = Gauge(
        "mediafleet_worker_capacity", "Tasks that the worker takes at a time", registry=registry
    )
    capacity.set_function(lambda: worker.capacity)
    routes = [web.get("/hold", hold)]
    if beside is not None:
        routes += [web.get("/stock-worker/hold", hold_beside), *beside.routes()]
    async with HttpServer(http, ready, healthy, routes, registry):
        await worker.run(stop)
