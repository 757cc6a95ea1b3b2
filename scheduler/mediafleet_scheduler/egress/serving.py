"""Start, serve and stop the egress desk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from prometheus_client import REGISTRY, CollectorRegistry

from mediafleet_common.serving.http import HttpServer
from mediafleet_scheduler.directory.views import Directory, EgressView
from mediafleet_scheduler.egress.connecting import client_of, place_of, until_it_answers
from mediafleet_scheduler.egress.metrics import EgressMetrics
from mediafleet_scheduler.egress.service import EgressService
from mediafleet_scheduler.egress.settings import Settings
from mediafleet_scheduler.psrpc.bus import Trouble
from mediafleet_scheduler.psrpc.redis_bus import RedisBus


@dataclass(frozen=True, slots=True)
class Options:
    """How a desk is set up."""

    redis: str
    """URL of the Redis."""
    http: str
    """HOST:PORT of health and metrics."""
    password: str | None = field(default=None, repr=False)
    """For Redis, when the URL has none."""
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class Serving:
    """A desk that is ready."""

    view: EgressView
    redis: str
    """Where its Redis is, without credentials."""
    http_port: int


async def serve(
    options: Options,
    directory: Directory[EgressView],
    stop: asyncio.Event,
    on_ready: Callable[[Serving], None],
    registry: CollectorRegistry = REGISTRY,
) -> None:
    """Place jobs until `stop` is set; `on_ready` is called once, when requests are taken.

    Raises:
        CannotStartError: Redis does not answer, or the port cannot be listened on.
    """
    metrics = EgressMetrics(registry)
    client = client_of(options.redis, options.password)
    where, db = place_of(client)
    state: dict[str, bool] = {"open": False}

    def trouble(kind: Trouble) -> None:
        metrics.bus_troubles.labels(kind).inc()

    bus = RedisBus(client, trouble)

    def ready() -> str | None:
        if stop.is_set():
            return "stopping"
        if not state["open"]:
            return "the fleets are not known yet"
        return None if bus.connected else f"no connection to Redis at {where}"

    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.aclose)
        http = HttpServer(options.http, ready, registry=registry)
        await stack.enter_async_context(http)
        await until_it_answers(client)
        await stack.enter_async_context(bus)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(directory.run())
            first_view = asyncio.Event()
            directory.subscribe(lambda _: first_view.set())
            if await _first(first_view, stop):
                service = EgressService(bus, client, directory, metrics, options.settings, db)
                async with service:
                    state["open"] = True
                    view = directory.view
                    if view is not None:
                        on_ready(Serving(view, where, http.port))
                    await stop.wait()
            following.cancel()


async def _first(wanted: asyncio.Event, stop: asyncio.Event) -> bool:
    """Wait for either; whether it was the wanted one."""
    waits = [asyncio.create_task(event.wait()) for event in (wanted, stop)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return not stop.is_set()
