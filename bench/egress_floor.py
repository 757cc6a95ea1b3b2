"""What a StartEgress would cost two desks that only pass messages on, beside what ours cost.

`python -m bench.egress_floor [STARTS [RATE]]`. As many messages of about the same size, each heard
and sent by uvloop and hiredis alone: nothing in them is read, and nothing is decided, counted or
kept. A script that sets one key stands for the ledger's: a call for each start, and one for what
some starts leave to be noted. What nobody waits for is read some messages at a time, as by ours. So
this is what must happen in Python, whatever a desk does. Ours are measured in the same run at the
same rate, one desk given all.
"""

from __future__ import annotations

import asyncio
import collections
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import hiredis
import uvloop
from bench import egress_cpu
from bench.egress_latency import START_SECONDS, cpu_seconds, load
from bench.egress_throughput import at_rate
from rich.console import Console
from rich.table import Table

from mediafleet_common.serving.run import calm_collector
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import redis_server

STARTS: Final = 1500
RATE: Final = 100.0
WARM_UP_STARTS: Final = 100
PODS: Final = 50
ANSWER_SECONDS: Final = 10.0
NOTE_SECONDS: Final = 0.025
SCRIPT: Final = "redis.call('SET', KEYS[1], ARGV[1], 'EX', 60) return {'done', 1, '', ''}"
REQUEST: Final = bytes(220)
WORD: Final = bytes(90)
"""A bid, a grant, an answer."""
RECORD: Final = bytes(300)
GRANTED: Final = "granted"
NOT_GRANTED: Final = "not granted"
HEARS: Final = ("request", "grant", "create")
"""What every desk hears, whichever is granted a request."""

Heard = Callable[[object], None]


