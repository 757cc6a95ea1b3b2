"""Tasks, workers that come and go, and noise for as long as one likes: a broker stays as it was.

A few seconds by itself; `make soak` has it for 30 min.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from bench.broker import MEDIA, RESULT, SECRET, Run, ask, brokered, registration
from tests.kit.counted import counted
from tests.kit.figures import Show
from tests.kit.soak import SECONDS, Growth, hold, noise, soak

from mediafleet_testbed.load.ai_workers import Result, Worker

WORKERS: Final = 4
TASKS: Final = 20
NOISES: Final = 5
pytestmark = pytest.mark.timeout(240 + 2 * SECONDS)


async def until_there(session: aiohttp.ClientSession, runner: str, count: int) -> None:
    """Until the broker knows of so many workers."""
    async with asyncio.timeout(60):
        while True:
            async with session.get(f"{runner}/metrics") as response:
                if f"mediafleet_broker_workers {count}.0" in await response.text():
                    return
            await asyncio.sleep(0.05)


async def test_tasks_and_workers_that_come_and_go_leave_the_broker_no_larger(
    tmp_path: Path, show: Show
) -> None:
    run = Run()
    async with AsyncExitStack() as stack:
        tasks = tmp_path / "tasks"
        member, runner, address, certificate = await stack.enter_async_context(
            brokered(tmp_path, counted(tasks))
        )
        context = ssl.create_default_context(cadata=certificate.decode())
        context.set_alpn_protocols(["h2"])
        session = await stack.enter_async_context(aiohttp.ClientSession())
        workers: list[Worker] = []

        def close() -> None:
            for each in workers:
                each.close()

        stack.callback(close)

        async def come() -> None:
            workers.append(Worker(SECRET, Result(MEDIA, RESULT), lambda _: None))
            await workers[-1].register(address, context, registration())

        async def work(seed: int, chance: random.Random) -> None:
            names = [f"{seed}-{number}" for number in range(TASKS)]
            await asyncio.gather(
                *(
                    ask(session, f"{runner}/text-to-speech", run, name, time.perf_counter())
                    for name in names
                )
            )
            run.began.clear()
            workers.pop(0).close()
            await come()
            await until_there(session, runner, WORKERS)
            host, _, port = runner.removeprefix("http://").rpartition(":")
            await noise(host, int(port), chance, NOISES)

        for _ in range(WORKERS):
            await come()
        await until_there(session, runner, WORKERS)
        growth = Growth("broker", member.process.pid, tasks)
        await soak(work, [growth])
        show(f"{len(run.answered)} tasks")
        assert member.process.returncode is None
        assert "Traceback" not in member.log.read_text(errors="replace"), member.log_tail(40)
        assert run.failed == 0
        assert len(run.answered) >= TASKS
        hold([growth], show)
