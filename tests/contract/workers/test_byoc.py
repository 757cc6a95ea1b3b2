"""A broker whose models are external capabilities of an orchestrator with the real one's rules."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from tests.kit.egress.scene import eventually
from tests.kit.workers.scene import Broker, Told, broker, registration, worker

from mediafleet_scheduler.broker.models import Byoc, ModelEntry
from mediafleet_scheduler.broker.orchestrators.entries import OrchestratorEntry
from mediafleet_scheduler.broker.orchestrators.keeping import Options, OrchestratorTimes
from mediafleet_scheduler.broker.serve import Times
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_testbed.standins.node_external import ExternalCapabilities, job_header

IMAGE = (Pipeline.TEXT_TO_IMAGE, "m/sd")
LLM = (Pipeline.LLM, "m/llm")
NAME = "text-to-image/m/sd"
RESULT = b'--b\r\nContent-Type: application/json\r\n\r\n{"images":[]}\r\n--b--\r\n'


@contextlib.asynccontextmanager
async def orchestrator(secret: str = "orch", port: int = 0) -> AsyncIterator[Any]:
    """A stand-in, and its URL."""
    some = ExternalCapabilities(secret)
    runner = web.AppRunner(some.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield some, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def at(tmp_path: Path, *urls: str, again_seconds: float = 60.0, **more: Any) -> dict[str, Any]:
    """Settings of a broker that registers at these."""
    (tmp_path / "orch-secret").write_text("orch\n")
    entries = tuple(OrchestratorEntry(url=url, secret_file=Path("orch-secret")) for url in urls)
    times = OrchestratorTimes(
        0.02, again_seconds, first_pause_seconds=0.05, longest_pause_seconds=0.2
    )
    return {
        "orchestrators": Options(Told(entries), tmp_path, None),
        "times": Times(orchestrators=times),
        **more,
    }


def byoc(target: tuple[Pipeline, str], wait_seconds: float = 20, **price: Any) -> ModelEntry:
    return ModelEntry(
        pipeline=target[0], model=target[1], wait_seconds=wait_seconds, byoc=Byoc(**price)
    )


@contextlib.asynccontextmanager
async def registered(
    tmp_path: Path, *models: ModelEntry, secret: str = "orch", **more: Any
) -> AsyncIterator[Any]:
    """A stand-in orchestrator, its URL, and a broker that registers there."""
    async with contextlib.AsyncExitStack() as stack:
        orch, url = await stack.enter_async_context(orchestrator(secret))
        settings = at(tmp_path, url, **more)
        some = await stack.enter_async_context(broker(tmp_path, *models, **settings))
        yield orch, url, some


async def ask(url: str, name: str, body: object, route: str = "") -> tuple[int, bytes]:
    """A gateway's job, as an orchestrator gets it."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{url}/process/request/{route}", json=body, headers=job_header(name)
        ) as response,
    ):
        return response.status, await response.read()


async def answer(some: Broker, attempt: int) -> None:
    await some.post_result(attempt, RESULT, "multipart/mixed; boundary=b")


async def test_capacity_follows_live_workers_and_all_is_taken_back_at_the_end(
    tmp_path: Path,
) -> None:
    async with registered(tmp_path, byoc(IMAGE, price_per_unit=5)) as (orch, url, some):
        assert orch.capabilities == {}
        async with worker(some, registration(IMAGE, capacity=2)):
            await eventually(lambda: orch.available(NAME) == 2)
            assert orch.capabilities[NAME].told["price_per_unit"] == 5
            async with worker(some, registration(IMAGE, capacity=1)):
                await eventually(lambda: orch.available(NAME) == 3)
            await eventually(lambda: orch.available(NAME) == 2)
            labels = {"orchestrator": url, "door": "byoc", "model": NAME}
            assert some.count("registered", **labels) == 1
        await eventually(lambda: orch.capabilities == {})
        calls = "orchestrator_calls_total"
        await eventually(
            lambda: some.count(calls, orchestrator=url, result="ok") == len(orch.calls)
        )


async def test_a_broker_that_ends_takes_back_what_it_registered(tmp_path: Path) -> None:
    async with orchestrator() as (orch, url), contextlib.AsyncExitStack() as stack:
        some = await stack.enter_async_context(broker(tmp_path, byoc(IMAGE), **at(tmp_path, url)))
        await stack.enter_async_context(worker(some, registration(IMAGE)))
        await eventually(lambda: orch.available(NAME) == 1)
        some.stop.set()
        await eventually(lambda: orch.calls[-1] == ("unregister", NAME))