class Connection(asyncio.Protocol):
    """A connection to Redis: what comes is handed on, what one turn sends is one write."""

    def __init__(self, heard: Heard, rest_seconds: float) -> None:
        self._heard = heard
        self._rest_seconds = rest_seconds
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=self)
        self._out: list[bytes] = []

    @classmethod
    async def open(cls, port: int, heard: Heard, rest_seconds: float = 0.0) -> Connection:
        """A connection that stands."""
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: cls(heard, rest_seconds), "127.0.0.1", port)
        return made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It stands."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self, *parts: str | bytes | int) -> None:
        """Send a command at the end of this turn of the event loop."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(hiredis.pack_command(parts))  # type: ignore[arg-type] # Any length.

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not self:
            self._heard(reply)
        if self._rest_seconds:
            self._transport.pause_reading()
            self._loop.call_later(self._rest_seconds, self._transport.resume_reading)

    def _flush(self) -> None:
        self._transport.write(b"".join(self._out))
        self._out.clear()


def ignore(_: object) -> None:
    """Nobody reads it."""


class Echo:
    """What a desk does on the bus: it is granted all, or nothing."""

    def __init__(self, granted: bool) -> None:
        self._granted = granted
        self._sha = b""
        self._asked: collections.deque[bool] = collections.deque()
        """Calls of the script that are on their way: whether a start waits for it."""
        self._notes: asyncio.TimerHandle | None = None

    async def run(self, port: int) -> None:
        """Until this process is ended."""
        self._publishing = await Connection.open(port, ignore, 0.02)
        self._ledger = await Connection.open(port, self._written)
        news = await Connection.open(port, ignore, 0.02)
        news.send("SUBSCRIBE", "update")
        listening = await Connection.open(port, self._heard, 0.0 if self._granted else 0.02)
        self._ledger.send("SCRIPT", "LOAD", SCRIPT)
        hears = (*HEARS, "pod bid", "answer") if self._granted else HEARS
        listening.send("SUBSCRIBE", *hears)
        await asyncio.Event().wait()

    def _heard(self, reply: object) -> None:
        kind, channel, _ = cast("Sequence[bytes]", reply)
        if kind == b"subscribe":
            if channel == b"create":
                print("echo ready", file=sys.stderr, flush=True)
        elif not self._granted:
            return
        elif channel == b"request":
            self._publishing.send("PUBLISH", "bid", WORD)
        elif channel == b"grant":
            self._call(start=True)
        elif channel == b"pod bid":
            self._publishing.send("PUBLISH", "pod grant", WORD)
        elif channel == b"answer":
            self._publishing.send("PUBLISH", "response", WORD)
            if self._notes is None:
                loop = asyncio.get_running_loop()
                self._notes = loop.call_later(NOTE_SECONDS, self._note)

    def _note(self) -> None:
        self._notes = None
        self._call(start=False)

    def _call(self, *, start: bool) -> None:
        self._asked.append(start)
        self._ledger.send("EVALSHA", self._sha, 1, "key", RECORD)

    def _written(self, reply: object) -> None:
        if isinstance(reply, bytes):
            self._sha = reply
        elif self._asked.popleft():
            self._publishing.send("PUBLISH", "pod request", REQUEST)


class Others:
    """The caller and the pods."""

    ANSWERS: Final[Mapping[bytes, Sequence[tuple[str, bytes]]]] = {
        b"bid": (("grant", WORD),),
        b"pod request": (("pod bid", WORD),),
        b"pod grant": (
            ("create", REQUEST),
            ("answer", REQUEST),
            ("update", REQUEST),
            ("update", REQUEST),
        ),
    }

    def __init__(self) -> None:
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()

    async def open(self, port: int) -> None:
        """Connect."""
        self._publishing = await Connection.open(port, ignore)
        listening = await Connection.open(port, self._heard)
        listening.send("SUBSCRIBE", "bid", "pod request", "pod grant", "response")

    async def call(self) -> bool:
        """One start; whether it was answered."""
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(answered)
        self._publishing.send("PUBLISH", "request", REQUEST)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await answered
        except TimeoutError:
            return False
        return True

    def _heard(self, reply: object) -> None:
        _, channel, _ = cast("Sequence[bytes]", reply)
        if channel == b"response":
            if self._waiting and not (answered := self._waiting.popleft()).done():
                answered.set_result(None)
            return
        for name, data in self.ANSWERS.get(channel, ()):
            self._publishing.send("PUBLISH", name, data)


@dataclass(frozen=True, slots=True)
class Figure:
    """CPU milliseconds a start."""

    who: str
    granted: float
    not_granted: float
    redis: float
    failed: int


async def floor(starts: int, rate: float) -> Figure:
    """Of echoes, one of which is granted all."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mediafleet-bench-")))
        server = stack.enter_context(redis_server())
        processes = await stack.enter_async_context(Processes(folder))
        pids = {"Redis": server.process.pid}
        for role in (GRANTED, NOT_GRANTED):
            echo = await processes.python(role, "bench.egress_floor", str(server.port), role)
            await processes.says(echo, "echo ready", START_SECONDS)
            pids[role] = echo.process.pid
        others = Others()
        await others.open(server.port)
        await at_rate(others.call, rate, WARM_UP_STARTS / rate)
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        _, failed, _ = await at_rate(others.call, rate, starts / rate)
        ms = {n: 1000 * (cpu_seconds(pid) - before[n]) / starts for n, pid in pids.items()}
        return Figure("messages alone", ms[GRANTED], ms[NOT_GRANTED], ms["Redis"], failed)


async def run(starts: int, rate: float) -> list[Figure]:
    """Both rows."""
    least = await floor(starts, rate)
    ours = (await egress_cpu.run(starts, rate, [PODS]))[-1]
    other, granted = sorted(ours.cpu_ms[f"desk {number}"] for number in (1, 2))
    return [least, Figure("our desks", granted, other, ours.cpu_ms["Redis"], ours.failed)]


def main() -> None:
    """Measure and print."""
    starts = int(sys.argv[1]) if len(sys.argv) > 1 else STARTS
    rate = float(sys.argv[2]) if len(sys.argv) > 2 else RATE
    calm_collector()
    rows = Table(title=f"CPU ms a StartEgress, {rate:g} a second, one desk given all")
    for head in ("", "desk granted", "desk not granted", "both desks", "Redis", "failed"):
        rows.add_column(head, justify="right" if head else "left")
    for one in uvloop.run(run(starts, rate)):
        spent = (one.granted, one.not_granted, one.granted + one.not_granted, one.redis)
        rows.add_row(one.who, *(f"{each:.2f}" for each in spent), str(one.failed))
    rows.caption = load()
    Console(width=100).print(rows)


if __name__ == "__main__":
    if sys.argv[2:] in ([GRANTED], [NOT_GRANTED]):
        calm_collector()
        uvloop.run(Echo(sys.argv[2] == GRANTED).run(int(sys.argv[1])))
    else:
        main()
