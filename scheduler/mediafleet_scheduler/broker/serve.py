"""Start, serve and stop the broker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
import socket
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import REGISTRY, CollectorRegistry

from mediafleet_common.pages.site import Site, View
from mediafleet_common.serving.access import Access
from mediafleet_common.serving.http import HttpServer
from mediafleet_common.serving.logs import printable
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.broker.access.secrets import Secrets
from mediafleet_scheduler.broker.inputs import Inputs
from mediafleet_scheduler.broker.jobs import Jobs
from mediafleet_scheduler.broker.metrics import BrokerMetrics
from mediafleet_scheduler.broker.models import ModelEntry
from mediafleet_scheduler.broker.orchestrators.keeping import (
    Options,
    Orchestrators,
    OrchestratorTimes,
)
from mediafleet_scheduler.broker.pools.page import page_text
from mediafleet_scheduler.broker.pools.pools import Pools
from mediafleet_scheduler.broker.registrations import Registrations
from mediafleet_scheduler.broker.results import Results
from mediafleet_scheduler.broker.runner_api import RunnerApi
from mediafleet_scheduler.broker.shared.elsewhere import SharedElsewhere
from mediafleet_scheduler.broker.shared.handing import Handing
from mediafleet_scheduler.broker.shared.ledger import Ledger, LedgerError
from mediafleet_scheduler.broker.shared.parts import SharedParts
from mediafleet_scheduler.broker.shared.peers import Peers
from mediafleet_scheduler.broker.shared.tasks import SharedTasks, SharedTimes
from mediafleet_scheduler.broker.tasks.api import TaskApi
from mediafleet_scheduler.broker.tasks.kept import KeptTasks
from mediafleet_scheduler.broker.worker_port import WorkerPort
from mediafleet_scheduler.core.workers.pools import WorkerPools
from mediafleet_scheduler.core.workers.several.combined import Part, part_of
from mediafleet_scheduler.core.workers.shared import TAG_BITS
from mediafleet_scheduler.core.workers.steps import Rules
from mediafleet_scheduler.core.workers.views import Target
from mediafleet_scheduler.directory.directory import Directory
from mediafleet_scheduler.scaler.outlook import Outlook, Read
from mediafleet_scheduler.scaler.server import ScalerOptions, demand_route, history_route, serving

if TYPE_CHECKING:
    import redis.asyncio as redis

    from mediafleet_common.formats.ip_addresses import IpNetwork
    from mediafleet_scheduler.community.exchange.redis import Place
    from mediafleet_scheduler.core.community.work.kinds import Work
    from mediafleet_scheduler.core.community.work.sources import Namer

Models = tuple[ModelEntry, ...]

_SHOW_SECONDS: Final = 5.0
"""How often gauges are set. Prometheus asks less."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Times:
    """The times and limits of the broker: section `broker` of the settings file."""

    handshake_seconds: float = 5.0
    """A TLS handshake of a worker that takes longer has failed."""
    register_seconds: float = 10.0
    """A worker that has not sent its registration after so long is refused."""
    files_seconds: float = 5.0
    """How often the files of secrets and of the certificate are looked at: a worker whose secret is
    taken out is given nothing after this time."""
    keep_seconds: float = 600.0
    """How long the result of a task of the JSON API is kept."""
    most_kept_tasks: int = 1000
    """Tasks of the JSON API that are there at a time, results that are kept counted; more are
    refused."""
    orchestrators: OrchestratorTimes = field(default_factory=OrchestratorTimes)
    """How registrations at orchestrators are kept up."""
    shared: SharedTimes = field(default_factory=SharedTimes)
    """How brokers share tasks of the JSON API."""
    rules: Rules = field(default_factory=Rules)
    """How often a task is tried, and when a worker is left out."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a broker is set up."""

    listen: str
    """HOST:PORT that workers reach."""
    http: str
    """HOST:PORT of the runner API, health and metrics."""
    context: ssl.SSLContext
    secrets: Callable[[], list[str]]
    """What workers may register with, asked each time."""
    named: Callable[[], list[tuple[str, str]]] = list
    """And names of workers with the secret of each."""
    token: Callable[[], str | None] = lambda: None
    """What orchestrators call with; `None`: nothing is asked for."""
    api_tokens: Callable[[], list[str]] | None = None
    """What callers of the JSON API come with; `None`: it answers this machine alone."""
    reports: Access | None = None
    """Who may read what becomes of tasks; `None`: this machine alone."""
    spool: Path | None = None
    """Where inputs and results lie; `None`: a folder of our own in the system's place for such."""
    redis: redis.Redis | None = None
    """Where brokers share the tasks of the JSON API; `None`: this one is alone."""
    peer: str | None = None
    """HOST:PORT at which other brokers reach the workers' port; `None`: they do not."""
    fingerprint: Callable[[], str] = lambda: ""
    """SHA-256 of the certificate."""
    bodies: Path | None = None
    """A folder that they share, for what is too long for Redis."""
    times: Times = field(default_factory=Times)
    pools: Directory[WorkerPools] | None = None
    """AIWorkerPools of the cluster; `None`: it is in none."""
    orchestrators: Options | None = None
    """Where models are registered; `None`: nowhere."""
    scaler: ScalerOptions | None = None
    """How KEDA is answered; `None`: not at all."""
    work: Place | None = None
    """Where a reporter of community metrics is told of tasks; `None`: nowhere."""
    own_networks: tuple[IpNetwork, ...] = ()
    """Whose addresses say nothing of who called."""
    reload: Callable[[], None] = lambda: None
    """Reads the certificate again, if its files have changed."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A broker that is ready."""

    port: int
    http_port: int
    jobs: Jobs
    scaler_port: int | None = None


