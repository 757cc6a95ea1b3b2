"""What became of jobs whose own answer is not known here: the `EgressInfo` of each.

A pod tells livekit-server of a job when it starts it (IOInfo.CreateEgress), and the desk listens
in; what was not heard, livekit-server knows (IOInfo.GetEgress). Source: livekit/protocol
protobufs/rpc/io.proto; livekit/egress pkg/info/io.go.
"""

from __future__ import annotations

import asyncio
import collections
from typing import Final

from google.protobuf.message import DecodeError

from mediafleet_scheduler.egress.peers import answers
from mediafleet_scheduler.egress.peers.io_info import IO_SERVICE, IoInfo
from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.client import OnBadMessage
from mediafleet_scheduler.psrpc.envelope import Request, decode
from mediafleet_scheduler.psrpc.errors import BadMessage, BadMessageError, PsrpcError

CREATES: Final = channels.request(IO_SERVICE, "CreateEgress")
_REMEMBERED: Final = 10_000


class JobInfos:
    """Answers for jobs by their ids."""

    def __init__(self, io: IoInfo, wait_seconds: float, on_bad_message: OnBadMessage) -> None:
        self._io = io
        self._wait_seconds = wait_seconds
        self._on_bad_message = on_bad_message
        self._heard: collections.OrderedDict[str, bytes] = collections.OrderedDict()

    async def listen(self, bus: Bus) -> None:
        """Listen from now on."""
        await bus.subscribe(CREATES, self._take)

    def heard(self, egress_id: str) -> bytes:
        """What its pod told livekit-server, without the request in it; empty when not heard."""
        return self._heard.get(egress_id, b"")

    async def of(self, egress_id: str) -> bytes:
        """What is known of a job, its pod's word first; empty when nobody knows it."""
        return self.heard(egress_id) or await self._asked(egress_id)

    async def latest(self, egress_id: str) -> bytes:
        """The same, livekit-server's word first: it knows of an end.

        Both learn of a job only when a pod starts it (livekit/livekit pkg/service/egress.go calls
        CreateEgress after the pod's answer), so whatever is known here was started.
        """
        return await self._asked(egress_id) or self.heard(egress_id)

    async def _asked(self, egress_id: str) -> bytes:
        try:
            async with asyncio.timeout(self._wait_seconds):
                record = await self._io.record(egress_id)
        except (PsrpcError, TimeoutError):
            return b""
        return answers.without_request(record or b"")

    def _take(self, data: bytes) -> None:
        try:
            egress_id, info = answers.told(decode(data, Request).payload)
        except BadMessageError as error:
            self._on_bad_message(CREATES, error)
            return
        except DecodeError:
            self._on_bad_message(CREATES, BadMessageError(BadMessage.NOT_PROTOBUF, "EgressInfo"))
            return
        self._heard.pop(egress_id, None)
        self._heard[egress_id] = info
        if len(self._heard) > _REMEMBERED:
            self._heard.popitem(last=False)
