"""Start, serve and stop the egress desk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry

from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.pages.site import Site, View
from mediafleet_common.redises.endpoints import Redises
from mediafleet_common.serving.access import Access as ReportAccess
from mediafleet_common.serving.access import LoopbackOnly
from mediafleet_common.serving.http import HttpServer
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.community.exchange.redis import Place
from mediafleet_scheduler.community.exchange.work import telling_work
from mediafleet_scheduler.core.community.work.kinds import Work
from mediafleet_scheduler.core.community.work.sources import EGRESS_KINDS, Namer, egress_work
from mediafleet_scheduler.core.egress.views import EgressView, Fleet
from mediafleet_scheduler.directory.directory import Directory, not_known
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.connections.credentials import no_password
from mediafleet_scheduler.egress.connections.livekit_block import read_block
from mediafleet_scheduler.egress.connections.opening import (
    NOTHING_ASKED,
    Access,
    Connections,
    of_spec,
    of_url,
    where_of,
)
from mediafleet_scheduler.egress.jobs.lost_jobs import PostEvent, post_nothing
from mediafleet_scheduler.egress.peers.native_fleets import (
    NativeFleets,
    ReportMode,
    report_nothing,
)
from mediafleet_scheduler.egress.process.branches import Branches
from mediafleet_scheduler.egress.process.demand import Demands
from mediafleet_scheduler.egress.process.explanation import costs_route, explain_route
from mediafleet_scheduler.egress.process.gauges import DeskCollector
from mediafleet_scheduler.egress.process.kept_out import ReportRedis
from mediafleet_scheduler.egress.process.kept_out import report_nothing as report_nothing_of_redis
from mediafleet_scheduler.egress.process.page import page_text
from mediafleet_scheduler.scaler.outlook import Outlook
from mediafleet_scheduler.scaler.server import ScalerOptions, demand_route, history_route, serving

_REST_AFTER_SECONDS: Final = 120.0
"""Demand is counted while somebody has asked for it within this: KEDA asks every 30 s, unless its
pollingInterval says otherwise."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a desk is set up."""

    http: str
    """HOST:PORT of health and metrics."""
    redis: str | None = None
    """URL of the Redis of fleets that name none."""
    password: str | None = field(default=None, repr=False)
    """For that Redis, when the URL has none."""
    redis_config: Path | None = None
    """File with LiveKit's block `redis`, instead of a URL."""
    access: Mapping[str, Access] = field(default_factory=dict)
    """What Redises that fleets write out ask for, by address."""
    declared: Mapping[str, Access] = field(default_factory=dict)
    """What Redises that the administrator declares ask for, by name."""
    redises: Redises = field(default_factory=Redises)
    """What is declared."""
    settings: Settings = field(default_factory=Settings)
    report_mode: ReportMode = report_nothing
    """Told whether the pods of a fleet with engine native know their mode."""
    report_redis: ReportRedis = report_nothing_of_redis
    """Told whether a fleet may use the Redis that it names by other words than are declared."""
    scaler: ScalerOptions | None = None
    """`None`: KEDA is not answered."""
    post: PostEvent = post_nothing
    """Says what people should know of a fleet."""
    reports: ReportAccess = field(default_factory=LoopbackOnly)
    """Who may read demand, costs and explanations."""
    work: Place | None = None
    """Where a reporter of community metrics is told of jobs; `None`: nowhere."""

    @property
    def by_hand(self) -> bool:
        """Whether it is started on one Redis: better to say why that fails than to wait."""
        return self.redis is not None or self.redis_config is not None

    def check(self) -> None:
        """Look at the one Redis that it is started on, before anybody needs it.

        Raises:
            CannotStartError: it is written so that nothing could be reached.
        """
        if self.by_hand:
            self._own()

    def may_use(self, fleet: Fleet, spec: RedisSpec | None) -> bool:
        """Whether a fleet may use a Redis that it names by other words, as it turns out."""
        if spec is None or spec.ref is None:
            return True
        return self.redises.may_use(spec.ref, fleet.namespace)

    def connections(self, spec: RedisSpec | None) -> Connections:
        """How the Redis that a fleet names is reached.

        Raises:
            CannotStartError: it cannot be.
        """
        if spec is None:
            return self._own()
        if spec.ref is not None:
            return self._declared(spec, spec.ref)
        access = self.access.get(where_of(spec), NOTHING_ASKED)
        if spec.password_secret is not None and access.password is no_password:
            raise CannotStartError(f"no --redis-password for {where_of(spec)}, which asks for one")
        asks = spec.sentinel is not None and spec.sentinel.password_secret is not None
        if asks and access.sentinel_password is no_password:
            option = "--redis-sentinel-password"
            raise CannotStartError(f"no {option} for {where_of(spec)}, which asks for one")
        return self._with(access, spec)

    def _declared(self, spec: RedisSpec, name: str) -> Connections:
        access = self.declared.get(name)
        if access is None:
            raise CannotStartError(f"Redis {name} is declared no more")
        return self._with(access, spec)

    def _with(self, access: Access, spec: RedisSpec) -> Connections:
        refused = access.refusal(spec)
        if refused is not None:
            raise CannotStartError(f"Redis at {where_of(spec)}: {refused}")
        return of_spec(spec, access, self.settings.redis)

    def _own(self) -> Connections:
        if self.redis_config is not None:
            return of_spec(*read_block(self.redis_config), self.settings.redis)
        if self.redis is None:
            raise CannotStartError(
                "a fleet names no Redis, and neither --redis nor --redis-config was given"
            )
        return of_url(self.redis, self.password, self.settings.redis)