async def serve(
    settings: Settings,
    directory: Directory[Models],
    stop: asyncio.Event,
    on_ready: Callable[[Serving], None],
    registry: CollectorRegistry = REGISTRY,
) -> None:
    """Serve until `stop` is set; `on_ready` is called once, with the first models.

    Raises:
        CannotStartError: a port cannot be listened on, or the spool cannot be written.
    """
    metrics = BrokerMetrics(registry)

    def models() -> Models:
        return directory.view or ()

    def ready() -> str | None:
        if stop.is_set():
            return "stopping"
        return "the models are not known yet" if directory.view is None else None

    tag = None if settings.redis is None else secrets.randbits(TAG_BITS)
    jobs, inputs = Jobs(metrics, settings.times.rules), Inputs(tag)
    known = Secrets(settings.secrets, settings.named)
    async with AsyncExitStack() as stack:
        stack.callback(jobs.close)
        spool = _spool(settings.spool)
        stack.callback(shutil.rmtree, spool, ignore_errors=True)
        api = RunnerApi(jobs, inputs, models, spool, settings.token)
        times = settings.times
        kept = KeptTasks(jobs, inputs, spool, times.keep_seconds, times.most_kept_tasks)
        stack.callback(kept.close)
        shared = _shared(settings, kept)
        parts = _parts(settings, shared, jobs)
        outlook = Outlook(_demand(settings, jobs, parts))
        if shared is not None:
            stack.push_async_callback(shared.leave)
            elsewhere = SharedElsewhere(shared.ledger, settings.bodies)
            tasks_api = TaskApi(kept, models, settings.api_tokens, elsewhere, shared.put)
        else:
            tasks_api = TaskApi(kept, models, settings.api_tokens)
        there = settings.orchestrators
        orchestrators = there and Orchestrators(
            there, times.orchestrators, jobs, api, models, settings.token, metrics
        )
        site = Site([View.WORKERS, View.SCALING], lambda: page_text(jobs, models()))
        http = HttpServer(
            settings.http,
            ready,
            routes=[
                *api.routes(),
                *tasks_api.routes(),
                *(orchestrators.routes() if orchestrators else ()),
                *site.routes(),
            ],
            registry=registry,
            cancels=True,
            reports=[
                web.get("/explain", _explain(jobs, shared)),
                demand_route(outlook, settings.scaler),
                history_route(outlook),
                *site.reports(),
            ],
            access=settings.reports,
        )
        await stack.enter_async_context(http)
        others = await _others(settings, shared, tag, jobs, known, stack)
        registrations = Registrations(jobs, known, inputs, metrics, settings.times.register_seconds)
        workers = WorkerPort(
            settings.listen,
            settings.context,
            registrations,
            Results(jobs, known, metrics, others=others),
            inputs,
            others=others,
            handshake_seconds=settings.times.handshake_seconds,
        )
        await stack.enter_async_context(workers)
        if orchestrators:
            # Entered last: registrations are taken back while jobs can still be answered.
            orchestrators.own_url = f"http://{settings.http.rpartition(':')[0]}:{http.port}"
            await stack.enter_async_context(orchestrators)
        scaler = await stack.enter_async_context(serving(outlook, settings.scaler, registry))
        if settings.work is not None:
            await _tell_work(settings.work, settings.own_networks, jobs, stack)
        jobs.on_change = lambda: _report(jobs, models())
        first = asyncio.Event()
        directory.subscribe(lambda _: first.set())
        directory.subscribe(lambda told: jobs.asks_for(_least(told)))
        async with asyncio.TaskGroup() as tasks:
            working = [
                tasks.create_task(directory.run()),
                *([tasks.create_task(settings.pools.run())] if settings.pools else []),
                *([tasks.create_task(shared.run())] if shared else []),
                *([tasks.create_task(parts.run())] if parts else []),
                tasks.create_task(
                    _announce(first, on_ready, Serving(workers.port, http.port, jobs, scaler))
                ),
                tasks.create_task(_keep_showing(jobs, metrics, models)),
                tasks.create_task(_keep_files(settings, registrations)),
            ]
            await stop.wait()
            for each in working:
                each.cancel()


