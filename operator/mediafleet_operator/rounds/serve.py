"""The operator's process: wait for the Lease, then watch and work until stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry

from mediafleet_common.api.names import FLEET_KINDS, Kind
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.reach import OWN_WORD, PODS
from mediafleet_common.kube.client import Api
from mediafleet_common.kube.login import configure
from mediafleet_common.kube.pace import Pacer
from mediafleet_common.kube.watch import follow
from mediafleet_common.probes.http_client import client, poll
from mediafleet_common.probes.plain_http import poll_pod
from mediafleet_common.redises.endpoints import Redises
from mediafleet_common.reports.demand import Demand
from mediafleet_common.serving.http import HttpServer
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.kube import paths
from mediafleet_operator.kube.apply import Applier
from mediafleet_operator.kube.children import Children
from mediafleet_operator.kube.flag_head import Heads
from mediafleet_operator.kube.lease import Lease, LostLeaseError
from mediafleet_operator.kube.lease_thread import LeaseThread
from mediafleet_operator.kube.pool_tokens import PoolTokens
from mediafleet_operator.kube.report import EventWriter, StatusWriter
from mediafleet_operator.kube.scalers import Scalers
from mediafleet_operator.kube.snapshots import Snapshots
from mediafleet_operator.manifests.children.scaling import Keda
from mediafleet_operator.manifests.pods.pod import Product
from mediafleet_operator.rounds.autoscaling import Autoscaler
from mediafleet_operator.rounds.children import ChildResources
from mediafleet_operator.rounds.community.reports import ask as ask_reporter
from mediafleet_operator.rounds.community.round import CommunityRounds
from mediafleet_operator.rounds.counters import FleetCounts, ScaleCounts
from mediafleet_operator.rounds.desks.certificates import Certificates
from mediafleet_operator.rounds.desks.demand import DemandPoller, Tokens, ask
from mediafleet_operator.rounds.desks.job_ends import JobEnds
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_operator.rounds.probes import Prober
from mediafleet_operator.rounds.queue import KeyedQueue
from mediafleet_operator.rounds.round import Worker
from mediafleet_operator.rounds.watch import Listener
from mediafleet_operator.settings import Times

_log: Final = logging.getLogger(__name__)
LEASE_NAME: Final = "mediafleet-operator"
LAST_ROUND_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    product: Product
    http: str
    namespaces: Sequence[str] = ()
    """Empty: all."""
    lease_namespace: str | None = None
    """Where the Lease lies; `None`: no election, this is the only operator."""
    kubeconfig: str | None = None
    context: str | None = None
    egress_desk: str | None = None
    """URL of the egress desk's HTTP port."""
    broker: str | None = None
    """URL of the AI broker's HTTP port."""
    desk_token: Path | None = None
    """File of the token by which the egress desk and the broker are asked."""
    account: tuple[str, str] | None = None
    """Namespace and name of our own ServiceAccount, by whose tokens advertisers are asked."""
    keda: Keda = field(default_factory=Keda)
    redises: Redises = field(default_factory=Redises)
    """Which Redis a fleet may use."""
    times: Times = field(default_factory=Times)
    """How often things are looked at."""
    io_update_timeout_seconds: float | None = None
    """How long a pod tries once to deliver an end; `None`: as the pod tells."""


class Health:
    """What `/readyz` says."""

    def __init__(self) -> None:
        self.reason: str | None = "starting"
        self.listener: Listener | None = None
        self.lease: LeaseThread | None = None

    def why(self) -> str | None:
        """`None` when all is well."""
        if self.listener is not None:
            return self.listener.why()
        # One that waits for another is as ready as it can be, and holds up no rollout of ours.
        return self.lease.unanswered if self.lease is not None else self.reason


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    on_ready: Callable[[Snapshots, int], None],
    clock: Clock = SYSTEM,
    registry: CollectorRegistry = REGISTRY,
) -> None:
    """Run until `stop`; `on_ready` is called once, when the first lists are in.

    Raises:
        CannotStartError: no cluster is configured, or the port is taken.
    """
    configuration = await configure(settings.kubeconfig, settings.context)
    metrics = OperatorMetrics(registry)
    metrics.build_info.labels(version("mediafleet"), "operator").set(1)
    metrics.leader.set(0)
    health = Health()
    async with (
        HttpServer(settings.http, health.why, registry=registry) as http,
        contextlib.AsyncExitStack() as stack,
    ):
        lease = None
        if settings.lease_namespace is not None:
            login = partial(configure, settings.kubeconfig, settings.context)
            lease = LeaseThread(login, partial(_lease, settings.lease_namespace, clock))
            stack.push_async_callback(lease.stop)
            health.lease = lease
            _log.info("waiting for Lease %s/%s", settings.lease_namespace, LEASE_NAME)
            if not await _unless(stop, lease.acquire()):
                return
        metrics.leader.set(1)
        held = lease.held if lease else lambda: True
        api = await stack.enter_async_context(
            Api(
                configuration,
                may_write=held,
                on_write=partial(_count_write, metrics),
                pacer=Pacer(settings.times.writes, metrics.write_rate.set),
            )
        )
        keep = [lease.keep()] if lease else []
        tasks = [asyncio.create_task(each, name="lease") for each in keep]

        def ready(snapshots: Snapshots) -> None:
            on_ready(snapshots, http.port)

        tasks.append(asyncio.create_task(_lead(api, settings, health, ready, clock, metrics)))
        stopping = asyncio.create_task(_wait(stop))
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        if stopping not in done:
            _end_if_lost(done)
        await _cancel([stopping, *tasks])
        for task in done:
            task.result()