async def test_a_gateways_job_goes_to_a_worker_with_or_without_a_path_and_a_model(
    tmp_path: Path,
) -> None:
    async with (
        registered(tmp_path, byoc(IMAGE), token=lambda: "t0k") as (orch, url, some),
        worker(some, registration(IMAGE)) as one,
    ):
        await eventually(lambda: NAME in orch.capabilities)
        for route, body in [
            ("text-to-image", {"model_id": "m/sd", "prompt": "a dog"}),
            ("", {"prompt": "a dog"}),
        ]:
            asking = asyncio.create_task(ask(url, NAME, body, route))
            attempt, _, data = await one.job()
            assert data["request"] == {"model_id": "m/sd", "prompt": "a dog"}
            await answer(some, attempt)
            assert await asking == (200, b'{"images": []}')
        assert orch.available(NAME) == 1
        # What is wrong with a job is passed on, and costs the model nothing.
        status, said = await ask(url, NAME, {"model_id": "m/other", "prompt": "a dog"})
        assert (status, b"not offered" in said) == (400, True)
        assert NAME in orch.capabilities


async def test_a_registration_while_jobs_run_leaves_what_is_free_as_it_is(tmp_path: Path) -> None:
    async with (
        registered(tmp_path, byoc(IMAGE)) as (orch, url, some),
        worker(some, registration(IMAGE, capacity=2)) as one,
    ):
        await eventually(lambda: orch.available(NAME) == 2)
        asking = asyncio.create_task(ask(url, NAME, {"prompt": "a dog"}))
        attempt, _, _ = await one.job()
        assert orch.available(NAME) == 1
        async with worker(some, registration(IMAGE, capacity=1)):
            await eventually(lambda: orch.available(NAME) == 2)
            await answer(some, attempt)
            await asking
            assert orch.available(NAME) == 3


async def test_an_orchestrator_that_starts_anew_hears_of_the_models_again(tmp_path: Path) -> None:
    async with orchestrator() as (_, url):
        pass
    port = int(url.rpartition(":")[2])
    more = at(tmp_path, url, again_seconds=0.5)
    async with broker(tmp_path, byoc(IMAGE), **more) as some, worker(some, registration(IMAGE)):
        for _ in range(2):
            async with orchestrator(port=port) as (orch, _):
                await eventually(lambda now=orch: NAME in now.capabilities)


async def test_a_model_whose_currency_is_unknown_there_keeps_no_other_from_being_told(
    tmp_path: Path,
) -> None:
    models = [byoc(LLM, currency="EUR"), byoc(IMAGE)]
    async with (
        registered(tmp_path, *models) as (orch, _, some),
        worker(some, registration(IMAGE, LLM)),
    ):
        await eventually(lambda: orch.available(NAME) == 1)
        assert [*orch.capabilities] == [NAME]


async def test_no_room_in_time_sends_the_gateway_elsewhere_and_a_wrong_token_is_refused(
    tmp_path: Path,
) -> None:
    models = [byoc(IMAGE, wait_seconds=0.2)]
    async with (
        registered(tmp_path, *models, token=lambda: "t0k") as (orch, url, some),
        worker(some, registration(IMAGE)) as one,
    ):
        await eventually(lambda: NAME in orch.capabilities)
        first = asyncio.create_task(ask(url, NAME, {"prompt": "a dog"}))
        await one.job()
        status, said = await ask(url, NAME, {"prompt": "a cat"})
        assert (status, b"insufficient capacity" in said) == (503, True)
        await first
        direct = orch.capabilities[NAME].told["url"]
        async with some.session.post(direct, json={"prompt": "x"}) as response:
            assert response.status == 401


async def test_an_event_stream_ends_with_done_since_the_orchestrator_waits_for_it(
    tmp_path: Path,
) -> None:
    request = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
    word = b'data: {"choices":[{"delta":{"content":"w"},"finish_reason":"stop"}]}\n\n'
    async with (
        registered(tmp_path, byoc(LLM)) as (orch, url, some),
        worker(some, registration(LLM)) as one,
    ):
        await eventually(lambda: orch.available("llm/m/llm") == 1)
        asking = asyncio.create_task(ask(url, "llm/m/llm", request, "llm"))
        attempt, _, _ = await one.job()
        await some.post_result(attempt, word, "text/event-stream")
        status, told = await asyncio.wait_for(asking, 30)
    assert (status, told) == (200, word + b"data: [DONE]\n")