async def _tell_work(
    place: Place, own_networks: tuple[IpNetwork, ...], jobs: Jobs, stack: AsyncExitStack
) -> None:
    """Tell of tasks that have no answer yet, by who called, for as long as the stack is open."""
    # It needs Redis' client, which a broker alone does not load.
    from mediafleet_scheduler.community.exchange.work import telling_work
    from mediafleet_scheduler.core.community.work.sources import AI_KINDS, ai_work

    async def work(name: Namer) -> list[Work]:
        tasks = ((job.caller, job.target.pipeline.value, job.target.model) for job in jobs.open)
        return ai_work(tasks, name, own_networks)

    who = f"broker-{secrets.token_hex(6)}"
    await stack.enter_async_context(telling_work(place, AI_KINDS, work, who))


def _least(models: Models) -> dict[Target, str]:
    return {each.target: each.min_runner_version for each in models if each.min_runner_version}


def _shared(settings: Settings, kept: KeptTasks) -> SharedTasks | None:
    if settings.redis is None:
        return None
    times = settings.times
    name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
    ledger = Ledger(settings.redis, name, times.shared.answer_seconds)
    return SharedTasks(ledger, kept, settings.bodies, times.shared, times.keep_seconds)


def _parts(settings: Settings, shared: SharedTasks | None, jobs: Jobs) -> SharedParts | None:
    """What tells other brokers what this one has, for the pools of the cluster."""
    pools = settings.pools
    if shared is None or pools is None:
        return None

    def own() -> Part:
        view = pools.view or WorkerPools()
        return part_of(jobs.dispatcher, {t for pool in view.pools for t in pool.models})

    return SharedParts(shared.ledger, own, settings.times.shared)


def _demand(settings: Settings, jobs: Jobs, parts: SharedParts | None) -> Read:
    if settings.pools is None:
        return list
    if parts is None:
        return Pools(jobs, settings.pools).read
    return Pools(jobs, settings.pools, parts.others).read


async def _others(
    settings: Settings,
    shared: SharedTasks | None,
    tag: int | None,
    jobs: Jobs,
    known: Secrets,
    stack: AsyncExitStack,
) -> Handing | None:
    """Other brokers, as far as workers are concerned; `None`: there are none."""
    if shared is None or tag is None:
        return None
    if settings.peer is not None:
        peers = Peers(tag, settings.peer, settings.fingerprint)
        shared.peers = await stack.enter_async_context(peers)

    return Handing(shared, shared.peers, known, jobs.dispatcher.verdict)


def _explain(
    jobs: Jobs, shared: SharedTasks | None
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        task = request.query.get("task", "")
        explained = jobs.explained(task)
        if explained is not None:
            text = explained.model_dump_json()
            return web.Response(text=text, content_type="application/json")
        words = "no such task, or it is over for long"
        if shared is not None:
            with contextlib.suppress(LedgerError):
                known = await shared.ledger.find(task)
                words = words if known is None else f"broker {known.owner} has it: ask there"
        return web.Response(status=404, text=words)

    return answer


async def _announce(
    known: asyncio.Event, on_ready: Callable[[Serving], None], serving: Serving
) -> None:
    await known.wait()
    on_ready(serving)


async def _keep_showing(jobs: Jobs, metrics: BrokerMetrics, models: Callable[[], Models]) -> None:
    while True:
        _show(jobs, metrics, models())
        await asyncio.sleep(_SHOW_SECONDS)


async def _keep_files(settings: Settings, registrations: Registrations) -> None:
    """Later handshakes use what the certificate's files hold by then, and workers stay only while
    their secrets count."""
    while True:
        await asyncio.sleep(settings.times.files_seconds)
        settings.reload()
        registrations.revoke()


def _spool(where: Path | None) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="mediafleet-broker-", dir=where))
    except OSError as error:
        raise CannotStartError(f"--spool: cannot write there: {error}") from error


def _show(jobs: Jobs, metrics: BrokerMetrics, models: Iterable[ModelEntry]) -> None:
    dispatcher = jobs.dispatcher
    for entry in models:
        metrics.waiting.labels(*entry.target).set(dispatcher.waiting(entry.target))
        metrics.in_use.labels(*entry.target).set(dispatcher.in_use(entry.target))
        metrics.capacity.labels(*entry.target).set(dispatcher.capacity(entry.target))


def _report(jobs: Jobs, models: Iterable[ModelEntry]) -> None:
    """Say what workers offer that nobody may ask for."""
    taken = {entry.target for entry in models}
    offered = {target for worker in jobs.dispatcher.workers for target in worker.offers}
    if left := sorted(str(target) for target in offered - taken):
        names = printable(", ".join(left), 1000)
        _log.info("offered by workers and not in the models file: %s", names)
