"""Memory and CPU of a broker with a thousand idle workers, and its memory for a result of 300 MB.

`python -m bench.broker_memory [WORKERS]`. The broker is a process of its own; for the result it is
the most that it ever held (VmHWM) beyond what it held before the task.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import grpc
import grpc.aio
import uvloop
from bench.broker import HEADERS, brokered, cpu_seconds, registration, resident, until_registered
from bench.egress_latency import load
from rich.console import Console

from mediafleet_common.wire.ai_worker_pb2 import NotifyAIJob, RegisterAIWorkerRequest

RESULT_BYTES: Final = 300 * 1024 * 1024
REST_SECONDS: Final = 10.0
_CHUNK: Final = b"x" * (1 << 18)
_HEAD: Final = (
    b"--b\r\nContent-Disposition: attachment; filename=a.wav\r\nContent-Type: audio/wav\r\n\r\n"
)
_TAIL: Final = (
    b'\r\n--b\r\nContent-Type: application/json\r\n\r\n{"audio":{"url":"a.wav"}}\r\n--b--\r\n'
)


def highest(pid: int) -> float:
    """The most memory that a process has held, in MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(each for each in status.splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


async def result() -> AsyncIterator[bytes]:
    """A large one, chunk by chunk."""
    yield _HEAD
    for _ in range(RESULT_BYTES // len(_CHUNK)):
        yield _CHUNK
    yield _TAIL


async def large(
    call: grpc.aio.UnaryStreamCall[object, NotifyAIJob],
    session: aiohttp.ClientSession,
    runner: str,
    workers: str,
) -> tuple[float, float]:
    """A task with a large result: seconds, and megabytes that its caller read."""

    async def ask() -> float:
        read = 0
        limit = aiohttp.ClientTimeout(total=300)
        body = {"model_id": "m", "text": "x"}
        url = f"{runner}/text-to-speech"
        async with session.post(url, json=body, timeout=limit) as response:
            async for chunk in response.content.iter_any():
                read += len(chunk)
        return read / 2**20

    began = time.perf_counter()
    asking = asyncio.create_task(ask())
    job = await call.read()
    assert isinstance(job, NotifyAIJob)
    json.loads(job.ai_job_data.request_data)
    headers = {**HEADERS, "TaskId": str(job.task_id)}
    async with session.post(
        f"https://{workers}/aiResults", data=result(), headers=headers
    ) as response:
        assert response.status == 200
    return await asking, time.perf_counter() - began


async def main(count: int) -> None:
    """Print the figures."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        member, runner, workers, certificate = await stack.enter_async_context(brokered(folder))
        pid = member.process.pid
        context = ssl.create_default_context(cadata=certificate.decode())
        connector = aiohttp.TCPConnector(limit=0, ssl=context)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        trusted = grpc.ssl_channel_credentials(certificate)
        empty = resident(pid)

        async def register(number: int) -> grpc.aio.UnaryStreamCall[object, NotifyAIJob]:
            options = [("grpc.use_local_subchannel_pool", 1), ("mediafleet.number", number)]
            channel = grpc.aio.secure_channel(workers, trusted, options)
            await stack.enter_async_context(channel)
            call = channel.unary_stream(
                "/net.AIWorker/RegisterAIWorker",
                request_serializer=RegisterAIWorkerRequest.SerializeToString,
                response_deserializer=NotifyAIJob.FromString,
            )(registration())
            await call.wait_for_connection()
            return call

        first = await register(0)
        await until_registered(session, runner, 1)
        before = resident(pid)
        read, seconds = await large(first, session, runner, workers)
        more = highest(pid) - before
        calls = [first]
        for start in range(1, count, 50):
            some = range(start, min(start + 50, count))
            calls += await asyncio.gather(*(register(number) for number in some))
        await until_registered(session, runner, count)
        used = cpu_seconds(pid)
        await asyncio.sleep(REST_SECONDS)
        share = (cpu_seconds(pid) - used) / REST_SECONDS
        held = resident(pid)
        for call in calls:
            call.cancel()
    Console(width=150).print(
        f"result of {RESULT_BYTES >> 20} MB: {more:.0f} MB more memory, {seconds:.1f} s, the caller"
        f" read {read:.0f} MB of base64\n"
        f"{count} idle workers: {held:.0f} MB ({empty:.0f} MB without any), {share:.1%} of a core"
        f"\n{load()}"
    )


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
