"""The life of an egress worker as the bus sees it: bids, starts, ends, stops.

A start registers the job, launches its handler and has livekit-server make its record, all at
once; a record that is not made in time aborts the handler. An internal error of a handler makes
the worker disable itself. Sources: livekit/egress pkg/server/server_rpc.go, server.go,
server_ipc.go, pkg/service/process.go; livekit/protocol protobufs/rpc/egress.proto, io.proto.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from google.protobuf.message import DecodeError
from livekit.protocol import egress as livekit

from mediafleet_common.wire.egress_pb2 import ListActiveEgressResponse, StartEgressRequest
from mediafleet_scheduler.psrpc import identifiers
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.envelope import Request
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError
from mediafleet_scheduler.psrpc.server import Method, Server
from mediafleet_testbed.standins.egress_io import Io, Reporter
from mediafleet_testbed.standins.egress_job import Conduct, Job
from mediafleet_testbed.standins.egress_rules import Admission, asked

__all__ = ["Conduct", "Io", "Job", "Worker"]

NOT_ENOUGH_CPU: Final = "not enough CPU"
SHUTTING_DOWN: Final = "server is shutting down"
STOPPED_EARLY: Final = "Stop called before pipeline could start"
BID_IDLE: Final = 0.5
BID_BUSY: Final = 1.0
INTERNAL_ERROR: Final = 500
PRECONDITION_FAILED: Final = 412


class Worker:
    """One egress worker on a bus, as an async context manager."""

    def __init__(self, bus: Bus, cluster_id: str, admission: Admission, conduct: Conduct) -> None:
        self.cluster_id = cluster_id
        self.node_id = f"NE_{identifiers.server_id()[4:]}"
        self.admission = admission
        self.terminating = False
        """It was sent SIGTERM."""
        self.shut_down = asyncio.Event()
        """It takes nothing more, after SIGTERM or an internal error, and exits once it is idle."""
        self.jobs: dict[str, Job] = {}
        self.started: list[str] = []
        """Every id ever started here, in order: the truth that watchers count by."""
        self.aborted: list[str] = []
        """Every id whose record was not made, in order."""
        self.refused = 0
        self.metric_types: set[str] = set()
        """Types that ever ran here: the gauge of a type stays, at 0, once it was there."""
        self.results: Counter[tuple[str, str]] = Counter()
        """Handlers that are gone, by type and result."""
        self.conduct = conduct
        """May be changed while it runs."""
        self.io = Reporter(bus, conduct.io)
        self._server = Server(bus, "EgressInternal")
        self._handlers = Server(bus, "EgressHandler")
        self._start: Method | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for part in (self.io, self._handlers, self._server):
            await self._open.enter_async_context(part)
        await self._server.register("ListActiveEgress", self._list_active)
        topic = () if self.conduct.upstream else (self.cluster_id,)
        self._start = await self._server.register(
            "StartEgress", self._start_egress, topic, self._affinity
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._open.aclose()

    @property
    def disabled(self) -> bool:
        """Whether no request is taken, however much room there is."""
        return self.shut_down.is_set() or not self.io.healthy

    @property
    def idle(self) -> bool:
        """Whether no request is active; its last update may still be outstanding."""
        return not self.jobs

    async def stop_taking(self) -> None:
        """What SIGTERM begins: no bid any more, and a grant for an earlier bid goes unheard."""
        self.terminating = True
        await self._disable()

    async def _disable(self) -> None:
        self.shut_down.set()
        if self._start is not None:
            await self._start.close()

    async def drained(self) -> None:
        """Wait until the last job has ended; livekit-server may not have heard of it yet."""
        await self._quiet.wait()

    def stop_all(self) -> None:
        """What SIGINT does: every recording ends and is finished properly."""
        for job in self.jobs.values():
            job.stopped.set()

    def log(self) -> str:
        """What ran and runs here, as JSON: for watchers that trust nobody."""
        return json.dumps(
            {
                "cluster_id": self.cluster_id,
                "node_id": self.node_id,
                "started": self.started,
                "aborted": self.aborted,
                "active": sorted(self.jobs),
                "refused": self.refused,
                "terminating": self.terminating,
            }
        )

    def _affinity(self, request: Request) -> float | None:
        if self.conduct.mute or self.disabled:
            return None
        try:
            wanted = StartEgressRequest.FromString(request.payload)
            if self.conduct.pulse_dead and asked(wanted).chrome:
                return None
            if not self.admission.can_accept(wanted, time.monotonic()):
                return None
        except (DecodeError, ValueError):
            return None
        return BID_IDLE if self.idle else BID_BUSY

    async def _start_egress(self, request: Request) -> bytes:
        wanted = StartEgressRequest.FromString(request.payload)
        if self.disabled:
            raise PsrpcError(Code.UNAVAILABLE, SHUTTING_DOWN)
        if wanted.egress_id in self.jobs:
            raise PsrpcError(Code.ALREADY_EXISTS, "egress already exists")
        if self.conduct.fails:
            self.refused += 1
            raise self._failure(wanted, self.conduct.fails)
        if not self.admission.can_accept(wanted, time.monotonic()):
            self.refused += 1
            raise PsrpcError(Code.UNAVAILABLE, NOT_ENOUGH_CPU)
        job = self._accepted(wanted)
        # The handler has a copy of its own: what is answered stays STARTING.
        answer: bytes = job.info.SerializeToString()
        left = (request.expiry_ns - time.time_ns()) / 1e9
        made, launched = await asyncio.gather(
            self.io.create(job.info, left), self._launch(job), return_exceptions=True
        )
        if launched:
            raise launched
        if isinstance(made, PsrpcError):
            job.not_made = made
            job.stopped.set()
            self.aborted.append(wanted.egress_id)
            _tell_log("failed", wanted.egress_id)
        if made:
            raise made
        self.started.append(wanted.egress_id)
        _tell_log("started", wanted.egress_id)
        if self.conduct.silent:
            await asyncio.Event().wait()
        return answer

    def _failure(self, wanted: StartEgressRequest, text: str) -> PsrpcError:
        if text in (NOT_ENOUGH_CPU, SHUTTING_DOWN):
            return PsrpcError(Code.UNAVAILABLE, text)
        job = Job.of(wanted)
        job.ended(livekit.EgressStatus.EGRESS_FAILED, text)
        self.io.update(job.info)
        return PsrpcError(Code.INTERNAL, text)

    def _accepted(self, wanted: StartEgressRequest) -> Job:
        self.admission.started(wanted, time.monotonic())
        self.jobs[wanted.egress_id] = job = Job.of(wanted)
        self.metric_types.add(job.metric_type)
        self._quiet.clear()
        _tell_log("accepted", wanted.egress_id)
        return job

    async def _launch(self, job: Job) -> None:
        for name, handler in (
            ("StopEgress", self._stop_egress),
            ("UpdateStream", self._update_stream),
        ):
            topic = await self._handlers.register(name, handler, (job.info.egress_id,))
            job.topics.append(topic)
        await asyncio.sleep(self.conduct.start_seconds)
        task = asyncio.create_task(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, job: Job) -> None:
        await self._record(job)
        made = job.not_made is None
        self.results[job.metric_type, "completed" if made else "aborted"] += 1
        egress_id = job.info.egress_id
        for topic in job.topics:
            await topic.close()
        if made:
            _tell_log("ended", egress_id)
        self.admission.ended(egress_id)
        del self.jobs[egress_id]
        if not self.jobs:
            self._quiet.set()

    async def _record(self, job: Job) -> None:
        """What the handler does; its last update is sent, and not waited for."""
        conduct, info, status = self.conduct, job.info, livekit.EgressStatus
        if conduct.chrome_fails and job.asked.chrome:
            job.ended(status.EGRESS_FAILED, conduct.chrome_fails, INTERNAL_ERROR)
            self.io.update(info)
            await self._disable()
            return
        if job.stopped.is_set() or (
            conduct.active_seconds and await job.stops_within(conduct.active_seconds)
        ):
            job.ended(status.EGRESS_ABORTED, STOPPED_EARLY, PRECONDITION_FAILED)
        else:
            info.status = status.EGRESS_ACTIVE
            if conduct.job_seconds != 0:
                self.io.update(info)
            await job.stops_within(conduct.job_seconds)
            if job.not_made is None:
                info.status = status.EGRESS_ENDING
                self.io.update(info)
                job.ended(status.EGRESS_COMPLETE)
        if job.not_made is not None:
            await asyncio.sleep(conduct.abort_seconds)
            job.ended(status.EGRESS_FAILED, str(job.not_made), INTERNAL_ERROR)
        if job.not_made is None or conduct.abort_tells:
            self.io.update(info)

    async def _stop_egress(self, request: Request) -> bytes:
        wanted = livekit.StopEgressRequest.FromString(request.payload)
        job = self._job(wanted.egress_id)
        if job.info.status == livekit.EgressStatus.EGRESS_ACTIVE:
            job.info.status = livekit.EgressStatus.EGRESS_ENDING
        job.stopped.set()
        answer: bytes = job.info.SerializeToString()
        return answer

    async def _update_stream(self, request: Request) -> bytes:
        wanted = livekit.UpdateStreamRequest.FromString(request.payload)
        job = self._job(wanted.egress_id)
        for url in wanted.add_output_urls:
            job.info.stream_results.add(url=url, status=livekit.StreamInfo.ACTIVE)
        for stream in job.info.stream_results:
            if stream.url in wanted.remove_output_urls:
                stream.status = livekit.StreamInfo.FINISHED
        answer: bytes = job.info.SerializeToString()
        return answer

    def _job(self, egress_id: str) -> Job:
        job = self.jobs.get(egress_id)
        if job is None:
            raise PsrpcError(Code.NOT_FOUND, "egress not found")
        return job

    async def _list_active(self, request: Request) -> bytes:
        del request
        return ListActiveEgressResponse(egress_ids=sorted(self.jobs)).SerializeToString()


def _tell_log(what: str, egress_id: str) -> None:
    """A line in the log: what a watcher counts by, even when the worker is gone."""
    print(f"{what} {egress_id}", flush=True)
