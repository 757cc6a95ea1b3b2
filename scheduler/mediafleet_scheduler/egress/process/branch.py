"""The egress desk of one Redis, put together: open it, keep it running, close it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.placement.choice import Chooser
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.directory.directory import Directory
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.connections.opening import Commands
from mediafleet_scheduler.egress.jobs.confirmation import Confirmer
from mediafleet_scheduler.egress.jobs.desk import Desk
from mediafleet_scheduler.egress.jobs.lost_jobs import LostJobs, PostEvent, post_nothing
from mediafleet_scheduler.egress.jobs.start import Tools
from mediafleet_scheduler.egress.jobs.sweep import Sweeper
from mediafleet_scheduler.egress.ledger.store import Claimed, Store
from mediafleet_scheduler.egress.ledger.writer import LedgerWriter
from mediafleet_scheduler.egress.peers.announcements import Announcements
from mediafleet_scheduler.egress.peers.foreign_bidders import FAMILY, ForeignBidders
from mediafleet_scheduler.egress.peers.forwarding import SERVICE, Forwarder
from mediafleet_scheduler.egress.peers.io_info import IO_SERVICE, IoInfo
from mediafleet_scheduler.egress.peers.job_ends import JobEnds
from mediafleet_scheduler.egress.peers.job_info import JobInfos
from mediafleet_scheduler.egress.places.load_readings import Scraper
from mediafleet_scheduler.egress.places.placement import Placer
from mediafleet_scheduler.egress.places.pods import Pods, label
from mediafleet_scheduler.egress.places.quarantine import Quarantine
from mediafleet_scheduler.egress.places.queue import Queue
from mediafleet_scheduler.psrpc.bus import Bus, ignore
from mediafleet_scheduler.psrpc.client import Client, log_bad_message
from mediafleet_scheduler.psrpc.errors import BadMessage, BadMessageError
from mediafleet_scheduler.psrpc.server import Server

_LOG_EVERY_SECONDS: Final = 10.0

_log: Final = logging.getLogger(__name__)


class EgressService:
    """Serves the fleets of a directory on one bus, as an async context manager.

    Entering it reads the ledger, asks the pods, and takes requests when that is done.
    """

    def __init__(
        self,
        bus: Bus,
        client: Commands,
        directory: Directory[EgressView],
        metrics: EgressMetrics,
        settings: Settings | None = None,
        db: int = 0,
        post: PostEvent = post_nothing,
        clock: Clock = SYSTEM,
        news: Bus | None = None,
        on_standby: Callable[[bool], None] = ignore,
    ) -> None:
        """`news`: where to hear what nobody waits for; the same bus when there is no other.
        `on_standby`: told whether another desk takes all requests now, so that nobody waits for
        what is heard on `bus` either."""
        self._bus = bus
        self._news = news or bus
        self._on_standby = on_standby
        self._directory = directory
        self._post = post
        self.clock: Final = clock
        self.metrics: Final = metrics
        self._settings = settings or Settings()
        self.ledger: Final = Ledger()
        self.demand_news: Final = self.ledger.watch()
        """What may have changed of demand since it was last counted."""
        self.pods: Final = Pods(self.ledger, Quarantine(metrics, self._settings.quarantine))
        self._store = Store(client, self.ledger, db, clock, self._settings.ledger)
        self._ledger_writer = LedgerWriter(self._store, metrics, self._settings.ledger)
        self.announcements: Final = Announcements(bus, db, lambda: self.pods.fleets, clock)
        self._open = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._log_again_at: dict[BadMessage, float] = {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    @property
    def complaint(self) -> str | None:
        """Why the ledger here may not be the one in Redis; `None`: it is."""
        age = asyncio.get_running_loop().time() - self.sweeper.synced_at
        if age < self._settings.stale_seconds:
            return None
        return f"it was last seen {age:.0f} s ago"

    @property
    def keep_ended_seconds(self) -> int:
        """How long the ledger remembers a job that is over."""
        return self._settings.ledger.keep_ended_seconds

    async def find(self, egress_id: str) -> Claimed | None:
        """What the ledger knows of a job; `None`: nothing, or it waits.

        Raises:
            StoreError: Redis could not be asked.
        """
        return await self._store.find(egress_id)

    async def settled(self) -> None:
        """Wait until all that is known is written to Redis."""
        await self._ledger_writer.finish()

    async def _start(self, stack: AsyncExitStack) -> None:
        settings, metrics = self._settings, self.metrics
        stack.push_async_callback(self._store.close)
        await self._store.open()
        rpc = await stack.enter_async_context(self._client(SERVICE))
        scraper = Scraper(self.pods, metrics, settings, self.clock)
        await stack.enter_async_context(scraper)
        io = IoInfo(
            await stack.enter_async_context(self._client(IO_SERVICE)), settings.io_timeout_seconds
        )
        infos = JobInfos(
            io,
            settings.info_wait_seconds,
            settings.grant_margin_seconds / 2,
            self._bad_message,
            self.clock,
        )
        foreign_bidders = ForeignBidders(metrics, settings.foreign_bidders_seconds)
        placer = Placer(Chooser(self.pods, self.ledger, random.Random()), self._store, self.clock)
        queue = Queue(self.ledger, placer, self._ledger_writer, settings, self.clock)
        stack.push_async_callback(queue.close)

        def on_bid(job: Job, late: bool) -> None:
            scraper.wake(job.worker_uid)
            if late:
                self.pods.quarantine.bid_late(job.worker_uid, job.kind.needs_chrome)

        forwarder = Forwarder(rpc, metrics, settings, self.clock, on_bid)
        tools = Tools(
            pods=self.pods,
            store=self._store,
            placer=placer,
            queue=queue,
            forwarder=forwarder,
            client=rpc,
            infos=infos,
            foreign_bidders=foreign_bidders,
            ledger_writer=self._ledger_writer,
            metrics=metrics,
            settings=settings,
            clock=self.clock,
        )

        def follow(view: EgressView) -> None:
            self.pods.follow(view)
            self._store.copy.keep_only(self.pods.by_uid)
            forwarder.bid_times.keep_only(self.pods.by_uid)
            scraper.follow(view.fleets)
            placer.wake()
            for each in view.fleets:
                # It counts from 0, else Prometheus sees no increase to the first.
                metrics.jobs_lost.labels(label(each))

        self._directory.subscribe(follow)
        stack.push_async_callback(self._stop)
        self._tasks.append(asyncio.create_task(self._ledger_writer.run(), name="ledger writer"))
        ends = JobEnds(
            self.ledger, self._ledger_writer, infos, placer.wake, settings.others_ends_seconds
        )
        stack.callback(ends.close)
        await infos.listen(self._bus, self._news, ends.take)
        server = Server(
            self._bus,
            SERVICE,
            on_bad_message=self._bad_message,
            clock=self.clock,
            family=FAMILY,
            on_standby=self._on_standby,
        )
        desk = Desk(server, tools, lambda: self.sweeper.heard())
        self.confirmer = Confirmer(
            self.pods, self.ledger, self._store, self._ledger_writer, io, self.clock
        )
        self.losses = LostJobs(
            self.pods,
            self._store,
            self._ledger_writer,
            io,
            infos,
            self._post,
            metrics,
            self.clock,
            settings.lost,
        )
        stack.push_async_callback(self.losses.close)
        self.sweeper = sweeper = Sweeper(tools, self.ledger, desk, self.losses)
        stack.push_async_callback(sweeper.close)
        await self._look_first(scraper, sweeper)
        await stack.enter_async_context(server)
        stack.push_async_callback(desk.close)
        await desk.open()
        self._tasks.append(asyncio.create_task(sweeper.run(), name="sweep"))
        self._tasks.append(asyncio.create_task(self.confirmer.run(), name="confirm"))
        self._tasks.append(asyncio.create_task(self.announcements.run(), name="announce"))

    def _client(self, service: str) -> Client:
        return Client(self._bus, service, on_bad_message=self._bad_message, clock=self.clock)

    async def _look_first(self, scraper: Scraper, sweeper: Sweeper) -> None:
        """Ask the pods before the first job is placed, within reason."""
        try:
            async with asyncio.timeout(self._settings.first_look_seconds):
                await asyncio.gather(scraper.first_round(), sweeper.ask_pods())
        except TimeoutError:
            _log.warning("some pods have not told their load; starting without")

    async def _stop(self) -> None:
        """Write down what is known, and end."""
        try:
            async with asyncio.timeout(self._settings.last_write_seconds):
                await self._ledger_writer.finish()
        except TimeoutError:
            _log.warning("the ledger was not written to the end; the next desk asks the pods")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _bad_message(self, channel: str, error: BadMessageError) -> None:
        """Count each; log the first of a kind, and then one in a while."""
        self.metrics.bad_messages.labels(error.reason).inc()
        now = self.clock.monotonic()
        if now >= self._log_again_at.get(error.reason, 0.0):
            self._log_again_at[error.reason] = now + _LOG_EVERY_SECONDS
            log_bad_message(channel, error)
