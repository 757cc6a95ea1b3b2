"""Counts what is shared of a pool and shows it, beside the advertisers that answer gateways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from prometheus_client import REGISTRY, CollectorRegistry

from mediafleet_common.serving.http import HttpServer
from mediafleet_scheduler.advertise.loads import Loads
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.advertise.settings import LoadTimes
from mediafleet_scheduler.community.exchange.redis import exchange_of
from mediafleet_scheduler.community.pages import Pages
from mediafleet_scheduler.community.reporter import Reporter
from mediafleet_scheduler.community.settings import Settings
from mediafleet_scheduler.community.state import State
from mediafleet_scheduler.core.advertise.demand import streams
from mediafleet_scheduler.core.advertise.views import PoolView
from mediafleet_scheduler.directory.directory import Directory, not_known


def _nothing(*_: object) -> None:
    """A change of load is no news here: the reporter looks at intervals."""


async def serve(
    settings: Settings,
    directory: Directory[PoolView],
    stop: asyncio.Event,
    on_ready: Callable[[int], None],
    times: LoadTimes | None = None,
    registry: CollectorRegistry = REGISTRY,
) -> None:
    """Count and show until `stop` is set; `on_ready` is called once, with the HTTP port.

    Raises:
        CannotStartError: the port cannot be listened on, or the folder cannot be written.
    """
    loads = Loads(AdvertiseMetrics(registry), _nothing, _nothing, times=times)
    view: PoolView | None = None

    def take(new: PoolView) -> None:
        nonlocal view
        view = new
        loads.follow(new)

    exchange = None if settings.exchange is None else exchange_of(settings.exchange, settings.clock)
    reporter = Reporter(
        settings.community,
        lambda: None if view is None else streams(view, loads.rooms),
        clock=settings.clock,
        state=None if settings.state is None else State(settings.state),
        exchange=exchange,
    )
    pages = Pages(reporter)

    def ready() -> str | None:
        if stop.is_set():
            return "stopping"
        return not_known("the pool is", directory.complaint) if view is None else None

    async with AsyncExitStack() as stack:
        stack.push_async_callback(loads.close)
        if exchange is not None:
            stack.push_async_callback(exchange.close)
        http = await stack.enter_async_context(
            HttpServer(
                settings.http,
                ready,
                routes=pages.routes(),
                registry=registry,
                reports=[pages.status_route()],
                access=settings.reports,
            )
        )
        directory.subscribe(take)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(directory.run()), group.create_task(reporter.run())]
            on_ready(http.port)
            await stop.wait()
            for each in tasks:
                each.cancel()
