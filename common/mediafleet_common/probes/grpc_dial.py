"""Opens a gRPC connection to a node: its addresses, and TLS that is not verified.

Gateways do not verify (go-livepeer server/rpc.go, tlsConfig), and fronts route by SNI. grpcio can
neither skip verification nor check one name and send another.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable
from typing import Final

from mediafleet_common.dial import resolve
from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.formats.reach import OWN_WORD, Reach
from mediafleet_common.probes.grpc_connection import GrpcConnection


class ConnectError(Exception):
    """No connection came about; the text says why and is fit to print."""


class NoHttp2Error(ConnectError):
    """The other side speaks TLS and not HTTP/2."""


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


_UNVERIFIED: Final = _unverified()


def _no_tls(error: ssl.SSLError) -> str:
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"):
        return "it speaks no TLS: wrong port?"
    return f"no TLS: {error.reason or error}"


async def _open(
    url: NodeUrl, addresses: Iterable[tuple[int, str]], tls: ssl.SSLContext | None
) -> GrpcConnection:
    """The first address that answers; the last one's error, where none does."""
    loop = asyncio.get_running_loop()
    failed: OSError | None = None
    for family, address in addresses:
        try:
            _, connection = await loop.create_connection(
                lambda: GrpcConnection(url),
                address,
                url.port,
                family=family,
                flags=socket.AI_NUMERICHOST,
                ssl=tls,
                server_hostname=None if tls is None else url.host,
            )
        except OSError as error:
            failed = error
        else:
            return connection
    raise failed or OSError("no address")


async def connect(url: NodeUrl, reach: Reach = OWN_WORD) -> GrpcConnection:
    """A connection to a node, with its own name as SNI; the caller bounds the time.

    Raises:
        NoHttp2Error: it speaks TLS and not HTTP/2.
        ConnectError: there is no connection, or no TLS.
    """
    tls = _UNVERIFIED if url.scheme == "https" else None
    try:
        connection = await _open(url, await resolve(url.host, url.port, reach), tls)
    except ssl.SSLError as error:
        raise ConnectError(_no_tls(error)) from error
    except socket.gaierror as error:
        raise ConnectError("no such host name") from error
    except ConnectionRefusedError as error:
        raise ConnectError("connection refused") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConnectError(why or type(error).__name__) from error
    if tls is not None and not connection.open:
        raise NoHttp2Error("it speaks TLS and not HTTP/2")
    return connection
