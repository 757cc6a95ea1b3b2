"""A desk and stand-in workers in one process, with the ledger in a real Redis.

The bus is one in memory unless a test brings another: what travels on it is the same, and faults
can be had by seed.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import redis.asyncio as redis
from livekit.protocol import egress as livekit
from prometheus_client import CollectorRegistry

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Mode, Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.clock import Clock
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS
from mediafleet_scheduler.directory.publisher import Publisher
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.jobs.lost_jobs import PostEvent, post_nothing
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Response
from mediafleet_scheduler.psrpc.errors import Code, NoAnswerError, PsrpcError
from mediafleet_testbed.standins.egress_rules import Admission
from mediafleet_testbed.standins.egress_worker import Conduct, Io
from mediafleet_testbed.standins.egress_worker import Worker as Standin

QUICK: Final = Settings(
    bid_wait_seconds=5.0,
    patient_bid_wait_seconds=5.0,
    ask_last_seconds=0.2,
    sync_every_seconds=3600,
    heard_look_seconds=3600,
    stale_seconds=7200,
    list_wait_seconds=5.0,
    info_wait_seconds=0.2,
    least_forward_seconds=0.01,
    leave_alone_seconds=0.0,
    close_seconds=0.1,
)
"""Nothing happens by itself: a test says when the desk looks after its ledger, and a pod is not
passed over because the machine is busy."""
IMPATIENT: Final = replace(
    QUICK,
    bid_wait_seconds=0.1,
    patient_bid_wait_seconds=0.3,
    list_wait_seconds=0.2,
    info_wait_seconds=0.05,
)
"""For pods that do not bid."""
CLOCK: Final = Clock(unix=lambda: time.time(), monotonic=lambda: time.monotonic())
"""As the product's, and follows a patched module `time`."""
CLIENT_SECONDS: Final = 10.0
ATTEMPTS: Final = ((10.0, 1.0), (20.0, 2.0), (40.0, 0.0))
"""Seconds of each attempt and of the pause after it (livekit/protocol rpc/egress_client.go)."""
RETRIED: Final = (Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE)

_ids: Final = itertools.count(1)


class Told(Publisher[EgressView]):
    """A directory that a test tells what there is."""

    async def run(self) -> None:
        """Nothing to follow."""


def fleet(
    *names: str,
    mode: Mode = Mode.SPREAD,
    cpus: float = 12.0,
    name: str = "rec",
    accepts: Iterable[RequestType] = RequestType,
) -> Fleet:
    """A fleet with ready workers of these names."""
    workers = tuple(Worker(n, n, n, None, cpus, None, PodState.READY) for n in names)
    return Fleet("", name, Placement(mode=mode), frozenset(accepts), None, workers)


def with_state(fleet: Fleet, state: PodState, *names: str) -> Fleet:
    """A fleet in which workers (none named: all) have another state."""
    workers = tuple(
        replace(worker, state=state) if not names or worker.name in names else worker
        for worker in fleet.workers
    )
    return replace(fleet, workers=workers)


def track(egress_id: str | None = None, **values: Any) -> StartEgressRequest:
    """A request for 0.5 CPUs."""
    inner = livekit.TrackEgressRequest(room_name="room", track_id="TR_1", **values)
    egress_id = egress_id or f"EG_{next(_ids)}"
    return StartEgressRequest(egress_id=egress_id, track=inner.SerializeToString())


def web(egress_id: str | None = None) -> StartEgressRequest:
    """A request for 4 CPUs."""
    inner = livekit.WebEgressRequest(url="https://example.com")
    egress_id = egress_id or f"EG_{next(_ids)}"
    return StartEgressRequest(egress_id=egress_id, web=inner.SerializeToString())


_EMPTY: Final = {
    RequestType.AUDIO_ROOM_COMPOSITE: (
        "room_composite",
        livekit.RoomCompositeEgressRequest(audio_only=True, layout="grid"),
    ),
    RequestType.SDK_AUDIO_ROOM_COMPOSITE: (
        "room_composite",
        livekit.RoomCompositeEgressRequest(audio_only=True),
    ),
    RequestType.AUDIO_WEB: ("web", livekit.WebEgressRequest(audio_only=True)),
}


