"""The HTTP port of a worker in a pod: whether it is registered, how many tasks it has, and a hold
on its end while it has some."""

from __future__ import annotations

import asyncio

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from mediafleet_common.serving.http import HttpServer
from mediafleet_scheduler.worker.client import Worker


async def serve(
    worker: Worker, http: str, stop: asyncio.Event, registry: CollectorRegistry = REGISTRY
) -> None:
    """Work until `stop`, and answer on `http`.

    Raises:
        CannotStartError: the address cannot be listened on.
        TurnedAwayError: the broker will never have the worker.
    """

    def ready() -> str | None:
        return None if worker.registered else "not registered at the broker"

    async def hold(_: web.Request) -> web.Response:
        # Kubernetes ends no container of the pod before this has answered (preStop).
        await worker.drain()
        return web.Response(text="idle")

    tasks = Gauge("mediafleet_worker_tasks", "Tasks that the worker has", registry=registry)
    tasks.set_function(lambda: worker.tasks)
    capacity = Gauge(
        "mediafleet_worker_capacity", "Tasks that the worker takes at a time", registry=registry
    )
    capacity.set_function(lambda: worker.capacity)
    async with HttpServer(http, ready, routes=[web.get("/hold", hold)], registry=registry):
        await worker.run(stop)
