"""livekit-server's records of recordings, for tests that run without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from livekit.protocol import egress as livekit

from mediafleet_common.wire.egress_pb2 import GetEgressRequest
from mediafleet_scheduler.psrpc.bus import Bus, Receiver, Subscription
from mediafleet_scheduler.psrpc.envelope import Request
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError
from mediafleet_scheduler.psrpc.server import Server

UNKNOWN_FIELD: Final = b"\x9a\x3f\x03abc"
"""Field 1011, which no LiveKit of today has."""


@dataclass
class Records:
    """livekit-server's part of `IOInfo`: records by egress id."""

    infos: dict[str, bytes] = field(default_factory=dict)
    away: int = 0
    """So many calls fail."""
    updates: list[str] = field(default_factory=list)

    async def get(self, request: Request) -> bytes:
        if self.away:
            self.away -= 1
            raise PsrpcError(Code.UNAVAILABLE, "away")
        egress_id = GetEgressRequest.FromString(request.payload).egress_id
        if egress_id not in self.infos:
            raise PsrpcError(Code.NOT_FOUND, "egress does not exist")
        return self.infos[egress_id]

    async def create(self, request: Request) -> bytes:
        self.infos[livekit.EgressInfo.FromString(request.payload).egress_id] = request.payload
        return b""

    async def update(self, request: Request) -> bytes:
        egress_id = livekit.EgressInfo.FromString(request.payload).egress_id
        self.infos[egress_id] = request.payload
        self.updates.append(egress_id)
        return b""

    def put(self, egress_id: str, status: livekit.EgressStatus) -> bytes:
        info = livekit.EgressInfo(egress_id=egress_id, room_name="room", status=status)
        self.infos[egress_id] = bytes(info.SerializeToString()) + UNKNOWN_FIELD
        return self.infos[egress_id]


@asynccontextmanager
async def answering(bus: Bus, records: Records) -> AsyncIterator[None]:
    """livekit-server's IOInfo, answered from records."""
    async with Server(bus, "IOInfo") as server:
        await server.register("CreateEgress", records.create)
        await server.register("GetEgress", records.get)
        await server.register("UpdateEgress", records.update)
        yield


@asynccontextmanager
async def livekit_io(bus: Bus) -> AsyncIterator[Records]:
    """A stand-in of livekit-server's IOInfo."""
    records = Records()
    async with answering(bus, records):
        yield records


class Freezable:
    """The bus as a process has it that may be stopped: what comes meanwhile it hears later.

    `loses` says, by channel, whether a message gets lost on its way here.
    """

    def __init__(self, inner: Bus, loses: Callable[[str], bool] = lambda _: False) -> None:
        self._inner = inner
        self._loses = loses
        self._kept: list[tuple[Receiver, bytes]] = []
        self._frozen = False

    async def freeze(self, seconds: float) -> None:
        self._frozen = True
        await asyncio.sleep(seconds)
        self._frozen = False
        while self._kept:
            receive, data = self._kept.pop(0)
            receive(data)

    def publish(self, channel: str, data: bytes) -> None:
        self._inner.publish(channel, data)

    async def subscribe(self, channel: str, receive: Receiver) -> Subscription:
        def hear(data: bytes) -> None:
            if self._loses(channel):
                return
            if self._frozen:
                self._kept.append((receive, data))
            else:
                receive(data)

        return await self._inner.subscribe(channel, hear)