def of_kind(kind: RequestType, egress_id: str) -> StartEgressRequest:
    """A request of a type, empty otherwise."""
    name, inner = _EMPTY.get(kind, (kind.value, livekit.WebEgressRequest()))
    made = StartEgressRequest(egress_id=egress_id)
    setattr(made, name, inner.SerializeToString())
    return made


@dataclass(slots=True)
class Scene:
    """What a test plays with."""

    bus: Bus
    commands: redis.Redis
    directory: Told
    client: Client
    stack: AsyncExitStack
    standins: dict[str, Standin] = field(default_factory=dict)

    async def standin(
        self, name: str, cpus: float = 12.0, bus: Bus | None = None, **conduct: Any
    ) -> Standin:
        """Start a stand-in worker."""
        conduct = {"start_seconds": 0.0, "io": Io.PUBLISH, **conduct}
        worker = Standin(bus or self.bus, name, Admission(cpus), Conduct(**conduct))
        await self.stack.enter_async_context(worker)
        self.standins[name] = worker
        return worker

    async def fleet(self, *names: str, **values: Any) -> Fleet:
        """Start stand-ins, and a fleet of them is there."""
        cpus = values.get("cpus", 12.0)
        for name in names:
            await self.standin(name, cpus)
        made = fleet(*names, **values)
        self.directory.publish(EgressView((made,)))
        return made

    @asynccontextmanager
    async def desk(
        self, settings: Settings = QUICK, bus: Bus | None = None, post: PostEvent = post_nothing
    ) -> AsyncIterator[EgressService]:
        """A desk that serves what the directory tells."""
        metrics = EgressMetrics(CollectorRegistry())
        service = EgressService(
            bus or self.bus,
            self.commands,
            self.directory,
            metrics,
            settings,
            post=post,
            clock=CLOCK,
        )
        async with service:
            yield service

    async def start(self, request: StartEgressRequest, seconds: float = CLIENT_SECONDS) -> Response:
        """Call as livekit-server does, once."""
        return await self.client.request(
            "StartEgress",
            request.SerializeToString(),
            timeout_seconds=seconds,
            selection=UPSTREAM_START_EGRESS,
        )

    async def give_up(self, request: StartEgressRequest, seconds: float) -> None:
        """Call once, with less patience than the start needs: at most it is told that it goes on.

        Raises:
            AssertionError: it was answered otherwise.
        """
        try:
            error = (await self.start(request, seconds)).error
        except NoAnswerError:
            return  # What is said right before the end may come after it.
        assert error is not None
        assert error.code is Code.UNAVAILABLE

    async def call(self, request: StartEgressRequest, scale: float = 1.0) -> PsrpcError | None:
        """Call as livekit-server does, with its three attempts and its times (by `scale`).

        The error that the last one ended with; `None`: it was started.
        """
        failure: PsrpcError | None = None
        for seconds, pause in ATTEMPTS:
            try:
                failure = (await self.start(request, seconds * scale)).error
            except PsrpcError as error:
                failure = error
            if failure is None or failure.code not in RETRIED:
                return failure
            await asyncio.sleep(pause * scale)
        return failure

    async def burst(self, *requests: StartEgressRequest) -> list[Response]:
        """Call all at once."""
        return list(await asyncio.gather(*(self.start(request) for request in requests)))

    @property
    def jobs(self) -> dict[str, int]:
        """Jobs that run on each stand-in."""
        return {name: len(worker.jobs) for name, worker in self.standins.items()}

    @property
    def started(self) -> list[str]:
        """Every id that was started anywhere."""
        return [egress_id for worker in self.standins.values() for egress_id in worker.started]


@asynccontextmanager
async def scene(bus: Bus, commands: redis.Redis) -> AsyncIterator[Scene]:
    """A scene without workers and desk."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(bus, "EgressInternal"))
        yield Scene(bus, commands, Told(), client, stack)


def counted(service: EgressService, name: str, **labels: str) -> float:
    """A counter of a desk."""
    return service.metrics.registry.get_sample_value(name, labels) or 0.0


async def eventually(holds: Any, seconds: float = 20.0) -> None:
    """Wait until something holds, which a function or a coroutine function says.

    Raises:
        TimeoutError: it did not, in time.
    """
    async with asyncio.timeout(seconds):
        while True:
            held = holds()
            if await held if inspect.isawaitable(held) else held:
                return
            await asyncio.sleep(0.005)