def _lease(namespace: str, clock: Clock, api: Api) -> Lease:
    return Lease(api, namespace, LEASE_NAME, identity(), clock=clock)


def identity() -> str:
    """Who we are in the Lease: new with each process, since an earlier one may still run."""
    return f"{os.environ.get('POD_NAME') or os.uname().nodename}_{os.urandom(4).hex()}"


async def _lead(
    api: Api,
    settings: Settings,
    health: Health,
    on_ready: Callable[[Snapshots], None],
    clock: Clock,
    metrics: OperatorMetrics,
) -> None:
    """Watch and work until cancelled."""
    snapshots, times = Snapshots(settings.redises), settings.times
    queue: KeyedQueue[FleetKey] = KeyedQueue()
    listener = health.listener = Listener(snapshots, queue, metrics, clock)
    login = partial(configure, settings.kubeconfig, settings.context)
    async with client(reach=PODS) as session, client(reach=OWN_WORD) as desk_session:
        # The egress desk and the broker are named by whoever starts us, the others are our own
        # children.
        desks = [each for each in (settings.egress_desk, settings.broker) if each]
        pools = PoolTokens(api, *settings.account, clock) if settings.account else None
        tokens = Tokens(settings.desk_token, pools)
        ask_pool = partial(ask, session, tokens, desks)
        ask_desk = partial(ask, desk_session, tokens, desks)
        urls = {f"{each.rstrip('/')}/demand" for each in desks}

        async def ask_either(url: str) -> Demand:
            return await (ask_desk if url in urls else ask_pool)(url)

        prober = Prober(poll_pod, queue.add, metrics, clock, times.probe)
        poller = DemandPoller(ask_either, queue.add, metrics, clock, times.demand)
        certificates = Certificates(ask_either, queue.add, times.demand)
        ends_poller = DemandPoller(ask_desk, queue.add, metrics, clock, times.demand)
        applier = Applier(api, snapshots, settings.product, clock)
        worker = Worker(
            snapshots,
            queue,
            applier,
            ChildResources(
                Children(api, settings.product, clock, times.children_seconds),
                Heads(api, settings.product, partial(poll, session), clock),
                metrics,
            ),
            StatusWriter(
                api,
                clock,
                times.status_load_seconds,
                times.status_seconds,
                times.status_first_seconds,
                times.status_change_seconds,
            ),
            EventWriter(api, identity(), clock),
            prober,
            Autoscaler(
                queue,
                applier,
                poller,
                Scalers(api, settings.keda, clock, times.scalers_seconds),
                ScaleCounts(metrics, clock),
                settings.egress_desk,
                clock,
                times.demand,
                settings.broker,
                certificates,
            ),
            FleetCounts(metrics),
            clock,
            JobEnds(ends_poller, settings.egress_desk, settings.broker),
            settings.io_update_timeout_seconds,
            times.rest_seconds_per_pod,
        )
        children = Children(api, settings.product, clock, times.children_seconds)
        community = CommunityRounds(
            api, children, partial(ask_reporter, session, tokens), metrics, clock
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    follow(
                        (paths.COMMUNITY,),
                        settings.namespaces,
                        community.take,
                        login=login,
                        list_seconds=settings.times.resync_seconds,
                    )
                )
                group.create_task(community.run())
                group.create_task(
                    follow(
                        paths.FOLLOWED,
                        settings.namespaces,
                        listener.take,
                        login=login,
                        list_seconds=settings.times.resync_seconds,
                    )
                )
                group.create_task(_watch_age(listener, metrics))
                await listener.complete.wait()
                on_ready(snapshots)
                for _ in range(max(settings.times.workers, 1)):
                    group.create_task(worker.run())
        finally:
            queue.close()
            community.queue.close()
            await worker.marks.close()
            await prober.close()
            await poller.close()
            await ends_poller.close()
            await certificates.close()


async def _watch_age(listener: Listener, metrics: OperatorMetrics) -> None:
    while True:
        metrics.watch_age.set(listener.silent_seconds)
        await asyncio.sleep(1)


async def _unless(stop: asyncio.Event, wanted: Coroutine[None, None, None]) -> bool:
    """Wait for `wanted`, or until `stop`; whether it came about."""
    task, stopping = asyncio.create_task(wanted), asyncio.create_task(_wait(stop))
    await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    came = task.done()
    await _cancel([task, stopping])
    if came:
        task.result()
    return came


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=LAST_ROUND_SECONDS)


def _end_if_lost(done: set[asyncio.Task[None]]) -> None:
    for task in done:
        if isinstance(task.exception(), LostLeaseError):
            # Another one may work by now: nothing of ours may go on, not even a clean-up.
            _log.critical("the Lease is lost: %s", task.exception())
            logging.shutdown()
            os._exit(1)


def _count_write(metrics: OperatorMetrics, verb: str, resource: str, result: str) -> None:
    metrics.api_writes.labels(verb, resource, result).inc()


def summary(snapshots: Snapshots) -> str:
    """What there is, for the line that says that we are ready."""
    counts = {kind: sum(key.kind is kind for key in snapshots.fleets) for kind in FLEET_KINDS}
    return (
        f"{counts[Kind.EGRESS_FLEET]} egress fleets, "
        f"{counts[Kind.ORCHESTRATOR_POOL]} orchestrator pools, "
        f"{counts[Kind.AI_WORKER_POOL]} AI worker pools"
    )
