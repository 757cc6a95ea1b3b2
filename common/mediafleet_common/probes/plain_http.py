"""HTTP GET of a pod's metrics for little CPU: thousands of pods are asked all day.

One request a connection, by address alone: no name is resolved and no redirect followed. A client
that can do more needs four times the CPU for each answer.
Wire: RFC 9112; livekit/egress and go-livepeer answer with Go's net/http, often in chunks.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final, cast
from urllib.parse import urlsplit

from mediafleet_common.formats.reach import PODS, Reach
from mediafleet_common.probes.http_client import (
    MAX_BYTES,
    TIMEOUT_SECONDS,
    Failure,
    FetchError,
    NoLoad,
)
from mediafleet_common.probes.load import Load, Source, UnreadableMetricsError, parse

_MOST_HEAD_BYTES: Final = 32 * 1024
_MOST_BYTES: Final = MAX_BYTES + 2 * _MOST_HEAD_BYTES
_STATUS: Final = re.compile(rb"HTTP/1\.\d (\d{3})(?: |\r|$)")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*(?=\r|$)", re.IGNORECASE)
_CODED: Final = re.compile(
    rb"\r\ncontent-encoding:[ \t]*(?!identity[ \t]*(?:\r|$))\S", re.IGNORECASE
)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)


async def poll_pod(
    url: str,
    source: Source,
    reach: Reach = PODS,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Load | NoLoad:
    """The load that the metrics at `url` tell. Never raises but for cancellation."""
    try:
        return parse(await _fetch(url, reach, timeout_seconds), source)
    except FetchError as error:
        return error.no_load
    except UnreadableMetricsError as error:
        return NoLoad(Failure.UNREADABLE, str(error))


async def _fetch(url: str, reach: Reach, timeout_seconds: float) -> bytes:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError as error:
        raise FetchError(Failure.UNREACHABLE, str(error)) from error
    if why := reach.refusal(host):
        raise FetchError(Failure.UNREACHABLE, why)
    request = (
        f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: mediafleet\r\n"
        "Accept: text/plain\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    answer = _Answer(request.encode(), loop.create_future())
    try:
        async with asyncio.timeout(timeout_seconds):
            await loop.create_connection(lambda: answer, host, port)
            return read(await answer.whole)
    except TimeoutError:
        raise FetchError(Failure.TIMED_OUT, f"no answer in {timeout_seconds:g} s") from None
    except OSError as error:
        raise FetchError(Failure.UNREACHABLE, str(error) or type(error).__name__) from error
    finally:
        answer.close()


class _Answer(asyncio.Protocol):
    """One request on one connection, and all bytes that come back."""

    def __init__(self, request: bytes, whole: asyncio.Future[bytes]) -> None:
        self._request = request
        self._came = bytearray()
        self._ends_at: int | None = None
        """How many bytes come, as far as is known; one that keeps the connection open says it."""
        self._transport: asyncio.Transport | None = None
        self.whole = whole

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._came += data
        if len(self._came) > _MOST_BYTES:
            self._fail(FetchError(Failure.TOO_LARGE, f"more than {MAX_BYTES} bytes"))
            return
        if self._ends_at is None:
            self._ends_at = _ends_at(self._came)
        if self._ends_at is not None and len(self._came) >= self._ends_at:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._end()
        else:
            self._fail(FetchError(Failure.UNREACHABLE, str(exc) or type(exc).__name__))

    def close(self) -> None:
        """Hear no more."""
        self.whole.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        if not self.whole.done():
            self.whole.set_result(bytes(self._came))

    def _fail(self, error: FetchError) -> None:
        if not self.whole.done():
            self.whole.set_exception(error)


def _ends_at(came: bytearray) -> int | None:
    """How long an answer is; `None`: its head is not there yet."""
    head_bytes = came.find(b"\r\n\r\n", 0, _MOST_HEAD_BYTES)
    if head_bytes < 0:
        return None
    length = _LENGTH.search(came, 0, head_bytes)
    return _MOST_BYTES + 1 if length is None else head_bytes + 4 + int(length[1])


def read(came: bytes) -> bytes:
    """The body of an answer that was sent whole.

    Raises:
        FetchError: it is no HTTP, of another status than 200, too large, or cut off.
    """
    head, end, body = came.partition(b"\r\n\r\n")
    status = _STATUS.match(head)
    if not end or status is None:
        raise FetchError(Failure.UNREACHABLE, "no HTTP answer")
    if status[1] != b"200":
        raise FetchError(Failure.STATUS, f"HTTP {status[1].decode()}")
    if _CODED.search(head):
        raise FetchError(Failure.UNREADABLE, "compressed")
    if _CHUNKED.search(head):
        body = _joined(body)
    elif (length := _LENGTH.search(head)) is not None:
        if len(body) < int(length[1]):
            raise FetchError(Failure.UNREACHABLE, "the answer was cut off")
        body = body[: int(length[1])]
    if len(body) > MAX_BYTES:
        raise FetchError(Failure.TOO_LARGE, f"more than {MAX_BYTES} bytes")
    return body


def _joined(body: bytes) -> bytes:
    """A body that came in chunks."""
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = body.find(b"\r\n", at)
        try:
            size = int(body[at:line_end].partition(b";")[0] if line_end > 0 else b"", 16)
        except ValueError:
            raise FetchError(Failure.UNREACHABLE, "the answer was cut off") from None
        if size == 0:
            return b"".join(parts)
        at = line_end + 2
        if size < 0 or at + size > len(body):
            raise FetchError(Failure.UNREACHABLE, "the answer was cut off")
        parts.append(body[at : at + size])
        at += size + 2
