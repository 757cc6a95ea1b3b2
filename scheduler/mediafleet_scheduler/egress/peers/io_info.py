"""livekit-server's records of recordings: read one, and write that it has failed.

Only for a recording whose pod is gone: while it lives, the pod is the one that writes. A record is
changed by appending to its bytes, where the last value of a field counts, so that whatever else it
holds stays as it is. Sources: livekit/protocol protobufs/rpc/io.proto; livekit/livekit
pkg/service/ioservice.go.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError
from livekit.protocol import egress as livekit

from mediafleet_common.wire.egress_pb2 import GetEgressRequest
from mediafleet_scheduler.egress.peers.answers import ENDED
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError

IO_SERVICE: Final = "IOInfo"


def has_ended(record: bytes) -> bool:
    """Whether a record says that its recording is over; what cannot be read is taken for over."""
    try:
        info = livekit.EgressInfo.FromString(record)
    except DecodeError:
        return True
    return info.status in ENDED or info.ended_at != 0


def failed(record: bytes, error: str, at_ns: int) -> bytes:
    """A record with status FAILED, this error and this end, and nothing else changed."""
    end = livekit.EgressInfo(status=livekit.EgressStatus.EGRESS_FAILED, error=error, ended_at=at_ns)
    return record + bytes(end.SerializeToString())


class IoInfo:
    """Calls livekit-server; its client speaks service `IOInfo`."""

    def __init__(self, client: Client, timeout_seconds: float) -> None:
        self._client = client
        self._timeout_seconds = timeout_seconds

    async def record(self, egress_id: str) -> bytes | None:
        """The `livekit.EgressInfo` of a recording; `None`: there is no record of it.

        Raises:
            PsrpcError: no livekit-server answers, or not with a record.
        """
        request = GetEgressRequest(egress_id=egress_id).SerializeToString()
        answer = await self._client.request(
            "GetEgress", request, timeout_seconds=self._timeout_seconds
        )
        if answer.error is None:
            return answer.payload
        if answer.error.code is Code.NOT_FOUND:
            return None
        raise answer.error

    async def fail(self, egress_id: str, error: str, at_ns: int) -> bool:
        """Write that a recording has failed, unless its record says that it is over.

        Whether it was written.

        Raises:
            PsrpcError: no livekit-server answers, or it would not.
        """
        record = await self.record(egress_id)
        if record is None or has_ended(record):
            return False
        update = failed(record, error, at_ns)
        answer = await self._client.request(
            "UpdateEgress", update, timeout_seconds=self._timeout_seconds
        )
        if answer.error is not None:
            raise answer.error
        return True


async def knows_it_ended(io: IoInfo, egress_id: str) -> bool | None:
    """Whether livekit-server's record says that a recording is over; `None`: no answer."""
    try:
        record = await io.record(egress_id)
    except PsrpcError:
        return None
    return record is not None and has_ended(record)
