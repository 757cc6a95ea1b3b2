"""A stock worker behind ours, as in a pod: tasks go through, and we know when it has stopped."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from tests.contract.workers.test_worker import served
from tests.kit.egress.scene import eventually
from tests.kit.workers.scene import SECRET, Broker, broker

from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.stock import Presence
from mediafleet_scheduler.core.workers.views import Target
from mediafleet_scheduler.stock.desk import Options, StockDesk
from mediafleet_scheduler.stock.docker import API_VERSION, DockerStub
from mediafleet_scheduler.worker.brokers import Brokers
from mediafleet_scheduler.worker.client import Settings, Worker
from mediafleet_scheduler.worker.runners import Runner
from mediafleet_scheduler.worker.serve import serve
from mediafleet_scheduler.worker.times import Times
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.standins import ai_runner
from mediafleet_testbed.standins.stock_ai_worker import StockWorker

SPEECH: Final = (Pipeline.TEXT_TO_SPEECH, "standin")
UID: Final = "uid-of-the-pod"


@dataclass(frozen=True, slots=True)
class Pod:
    """Our worker and its desk for a stock worker."""

    desk: StockDesk
    working: Worker
    runner_url: str
    http: str
    """Our worker's HTTP port, which Kubernetes asks."""

    def stock_worker(self, secret: str = UID) -> StockWorker:
        model = {"pipeline": SPEECH[0].value, "model_id": SPEECH[1], "url": self.runner_url}
        models = ({**model, "capacity": 1, "warm": True},)
        address = f"127.0.0.1:{self.desk.serving.port}"
        docker = f"http://127.0.0.1:{self.desk.docker.port}"
        return StockWorker(address, secret, models, docker)


