"""Two brokers as processes, one of which is killed at one moment of our worker's work for it.

The worker is registered at both; the one that is killed it reaches through the proxy. Tasks have
come there before, and their callers ask the other one.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from tests.kit.faults.streams.plans import StreamCourse, StreamPlan
from tests.kit.faults.streams.proxy import StreamProxy, StreamTraffic
from tests.kit.faults.streams.world import CONVERGE_SECONDS, MODEL, runner, working
from tests.kit.workers.processes import IMAGE, Process, two

from mediafleet_testbed.real_servers import redis_server

_TASKS: Final = 4


async def lived(plan: StreamPlan | None, folder: Path) -> tuple[StreamCourse, bool]:
    """Tasks through two brokers: what it took, and whether the fault came.

    Raises:
        AssertionError, TimeoutError: what must hold did not.
    """
    assert tuple(MODEL) == IMAGE
    runs = Counter[str]()
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(redis_server())
        a, b = await stack.enter_async_context(two(folder, redis))
        tasks = [await a.submit(number) for number in range(_TASKS)]
        (folder / "ca.pem").write_bytes(a.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "a" / "cert", folder / "a" / "key")
        traffic = StreamTraffic(plan, a.process.kill)
        port = int(a.authority.rpartition(":")[2])
        proxy = await stack.enter_async_context(StreamProxy(port, context, traffic))
        url = await stack.enter_async_context(runner(runs))
        places = (f"127.0.0.1:{proxy.port}", b.authority)
        await stack.enter_async_context(working(places, folder / "ca.pem", url))
        answers = await asyncio.gather(*(_answer(b, task) for task in tasks))
        again = await asyncio.gather(*(_answer(b, task) for task in tasks))
        assert again == answers, "a task was answered twice"
        for number, (status, body) in enumerate(answers):
            assert status == 200, body
            assert [each["seed"] for each in body["images"]] == [number]
        # Once more at the most, for the broker that took the task over.
        assert max(runs.values()) <= 2
        return traffic.course, traffic.struck


async def _answer(some: Process, task: str) -> tuple[int, Any]:
    async with asyncio.timeout(CONVERGE_SECONDS):
        while (said := await some.result(task))[0] in (202, 503):
            pass
    return said
