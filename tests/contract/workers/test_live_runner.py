"""A broker whose models are live runners of an orchestrator with the real one's rules."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from tests.kit.egress.scene import eventually
from tests.kit.workers.scene import Broker, Told, broker, registration, worker

from mediafleet_scheduler.broker.models import LiveRunner, ModelEntry
from mediafleet_scheduler.broker.orchestrators.entries import OrchestratorEntry
from mediafleet_scheduler.broker.orchestrators.keeping import Options, OrchestratorTimes
from mediafleet_scheduler.broker.serve import Times
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_testbed.standins.node_runner_registry import RunnerRegistry

IMAGE = (Pipeline.TEXT_TO_IMAGE, "m/sd")
APP = "text-to-image/m/sd"
RESULT = b'--b\r\nContent-Type: application/json\r\n\r\n{"images":[]}\r\n--b--\r\n'


@contextlib.asynccontextmanager
async def registered(tmp_path: Path) -> AsyncIterator[tuple[RunnerRegistry, str, Broker]]:
    """A stand-in orchestrator, its URL, and a broker that registers there."""
    orch = RunnerRegistry("orch", heartbeat_interval="50ms")
    runner = web.AppRunner(orch.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    (tmp_path / "orch-secret").write_text("orch\n")
    entry = OrchestratorEntry(url=url, secret_file=Path("orch-secret"), byoc=False)
    model = ModelEntry(
        pipeline=IMAGE[0], model=IMAGE[1], wait_seconds=20, live_runner=LiveRunner(price=3.5)
    )
    settings: dict[str, Any] = {
        "orchestrators": Options(Told((entry,)), tmp_path, None),
        "times": Times(orchestrators=OrchestratorTimes(look_seconds=0.02)),
        "token": lambda: "t0k",
    }
    try:
        async with broker(tmp_path, model, **settings) as some:
            yield orch, url, some
    finally:
        await runner.cleanup()


def beats(orch: RunnerRegistry) -> list[tuple[str, int]]:
    return [(each["status"], each["capacity"]) for each in orch.beats]


async def test_a_model_is_a_runner_while_it_has_workers_and_gone_when_the_broker_ends(
    tmp_path: Path,
) -> None:
    async with registered(tmp_path) as (orch, _, some):
        async with worker(some, registration(IMAGE, capacity=2)):
            await eventually(lambda: len(orch.ready()) == 1)
            ((name, runner),) = orch.ready()
            assert runner.declared["price_info"] == {
                "price": 3.5,
                "currency": "usd",
                "unit": "hour",
            }
            await eventually(lambda: beats(orch).count(("ready", 2)) > 3)
            assert [*orch.runners] == [name]
            async with some.session.get(f"{some.runner}/discovery") as response:
                (entry,) = await response.json()
            assert entry["address"] == some.runner
            (told,) = entry["runners"]
            assert (told["app"], told["capacity"], told["capacity_available"]) == (APP, 2, 2)
            for caps, count in (((APP,), 1), (("text-to-image",), 1), ((APP, "llm/m"), 0)):
                asked = f"{some.runner}/discovery?" + urlencode([("caps", each) for each in caps])
                async with some.session.get(asked) as response:
                    assert len(await response.json()) == count
        await eventually(lambda: orch.ready() == [])
        # It is not ready, and there: its sessions would end with it.
        assert [*orch.runners] == [name]
        some.stop.set()
        await eventually(lambda: orch.runners == {})


async def test_a_clients_request_goes_through_the_orchestrator_to_a_worker(tmp_path: Path) -> None:
    async with (
        registered(tmp_path) as (orch, url, some),
        worker(some, registration(IMAGE)) as one,
    ):
        await eventually(lambda: len(orch.ready()) == 1)
        async with some.session.get(f"{url}/discovery") as response:
            ((entry,),) = [each["runners"] for each in await response.json()]

        async def ask() -> tuple[int, object]:
            body = {"prompt": "a dog"}
            async with some.session.post(f"{entry['url']}/text-to-image", json=body) as got:
                return got.status, await got.json()

        asking = asyncio.create_task(ask())
        attempt, _, data = await one.job()
        assert data["request"] == {"model_id": "m/sd", "prompt": "a dog"}
        assert (await ask())[0] == 503
        await some.post_result(attempt, RESULT, "multipart/mixed; boundary=b")
        assert await asking == (200, {"images": []})
        # The URL is what lets a request in: it holds what nobody can guess.
        private = orch.ready()[0][1].declared["runner_url"]
        wrong = private.replace("/live/", "/live/0")
        async with some.session.post(wrong, json={"prompt": "x"}) as response:
            assert response.status == 404


async def test_an_orchestrator_that_starts_anew_or_forgot_the_runner_has_it_again(
    tmp_path: Path,
) -> None:
    async with registered(tmp_path) as (orch, _, some), worker(some, registration(IMAGE)):
        await eventually(lambda: len(orch.ready()) == 1)
        (before,) = orch.runners
        # Started anew: it answers 401. Out of time: 404.
        orch.runners.clear()
        await eventually(lambda: len(orch.ready()) == 1)
        (after,) = orch.runners
        assert after != before
        orch.runners[after].beat_at -= 30
        await eventually(lambda: len(orch.ready()) == 1)
        assert {name for name, _ in orch.ready()}.isdisjoint({before, after})
