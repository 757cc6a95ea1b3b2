"""The connection to a head: opened on demand, kept, and opened anew when it breaks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import grpc

from mediafleet_common.api.pool.advertise import Head as HeadSpec
from mediafleet_common.formats.grpc_message import Metadata
from mediafleet_common.formats.node_url import BadNodeUrlError, parse_node_url
from mediafleet_common.formats.reach import OWN_WORD, Reach
from mediafleet_common.probes.grpc_connection import GrpcConnection
from mediafleet_common.probes.grpc_dial import ConnectError, connect
from mediafleet_common.probes.grpc_reply import UNKNOWN, LostError, NotGrpcError

__all__ = ["HeadAwayError", "HeadLink", "Metadata", "Reply"]

_GRACE_SECONDS: Final = 5.0
"""For calls under way on a connection that is given up."""
_OURS: Final = frozenset(
    {"user-agent", "te", "content-type", "connection", "keep-alive", "proxy-connection", "upgrade"}
    | {"transfer-encoding", "host", "content-length"}
)
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class HeadAwayError(Exception):
    """The head cannot be asked; the text says why and is fit to print."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The head's answer, whatever its status."""

    code: grpc.StatusCode
    details: str
    message: bytes
    initial: Metadata = ()
    trailing: Metadata = ()


class HeadLink:
    """One connection for all calls to a head, over TLS that is not verified."""

    def __init__(self, spec: HeadSpec, reach: Reach = OWN_WORD) -> None:
        self._spec = spec
        self._reach = reach
        self._dialling: asyncio.Task[GrpcConnection] | None = None

    async def close(self) -> None:
        """Hang up."""
        dialling = self._dialling
        self.hang_up()
        if dialling is not None:
            await asyncio.gather(dialling, return_exceptions=True)

    async def call(self, method: str, request: bytes, metadata: Metadata) -> Reply:
        """One call with the bytes as they came.

        Raises:
            HeadAwayError: the head does not answer.
        """
        connection = await self._connection()
        try:
            reply = await connection.call(method, request, _passed(metadata))
        except LostError as error:
            raise HeadAwayError("no connection to it") from error
        except NotGrpcError as error:
            raise HeadAwayError(str(error)) from error
        return Reply(
            _CODES.get(reply.code, _CODES[UNKNOWN]),
            reply.details,
            reply.message,
            _passed(reply.initial),
            _passed(reply.trailing),
        )

    async def _connection(self) -> GrpcConnection:
        dialling = self._dialling
        if dialling is not None and _is_over(dialling):
            dialling = None
        if dialling is None:
            dialling = self._dialling = asyncio.create_task(_dial(self._spec, self._reach))
            # Every waiter receives its failure; there may be no waiter left.
            dialling.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(dialling)

    def hang_up(self) -> None:
        """The next call dials anew."""
        dialling, self._dialling = self._dialling, None
        if dialling is None:
            return
        if not dialling.done():
            dialling.cancel()
        elif not dialling.cancelled() and dialling.exception() is None:
            dialling.result().retire(_GRACE_SECONDS)


def _is_over(dialling: asyncio.Task[GrpcConnection]) -> bool:
    """Whether a dial failed, or its connection takes no more calls."""
    if not dialling.done():
        return False
    return dialling.cancelled() or dialling.exception() is not None or not dialling.result().open


async def _dial(spec: HeadSpec, reach: Reach) -> GrpcConnection:
    scheme = "http" if spec.insecure else "https"
    try:
        return await connect(parse_node_url(f"{scheme}://{spec.address}"), reach)
    except BadNodeUrlError as error:
        raise HeadAwayError(f"advertise.head.address cannot be dialled: {error}") from error
    except ConnectError as error:
        raise HeadAwayError(str(error)) from error


def _passed(metadata: Metadata) -> Metadata:
    return tuple(
        (key, value)
        for key, value in metadata
        if (key not in _OURS and not key.startswith((":", "grpc-")))
        or key == "grpc-status-details-bin"
    )
