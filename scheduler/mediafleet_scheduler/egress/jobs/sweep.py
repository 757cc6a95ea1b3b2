"""Put the ledger right where the bus was silent: missed ends, lost pods, claims of dead desks.

Pub/sub tells each thing at most once, so now and then the pods themselves are asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.accounting.lost_jobs import Evidence, Verdict, judge
from mediafleet_scheduler.egress.jobs.desk import Desk
from mediafleet_scheduler.egress.jobs.lost_jobs import LostJobs
from mediafleet_scheduler.egress.jobs.start import Tools
from mediafleet_scheduler.egress.ledger.records import Record
from mediafleet_scheduler.egress.ledger.script_calls import StoreError
from mediafleet_scheduler.egress.peers.active_list import ActiveList, list_active
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError
from mediafleet_scheduler.psrpc.link import to_tick

_log: Final = logging.getLogger(__name__)
_GIVEN_UP: Final = PsrpcError(
    Code.ABORTED, "nobody knows whether it was started: ask for it under another id"
)


class Sweeper:
    """Compares the ledger with what other desks and the pods say."""

    def __init__(self, tools: Tools, ledger: Ledger, desk: Desk, losses: LostJobs) -> None:
        self._tools = tools
        self._ledger = ledger
        self._desk = desk
        self._losses = losses
        self.suspected: dict[str, float] = {}
        """Jobs that there is evidence against, and since when (Unix time)."""
        self._listed_at = 0.0
        self._due: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None
        self.synced_at = asyncio.get_running_loop().time()
        """When (loop time) the ledger was last seen in Redis."""
        self._complained = ""
        """Why it is not seen now; the same is logged once, not each second."""

    async def run(self) -> None:
        """Sweep until cancelled."""
        settings = self._tools.settings
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(settings.sync_every_seconds):
                    await self._tools.pods.left.wait()
            await self.sync()
            wait = settings.patience.gone_seconds if self.suspected else settings.list_every_seconds
            due = self._listed_at + wait
            if self._tools.pods.left.is_set() or asyncio.get_running_loop().time() >= due:
                self._tools.pods.left.clear()
                await self.ask_pods()

    def heard(self) -> None:
        """Another desk was granted a request: soon see what became of it."""
        if self._due is None:
            loop = asyncio.get_running_loop()
            pause = to_tick(self._tools.settings.heard_look_seconds, loop.time())
            self._due = loop.call_later(pause, self._look)

    def _look(self) -> None:
        self._looking = asyncio.create_task(self._look_once(), name="look")

    async def _look_once(self) -> None:
        try:
            await self.sync()
        finally:
            self._due = None

    async def close(self) -> None:
        """Look no more."""
        if self._due is not None:
            self._due.cancel()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def sync(self) -> None:
        """Take over what other desks did."""
        try:
            await self._tools.store.sync()
        except StoreError as error:
            self._tools.metrics.ledger_errors.labels("sync").inc()
            if self._complained != (why := str(error)):
                _log.warning("%s", why)
            self._complained = why
        else:
            self.synced_at = asyncio.get_running_loop().time()
            if self._complained:
                _log.info("the ledger in Redis answers again")
            self._complained = ""
        self._tools.queue.drop_overdue(self._tools.clock.unix())

    async def ask_pods(self) -> None:
        """Ask the pods what they run, and put right what differs."""
        tools, settings = self._tools, self._tools.settings
        asked_at = tools.clock.unix()
        pods = sum(worker.state is not PodState.PENDING for _, worker in tools.pods.by_uid.values())
        if pods or self._ledger.jobs:
            wait = settings.list_wait_seconds
            active = await list_active(tools.client, pods, wait, tools.metrics)
        else:
            # Nobody would answer, and a desk that opens for a new fleet would wait for it.
            active = ActiveList({})
        self._listed_at = asyncio.get_running_loop().time()
        all_answered = len(active.by_server) >= pods
        lost: list[Job] = []
        for job in tuple(self._ledger.jobs.values()):
            if not self._desk.is_starting(job.egress_id):
                verdict = self._put_right(job, active, all_answered, asked_at)
                if verdict is Verdict.LOST:
                    lost.append(job)
        self._losses.see_to(lost)
        for egress_id in self.suspected.keys() - self._ledger.jobs.keys():
            del self.suspected[egress_id]
        if all_answered and active.ids <= self._ledger.jobs.keys():
            tools.pods.complete_until = self._listed_at + 3 * settings.list_every_seconds

    def _put_right(
        self, job: Job, active: ActiveList, all_answered: bool, asked_at: float
    ) -> Verdict:
        """Judge a job and see to it, unless it is lost: that takes a while."""
        tools, egress_id = self._tools, job.egress_id
        server_id = active.server_of(egress_id)
        _, worker = tools.pods.by_uid.get(job.worker_uid, (None, None))
        evidence = Evidence(
            now=asked_at,
            runs_on=server_id,
            servers=active.by_server.keys(),
            all_answered=all_answered,
            pod_is_there=worker is not None,
            pod_serves=worker is not None and worker.state is not PodState.PENDING,
            server_of_pod=tools.store.copy.server_of(job.worker_uid),
            suspected_since=self.suspected.get(egress_id),
            process_is_new=tools.pods.lives.ended_with(job),
            unreachable=tools.pods.lives.is_unreachable(job.worker_uid),
        )
        verdict = judge(
            job, evidence, tools.settings.patience, tools.settings.starts_within_seconds
        )
        if verdict is Verdict.SUSPECT:
            self.suspected.setdefault(egress_id, asked_at)
            return verdict
        if verdict is Verdict.LOST:
            return verdict
        self.suspected.pop(egress_id, None)
        if verdict is Verdict.CONFIRM:
            io_client = tools.infos.io_client(job)
            started = job._replace(started_at=asked_at, server_id=server_id, io_client=io_client)
            running = Record(started, tools.infos.heard(egress_id))
            tools.ledger_writer.note(tools.store.started(running))
        elif verdict.ends:
            tools.metrics.ends.labels(verdict).inc()
            _log.warning("%s on %s is over: %s", egress_id, job.worker, verdict)
            # Who asks again must not hear that it was started; nor is it proved that it was not.
            record = Record(job, error=_GIVEN_UP) if verdict is Verdict.UNCONFIRMED else None
            tools.ledger_writer.note(tools.store.ended(egress_id, record))
        return verdict