@contextlib.asynccontextmanager
async def pod(
    of: Broker, tmp_path: Path, away_seconds: float = 120.0, runner_seconds: float = 0.0
) -> AsyncIterator[Pod]:
    """As `mediafleet worker --stock-worker` sets it up."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(of.certificate)
    target = Target(*SPEECH)
    options = Options("127.0.0.1:0", "127.0.0.1:0", UID, (target,), away_seconds)
    async with (
        served(ai_runner.app(runner_seconds)) as url,
        StockDesk(options) as desk,
    ):
        runner = replace(Runner(target, url), url=desk.url)
        settings = Settings(
            Brokers((of.authority,)),
            lambda: SECRET,
            (runner,),
            ca,
            times=Times(resume_seconds=0.0),
            before=desk.registered,
        )
        working, stop = Worker(settings), asyncio.Event()
        http = f"127.0.0.1:{free_port()}"
        running = asyncio.create_task(serve(working, http, stop, CollectorRegistry(), desk))
        yield Pod(desk, working, url, f"http://{http}")
        stop.set()
        await running


@contextlib.asynccontextmanager
async def at_work(stock: StockWorker) -> AsyncIterator[None]:
    running = asyncio.create_task(stock.run())
    yield
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def say(of: Broker, text: str) -> int:
    body = {"model_id": SPEECH[1], "text": text}
    async with of.session.post(f"{of.runner}/text-to-speech", json=body) as response:
        return response.status


async def test_a_task_goes_through_ours_to_the_stock_worker_and_its_runner(tmp_path: Path) -> None:
    async with broker(tmp_path, SPEECH) as some, pod(some, tmp_path) as one:
        asking = asyncio.create_task(say(some, "hello"))
        # Nobody is told of the pod before its stock worker is there.
        await eventually(lambda: some.serving.jobs.dispatcher.waiting(Target(*SPEECH)) == 1)
        assert one.desk.why_not_ready() is not None
        assert some.serving.jobs.dispatcher.workers == []
        async with at_work(one.stock_worker()):
            assert await asking == 200
            assert one.desk.why_not_ready() is None


async def test_one_whose_stream_has_ended_for_good_is_known_to_have_stopped(tmp_path: Path) -> None:
    async with broker(tmp_path, SPEECH) as some, pod(some, tmp_path, away_seconds=0.2) as one:
        stock = one.stock_worker()
        async with at_work(stock):
            assert await say(some, "hello") == 200
            stock.stopped.set()
            # Its process goes on.
            await eventually(lambda: one.desk.presence() is Presence.STOPPED)
            assert one.desk.why_not_ready() is not None
        # Kubernetes starts it again.
        async with at_work(one.stock_worker()):
            assert await say(some, "again") == 200
            assert one.desk.presence() is Presence.HERE


async def test_one_that_stops_right_after_its_task_is_not_waited_for_as_one_that_has_some(
    tmp_path: Path,
) -> None:
    async with (
        broker(tmp_path, SPEECH) as some,
        pod(some, tmp_path, away_seconds=0.2, runner_seconds=0.3) as one,
    ):
        stock, dispatcher = one.stock_worker(), one.desk.serving.jobs.dispatcher
        async with at_work(stock):
            asking = asyncio.create_task(say(some, "hello"))
            await eventually(lambda: dispatcher.in_use(Target(*SPEECH)) == 1)
            # The last look before it stops finds it with a task.
            assert one.desk.presence() is Presence.HERE
            assert await asking == 200
            stock.stopped.set()
            await eventually(lambda: not dispatcher.workers)
            await eventually(lambda: one.desk.presence() is Presence.STOPPED)


async def test_one_that_stops_in_mid_task_is_waited_for_and_the_task_done_by_the_next(
    tmp_path: Path,
) -> None:
    async with (
        broker(tmp_path, SPEECH) as some,
        pod(some, tmp_path, away_seconds=0.0, runner_seconds=0.5) as one,
    ):
        stock, dispatcher = one.stock_worker(), one.desk.serving.jobs.dispatcher
        async with at_work(stock):
            asking = asyncio.create_task(say(some, "hello"))
            await eventually(lambda: dispatcher.in_use(Target(*SPEECH)) == 1)
            stock.stopped.set()
            await eventually(lambda: not dispatcher.workers)
            assert one.desk.presence() is Presence.AWAY
        async with at_work(one.stock_worker()):
            assert await asking == 200


async def asked(of: Broker, url: str) -> tuple[int, str]:
    async with of.session.get(url) as response:
        return response.status, await response.text()


async def test_probe_and_hook_know_one_that_has_stopped_so_that_the_pod_works_on(
    tmp_path: Path,
) -> None:
    async with broker(tmp_path, SPEECH) as some, pod(some, tmp_path, away_seconds=0.2) as one:
        stock = one.stock_worker()
        async with at_work(stock):
            assert await say(some, "hello") == 200
            assert await asked(some, f"{one.http}/stock-worker") == (200, "here")
            stock.stopped.set()
            await eventually(lambda: one.desk.presence() is Presence.STOPPED)
            assert await asked(some, f"{one.http}/stock-worker") == (503, "stopped")
            # Kubernetes asks it before it ends the container, while our worker goes on.
            assert await asked(some, f"{one.http}/stock-worker/hold") == (200, "stopped")
        async with at_work(one.stock_worker()):
            assert await say(some, "again") == 200


async def test_a_worker_that_drained_for_another_containers_end_takes_tasks_again(
    tmp_path: Path,
) -> None:
    async with (
        broker(tmp_path, SPEECH) as some,
        pod(some, tmp_path) as one,
        at_work(one.stock_worker()),
    ):
        assert await say(some, "hello") == 200
        for path in ("/hold", "/stock-worker/hold"):
            assert await asked(some, f"{one.http}{path}") == (200, "idle")
            assert await say(some, "again") == 200


async def test_one_with_another_secret_stops_for_good(tmp_path: Path) -> None:
    async with broker(tmp_path, SPEECH) as some, pod(some, tmp_path, away_seconds=0.2) as one:
        async with at_work(one.stock_worker("another")):
            await eventually(lambda: one.desk.presence() is Presence.STOPPED)
        assert not one.working.registered


async def test_docker_is_answered_but_starts_no_container() -> None:
    async with DockerStub("127.0.0.1:0") as stub, aiohttp.ClientSession() as session:
        docker = f"http://127.0.0.1:{stub.port}"
        async with session.head(f"{docker}/_ping") as response:
            assert (response.status, response.headers["Api-Version"]) == (200, API_VERSION)
        for version in ("", "/v1.41"):
            async with session.get(f"{docker}{version}/containers/json?all=1") as response:
                assert await response.json() == []
        image = f"{docker}/v1.44/images/livepeer/ai-runner:llm/json"
        async with session.get(image) as response:
            assert (await response.json())["RepoTags"] == ["livepeer/ai-runner:llm"]
        async with session.post(f"{docker}/v1.44/containers/create?name=x", json={}) as response:
            assert response.status == 501
            assert "URL of a runner" in (await response.json())["message"]


async def test_a_port_that_is_taken_is_said_and_nothing_is_left_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for listen, docker in ((address, "127.0.0.1:0"), ("127.0.0.1:0", address)):
            with pytest.raises(CannotStartError, match="cannot listen"):
                async with StockDesk(Options(listen, docker, UID, (Target(*SPEECH),))):
                    pass
