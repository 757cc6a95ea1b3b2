"""A broker and our own worker, with one thing that goes wrong between them, and what must hold."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from tests.kit.egress.scene import eventually
from tests.kit.faults.streams.plans import StreamCourse, StreamFault, StreamPlan
from tests.kit.faults.streams.proxy import StreamProxy, StreamTraffic
from tests.kit.workers.scene import SECRET, Broker, broker

from mediafleet_common.serving.tls import self_signed
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.views import Target
from mediafleet_scheduler.worker.brokers import Brokers
from mediafleet_scheduler.worker.client import Settings, Worker
from mediafleet_scheduler.worker.runners import Runner

CONVERGE_SECONDS: Final = 90.0
MODEL: Final = Target(Pipeline.TEXT_TO_IMAGE, "m/sd")
_TASKS: Final = 4
_CAPACITY: Final = 2
_PNG: Final = "data:image/png;base64,QUJD"
_MAY_FAIL: Final = frozenset({StreamFault.RESULT_CUT, StreamFault.AWAY})
"""A result that was broken off has failed its task, and there is no other worker to ask."""


@contextlib.asynccontextmanager
async def runner(runs: Counter[str]) -> AsyncIterator[str]:
    """A runner that tells which request an answer is for, by the number at its prompt's end."""

    async def run(request: web.Request) -> web.Response:
        prompt = (await request.json())["prompt"]
        runs[prompt] += 1
        number = int(prompt.rpartition(" ")[2])
        return web.json_response({"images": [{"url": _PNG, "nsfw": False, "seed": number}]})

    app = web.Application()
    app.add_routes([web.post("/text-to-image", run)])
    made = web.AppRunner(app)
    await made.setup()
    await web.TCPSite(made, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{made.addresses[0][1]}"
    await made.cleanup()


@contextlib.asynccontextmanager
async def working(places: tuple[str, ...], ca: Path, url: str) -> AsyncIterator[Worker]:
    """Our worker for the runner at a URL, until it is told to stop."""
    stop = asyncio.Event()
    runners = (Runner(MODEL, url, _CAPACITY),)
    made = Worker(Settings(Brokers(places), lambda: SECRET, runners, ca))
    running = asyncio.create_task(made.run(stop))
    yield made
    stop.set()
    await running


async def _ask(some: Broker, number: int) -> tuple[int, Any]:
    body = {"model_id": MODEL.model, "prompt": str(number)}
    async with some.session.post(f"{some.runner}/text-to-image", json=body) as response:
        return response.status, await response.json()


async def lived(plan: StreamPlan | None, folder: Path) -> tuple[StreamCourse, bool]:
    """Tasks through a worker: what it took, and whether the fault came.

    Raises:
        AssertionError, TimeoutError: what must hold did not.
    """
    pair = self_signed(["127.0.0.1"])
    (folder / "pair.pem").write_bytes(pair[0] + pair[1])
    (folder / "ca.pem").write_bytes(pair[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")
    traffic, runs = StreamTraffic(plan), Counter[str]()
    made = broker(folder, (MODEL.pipeline, MODEL.model), wait_seconds=CONVERGE_SECONDS, pair=pair)
    async with (
        made as some,
        StreamProxy(some.serving.port, context, traffic) as proxy,
        runner(runs) as url,
        working((f"127.0.0.1:{proxy.port}",), folder / "ca.pem", url),
    ):
        answers = await asyncio.gather(*(_ask(some, number) for number in range(_TASKS)))
        course, struck = traffic.course, traffic.struck
        for number, answer in enumerate(answers):
            _answered(plan, number, *answer)
        await _at_rest(some)
        assert (await _ask(some, _TASKS))[0] == 200
        await _at_rest(some)
        # A task whose worker was lost is done once more, and no other.
        assert max(runs.values()) <= 2
        return course, struck


def _answered(plan: StreamPlan | None, number: int, status: int, body: Any) -> None:
    if status == 200:
        assert [each["seed"] for each in body["images"]] == [number]
        return
    assert plan is not None, (status, body)
    assert plan.fault in _MAY_FAIL, (plan, status, body)
    assert status == 500
    assert body["detail"]["msg"], "why is not told"


async def _at_rest(some: Broker) -> None:
    """One worker with all its room: none is there twice, and nothing takes up room for ever."""
    there = some.serving.jobs.dispatcher

    def rests() -> bool:
        whole = there.capacity(MODEL) == _CAPACITY
        return whole and len(there.workers) == 1 and not there.in_use(MODEL)

    await eventually(rests, CONVERGE_SECONDS)
