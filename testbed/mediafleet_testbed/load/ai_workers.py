"""AI workers for benches: as a stock worker's two connections look on the wire, at little CPU.

A stock worker keeps one HTTP/2 connection for its registration and another for its results
(go-livepeer server/ai_worker.go; captures of 0.9.1). grpcio and aiohttp in its place cost the
bench's own process more than the broker spends on a task, and post by HTTP/1.1.

Speaks just enough HTTP/2 for that (RFC 9113): no header is compressed, and none is read.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from mediafleet_common.wire.ai_worker_pb2 import NotifyAIJob, RegisterAIWorkerRequest
from mediafleet_testbed.load.h2_load import frame

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW = 0, 1, 4, 6, 8
_END_STREAM, _END_HEADERS, _ACK = 0x1, 0x4, 0x1
_LARGEST_WINDOW: Final = 2**31 - 1
_DEFAULT_WINDOW: Final = 2**16 - 1

Heard = Callable[[NotifyAIJob], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What each job is answered with."""

    media: str
    body: bytes


class _Connection(asyncio.Protocol):
    """One connection; `on_data` gets the payload of each DATA frame."""

    def __init__(self, on_data: Callable[[bytes], None]) -> None:
        self._on_data = on_data
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self._next = 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        window = struct.pack(">I", _LARGEST_WINDOW - _DEFAULT_WINDOW)
        self._transport.write(_PREFACE + frame(_SETTINGS, 0, 0) + frame(_WINDOW, 0, 0, window))

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        position, out = 0, b""
        while len(data) - position >= 9:
            size, flags, _ = struct.unpack_from(">IBI", data, position)
            kind, size = size & 0xFF, size >> 8
            if len(data) - position - 9 < size:
                break
            payload = data[position + 9 : position + 9 + size]
            position += 9 + size
            if kind == _DATA:
                self._on_data(payload)
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                out += frame(kind, _ACK, 0, payload if kind == _PING else b"")
        self._rest = data[position:]
        if out and self._transport is not None:
            self._transport.write(out)

    def request(self, path: str, authority: str, headers: dict[str, str], body: bytes) -> None:
        """One request, whole."""
        if self._transport is None:
            raise ConnectionError("there is no connection")
        stream, self._next = self._next, self._next + 2
        head = b"\x83\x87" + b"".join(  # :method POST, :scheme https
            _literal(name, value)
            for name, value in {":path": path, ":authority": authority, **headers}.items()
        )
        self._transport.write(
            frame(_HEADERS, _END_HEADERS, stream, head) + frame(_DATA, _END_STREAM, stream, body)
        )

    def close(self) -> None:
        """At once."""
        if self._transport is not None:
            self._transport.abort()


class Worker:
    """One worker, which answers each job at once with `result`, or not at all."""

    def __init__(self, secret: str, result: Result | None, heard: Heard) -> None:
        self._secret = secret
        self._result = result
        self._heard = heard
        self._authority = ""
        self._rest = b""
        self._stream = _Connection(self._take)
        self._results = _Connection(lambda _: None)

    async def register(
        self, address: str, context: ssl.SSLContext, message: RegisterAIWorkerRequest
    ) -> None:
        """Connect twice, and register.

        Raises:
            OSError: there is no connection.
        """
        self._authority = address
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self._stream, host, int(port), ssl=context)
        await loop.create_connection(lambda: self._results, host, int(port), ssl=context)
        text = message.SerializeToString()
        self._stream.request(
            "/net.AIWorker/RegisterAIWorker",
            address,
            {"content-type": "application/grpc", "te": "trailers"},
            struct.pack(">BI", 0, len(text)) + text,
        )

    def close(self) -> None:
        """Both connections end."""
        self._stream.close()
        self._results.close()

    def _take(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= 5:
            (size,) = struct.unpack_from(">I", self._rest, 1)
            if len(self._rest) < 5 + size:
                return
            text, self._rest = self._rest[5 : 5 + size], self._rest[5 + size :]
            job = NotifyAIJob.FromString(text)
            self._heard(job)
            if self._result is not None:
                self._post(job, self._result)

    def _post(self, job: NotifyAIJob, result: Result) -> None:
        headers = {
            "authorization": "Livepeer-AI-Worker-1.0",
            "content-length": str(len(result.body)),
            "content-type": result.media,
            "credentials": self._secret,
            "pipeline": job.ai_job_data.pipeline,
            "taskid": str(job.task_id),
            "user-agent": "Go-http-client/2.0",
        }
        self._results.request("/aiResults", self._authority, headers, result.body)


def _literal(name: str, value: str) -> bytes:
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
