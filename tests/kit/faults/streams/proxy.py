"""Stands between workers and a broker's port, ends TLS on both sides, and does one thing wrong.

By HTTP/2 go registrations and jobs, of which it reads the frames (RFC 9113 4.1); by HTTP/1.1 go
results, of which it reads whole requests and answers. Our own worker uses both so.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from tests.kit.faults.streams.plans import (
    KILLS,
    ON_JOBS,
    ON_REGISTRATIONS,
    StreamCourse,
    StreamFault,
    StreamPlan,
)

LATE_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 1.0
_DATA, _HEADERS = 0, 1
_ENDED: Final = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)
_LARGEST: Final = 1 << 20
_CLOSE_SECONDS: Final = 1.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class StreamTraffic:
    """What went through, and what the plan does to it."""

    plan: StreamPlan | None = None
    on_kill: Callable[[], None] = lambda: None
    counts: dict[str, int] = field(
        default_factory=lambda: {"registrations": 0, "jobs": 0, "results": 0}
    )
    struck: bool = False
    """Whether what the plan says has happened."""

    @property
    def course(self) -> StreamCourse:
        """How much went through."""
        return StreamCourse(**self.counts)

    def meets(self, what: str) -> StreamFault | None:
        """One more registration, job or result; its fault."""
        self.counts[what] += 1
        plan = self.plan
        if plan is None or self.struck or _place(plan.fault) != what:
            return None
        if self.counts[what] < plan.nth:
            return None
        self.struck = True
        if plan.fault in KILLS:
            self.on_kill()
        return plan.fault


class StreamProxy:
    """One port before a broker's. An async context manager."""

    def __init__(self, broker_port: int, context: ssl.SSLContext, traffic: StreamTraffic) -> None:
        """`context`: with the broker's own key and certificate."""
        context.set_alpn_protocols(["h2", "http/1.1"])
        self._broker_port = broker_port
        self._context = context
        self._traffic = traffic
        self._open: set[asyncio.StreamWriter] = set()
        self._away = False
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", 0, ssl=self._context, limit=_LARGEST
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self._cut()

    def _cut(self) -> None:
        for each in tuple(self._open):
            each.transport.abort()

    def _return(self) -> None:
        self._away = False

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._away:
            writer.transport.abort()
            return
        spoken = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2" if spoken == "h2" else "http/1.1"])
        try:
            broker = await asyncio.open_connection(
                "127.0.0.1", self._broker_port, ssl=context, limit=_LARGEST
            )
        except OSError:
            writer.transport.abort()
            return
        both = {writer, broker[1]}
        self._open |= both
        try:
            if spoken == "h2":
                await self._stream((reader, writer), broker)
            else:
                await self._results((reader, writer), broker)
        except _ENDED:
            pass
        finally:
            await _close(both)
            self._open -= both

    # Registrations and jobs

    async def _stream(self, worker: Connection, broker: Connection) -> None:
        unwelcome = asyncio.Event()
        ways = {
            asyncio.create_task(self._up(worker[0], broker[1], unwelcome)),
            asyncio.create_task(self._down(broker[0], worker[1], unwelcome)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in ways:
                each.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _up(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        unwelcome: asyncio.Event,
    ) -> None:
        """From the worker: its first DATA is the registration."""
        writer.write(await reader.readexactly(24))  # The preface.
        registered = False
        while True:
            kind, frame = await _frame(reader)
            if kind == _DATA and not registered:
                registered = True
                fault = self._traffic.meets("registrations")
                if fault is StreamFault.REGISTRATION_LOST:
                    return
                if fault is StreamFault.WELCOME_LOST:
                    unwelcome.set()
            writer.write(frame)

    async def _down(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        unwelcome: asyncio.Event,
    ) -> None:
        """From the broker: HEADERS are its welcome, each DATA is a job."""
        while True:
            kind, frame = await _frame(reader)
            if kind == _HEADERS and unwelcome.is_set():
                return
            fault = self._traffic.meets("jobs") if kind == _DATA else None
            if fault is StreamFault.CUT_BEFORE:
                return
            if fault is StreamFault.AWAY:
                self._leave()
            if fault is StreamFault.LATE:
                await asyncio.sleep(LATE_SECONDS)
            writer.write(frame)
            if fault is StreamFault.CUT_AFTER:
                return

    def _leave(self) -> None:
        self._away = True
        asyncio.get_running_loop().call_later(AWAY_SECONDS, self._return)
        self._cut()

    # Results

    async def _results(self, worker: Connection, broker: Connection) -> None:
        while True:
            head, body = await _message(worker[0])
            fault = self._traffic.meets("results") if b"/aiResults" in head[:64] else None
            if fault is StreamFault.RESULT_LOST:
                return
            if fault is StreamFault.RESULT_LATE:
                await asyncio.sleep(LATE_SECONDS)
            if fault is StreamFault.RESULT_CUT:
                broker[1].write(head + body[: len(body) // 2])
                await broker[1].drain()
                return
            answers: list[bytes] = []
            for _ in range(2 if fault is StreamFault.RESULT_TWICE else 1):
                broker[1].write(head + body)
                answers.append(b"".join(await _message(broker[0])))
            if fault is StreamFault.ANSWER_LOST:
                return
            worker[1].write(answers[0])


async def _close(writers: set[asyncio.StreamWriter]) -> None:
    """End connections once what was written is sent, or after a while."""
    for each in writers:
        each.close()
    with contextlib.suppress(*_ENDED, TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await asyncio.gather(*(each.wait_closed() for each in writers))
    for each in writers:
        each.transport.abort()


def _place(fault: StreamFault) -> str:
    if fault in ON_REGISTRATIONS:
        return "registrations"
    return "jobs" if fault in ON_JOBS else "results"


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next HTTP/2 frame: its type, and all of it. A DATA frame without a byte is none of ours:
    its type is -1."""
    head = await reader.readexactly(9)
    size = int.from_bytes(head[:3], "big")
    kind = head[3] if size or head[3] != _DATA else -1
    return kind, head + await reader.readexactly(size)


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of the next HTTP/1.1 request or answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    if fields.get(b"transfer-encoding") != b"chunked":
        return head, await reader.readexactly(int(fields.get(b"content-length", b"0")))
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        body += line + await reader.readexactly(int(line.partition(b";")[0], 16) + 2)
        if line.startswith(b"0\r\n"):
            return head, bytes(body)
