"""HTTP GET within bounds, and a worker's `Load` by it, or a typed reason."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import aiohttp

from mediafleet_common.dial import Connector
from mediafleet_common.formats.reach import OWN_WORD, Reach
from mediafleet_common.probes.load import Load, Source, UnreadableMetricsError, parse

TIMEOUT_SECONDS: Final = 1.0
MAX_BYTES: Final = 1024 * 1024
_CONNECTIONS: Final = 128
PINGS_TOO: Final = "mediafleet-pings"
"""User-Agent of a client that also keeps a connection to the node itself: an agent does not count
connections from its address."""


class Failure(StrEnum):
    """Why a load is unknown."""

    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    STATUS = "status"
    """Another HTTP status than 200."""
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    """Not Prometheus exposition, or compressed although we asked it not to be."""


@dataclass(frozen=True, slots=True)
class NoLoad:
    """The load is unknown."""

    why: Failure
    detail: str
    """For people; it may hold text from the other side."""


class FetchError(Exception):
    """A GET that failed."""

    def __init__(self, why: Failure, detail: str) -> None:
        super().__init__(detail)
        self.no_load = NoLoad(why, detail)


def client(agent: str = "mediafleet", reach: Reach = OWN_WORD) -> aiohttp.ClientSession:
    """A session fit for polling many workers; to be closed by the caller. `agent`: User-Agent."""
    return aiohttp.ClientSession(
        connector=Connector(reach, limit=_CONNECTIONS, limit_per_host=4),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"Accept": "text/plain", "Accept-Encoding": "identity", "User-Agent": agent},
    )


async def poll(
    session: aiohttp.ClientSession,
    url: str,
    source: Source,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Load | NoLoad:
    """The load that the metrics at `url` tell. Never raises but for cancellation."""
    try:
        return parse(await fetch(session, url, timeout_seconds), source)
    except FetchError as error:
        return error.no_load
    except UnreadableMetricsError as error:
        return NoLoad(Failure.UNREADABLE, str(error))


async def fetch(
    session: aiohttp.ClientSession,
    url: str,
    timeout_seconds: float = TIMEOUT_SECONDS,
    max_bytes: int = MAX_BYTES,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | bool = True,
) -> bytes:
    """The body of a GET that answered 200; redirects are not followed.

    `tls` is aiohttp's: `True` verifies against the roots of the system.

    Raises:
        FetchError: with the reason.
    """
    body, _ = await _get(session, url, timeout_seconds, max_bytes, headers=headers, tls=tls)
    if body is None:
        raise FetchError(Failure.STATUS, "HTTP 304")
    return body


async def fetch_newer(
    session: aiohttp.ClientSession,
    url: str,
    etag: str | None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | bool = True,
) -> tuple[bytes | None, str | None]:
    """The body, `None` where it is the one that `etag` tells, and the etag to ask with next.

    Raises:
        FetchError: as `fetch`.
    """
    more = {**(headers or {}), **({} if etag is None else {"If-None-Match": etag})}
    return await _get(session, url, timeout_seconds, MAX_BYTES, headers=more, tls=tls)


async def _get(
    session: aiohttp.ClientSession,
    url: str,
    timeout_seconds: float,
    max_bytes: int,
    *,
    headers: Mapping[str, str] | None,
    tls: ssl.SSLContext | bool,
) -> tuple[bytes | None, str | None]:
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            session.get(url, allow_redirects=False, headers=headers, ssl=tls) as response,
        ):
            etag = response.headers.get("ETag")
            if response.status == 304:
                return None, etag
            if response.status != 200:
                raise FetchError(Failure.STATUS, f"HTTP {response.status}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise FetchError(Failure.UNREADABLE, "compressed")
            return await _body(response, max_bytes), etag
    except TimeoutError:
        raise FetchError(Failure.TIMED_OUT, f"no answer in {timeout_seconds:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # ValueError: what aiohttp says of a host name that IDNA refuses, among others.
        raise FetchError(Failure.UNREACHABLE, _words(error)) from error


def _words(error: Exception) -> str:
    """Of a refused connection: aiohttp would repeat the address, and speak of TLS where is none."""
    inner = error.os_error if type(error) is aiohttp.ClientConnectorError else None
    if inner is not None and inner.errno is not None:
        return os.strerror(inner.errno)
    return str(error) or type(error).__name__


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        body += chunk
        if len(body) > max_bytes:
            raise FetchError(Failure.TOO_LARGE, f"more than {max_bytes} bytes")
    return bytes(body)
