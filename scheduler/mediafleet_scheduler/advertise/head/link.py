"""The connection to a head: opened on demand, kept, and opened anew when it breaks."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

import grpc
import grpc.aio

from mediafleet_common.api.advertise import Head as HeadSpec
from mediafleet_common.formats.node_url import BadNodeUrlError, parse_node_url
from mediafleet_common.probes.ping import NoTlsError, connected, dial

_GRACE_SECONDS: Final = 5.0
"""For calls that are still under way on a connection that is given up."""
_OURS: Final = frozenset({"user-agent", "te", "content-type"})

Metadata: TypeAlias = "tuple[tuple[str, str | bytes], ...]"


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
    """One connection for all calls to a head."""

    def __init__(self, spec: HeadSpec) -> None:
        self._spec = spec
        self._dialling: asyncio.Task[grpc.aio.Channel] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Hang up, and wait until that is done."""
        self.hang_up()
        await asyncio.gather(*self._closing)

    async def call(self, method: str, request: bytes, metadata: Metadata) -> Reply:
        """One call with the bytes as they came.

        Raises:
            HeadAwayError: the head does not answer.
        """
        channel = await self._channel()
        call = channel.unary_unary(method)(request, metadata=_passed(metadata))
        try:
            message: bytes = await call
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE and not connected(channel):
                self.hang_up()
                raise HeadAwayError("no connection to it") from error
            return Reply(
                error.code(),
                error.details() or "",
                b"",
                _passed(error.initial_metadata()),
                _passed(error.trailing_metadata()),
            )
        return Reply(
            grpc.StatusCode.OK,
            await call.details() or "",
            message,
            _passed(await call.initial_metadata()),
            _passed(await call.trailing_metadata()),
        )

    async def _channel(self) -> grpc.aio.Channel:
        if self._dialling is None:
            self._dialling = asyncio.create_task(_dial(self._spec))
            # Every waiter receives its failure; there may be no waiter left.
            self._dialling.add_done_callback(lambda task: task.cancelled() or task.exception())
        dialling = self._dialling
        try:
            return await asyncio.shield(dialling)
        except HeadAwayError:
            if self._dialling is dialling:
                self._dialling = None
            raise

    def hang_up(self) -> None:
        """The next call dials anew."""
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            closing = asyncio.create_task(_close(dialling))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


async def _close(dialling: asyncio.Task[grpc.aio.Channel]) -> None:
    with suppress(HeadAwayError):
        # Calls that are still under way on it may end.
        await (await dialling).close(_GRACE_SECONDS)


async def _dial(spec: HeadSpec) -> grpc.aio.Channel:
    scheme = "http" if spec.insecure else "https"
    try:
        channel = await dial(parse_node_url(f"{scheme}://{spec.address}"))
    except BadNodeUrlError as error:
        raise HeadAwayError(f"advertise.head.address cannot be dialled: {error}") from error
    except NoTlsError as error:
        raise HeadAwayError(f"no TLS with it ({error.answer.value})") from error
    if channel is None:
        raise HeadAwayError("its certificate names nobody, which gRPC cannot use")
    return channel


def _passed(metadata: Metadata | None) -> Metadata:
    return tuple(
        (key, value)
        for key, value in metadata or ()
        if (key not in _OURS and not key.startswith((":", "grpc-")))
        or key == "grpc-status-details-bin"
    )
