"""What a stand-in egress worker tells livekit-server: records made, and updates in order.

Updates of a recording go out one after the other, the newest replaces one that still waits, and a
few senders share all recordings: who is stuck holds up those behind it. Sources: livekit/egress
pkg/info/io.go, pkg/config/service.go (times, number of senders).
"""

from __future__ import annotations

import asyncio
import time
import zlib
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, Self

from mediafleet_scheduler.core.psrpc.selection import Selection
from mediafleet_scheduler.psrpc import channels, identifiers
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Request, encode
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError

IO_SERVICE: Final = "IOInfo"
CREATE_SECONDS: Final = 15.0
UPDATE_SECONDS: Final = 30.0
SENDERS: Final = 5
FIRST_BACK_OFF_SECONDS: Final = 0.5
MAX_BACK_OFF_SECONDS: Final = 60.0
_RETRIED: Final = (Code.DEADLINE_EXCEEDED, Code.UNAVAILABLE)


class Io(StrEnum):
    """How the worker tells of its jobs on `IOInfo`."""

    SERVER = "server"
    """As the real one: a call that livekit-server answers; a start fails without one."""
    PUBLISH = "publish"
    """The same requests, nobody waited for: for runs without livekit-server."""


class Reporter:
    """Tells livekit-server, as an async context manager; what is unsent when it closes is lost."""

    def __init__(self, bus: Bus, io: Io) -> None:
        self.healthy = True
        """Whether livekit-server took the last update; the real worker takes no jobs until then."""
        self._bus = bus
        self._io = io
        self._client = Client(bus, IO_SERVICE)
        self._creating: dict[str, bytes | None] = {}
        """By id: the newest update that waits until its record is made."""
        self._waiting: list[dict[str, bytes]] = [{} for _ in range(SENDERS)]
        self._wake = [asyncio.Event() for _ in range(SENDERS)]
        self._sending: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        if self._io is Io.SERVER:
            self._tasks = [asyncio.create_task(self._send_all(n)) for n in range(SENDERS)]
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
        await self._client.__aexit__(kind, error, trace)

    @property
    def outstanding(self) -> set[str]:
        """Recordings of which livekit-server has not taken the last update."""
        return self._sending.union(*self._waiting)

    async def create(self, info: Any, left_seconds: float) -> None:
        """Make a record, within the worker's own time and what is left of the request's.

        Raises:
            PsrpcError: livekit-server did not make it; updates that waited for it are dropped.
        """
        seconds = max(0.0, min(CREATE_SECONDS, left_seconds))
        payload: bytes = info.SerializeToString()
        if self._io is Io.PUBLISH:
            self._publish("CreateEgress", payload, seconds)
            return
        self._creating[info.egress_id] = None
        try:
            await self._call("CreateEgress", payload, seconds)
        except BaseException:
            del self._creating[info.egress_id]
            raise
        update = self._creating.pop(info.egress_id)
        if update is not None:
            self._queue(info.egress_id, update)

    def update(self, info: Any) -> None:
        """Tell, at some time."""
        payload: bytes = info.SerializeToString()
        if self._io is Io.PUBLISH:
            self._publish("UpdateEgress", payload, UPDATE_SECONDS)
        elif info.egress_id in self._creating:
            self._creating[info.egress_id] = payload
        else:
            self._queue(info.egress_id, payload)

    def _queue(self, egress_id: str, payload: bytes) -> None:
        sender = zlib.crc32(egress_id.encode()) % SENDERS
        self._waiting[sender][egress_id] = payload
        self._wake[sender].set()

    async def _send_all(self, sender: int) -> None:
        waiting, wake = self._waiting[sender], self._wake[sender]
        while True:
            await wake.wait()
            wake.clear()
            while waiting:
                egress_id = next(iter(waiting))
                payload = waiting.pop(egress_id)
                self._sending.add(egress_id)
                await self._send(egress_id, payload)
                self._sending.discard(egress_id)

    async def _send(self, egress_id: str, payload: bytes) -> None:
        back_off = FIRST_BACK_OFF_SECONDS
        while True:
            try:
                await self._call("UpdateEgress", payload, UPDATE_SECONDS)
            except PsrpcError as error:
                print(f"could not tell of {egress_id}: {error}", flush=True)
                if error.code not in _RETRIED:
                    return
                self.healthy = False
                await asyncio.sleep(back_off)
                back_off = min(2 * back_off, MAX_BACK_OFF_SECONDS)
            else:
                self.healthy = True
                return

    async def _call(self, method: str, payload: bytes, seconds: float) -> None:
        # Upstream's client has no bound of its own for the choice among bids.
        selection = Selection(accept_first=True, affinity_timeout_seconds=seconds)
        answer = await self._client.request(
            method, payload, timeout_seconds=seconds, selection=selection
        )
        if answer.error:
            raise answer.error

    def _publish(self, method: str, payload: bytes, seconds: float) -> None:
        now = time.time_ns()
        request = Request(
            identifiers.request_id(),
            self._client.client_id,
            now,
            now + int(seconds * 1e9),
            payload,
        )
        self._bus.publish(channels.request(IO_SERVICE, method), encode(request))
