"""The life of an egress worker as the bus sees it: bids, starts, ends, stops.

Source: livekit/egress pkg/server/server_rpc.go, server.go, pkg/service/process.go, pkg/info/io.go;
livekit/protocol
protobufs/rpc/egress.proto, io.proto.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

from google.protobuf.message import DecodeError
from livekit.protocol import egress as livekit

from mediafleet_common.wire.egress_pb2 import ListActiveEgressResponse, StartEgressRequest
from mediafleet_scheduler.psrpc import channels, identifiers
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Request, encode
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError
from mediafleet_scheduler.psrpc.server import Method, Server
from mediafleet_testbed.standins.egress_rules import Admission, asked, inner

IO_SERVICE: Final = "IOInfo"
IO_TIMEOUT_SECONDS: Final = 15.0
FIRST_BACK_OFF_SECONDS: Final = 0.5
MAX_BACK_OFF_SECONDS: Final = 60.0
NOT_ENOUGH_CPU: Final = "not enough CPU"
SHUTTING_DOWN: Final = "server is shutting down"
BID_IDLE: Final = 0.5
BID_BUSY: Final = 1.0


class Io(StrEnum):
    """How the worker tells of its jobs on `IOInfo`."""

    SERVER = "server"
    """As the real one: a call that livekit-server answers; a start fails without one."""
    PUBLISH = "publish"
    """The same requests, nobody waited for: for runs without livekit-server."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """What the stand-in is told to be like."""

    job_seconds: float | None = None
    """How long a job lasts; `None`: until it is stopped."""
    start_seconds: float = 0.005
    """How long a start takes beyond the bus; the real one needs hundreds of milliseconds."""
    upstream: bool = False
    """Listens on the empty topic, as a stock fleet does."""
    io: Io = Io.SERVER
    mute: bool = False
    """Never bids."""
    fails: str = ""
    """A start is granted and then fails with this text: before anything was launched when it is
    "not enough CPU" or "server is shutting down", else as a handler that could not be launched."""
    silent: bool = False
    """A start is granted, the job runs, and nobody is answered."""


@dataclass(slots=True)
class Job:
    """One recording."""

    info: Any
    metric_type: str
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    topics: list[Method] = field(default_factory=list)


class Worker:
    """One egress worker on a bus, as an async context manager."""

    def __init__(self, bus: Bus, cluster_id: str, admission: Admission, conduct: Conduct) -> None:
        self.cluster_id = cluster_id
        self.node_id = f"NE_{identifiers.server_id()[4:]}"
        self.admission = admission
        self.terminating = False
        self.io_healthy = True
        """Whether livekit-server took the last update; the real one takes no jobs until it does."""
        self.jobs: dict[str, Job] = {}
        self.started: list[str] = []
        """Every id ever started here, in order: the truth that watchers count by."""
        self.refused = 0
        self.metric_types: set[str] = set()
        """Types that ever ran here: the gauge of a type stays, at 0, once it was there."""
        self._starting: set[str] = set()
        self._bus = bus
        self.conduct = conduct
        """May be changed while it runs."""
        self._server = Server(bus, "EgressInternal")
        self._handlers = Server(bus, "EgressHandler")
        self._io = Client(bus, IO_SERVICE)
        self._start: Method | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for part in (self._io, self._handlers, self._server):
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
        return self.terminating or not self.io_healthy

    @property
    def idle(self) -> bool:
        """Whether no request is active, one that is still starting included."""
        return not self.jobs and not self._starting

    async def stop_taking(self) -> None:
        """What SIGTERM begins: no bid any more, and a grant for an earlier bid goes unheard."""
        self.terminating = True
        if self._start is not None:
            await self._start.close()

    async def drained(self) -> None:
        """Wait until the last job has ended."""
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
                "active": sorted(self.jobs.keys() | self._starting),
                "refused": self.refused,
                "terminating": self.terminating,
            }
        )

    def _affinity(self, request: Request) -> float | None:
        if self.conduct.mute or self.disabled:
            return None
        try:
            wanted = StartEgressRequest.FromString(request.payload)
            if not self.admission.can_accept(wanted, time.monotonic()):
                return None
        except (DecodeError, ValueError):
            return None
        return BID_IDLE if self.idle else BID_BUSY

    async def _start_egress(self, request: Request) -> bytes:
        wanted = StartEgressRequest.FromString(request.payload)
        if self.disabled:
            raise PsrpcError(Code.UNAVAILABLE, SHUTTING_DOWN)
        if wanted.egress_id in self.jobs or wanted.egress_id in self._starting:
            raise PsrpcError(Code.ALREADY_EXISTS, "egress already exists")
        if self.conduct.fails:
            self.refused += 1
            raise await self._failure(wanted, self.conduct.fails)
        if not self.admission.can_accept(wanted, time.monotonic()):
            self.refused += 1
            raise PsrpcError(Code.UNAVAILABLE, NOT_ENOUGH_CPU)
        self.admission.started(wanted, time.monotonic())
        self._starting.add(wanted.egress_id)
        _tell_log("accepted", wanted.egress_id)
        self._quiet.clear()
        try:
            info = _info(wanted)
            await asyncio.gather(self._tell("CreateEgress", info), self._launching())
            await self._launched(wanted, info)
        except BaseException:
            self.admission.ended(wanted.egress_id)
            _tell_log("failed", wanted.egress_id)
            raise
        finally:
            self._starting.discard(wanted.egress_id)
            self._note_quiet()
        if self.conduct.silent:
            await asyncio.Event().wait()
        answer: bytes = info.SerializeToString()
        return answer

    async def _failure(self, wanted: StartEgressRequest, text: str) -> PsrpcError:
        if text in (NOT_ENOUGH_CPU, SHUTTING_DOWN):
            return PsrpcError(Code.UNAVAILABLE, text)
        info = _info(wanted)
        info.status, info.error = livekit.EgressStatus.EGRESS_FAILED, text
        await self._tell("UpdateEgress", info)
        return PsrpcError(Code.INTERNAL, text)

    async def _launching(self) -> None:
        await asyncio.sleep(self.conduct.start_seconds)

    async def _launched(self, wanted: StartEgressRequest, info: Any) -> None:
        job = Job(info, asked(wanted).metric_type)
        self.jobs[wanted.egress_id] = job
        self.metric_types.add(job.metric_type)
        self.started.append(wanted.egress_id)
        _tell_log("started", wanted.egress_id)
        for name, handler in (
            ("StopEgress", self._stop_egress),
            ("UpdateStream", self._update_stream),
        ):
            topic = await self._handlers.register(name, handler, (wanted.egress_id,))
            job.topics.append(topic)
        task = asyncio.create_task(self._run(wanted.egress_id, job))
        self._tasks.add(task)
        task.add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._note_quiet()

    def _note_quiet(self) -> None:
        if not self._tasks and not self._starting:
            self._quiet.set()

    async def _run(self, egress_id: str, job: Job) -> None:
        job.info.status = livekit.EgressStatus.EGRESS_ACTIVE
        job.info.started_at = time.time_ns()
        if self.conduct.job_seconds != 0:
            await self._update(job.info)
        try:
            async with asyncio.timeout(self.conduct.job_seconds):
                await job.stopped.wait()
        except TimeoutError:
            pass
        job.info.status = livekit.EgressStatus.EGRESS_COMPLETE
        job.info.ended_at = job.info.updated_at = time.time_ns()
        await self._update(job.info)
        self.jobs.pop(egress_id, None)
        _tell_log("ended", egress_id)
        self.admission.ended(egress_id)
        for topic in job.topics:
            await topic.close()

    async def _stop_egress(self, request: Request) -> bytes:
        wanted = livekit.StopEgressRequest.FromString(request.payload)
        job = self.jobs.get(wanted.egress_id)
        if job is None:
            raise PsrpcError(Code.NOT_FOUND, "egress not found")
        job.info.status = livekit.EgressStatus.EGRESS_ENDING
        job.stopped.set()
        answer: bytes = job.info.SerializeToString()
        return answer

    async def _update_stream(self, request: Request) -> bytes:
        wanted = livekit.UpdateStreamRequest.FromString(request.payload)
        job = self.jobs.get(wanted.egress_id)
        if job is None:
            raise PsrpcError(Code.NOT_FOUND, "egress not found")
        for url in wanted.add_output_urls:
            job.info.stream_results.add(url=url, status=livekit.StreamInfo.ACTIVE)
        for stream in job.info.stream_results:
            if stream.url in wanted.remove_output_urls:
                stream.status = livekit.StreamInfo.FINISHED
        answer: bytes = job.info.SerializeToString()
        return answer

    async def _list_active(self, request: Request) -> bytes:
        del request
        active = sorted(self.jobs.keys() | self._starting)
        return ListActiveEgressResponse(egress_ids=active).SerializeToString()

    async def _update(self, info: Any) -> None:
        """Tell until livekit-server has heard; no job is taken meanwhile."""
        back_off = FIRST_BACK_OFF_SECONDS
        while True:
            try:
                await self._tell("UpdateEgress", info)
            except PsrpcError as error:
                self.io_healthy = False
                print(f"could not tell of {info.egress_id}: {error}", flush=True)
                await asyncio.sleep(back_off)
                back_off = min(2 * back_off, MAX_BACK_OFF_SECONDS)
            else:
                self.io_healthy = True
                return

    async def _tell(self, method: str, info: Any) -> None:
        payload: bytes = info.SerializeToString()
        if self.conduct.io is Io.SERVER:
            answer = await self._io.request(method, payload, timeout_seconds=IO_TIMEOUT_SECONDS)
            if answer.error:
                raise answer.error
            return
        now = time.time_ns()
        request = Request(
            identifiers.request_id(),
            self._io.client_id,
            now,
            now + int(IO_TIMEOUT_SECONDS * 1e9),
            payload,
        )
        self._bus.publish(channels.request(IO_SERVICE, method), encode(request))


def _tell_log(what: str, egress_id: str) -> None:
    """A line in the log: what a watcher counts by, even when the worker is gone."""
    print(f"{what} {egress_id}", flush=True)


def _info(wanted: StartEgressRequest) -> Any:
    kind, message = inner(wanted)
    info = livekit.EgressInfo(
        egress_id=wanted.egress_id,
        room_id=wanted.room_id,
        room_name=wanted.room_name or getattr(message, "room_name", ""),
        status=livekit.EgressStatus.EGRESS_STARTING,
        updated_at=time.time_ns(),
    )
    getattr(info, kind).CopyFrom(message)
    return info
