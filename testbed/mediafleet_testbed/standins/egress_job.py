"""What a stand-in egress worker is told to be like, and one job of it.

Sources: livekit/egress pkg/server/server_rpc.go, pkg/pipeline/controller.go; livekit/protocol
protobufs/livekit_egress.proto.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Self

from livekit.protocol import egress as livekit

from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.psrpc.errors import PsrpcError
from mediafleet_scheduler.psrpc.server import Method
from mediafleet_testbed.standins.egress_io import Io
from mediafleet_testbed.standins.egress_rules import Asked, asked, inner


@dataclass(frozen=True, slots=True)
class Conduct:
    """What the stand-in is told to be like."""

    job_seconds: float | None = None
    """How long a job lasts; `None`: until it is stopped."""
    start_seconds: float = 0.005
    """How long a start takes beyond the bus; the real one needs hundreds of milliseconds."""
    upstream: bool = False
    """Listens on the empty topic, as a stock fleet does."""
    active_seconds: float = 0.0
    """How long a handler that was launched needs until its recording is ACTIVE."""
    io: Io = Io.SERVER
    abort_seconds: float = 0.0
    """How long a handler whose record was not made needs to end; until then its id is taken."""
    abort_tells: bool = True
    """Such a handler's end is sent as FAILED; builds after 1.14.1 send nothing."""
    chrome_fails: str = ""
    """Every job with Chrome ends with an internal error 500 of this text once it was launched."""
    pulse_dead: bool = False
    """PulseAudio does not answer: no bid for a job that needs Chrome."""
    mute: bool = False
    """Never bids."""
    fails: str = ""
    """A start is granted and then fails with this text: before anything was launched when it is
    "not enough CPU" or "server is shutting down", else as a handler that could not be launched."""
    silent: bool = False
    """A start is granted, the job runs, and nobody is answered."""


@dataclass(slots=True)
class Job:
    """One request from its acceptance until its handler is gone."""

    info: Any
    asked: Asked
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    """Its handler is to end."""
    not_made: PsrpcError | None = None
    """Why its record was not made."""
    topics: list[Method] = field(default_factory=list)

    @classmethod
    def of(cls, wanted: StartEgressRequest) -> Self:
        """A job that was just asked for."""
        return cls(_info(wanted), asked(wanted))

    @property
    def metric_type(self) -> str:
        """Label of `livekit_egress_requests`."""
        return self.asked.metric_type

    async def stops_within(self, seconds: float | None) -> bool:
        """Whether it is stopped in this time; `None`: wait for it."""
        try:
            async with asyncio.timeout(seconds):
                return await self.stopped.wait()
        except TimeoutError:
            return False

    def ended(self, status: int, error: str = "", code: int = 0) -> None:
        """Note how it ended."""
        self.info.status, self.info.error, self.info.error_code = status, error, code
        self.info.ended_at = self.info.updated_at = time.time_ns()


def _info(wanted: StartEgressRequest) -> Any:
    kind, message = inner(wanted)
    now = time.time_ns()
    info = livekit.EgressInfo(
        egress_id=wanted.egress_id,
        room_id=wanted.room_id,
        room_name=wanted.room_name or getattr(message, "room_name", ""),
        status=livekit.EgressStatus.EGRESS_STARTING,
        # Upstream stamps it while it reads the request: it does not say that anything runs.
        started_at=now,
        updated_at=now,
    )
    getattr(info, kind).CopyFrom(message)
    return info
