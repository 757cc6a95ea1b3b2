"""Lost jobs: jobs whose pod is gone. Each is counted and posted as an event; where its fleet wants
so, livekit-server's record of it is closed.

Every desk finds lost jobs by itself, and the one that takes a job in Redis sees to it. When that
desk dies, its hold runs out and another desk takes the job.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from mediafleet_common.api.events import EventToPost
from mediafleet_common.api.names import Reason
from mediafleet_common.back_off import BackOff
from mediafleet_common.clock import Clock
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.lost_jobs import Verdict
from mediafleet_scheduler.core.egress.views import Fleet
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import LostTimes
from mediafleet_scheduler.egress.ledger.script_calls import StoreError
from mediafleet_scheduler.egress.ledger.store import Store
from mediafleet_scheduler.egress.ledger.writer import LedgerWriter
from mediafleet_scheduler.egress.peers.io_info import IoInfo, knows_it_ended
from mediafleet_scheduler.egress.peers.job_info import JobInfos
from mediafleet_scheduler.egress.places.pods import Pods, label
from mediafleet_scheduler.psrpc.errors import PsrpcError

_FIRST_PAUSE_SECONDS: Final = 1.0
_ENDED_PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 4.0)
"""Between the questions whether a job has ended, while livekit-server is silent."""
_NAMED_IDS: Final = 10

_log: Final = logging.getLogger(__name__)

PostEvent = Callable[[Fleet, EventToPost], Awaitable[None]]
"""Posts an event of a fleet."""


async def post_nothing(fleet: Fleet, event: EventToPost) -> None:
    """Where there is no Kubernetes."""
    del fleet, event


class LostJobs:
    """Sees to jobs that were lost, as an async context manager would: `close` ends what runs."""

    def __init__(
        self,
        pods: Pods,
        store: Store,
        ledger_writer: LedgerWriter,
        io: IoInfo,
        infos: JobInfos,
        post: PostEvent,
        metrics: EgressMetrics,
        clock: Clock,
        times: LostTimes,
    ) -> None:
        self._times = times
        self._clock = clock
        self._pods = pods
        self._store = store
        self._ledger_writer = ledger_writer
        self._io = io
        self._infos = infos
        self._post = post
        self._metrics = metrics
        self._under_way: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def see_to(self, jobs: Collection[Job]) -> None:
        """These were found to be lost, perhaps not for the first time."""
        by_pod: dict[str, list[Job]] = {}
        for job in jobs:
            if job.egress_id not in self._under_way:
                by_pod.setdefault(job.worker_uid, []).append(job)
        for group in by_pod.values():
            self._under_way |= {job.egress_id for job in group}
            task = asyncio.create_task(self._see_to(group), name=f"lost with {group[0].worker}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def done(self) -> None:
        """Wait until all is seen to."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """End what is under way; another desk goes on with it."""
        for task in self._tasks:
            task.cancel()
        await self.done()

    async def _see_to(self, jobs: Sequence[Job]) -> None:
        try:
            hold = self._times.hold_seconds
            ours = [job for job in jobs if await self._store.take("lost", job.egress_id, hold)]
            lost = [job for job in ours if not await self._ended(job)]
            if lost:
                await self._lost(lost)
        except StoreError as error:
            self._metrics.ledger_errors.labels("take").inc()
            _log.warning("jobs of %s are seen to later: %s", jobs[0].worker, error)
        finally:
            self._under_way -= {job.egress_id for job in jobs}

    async def _ended(self, job: Job) -> bool:
        """Whether only its end was missed: its pod has said it, or livekit-server knows it.

        A livekit-server that is silent is asked again: a job reported as lost stays so.
        """
        for pause in (*_ENDED_PAUSES_SECONDS, None):
            ended = await knows_it_ended(self._io, job.egress_id)
            if ended or self._infos.heard_end(job.egress_id):
                self._over(job, Verdict.MISSED)
                return True
            if ended is not None or pause is None:
                break
            await asyncio.sleep(pause)
        return False

    async def _lost(self, jobs: Sequence[Job]) -> None:
        pod = jobs[0].worker
        fleet = next((f for f in self._pods.fleets if f.key == jobs[0].fleet), None)
        name = label(fleet) if fleet else jobs[0].fleet.removeprefix("/")
        self._metrics.jobs_lost.labels(name).inc(len(jobs))
        for job in jobs:
            _log.error("%s is lost with pod %s", job.egress_id, pod)
        if fleet is not None:
            await self._post(fleet, _event(pod, jobs))
            if fleet.placement.report_lost:
                await asyncio.gather(*(self._report(job) for job in jobs))
        for job in jobs:
            self._over(job, Verdict.LOST)

    def _over(self, job: Job, how: Verdict) -> None:
        self._metrics.ends.labels(how).inc()
        self._ledger_writer.note(self._store.ended(job.egress_id))

    async def _report(self, job: Job) -> None:
        """Report it to livekit-server, which may be away for a while."""
        error, at_ns = f"its pod {job.worker} is gone", int(self._clock.unix() * 1e9)
        back_off = BackOff(_FIRST_PAUSE_SECONDS, self._times.max_pause_seconds)
        for _ in range(self._times.attempts):
            try:
                written = await self._io.fail(job.egress_id, error, at_ns)
            except PsrpcError as failure:
                self._metrics.lost_reports.labels("failed").inc()
                _log.warning(
                    "livekit-server did not take the end of lost job %s: %s", job.egress_id, failure
                )
                await asyncio.sleep(back_off.pause())
            else:
                self._metrics.lost_reports.labels("written" if written else "not_needed").inc()
                return
        _log.error("livekit-server still lists lost job %s as active", job.egress_id)


def _event(pod: str, jobs: Sequence[Job]) -> EventToPost:
    ids = ", ".join(job.egress_id for job in jobs[:_NAMED_IDS])
    more = f" and {len(jobs) - _NAMED_IDS} more" if len(jobs) > _NAMED_IDS else ""
    count = f"{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}"
    return EventToPost("Warning", Reason.JOBS_LOST, f"Lost {count} with pod {pod}: {ids}{more}.")
