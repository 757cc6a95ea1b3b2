"""Start, serve and stop the advertiser desk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from prometheus_client import REGISTRY, CollectorRegistry

from mediafleet_common.serving.grpc_server import GrpcServer
from mediafleet_common.serving.http import HttpServer
from mediafleet_scheduler.advertise.conditions import Conditions, Resource, Sources, keep_writing
from mediafleet_scheduler.advertise.demand import read
from mediafleet_scheduler.advertise.gateways import Gateways
from mediafleet_scheduler.advertise.geography import Geography
from mediafleet_scheduler.advertise.head.head import Head
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.advertise.prober import Manner
from mediafleet_scheduler.advertise.served_list import ServedList
from mediafleet_scheduler.advertise.service import Desk, handler, orchestrators_route
from mediafleet_scheduler.core.advertise.views import PoolView
from mediafleet_scheduler.directory.directory import Directory
from mediafleet_scheduler.scaler.outlook import Outlook
from mediafleet_scheduler.scaler.server import ScalerOptions, demand_route, serving


@dataclass(frozen=True, slots=True)
class Settings:
    """How a desk is set up."""

    listen: str
    """HOST:PORT of GetOrchestrator."""
    http: str
    """HOST:PORT of health, metrics and `/orchestrators`."""
    credentials: grpc.ServerCredentials | None
    """`None`: plaintext, which somebody has to have chosen."""
    manner: Manner = field(default_factory=Manner)
    """How nodes are asked."""
    own_urls: tuple[str, ...] = ()
    """Where the desk itself is reached, beside `advertise.urls`: no work can be done there."""
    scaler: ScalerOptions | None = None
    """`None`: KEDA is not answered."""
    sources: Sources = dict
    """How the reading of the pool's sources goes."""
    resource: Resource | None = None
    """Has conditions, some of them ours; `None`: there is none."""
    region_database: Path | None = None
    """In MaxMind's format, for `advertise.regions` by country."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A desk that is ready."""

    served_list: ServedList
    grpc_port: int
    http_port: int
    scaler_port: int | None = None


async def serve(
    settings: Settings,
    directory: Directory[PoolView],
    stop: asyncio.Event,
    on_ready: Callable[[Serving], None],
    registry: CollectorRegistry = REGISTRY,
) -> None:
    """Answer until `stop` is set; `on_ready` is called once, with the first list.

    Raises:
        CannotStartError: a port cannot be listened on.
    """
    metrics = AdvertiseMetrics(registry)
    served_list = ServedList(metrics, settings.manner)
    head = Head(metrics, settings.own_urls)
    gateways, geography = Gateways(metrics), Geography(settings.region_database)
    desk = Desk(served_list, head, gateways, geography, metrics)

    def ready() -> str | None:
        if stop.is_set():
            return "stopping"
        if served_list.notice is None:
            return "the list of nodes is not known yet"
        return head.mistake

    async with AsyncExitStack() as stack:
        stack.push_async_callback(served_list.close)
        stack.push_async_callback(head.close)
        outlook = Outlook(lambda: read(served_list))
        conditions = Conditions(served_list, head, settings.sources)
        routes = [
            orchestrators_route(served_list, geography, metrics),
            demand_route(outlook),
            conditions.route(),
        ]
        http = HttpServer(settings.http, ready, routes=routes, registry=registry)
        await stack.enter_async_context(http)
        rpc = GrpcServer(settings.listen, [handler(desk)], settings.credentials)
        await stack.enter_async_context(rpc)
        scaler = await stack.enter_async_context(serving(outlook, settings.scaler, registry))
        for take in (gateways.take, geography.take, head.take, served_list.take):
            directory.subscribe(take)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(directory.run())
            told = Serving(served_list, rpc.port, http.port, scaler)
            telling = tasks.create_task(_tell(told, on_ready))
            writing = tasks.create_task(_write(conditions, settings.resource, metrics))
            await stop.wait()
            writing.cancel()
            following.cancel()
            telling.cancel()


async def _write(
    conditions: Conditions, resource: Resource | None, metrics: AdvertiseMetrics
) -> None:
    if resource is not None:
        await conditions.served_list.ready()
        await keep_writing(conditions, resource, metrics)


async def _tell(serving: Serving, on_ready: Callable[[Serving], None]) -> None:
    await serving.served_list.ready()
    on_ready(serving)
