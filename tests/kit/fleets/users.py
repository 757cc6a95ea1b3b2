"""Users of the fleets: they go where a real client goes, and end what they have begun."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

import aiohttp
from livekit.protocol import egress as livekit
from tests.kit.fleets.manifests import CONTROL_PORT
from tests.kit.watching.job_logs import JobLogs

from mediafleet_common.api.names import Port
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError
from mediafleet_testbed.waiting import WaitedInVainError

START_SECONDS: Final = 10.0
"""livekit-server's first attempt; this and the next: livekit/protocol rpc/egress_client.go."""
PAUSES_SECONDS: Final = ((1.0, 2.0), (2.0, 4.0))
TRIED_AGAIN: Final = (Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE)
END_SECONDS: Final = 30.0
"""A user who cannot end a job for so long gives up; the job is then found to be lost."""
SEEN_SECONDS: Final = 2.0
"""A job that was agreed to is in its worker's log by then."""
DOUBT_SECONDS: Final = 30.0
"""For so long a job that nobody agreed to may still come to run."""
LIST_VALID_SECONDS: Final = 1.0
"""A gateway uses a list for so long: shorter than the settle time, as it has to be."""
_PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that was asked for."""

    job_id: str
    end: Callable[[], Awaitable[bool]]
    """Ends it; false while nobody can be told."""
    agreed: bool = True
    """Whether the user was told that it runs. One who was not may still have it running."""


class Users(Protocol):
    """Those who use one fleet."""

    @property
    def refusals(self) -> list[str]:
        """What they were told instead of yes: whom they asked for, and why not."""

    async def begin(self) -> Begun | None:
        """Ask for one job; `None` when there is nobody to ask."""


@dataclass(slots=True)
class Recorders:
    """Record tracks through the empty topic, as livekit-server does; the desk answers there."""

    bus: Bus
    kind: str
    """Which of the request types: what the fleet accepts."""
    chance: random.Random
    refusals: list[str] = field(default_factory=list)
    calls_seconds: list[float] = field(default_factory=list)

    async def begin(self) -> Begun:
        """StartEgress as livekit-server does it, with its attempts."""
        return await self.record(self.fresh_id())

    def fresh_id(self) -> str:
        """An id that no other job has."""
        return f"EG_{self.chance.getrandbits(48):012x}"

    async def record(self, egress_id: str) -> Begun:
        """Start the job of that id; asked again it is the same job."""
        async with Client(self.bus, "EgressInternal") as client:
            for pause in (*PAUSES_SECONDS, None):
                began = time.monotonic()
                error = await self._start(client, egress_id)
                if error is None:
                    self.calls_seconds.append(time.monotonic() - began)
                    return Begun(egress_id, lambda: self._stop(egress_id))
                if error.code not in TRIED_AGAIN or pause is None:
                    self.refusals.append(f"{egress_id}: {error}")
                    break
                await asyncio.sleep(self.chance.uniform(*pause))
        return Begun(egress_id, lambda: self._stop(egress_id), agreed=False)

    async def _start(self, client: Client, egress_id: str) -> PsrpcError | None:
        try:
            answer = await client.request(
                "StartEgress",
                start_request(egress_id, self.kind).SerializeToString(),
                timeout_seconds=START_SECONDS,
                selection=UPSTREAM_START_EGRESS,
            )
        except PsrpcError as error:
            return error
        return answer.error

    async def _stop(self, egress_id: str) -> bool:
        wanted = livekit.StopEgressRequest(egress_id=egress_id).SerializeToString()
        async with Client(self.bus, "EgressHandler") as client:
            try:
                answer = await client.request(
                    "StopEgress", wanted, (egress_id,), timeout_seconds=3.0
                )
            except PsrpcError:
                return False
        return answer.error is None


def start_request(egress_id: str, kind: str) -> StartEgressRequest:
    """A StartEgress of one of the kinds that need no Chrome."""
    room = f"room of {egress_id}"
    inner = {
        "track": livekit.TrackEgressRequest(room_name=room, track_id="TR_1"),
        "track_composite": livekit.TrackCompositeEgressRequest(room_name=room),
        "participant": livekit.ParticipantEgressRequest(room_name=room, identity="p"),
    }[kind]
    request = StartEgressRequest(egress_id=egress_id, room_id=room)
    setattr(request, kind, inner.SerializeToString())
    return request


@dataclass(slots=True)
class Gateway:
    """Begins sessions on nodes of a list that it fetched a moment ago, idle ones first."""

    http: aiohttp.ClientSession
    advertiser: str
    """Address of the pool's Service."""
    chance: random.Random
    refusals: list[str] = field(default_factory=list)
    _hosts: list[str] = field(default_factory=list)
    _fetched_at: float = 0.0
    _mine: dict[str, str] = field(default_factory=dict)
    """Session id -> host, of those that run."""

    async def begin(self) -> Begun | None:
        """The first segment of a session."""
        hosts = await self._listed()
        if not hosts:
            self.refusals.append("no node is listed")
            return None
        used = set(self._mine.values())
        host = self.chance.choice([each for each in hosts if each not in used] or hosts)
        session_id = f"S_{self.chance.getrandbits(48):012x}"
        self._mine[session_id] = host
        agreed = False
        try:
            async with self.http.put(_session(host, session_id)) as response:
                agreed = response.status == 201
                if not agreed:
                    self.refusals.append(f"{host}: {response.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            self.refusals.append(f"{host}: {error!r}")
        return Begun(session_id, lambda: self._end(session_id, host), agreed)

    async def _listed(self) -> list[str]:
        if time.monotonic() - self._fetched_at > LIST_VALID_SECONDS:
            url = f"http://{self.advertiser}:{Port.DESK_HTTP}/orchestrators"
            try:
                async with self.http.get(url) as response:
                    entries = await response.json() if response.status == 200 else []
            except (aiohttp.ClientError, TimeoutError) as error:
                self.refusals.append(f"list: {error!r}")
                entries = []
            self._hosts = [urlsplit(entry["address"]).hostname or "" for entry in entries]
            self._fetched_at = time.monotonic()
        return self._hosts

    async def _end(self, session_id: str, host: str) -> bool:
        self._mine.pop(session_id, None)
        try:
            async with self.http.delete(_session(host, session_id)):
                return True
        except (aiohttp.ClientError, TimeoutError):
            return False


def _session(host: str, session_id: str) -> str:
    return f"http://{host}:{CONTROL_PORT}/sessions/{session_id}"


async def comes_to_run(job: Begun, logs: JobLogs) -> bool:
    """Whether a worker's log tells of a job; waits for that, longer for one in doubt."""
    try:
        async with asyncio.timeout(SEEN_SECONDS if job.agreed else DOUBT_SECONDS):
            await logs.seen(job.job_id).wait()
    except TimeoutError:
        return job.agreed
    return True


async def end_for_certain(job: Begun, logs: JobLogs) -> None:
    """End a job: returns once its worker's log says so, and asks again while nobody is told.

    An answer is not yet an end: the worker says yes first, and its line comes to the log after.

    Raises:
        WaitedInVainError: nobody could be told, or the job goes on.
    """
    deadline = time.monotonic() + END_SECONDS
    told = False
    while not logs.has_ended(job.job_id):
        if time.monotonic() > deadline:
            how = "was told to end and has not" if told else "could not be told to end"
            raise WaitedInVainError(f"{job.job_id} {how}, in {END_SECONDS:g} s")
        told = told or await job.end()
        await asyncio.sleep(_PAUSE_SECONDS)
