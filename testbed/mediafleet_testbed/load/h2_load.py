"""Unary gRPC calls as fast as one core makes them, for benches whose own client would be the limit.

Not by the h2 library: a call costs its client 150 us of CPU, against 4 us here, and a desk or a
bare gRPC server answers one in some 200 us: with TLS on top the client would be the limit.

Speaks just enough HTTP/2 to send requests and to see answers end (RFC 9113; grpc/grpc
doc/PROTOCOL-HTTP2.md): it compresses no header, reads none, and takes an answer with a message for
a good one, since an error comes without.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import sys
import time
from dataclasses import asdict, dataclass
from typing import Final

from mediafleet_common.probes.ping import GET_ORCHESTRATOR

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 0x1, 0x4, 0x1
_HEADER_TABLE_SIZE, _INITIAL_WINDOW = 1, 4
_LARGEST_WINDOW: Final = 2**31 - 1
_DEFAULT_WINDOW: Final = 2**16 - 1
_TOP_UP: Final = 2**29


@dataclass(frozen=True, slots=True)
class Task:
    """What to call, and for how long."""

    host: str
    port: int
    tls: bool
    seconds: float
    in_flight: int
    messages: tuple[str, ...]
    """Requests in hexadecimal, taken in turn; all in flight must fit the 64 KiB that a server takes
    in before it says more, since it is not waited for."""
    core: int | None = None
    """CPU to stay on."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    answered: int
    failed: int
    seconds: float
    latencies_ms: tuple[float, ...]
    """Sorted."""

    def percentile(self, share: float) -> float:
        """The latency that `share` of all are not above, in ms."""
        last = len(self.latencies_ms) - 1
        return self.latencies_ms[min(last, int(share * (last + 1)))] if last >= 0 else float("nan")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def headers(task: Task) -> bytes:
    """The request's headers, HPACK without a table (RFC 7541, appendix A for the indexed ones)."""
    path = GET_ORCHESTRATOR.encode()
    return b"".join(
        (
            b"\x83",  # :method POST
            b"\x87" if task.tls else b"\x86",  # :scheme
            b"\x04" + bytes([len(path)]) + path,
            _literal(b":authority", task.host.encode()),
            _literal(b"te", b"trailers"),
            _literal(b"content-type", b"application/grpc"),
        )
    )


def call(task: Task) -> Result:
    """Call until the time is over and every call has ended; with no time, `in_flight` calls.

    Raises:
        OSError: there is no connection, or it broke.
    """
    return _Caller(task).run()


def call_each(task: Task) -> Result:
    """Call with each message once, `in_flight` at a time.

    Raises:
        OSError: there is no connection, or it broke.
    """
    return _Caller(task, calls=len(task.messages)).run()


class _Caller:
    """One connection."""

    def __init__(self, task: Task, calls: int | None = None) -> None:
        self._task = task
        self._left = calls
        head = headers(task)
        self._requests = [
            (head, struct.pack(">BI", 0, len(body)) + body)
            for body in map(bytes.fromhex, task.messages)
        ]
        self._next = 1
        self._sent: dict[int, float] = {}
        self._good: set[int] = set()
        self._received = 0
        self._rest = b""
        self.latencies: list[float] = []
        self.failed = 0

    def run(self) -> Result:
        """See `call`."""
        settings = struct.pack(">HIHI", _HEADER_TABLE_SIZE, 0, _INITIAL_WINDOW, _LARGEST_WINDOW)
        window = struct.pack(">I", _LARGEST_WINDOW - _DEFAULT_WINDOW)
        with self._connect() as connection:
            connection.sendall(
                _PREFACE + frame(_SETTINGS, 0, 0, settings) + frame(_WINDOW, 0, 0, window)
            )
            began = time.perf_counter()
            until = began + self._task.seconds
            at_once = min(self._task.in_flight, self._left or self._task.in_flight)
            connection.sendall(b"".join(self._start() for _ in range(at_once)))
            while self._sent:
                got = connection.recv(1 << 18)
                if not got:
                    raise ConnectionError("the server hung up")
                go_on = time.perf_counter() < until if self._left is None else True
                out = self._take(got, go_on)
                if out:
                    connection.sendall(out)
            spent = time.perf_counter() - began
        found = tuple(sorted(round(1000 * each, 3) for each in self.latencies))
        return Result(len(found), self.failed, spent, found)

    def _connect(self) -> socket.socket:
        plain = socket.create_connection((self._task.host, self._task.port), timeout=30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._task.tls:
            return plain
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        return context.wrap_socket(plain)

    def _start(self) -> bytes:
        stream, self._next = self._next, self._next + 2
        self._left = None if self._left is None else self._left - 1
        head, body = self._requests[stream // 2 % len(self._requests)]
        self._sent[stream] = time.perf_counter()
        return frame(_HEADERS, _END_HEADERS, stream, head) + frame(_DATA, _END_STREAM, stream, body)

    def _take(self, got: bytes, go_on: bool) -> bytes:
        data = self._rest + got
        out: list[bytes] = []
        position = 0
        while len(data) - position >= 9:
            size, flags, stream = struct.unpack_from(">IBI", data, position)
            kind, size = size & 0xFF, size >> 8
            if len(data) - position - 9 < size:
                break
            position += 9
            out += self._frame(kind, flags, stream, data[position : position + min(size, 8)], size)
            position += size
            ended = kind == _RESET or (flags & _END_STREAM and kind in (_DATA, _HEADERS))
            if ended and self._end(stream) and go_on and self._left != 0:
                out.append(self._start())
        self._rest = data[position:]
        return b"".join(out)

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes, size: int) -> list[bytes]:
        if kind == _DATA:
            if size:
                self._good.add(stream)
            self._received += size
            if self._received > _TOP_UP:
                window, self._received = struct.pack(">I", self._received), 0
                return [frame(_WINDOW, 0, 0, window)]
        elif kind == _SETTINGS and not flags & _ACK:
            return [frame(_SETTINGS, _ACK, 0)]
        elif kind == _PING and not flags & _ACK:
            return [frame(_PING, _ACK, 0, payload)]
        elif kind == _GO_AWAY:
            raise ConnectionError("the server wants no more calls")
        return []

    def _end(self, stream: int) -> bool:
        sent = self._sent.pop(stream, None)
        if sent is None:
            return False
        if stream in self._good:
            self._good.discard(stream)
            self.latencies.append(time.perf_counter() - sent)
        else:
            self.failed += 1
        return True


def main() -> int:
    """`python -m mediafleet_testbed.load.h2_load` reads a Task and writes a Result, as JSON."""
    told = json.load(sys.stdin)
    task = Task(**{**told, "messages": tuple(told["messages"])})
    if task.core is not None:
        os.sched_setaffinity(0, {task.core})
    json.dump(asdict(call(task)), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
