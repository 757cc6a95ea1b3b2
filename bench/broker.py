"""Tasks a second through one broker, and how soon a worker hears of one.

`python -m bench.broker [SECONDS [RATE]]`. First tasks come at RATE a second (500), at random
moments and however slow the answers are; then 64 callers ask as fast as they are answered. The
broker is a process of its own. Workers and callers are this one, whose CPU is told apart; workers
look on the wire as stock ones do: two HTTP/2 connections each. Beside stands what the same callers
get from a bare HTTP server, which shows how much of the time is theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import uvloop
from aiohttp import web
from bench.egress_latency import load
from rich.console import Console
from rich.table import Table

from mediafleet_common.serving.tls import self_signed
from mediafleet_common.wire.ai_worker_pb2 import NotifyAIJob, RegisterAIWorkerRequest
from mediafleet_testbed.load.ai_workers import Result, Worker
from mediafleet_testbed.load.bursts import quantile
from mediafleet_testbed.processes import Member, Processes

WORKERS: Final = 100
CAPACITY: Final = 4
CALLERS: Final = 64
SECRET: Final = "bench"
RESULT: Final = b'--b\r\nContent-Type: application/json\r\n\r\n{"audio":{"url":""}}\r\n--b--\r\n'
MEDIA: Final = "multipart/mixed; boundary=b"
HEADERS: Final = {
    "Authorization": "Livepeer-AI-Worker-1.0",
    "Credentials": SECRET,
    "Content-Type": MEDIA,
}
TEXT: Final = re.compile(rb'"text":"([\d-]+)"')


@dataclass(slots=True)
class Run:
    """What came of one."""

    began: dict[str, float] = field(default_factory=dict)
    heard: list[float] = field(default_factory=list)
    """Seconds from a request to its worker, of each task."""
    answered: list[float] = field(default_factory=list)
    failed: int = 0
    cpu: float = 0.0
    """Seconds that the broker spent on a task."""
    own_cpu: float = 0.0
    """Seconds that this process spent on one."""


Callers = Callable[[str, Run, float], Awaitable[None]]
"""They ask at a URL, for so many seconds."""


def registration() -> RegisterAIWorkerRequest:
    """What each worker registers with."""
    message = RegisterAIWorkerRequest(secret=SECRET)
    told = message.capabilities.constraints.per_capability[36].models["m"]
    told.capacity, told.warm = CAPACITY, True
    return message


async def ask(session: aiohttp.ClientSession, url: str, run: Run, text: str, came: float) -> None:
    """One task, from the moment that it came."""
    run.began[text] = came
    try:
        async with session.post(url, json={"model_id": "m", "text": text}) as response:
            await response.read()
            run.failed += response.status != 200
    except aiohttp.ClientError:
        run.failed += 1
    run.answered.append(time.perf_counter() - came)


async def call(session: aiohttp.ClientSession, url: str, run: Run, name: int, until: float) -> None:
    """One caller, one task after the other."""
    number = 0
    while time.perf_counter() < until:
        number += 1
        await ask(session, url, run, f"{name}-{number}", time.perf_counter())


async def as_answered(url: str, run: Run, seconds: float) -> None:
    """All callers for a while."""
    until = time.perf_counter() + seconds
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(call(session, url, run, each, until) for each in range(CALLERS)))


def at_rate(rate: float) -> Callers:
    """Tasks at random moments, so many a second. Each is as old as its moment, not as its call."""

    async def calls(url: str, run: Run, seconds: float) -> None:
        chance = random.Random(1)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            asyncio.TaskGroup() as tasks,
        ):
            moment = began = time.perf_counter()
            number = 0
            while moment < began + seconds:
                moment += chance.expovariate(rate)
                await asyncio.sleep(moment - time.perf_counter())
                number += 1
                tasks.create_task(ask(session, url, run, f"{number}", moment))

    return calls


@contextlib.asynccontextmanager
async def brokered(
    folder: Path, module: Sequence[str] = ("mediafleet.main",)
) -> AsyncIterator[tuple[Member, str, str, bytes]]:
    """A broker: its process, its runner API, its workers' port, its certificate."""
    key, certificate = self_signed(["127.0.0.1"])
    for name, text in {"key": key, "cert": certificate, "secret": SECRET.encode()}.items():
        (folder / name).write_bytes(text)
    models = "models: [{pipeline: text-to-speech, model: m, wait_seconds: 30}]"
    (folder / "models.yaml").write_text(models, encoding="utf-8")
    command = [
        *(sys.executable, "-m", *module, "broker", "--listen", "127.0.0.1:0"),
        *("--http", "127.0.0.1:0", "--log-level", "warning"),
        *("--secret-file", str(folder / "secret"), "--models", str(folder / "models.yaml")),
        *("--tls-cert", str(folder / "cert"), "--tls-key", str(folder / "key")),
    ]
    async with Processes(folder) as processes:
        member = await processes.start("broker", command)
        line = await processes.says(member, "mediafleet broker ready")
        workers = line.partition("workers ")[2].split()[0]
        runner = line.partition("runner API ")[2].split()[0]
        yield member, f"http://{runner}", workers, certificate


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used."""
    parts = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


async def through_broker(folder: Path, seconds: float, calls: Callers) -> tuple[Run, float]:
    """A run, and memory of the broker in MB with all workers idle."""
    async with contextlib.AsyncExitStack() as stack:
        member, runner, address, certificate = await stack.enter_async_context(brokered(folder))
        context = ssl.create_default_context(cadata=certificate.decode())
        context.set_alpn_protocols(["h2"])
        session = await stack.enter_async_context(aiohttp.ClientSession())
        run = Run()

        def heard(job: NotifyAIJob) -> None:
            text = TEXT.search(job.ai_job_data.request_data)
            if text is not None:
                # None: it was given once more, since its first worker was lost.
                came = run.began.pop(text[1].decode(), None)
                if came is not None:
                    run.heard.append(time.perf_counter() - came)

        for _ in range(WORKERS):
            worker = Worker(SECRET, Result(MEDIA, RESULT), heard)
            stack.callback(worker.close)
            await worker.register(address, context, registration())
        await until_registered(session, runner, WORKERS)
        memory = resident(member.process.pid)
        before, own = cpu_seconds(member.process.pid), time.process_time()
        await calls(f"{runner}/text-to-speech", run, seconds)
        count = max(1, len(run.answered))
        run.cpu = (cpu_seconds(member.process.pid) - before) / count
        run.own_cpu = (time.process_time() - own) / count
    return run, memory


async def until_registered(session: aiohttp.ClientSession, runner: str, count: int) -> None:
    """Wait until so many workers are there."""
    async with asyncio.timeout(180):
        while True:
            async with session.get(f"{runner}/metrics") as response:
                if f"mediafleet_broker_workers {count}.0" in await response.text():
                    return
            await asyncio.sleep(0.1)


def resident(pid: int) -> float:
    """Memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(each for each in status.splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def bare(seconds: float, calls: Callers) -> Run:
    """The same callers on an HTTP server that answers at once."""

    async def answer(request: web.Request) -> web.Response:
        run.began.pop((await request.json())["text"])
        return web.json_response({"audio": {"url": ""}})

    run, app = Run(), web.Application()
    app.add_routes([web.post("/", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    own = time.process_time()
    await calls(f"http://127.0.0.1:{runner.addresses[0][1]}/", run, seconds)
    run.own_cpu = (time.process_time() - own) / max(1, len(run.answered))
    await runner.cleanup()
    return run


def milliseconds(seconds: list[float]) -> str:
    """Median and 99th percentile."""
    found = [quantile(seconds, share) for share in (0.5, 0.99)]
    return " / ".join(f"{each * 1000:.1f}" for each in found if each is not None)


def row(table: Table, name: str, run: Run, seconds: float) -> None:
    """A line of the table."""
    table.add_row(
        name,
        f"{len(run.answered) / seconds:,.0f}/s",
        milliseconds(sorted(run.answered)),
        milliseconds(sorted(run.heard)) if run.heard else "",
        str(run.failed),
        f"{run.cpu * 1000:.2f} / {run.own_cpu * 1000:.2f}",
    )


async def main(seconds: float, rate: float) -> None:
    """Print the table."""
    table = Table(
        *("", "tasks", "answer p50 / p99, ms", "dispatch p50 / p99, ms", "failed"),
        "CPU a task, broker / bench, ms",
    )
    memory = 0.0
    ways = {f"{rate:g}/s at random moments": at_rate(rate), f"{CALLERS} callers": as_answered}
    for name, calls in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            run, memory = await through_broker(Path(folder), seconds, calls)
        row(table, f"broker, {WORKERS} workers, {name}", run, seconds)
        row(table, f"a bare HTTP server in this process, {name}", await bare(3.0, calls), 3.0)
    Console(width=150).print(table, f"{memory:.0f} MB with {WORKERS} idle workers. {load()}")


if __name__ == "__main__":
    given = [float(each) for each in sys.argv[1:]]
    uvloop.run(main(*(given + [10.0, 500.0][len(given) :])))
