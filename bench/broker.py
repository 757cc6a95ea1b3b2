"""Tasks a second through one broker, and how soon a worker hears of one.

`python -m bench.broker [SECONDS]`. The broker is a process of its own; workers and callers are this
one, which takes CPU of the same machine: both are told apart. Beside each rate stands what the same
callers get from a bare HTTP server, which shows how much of the time is theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import grpc
import grpc.aio
import uvloop
from aiohttp import web
from bench.egress_latency import load
from rich.console import Console
from rich.table import Table

from mediafleet_common.serving.tls import self_signed
from mediafleet_common.wire.ai_worker_pb2 import NotifyAIJob, RegisterAIWorkerRequest
from mediafleet_testbed.load.bursts import quantile
from mediafleet_testbed.processes import Member, Processes

WORKERS: Final = 100
CAPACITY: Final = 4
CALLERS: Final = 64
SECRET: Final = "bench"
RESULT: Final = b'--b\r\nContent-Type: application/json\r\n\r\n{"audio":{"url":""}}\r\n--b--\r\n'
HEADERS: Final = {
    "Authorization": "Livepeer-AI-Worker-1.0",
    "Credentials": SECRET,
    "Content-Type": "multipart/mixed; boundary=b",
}


@dataclass(slots=True)
class Run:
    """What came of one."""

    began: dict[str, float] = field(default_factory=dict)
    heard: list[float] = field(default_factory=list)
    """Seconds from a request to its worker, of each task."""
    answered: list[float] = field(default_factory=list)
    failed: int = 0


def registration() -> RegisterAIWorkerRequest:
    """What each worker registers with."""
    message = RegisterAIWorkerRequest(secret=SECRET)
    told = message.capabilities.constraints.per_capability[36].models["m"]
    told.capacity, told.warm = CAPACITY, True
    return message


async def work(
    channel: grpc.aio.Channel, session: aiohttp.ClientSession, url: str, run: Run
) -> None:
    """One worker, which does nothing and answers at once."""
    register = channel.unary_stream(
        "/net.AIWorker/RegisterAIWorker",
        request_serializer=RegisterAIWorkerRequest.SerializeToString,
        response_deserializer=NotifyAIJob.FromString,
    )
    posts: set[asyncio.Task[None]] = set()

    async def post(task_id: int) -> None:
        headers = {**HEADERS, "TaskId": str(task_id)}
        async with session.post(url, data=RESULT, headers=headers) as response:
            await response.read()

    async for job in register(registration()):
        text = json.loads(job.ai_job_data.request_data)["request"]["text"]
        run.heard.append(time.perf_counter() - run.began.pop(text))
        task = asyncio.create_task(post(job.task_id))
        posts.add(task)
        task.add_done_callback(posts.discard)


async def call(session: aiohttp.ClientSession, url: str, run: Run, name: int, until: float) -> None:
    """One caller, one task after the other."""
    number = 0
    while time.perf_counter() < until:
        number += 1
        text = f"{name}-{number}"
        began = run.began[text] = time.perf_counter()
        async with session.post(url, json={"model_id": "m", "text": text}) as response:
            await response.read()
            run.failed += response.status != 200
        run.answered.append(time.perf_counter() - began)


async def calls(url: str, run: Run, seconds: float) -> None:
    """All callers for a while."""
    until = time.perf_counter() + seconds
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(call(session, url, run, each, until) for each in range(CALLERS)))


@contextlib.asynccontextmanager
async def brokered(folder: Path) -> AsyncIterator[tuple[Member, str, str, bytes]]:
    """A broker: its process, its runner API, its workers' port, its certificate."""
    key, certificate = self_signed(["127.0.0.1"])
    for name, text in {"key": key, "cert": certificate, "secret": SECRET.encode()}.items():
        (folder / name).write_bytes(text)
    models = "models: [{pipeline: text-to-speech, model: m, wait_seconds: 30}]"
    (folder / "models.yaml").write_text(models, encoding="utf-8")
    command = [
        *(sys.executable, "-m", "mediafleet.main", "broker", "--listen", "127.0.0.1:0"),
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


async def through_broker(folder: Path, seconds: float) -> tuple[Run, float, float]:
    """A run, CPU of the broker a task, and its memory in MB with all workers idle."""
    async with contextlib.AsyncExitStack() as stack:
        member, runner, workers, certificate = await stack.enter_async_context(brokered(folder))
        trusted = grpc.ssl_channel_credentials(certificate)
        context = ssl.create_default_context(cadata=certificate.decode())
        connector = aiohttp.TCPConnector(limit=0, ssl=context)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        run, tasks = Run(), []
        for number in range(WORKERS):
            options = [("grpc.use_local_subchannel_pool", 1), ("mediafleet.number", number)]
            channel = grpc.aio.secure_channel(workers, trusted, options)
            await stack.enter_async_context(channel)
            url = f"https://{workers}/aiResults"
            tasks.append(asyncio.create_task(work(channel, session, url, run)))
        await until_registered(session, runner)
        memory = resident(member.process.pid)
        before = cpu_seconds(member.process.pid)
        await calls(f"{runner}/text-to-speech", run, seconds)
        used = cpu_seconds(member.process.pid) - before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return run, used / max(1, len(run.answered)), memory


async def until_registered(session: aiohttp.ClientSession, runner: str) -> None:
    """Wait until all workers are there."""
    async with asyncio.timeout(60):
        while True:
            async with session.get(f"{runner}/metrics") as response:
                if f"mediafleet_broker_workers {WORKERS}.0" in await response.text():
                    return
            await asyncio.sleep(0.1)


def resident(pid: int) -> float:
    """Memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(each for each in status.splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def bare(seconds: float) -> Run:
    """The same callers on an HTTP server that answers at once."""

    async def answer(request: web.Request) -> web.Response:
        run.began.pop((await request.json())["text"])
        return web.json_response({"audio": {"url": ""}})

    run, app = Run(), web.Application()
    app.add_routes([web.post("/", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await calls(f"http://127.0.0.1:{runner.addresses[0][1]}/", run, seconds)
    await runner.cleanup()
    return run


def milliseconds(seconds: list[float]) -> str:
    """Median and 99th percentile."""
    found = [quantile(seconds, share) for share in (0.5, 0.99)]
    return " / ".join(f"{each * 1000:.1f}" for each in found if each is not None)


def row(table: Table, name: str, run: Run, seconds: float, more: str) -> None:
    """A line of the table."""
    table.add_row(
        name,
        f"{len(run.answered) / seconds:,.0f}/s",
        milliseconds(sorted(run.answered)),
        milliseconds(sorted(run.heard)),
        str(run.failed),
        more,
    )


async def main(seconds: float) -> None:
    """Print the table."""
    table = Table("", "tasks", "answer p50 / p99, ms", "dispatch p50 / p99, ms", "failed", "")
    with tempfile.TemporaryDirectory() as name:
        run, cpu, memory = await through_broker(Path(name), seconds)
    more = f"{cpu * 1000:.2f} ms of CPU a task; {memory:.0f} MB with {WORKERS} idle workers"
    row(table, f"broker, {WORKERS} workers, {CALLERS} callers", run, seconds, more)
    alone = await bare(seconds)
    row(table, "the same callers, a bare HTTP server in their process", alone, seconds, "")
    Console(width=150).print(table, f"{load()}")


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0))
