"""A gRPC server with every limit set, as an async context manager."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Self

import grpc
import grpc.aio

from mediafleet_common.formats.hosts import with_port
from mediafleet_common.serving.addresses import split_host_port
from mediafleet_common.serving.run import CannotStartError

Limits = tuple[tuple[str, int], ...]

LIMITS: Final[Limits] = (
    ("grpc.max_receive_message_length", 64 * 1024),
    ("grpc.max_send_message_length", 4 * 1024 * 1024),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", 1000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_ping_strikes", 5),
    # Connections move on from time to time, so that clients spread over all replicas.
    ("grpc.max_connection_age_ms", 600_000),
    ("grpc.max_connection_age_grace_ms", 30_000),
    ("grpc.so_reuseport", 0),
)
CALLS_AT_ONCE: Final = 2000
"""More are refused with RESOURCE_EXHAUSTED."""
_GRACE_SECONDS: Final = 2.0


def with_limits(**others: int) -> Limits:
    """The limits, some of them others; names without `grpc.`."""
    return tuple({**dict(LIMITS), **{f"grpc.{k}": v for k, v in others.items()}}.items())


class GrpcServer:
    """Serves `handlers` on `listen` (`HOST:PORT`; port 0 takes a free one, told by `port`).

    Without `credentials` it speaks plaintext. More than
    `calls_at_once` calls are refused. Leaving waits two seconds for calls under way.

    Raises:
        CannotStartError: on entering, when the address cannot be listened on.
    """

    def __init__(
        self,
        listen: str,
        handlers: Iterable[grpc.GenericRpcHandler],
        credentials: grpc.ServerCredentials | None,
        limits: Limits = LIMITS,
        calls_at_once: int = CALLS_AT_ONCE,
    ) -> None:
        self._listen = listen
        self._handlers = tuple(handlers)
        self._credentials = credentials
        self._limits = limits
        self._calls_at_once = calls_at_once
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        host, port = split_host_port(self._listen)
        target = with_port(host, port)
        server = grpc.aio.server(options=self._limits, maximum_concurrent_rpcs=self._calls_at_once)
        server.add_generic_rpc_handlers(self._handlers)
        try:
            if self._credentials is None:
                self.port = server.add_insecure_port(target)
            else:
                self.port = server.add_secure_port(target, self._credentials)
        except RuntimeError as error:
            raise CannotStartError(f"cannot listen on {self._listen}: {error}") from error
        await server.start()
        self._server = server
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            await self._server.stop(_GRACE_SECONDS)