@dataclass(frozen=True, slots=True)
class Serving:
    """A desk that is ready."""

    view: EgressView
    redis: tuple[str, ...]
    """Where its Redises are, without credentials."""
    http_port: int
    scaler_port: int | None = None


@dataclass(frozen=True, slots=True)
class _Ports:
    http: int
    scaler: int | None


async def serve(
    options: Options,
    directory: Directory[EgressView],
    stop: asyncio.Event,
    on_ready: Callable[[Serving], None],
    registry: CollectorRegistry = REGISTRY,
    clock: Clock = SYSTEM,
) -> None:
    """Place jobs until `stop` is set; `on_ready` is called once, when requests are taken.

    Raises:
        CannotStartError: the port cannot be listened on, or the one Redis does not answer.
    """
    metrics = EgressMetrics(registry)
    branches = Branches(
        options.connections,
        metrics,
        options.settings,
        options.post,
        clock=clock,
        tries_again=not options.by_hand,
        may_use=options.may_use,
        report=options.report_redis,
    )

    def ready() -> str | None:
        if stop.is_set():
            return "stopping"
        if directory.view is None:
            return not_known("the fleets are", directory.complaint)
        complaints = [branch.complaint for branch in branches.all]
        return complaints[0] if complaints and all(complaints) else None

    async with AsyncExitStack() as stack:
        outlook = Outlook(
            Demands(directory, branches).read,
            options.settings.demand,
            rest_after_seconds=_REST_AFTER_SECONDS,
            clock=clock,
        )
        natives = NativeFleets(options.connections, options.report_mode, options.settings, clock)
        await stack.enter_async_context(natives)
        site = Site(
            [View.FLEETS, View.SCALING],
            lambda: page_text(branches) if directory.view else None,
        )
        reports = [
            demand_route(outlook, options.scaler),
            explain_route(branches),
            costs_route(branches),
            history_route(outlook),
            *site.reports(),
        ]
        http = HttpServer(
            options.http,
            ready,
            routes=site.routes(),
            registry=registry,
            reports=reports,
            access=options.reports,
        )
        await stack.enter_async_context(http)
        await stack.enter_async_context(branches)
        scaler = await stack.enter_async_context(serving(outlook, options.scaler, registry))
        ports = _Ports(http.port, scaler)
        collector = DeskCollector(lambda: branches.services)
        registry.register(collector)
        stack.callback(registry.unregister, collector)
        # All desks of a ledger tell the same, so under one name.
        await stack.enter_async_context(
            telling_work(options.work, EGRESS_KINDS, partial(_work, branches), "egress", clock)
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(directory.run())
                announcing = tasks.create_task(
                    _announce(options, directory, branches, ports, on_ready)
                )
                directory.subscribe(natives.follow)
                await stop.wait()
                following.cancel()
                announcing.cancel()
        except* CannotStartError as group:
            raise group.exceptions[0] from None


async def _work(branches: Branches, name: Namer) -> list[Work]:
    """Jobs that run, by their rooms."""
    return egress_work(
        (
            (job.room, job.kind.value, job.lines)
            for service in branches.services
            for job in service.ledger.jobs.values()
            if job.started_at is not None
        ),
        name,
    )


async def _announce(
    options: Options,
    directory: Directory[EgressView],
    branches: Branches,
    ports: _Ports,
    on_ready: Callable[[Serving], None],
) -> None:
    """Follow the directory, and say once that requests are taken."""
    known = asyncio.Event()

    def follow(view: EgressView) -> None:
        branches.follow(view)
        known.set()

    directory.subscribe(follow)
    await known.wait()
    await branches.opened()
    troubles = [branch.trouble for branch in branches.all if branch.trouble]
    if options.by_hand and troubles:
        raise CannotStartError(troubles[0])
    await branches.any_open()
    view = directory.view
    if view is not None:
        specs = [branch.spec for branch in branches.all]
        where = tuple(options.connections(None).where if s is None else where_of(s) for s in specs)
        on_ready(Serving(view, where, ports.http, ports.scaler))
