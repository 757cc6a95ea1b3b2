"""Start, serve and stop the advertiser desk."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry

from mediafleet_common.api.community import Community
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.pages.site import Site, View
from mediafleet_common.serving.access import Access, LoopbackOnly
from mediafleet_common.serving.http import HttpServer
from mediafleet_common.serving.unary.port import Contexts, UnaryPort
from mediafleet_scheduler.advertise.community.relay import Relay
from mediafleet_scheduler.advertise.conditions import Conditions, Resource, Sources, keep_writing
from mediafleet_scheduler.advertise.gateways import Gateways
from mediafleet_scheduler.advertise.geography import Geography
from mediafleet_scheduler.advertise.head.head import Head
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.advertise.prober import Manner
from mediafleet_scheduler.advertise.reports import demand, nodes_route, page_text
from mediafleet_scheduler.advertise.served_list import ServedList
from mediafleet_scheduler.advertise.service import Desk, methods, orchestrators_route
from mediafleet_scheduler.advertise.settings import Times
from mediafleet_scheduler.community.exchange.redis import exchange_of
from mediafleet_scheduler.community.exchange.telling import Teller
from mediafleet_scheduler.community.origins import Origins
from mediafleet_scheduler.community.pages import Pages
from mediafleet_scheduler.community.public import PublicPages
from mediafleet_scheduler.community.reporter import Reporter
from mediafleet_scheduler.community.settings import Telling
from mediafleet_scheduler.community.state import State
from mediafleet_scheduler.core.advertise.demand import streams
from mediafleet_scheduler.core.advertise.views import PoolView
from mediafleet_scheduler.directory.directory import Directory, not_known
from mediafleet_scheduler.scaler.outlook import Outlook
from mediafleet_scheduler.scaler.server import ScalerOptions, demand_route, history_route, serving


@dataclass(frozen=True, slots=True)
class Settings:
    """How a desk is set up."""

    listen: str
    """HOST:PORT of GetOrchestrator."""
    http: str
    """HOST:PORT of health, metrics and `/orchestrators`."""
    tls: Contexts | None
    """`None`: plaintext, which the user must have chosen."""
    manner: Manner = field(default_factory=Manner)
    """How nodes are probed."""
    reports: Access = field(default_factory=LoopbackOnly)
    """Who may read demand and conditions."""
    own_urls: tuple[str, ...] = ()
    """Where the desk itself is reached, beside `advertise.urls`: no work can be done there."""
    scaler: ScalerOptions | None = None
    """`None`: no scaler is served."""
    sources: Sources = dict
    """How reading the pool's sources goes."""
    resource: Resource | None = None
    """The resource that shows our conditions; `None`: there is none."""
    times: Times = field(default_factory=Times)
    """How often things are looked at."""
    region_database: Path | None = None
    """In MaxMind's format, for `advertise.regions` by country."""
    community: Community | None = None
    """What is shared with others; `None`: nothing."""
    community_state: Path | None = None
    """Folder of what was shared; `None`: a restart forgets it."""
    relay: str | None = None
    """HTTP of a reporter of the pool, whose summary is shown on `listen`; `None`: no other's is."""
    telling: Telling | None = None
    """How a reporter is told who asks; `None`: it is not, or it is this desk."""
    clock: Clock = SYSTEM


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
    metrics, clock, times = AdvertiseMetrics(registry), settings.clock, settings.times
    served_list = ServedList(metrics, settings.manner, clock, times.load)
    head = Head(metrics, settings.own_urls, times.head)
    gateways = Gateways(metrics, clock, times.recent_gateway_seconds)
    geography = Geography(settings.region_database, clock, times.region_database_seconds)
    teller = _teller(settings)
    community = _reporter(settings, served_list, teller)
    pages = Pages(community) if community else None
    public = _public(settings, community)
    by_origin = settings.community is not None and settings.community.share.gateways_by_origin
    asked = teller or (community if by_origin else None)
    desk = Desk(served_list, head, gateways, geography, metrics, asked)

    def ready() -> str | None:
        if stop.is_set():
            return "stopping"
        if served_list.notice is None:
            return not_known("the list of nodes is", directory.complaint)
        return head.mistake

    async with AsyncExitStack() as stack:
        stack.push_async_callback(served_list.close)
        stack.push_async_callback(head.close)
        if teller is not None:
            stack.push_async_callback(teller.exchange.close)
        outlook = Outlook(lambda: demand(served_list, clock), times.demand)
        conditions = Conditions(served_list, head, settings.sources)
        site = Site([View.NODES, View.SCALING], lambda: page_text(served_list, conditions))
        http = HttpServer(
            settings.http,
            ready,
            routes=[
                *site.routes(),
                orchestrators_route(served_list, geography, metrics),
                *(pages.routes() if pages else ()),
            ],
            registry=registry,
            reports=[
                demand_route(outlook, settings.scaler),
                conditions.route(),
                nodes_route(served_list),
                history_route(outlook),
                *site.reports(),
                *([pages.status_route()] if pages else ()),
            ],
            access=settings.reports,
        )
        await stack.enter_async_context(http)
        shown = public.answer if public else None
        rpc = UnaryPort(settings.listen, methods(desk), settings.tls, times.port, shown)
        await stack.enter_async_context(rpc)
        scaler = await stack.enter_async_context(serving(outlook, settings.scaler, registry, clock))
        for take in (gateways.take, geography.take, head.take, served_list.take):
            directory.subscribe(take)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(directory.run())
            served = Serving(served_list, rpc.port, http.port, scaler)
            announcing = tasks.create_task(_announce(served, on_ready))
            writing = tasks.create_task(_write(conditions, settings, metrics))
            counting = [
                tasks.create_task(each.run()) for each in (teller, community, public) if each
            ]
            await stop.wait()
            for task in counting:
                task.cancel()
            writing.cancel()
            following.cancel()
            announcing.cancel()


def _teller(settings: Settings) -> Teller | None:
    """Tells a reporter who asks, where there is a Redis for it."""
    if settings.telling is None:
        return None
    exchange = exchange_of(settings.telling.place, settings.clock)
    origins = Origins(settings.region_database)
    # A host's name may be made of its address.
    who = f"advertiser-{secrets.token_hex(6)}"
    networks = settings.telling.own_networks
    return Teller(exchange, who, origins, networks, clock=settings.clock)


def _reporter(
    settings: Settings, served_list: ServedList, teller: Teller | None
) -> Reporter | None:
    """Counts what the operator shares, where anything is shared."""
    if settings.community is None:
        return None
    return Reporter(
        settings.community,
        lambda: None if served_list.view is None else streams(served_list.view, served_list.rooms),
        settings.region_database,
        settings.clock,
        State(settings.community_state) if settings.community_state else None,
        teller.exchange if teller else None,
    )


def _public(settings: Settings, community: Reporter | None) -> PublicPages | Relay | None:
    """What is shown on the port that gateways call, where anything is."""
    if settings.relay is not None:
        return Relay(settings.relay, settings.clock)
    return PublicPages(community) if community and community.community.public else None


async def _write(conditions: Conditions, settings: Settings, metrics: AdvertiseMetrics) -> None:
    if settings.resource is not None:
        await conditions.served_list.ready()
        await keep_writing(conditions, settings.resource, metrics, settings.clock, settings.times)


async def _announce(serving: Serving, on_ready: Callable[[Serving], None]) -> None:
    await serving.served_list.ready()
    on_ready(serving)
