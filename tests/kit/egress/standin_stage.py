"""Stand-in egress workers alone with a livekit-server, as tests of the stand-in need them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from livekit.protocol import egress as livekit

from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.psrpc.selection import ACCEPT_FIRST, Selection
from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Bid, Request, Response, decode, encode
from mediafleet_scheduler.psrpc.server import Server
from mediafleet_testbed.buses import MemoryBus
from mediafleet_testbed.standins.egress_rules import Admission
from mediafleet_testbed.standins.egress_worker import Conduct, Worker

TOPIC: Final = ("pod-0",)
IN_VAIN: Final = Selection(accept_first=True, affinity_timeout_seconds=0.01)


def track(egress_id: str = "EG_1", **more: Any) -> StartEgressRequest:
    """A request for 0.5 CPUs."""
    inner = livekit.TrackEgressRequest(room_name="room").SerializeToString()
    return StartEgressRequest(egress_id=egress_id, track=inner, **more)


def room(egress_id: str = "EG_1", **more: Any) -> StartEgressRequest:
    """A room composite."""
    inner = livekit.RoomCompositeEgressRequest(room_name="room", **more).SerializeToString()
    return StartEgressRequest(egress_id=egress_id, room_composite=inner)


def web(egress_id: str = "EG_1", **more: Any) -> StartEgressRequest:
    """A request for 4 CPUs and a page in Chrome."""
    inner = livekit.WebEgressRequest(url="https://x").SerializeToString()
    return StartEgressRequest(egress_id=egress_id, web=inner, **more)


class LivekitServer:
    """The part of livekit-server that egress talks to."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, livekit.EgressInfo]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.frozen = False
        """It does not even bid, as one that was stopped."""

    def affinity(self, _: Request) -> float | None:
        """Of what it is asked."""
        return None if self.frozen else 1.0

    def statuses(self, egress_id: str) -> list[str]:
        """What it was told of a recording, in order."""
        names = livekit.EgressStatus.Name
        return [names(info.status) for _, info in self.heard if info.egress_id == egress_id]

    async def take(self, method: str, request: Request) -> bytes:
        """It is told of a recording."""
        self.heard.append((method, livekit.EgressInfo.FromString(request.payload)))
        await self.answers.wait()
        return b""


class Stage:
    """A worker, a livekit-server and a client on one bus."""

    def __init__(self, bus: MemoryBus, client: Client, server: LivekitServer) -> None:
        self.bus, self.client, self.server = bus, client, server
        self.bids: list[float] = []

    @contextlib.asynccontextmanager
    async def worker(self, cpus: float = 4.0, **conduct: Any) -> AsyncIterator[Worker]:
        """A worker of that conduct."""
        conduct = {"start_seconds": 0.0, **conduct}
        async with Worker(self.bus, "pod-0", Admission(cpus), Conduct(**conduct)) as worker:
            yield worker

    async def start(
        self,
        request: StartEgressRequest,
        topic: tuple[str, ...] = TOPIC,
        selection: Selection = ACCEPT_FIRST,
        seconds: float = 30.0,
    ) -> Response:
        """Ask for a start."""
        payload = request.SerializeToString()
        return await self.client.request(
            "StartEgress", payload, topic, timeout_seconds=seconds, selection=selection
        )

    async def bid(self, request: StartEgressRequest) -> Bid | None:
        """What is bid, without a grant."""
        bids: list[Bid] = []
        channel = channels.bids("EgressInternal", "CLI_x")
        subscription = await self.bus.subscribe(
            channel, lambda data: bids.append(decode(data, Bid))
        )
        now = time.time_ns()
        envelope = Request("REQ_x", "CLI_x", now, now + 10**10, request.SerializeToString())
        self.bus.publish(channels.request("EgressInternal", "StartEgress", TOPIC), encode(envelope))
        await settled()
        await subscription.close()
        return bids[0] if bids else None

    async def affinity(self, request: StartEgressRequest) -> float | None:
        """How high the bid is."""
        bid = await self.bid(request)
        return bid.affinity if bid else None


async def settled() -> None:
    """Let all run that can."""
    for _ in range(50):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def stage_of() -> AsyncIterator[Stage]:
    """A bus with a livekit-server and a client."""
    bus, livekit_server = MemoryBus(), LivekitServer()
    async with Server(bus, "IOInfo") as io, Client(bus, "EgressInternal") as client:
        for method in ("CreateEgress", "UpdateEgress"):

            async def take(request: Request, method: str = method) -> bytes:
                return await livekit_server.take(method, request)

            await io.register(method, take, affinity=livekit_server.affinity)
        yield Stage(bus, client, livekit_server)
