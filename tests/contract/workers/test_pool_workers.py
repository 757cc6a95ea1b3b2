"""A broker that follows AIWorkerPools: a real worker of a pod, its drain, and what is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry
from tests.contract.workers.test_worker import served
from tests.kit.egress.scene import eventually
from tests.kit.workers.scene import SECRET, Broker, broker

from mediafleet_common.api.names import Kind, Label, PodState
from mediafleet_common.reports.pages.workers import WorkersPage
from mediafleet_common.reports.task import TaskExplained
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.pools import PoolPod, WorkerPool, WorkerPools
from mediafleet_scheduler.core.workers.views import Target
from mediafleet_scheduler.directory.objects import pod_facts, worker_pool_facts, worker_pools
from mediafleet_scheduler.directory.publisher import Publisher
from mediafleet_scheduler.worker.brokers import Brokers
from mediafleet_scheduler.worker.client import Settings, Worker
from mediafleet_scheduler.worker.runners import Runner
from mediafleet_scheduler.worker.serve import serve

IMAGE = (Pipeline.TEXT_TO_IMAGE, "m/sd")
BODY = {"model_id": "m/sd", "prompt": "x"}


class Told(Publisher[WorkerPools]):
    """Pools that change when the test says so."""

    complaint = None

    async def run(self) -> None:
        """Nothing to follow."""

    def says(self, state: PodState) -> None:
        pod = PoolPod("p-0", "u-0", state)
        self.publish(WorkerPools((WorkerPool("media", "p", {Target(*IMAGE): 1}, (pod,)),)))


class SlowRunner:
    """Answers when it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.healthy = False
        self.app = web.Application()
        self.app.add_routes(
            [web.post("/text-to-image", self._run), web.get("/health", self._health)]
        )

    async def _run(self, _: web.Request) -> web.Response:
        self.begun.set()
        await self.go_on.wait()
        return web.json_response({"images": [{"url": "data:image/png;base64,QUJD"}]})

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.healthy else 503)


@contextlib.asynccontextmanager
async def pod(of: Broker, tmp_path: Path, url: str) -> AsyncIterator[Worker]:
    """The worker of pod media/p-0, with its HTTP port."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(of.certificate)
    runner = Runner(Target(*IMAGE), url)
    settings = Settings(
        Brokers((of.authority,)), lambda: SECRET, (runner,), ca, None, ("media/p-0", "u-0"), True
    )
    working, stop = Worker(settings), asyncio.Event()
    running = asyncio.create_task(serve(working, "127.0.0.1:0", stop, CollectorRegistry()))
    yield working
    stop.set()
    await running


async def ask(of: Broker) -> int:
    async with of.session.post(f"{of.runner}/text-to-image", json=BODY) as response:
        return response.status


async def demand(of: Broker) -> dict[str, Any]:
    async with of.session.get(f"{of.runner}/demand") as response:
        (told,) = (await response.json())["fleets"]
        found: dict[str, Any] = told
        return found


async def test_a_broker_shows_its_models_and_workers_to_its_pages(tmp_path: Path) -> None:
    async with broker(tmp_path, IMAGE) as some:
        async with some.session.get(f"{some.runner}/ui/data") as response:
            page = WorkersPage.model_validate_json(await response.text())
        assert page.workers == []
        assert [each.name for each in page.models] == [str(Target(*IMAGE))]
        async with some.session.get(f"{some.runner}/ui/") as response:
            assert 'data-views="workers scaling"' in await response.text()


async def test_a_pods_worker_registers_when_its_runner_answers_and_works_once_it_is_ready(
    tmp_path: Path,
) -> None:
    pools, runner = Told(), SlowRunner()
    pools.says(PodState.PENDING)
    runner.go_on.set()
    async with (
        served(runner.app) as url,
        broker(tmp_path, IMAGE, pools=pools) as some,
        pod(some, tmp_path, url) as working,
    ):
        dispatcher = some.serving.jobs.dispatcher
        asking = asyncio.create_task(ask(some))
        await eventually(lambda: dispatcher.waiting(Target(*IMAGE)) == 1)
        assert dispatcher.workers == []
        runner.healthy = True
        await eventually(lambda: working.registered)
        await eventually(lambda: len(dispatcher.workers) == 1)
        assert dispatcher.workers[0].name == "media/p-0"
        # Its pod is not marked ready: the operator may still delete it without a drain.
        assert dispatcher.waiting(Target(*IMAGE)) == 1
        pools.says(PodState.READY)
        assert await asking == 200


async def test_a_task_is_explained_with_the_pod_that_had_it_and_its_pool(tmp_path: Path) -> None:
    pools, runner = Told(), SlowRunner()
    pools.says(PodState.READY)
    runner.healthy = True
    runner.go_on.set()
    async with (
        served(runner.app) as url,
        broker(tmp_path, IMAGE, pools=pools) as some,
        pod(some, tmp_path, url),
    ):
        task = {"pipeline": IMAGE[0].value, "request": BODY}
        async with some.session.post(f"{some.runner}/v1/tasks", json=task) as response:
            name = (await response.json())["id"]
        async with some.session.get(f"{some.runner}/v1/tasks/{name}/result?wait=20") as response:
            assert response.status == 200
        async with some.session.get(f"{some.runner}/explain?task={name}") as response:
            told = TaskExplained.model_validate_json(await response.text())
    assert [(each.pod, each.pool) for each in told.attempts] == [("media/p-0", "p")]


async def test_a_pod_that_drains_finishes_its_task_and_gets_no_other_until_it_is_taken_back(
    tmp_path: Path,
) -> None:
    pools, runner = Told(), SlowRunner()
    pools.says(PodState.READY)
    runner.healthy = True
    async with (
        served(runner.app) as url,
        broker(tmp_path, IMAGE, pools=pools) as some,
        pod(some, tmp_path, url) as working,
    ):
        dispatcher = some.serving.jobs.dispatcher
        first = asyncio.create_task(ask(some))
        await runner.begun.wait()
        pools.says(PodState.DRAINING)
        second = asyncio.create_task(ask(some))
        await eventually(lambda: dispatcher.waiting(Target(*IMAGE)) == 1)
        assert working.tasks == 1
        runner.go_on.set()
        assert await first == 200
        await eventually(lambda: working.tasks == 0)
        assert dispatcher.waiting(Target(*IMAGE)) == 1
        looked = await demand(some)
        async with asyncio.timeout(60):
            # It is read ten times a second.
            while looked["queued"] != {"text-to-image/m/sd": 1} or looked["workers"] != 1:
                looked = await demand(some)
        assert (looked["kind"], looked["ready"]) == (Kind.AI_WORKER_POOL.value, 0)
        pools.says(PodState.READY)
        assert await second == 200


async def test_kubernetes_waits_for_the_tasks_of_a_pod_that_it_ends(tmp_path: Path) -> None:
    pools, runner = Told(), SlowRunner()
    pools.says(PodState.READY)
    runner.healthy = True
    registry = CollectorRegistry()
    ca = tmp_path / "ca.pem"
    async with served(runner.app) as url, broker(tmp_path, IMAGE, pools=pools) as some:
        ca.write_bytes(some.certificate)
        settings = Settings(
            Brokers((some.authority,)), lambda: SECRET, (Runner(Target(*IMAGE), url),), ca
        )
        working, stop = Worker(settings), asyncio.Event()
        listening = await free_port()
        running = asyncio.create_task(serve(working, f"127.0.0.1:{listening}", stop, registry))
        await eventually(lambda: working.registered)
        base = f"http://127.0.0.1:{listening}"
        asking = asyncio.create_task(ask(some))
        await runner.begun.wait()
        async with some.session.get(f"{base}/metrics") as response:
            text = await response.text()
        assert "mediafleet_worker_tasks 1.0" in text
        assert "mediafleet_worker_capacity 1.0" in text
        holding = asyncio.create_task(get(some.session, f"{base}/hold"))
        await asyncio.wait({holding}, timeout=0.05)
        assert not holding.done()
        assert await get(some.session, f"{base}/readyz") == 200
        runner.go_on.set()
        assert await asking == 200
        assert await holding == 200
        stop.set()
        await running


async def free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port


async def get(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as response:
        return response.status


def test_pools_and_their_pods_are_read_as_the_api_server_has_them() -> None:
    spec = {
        "models": [{"pipeline": "text-to-image", "model": "m/sd", "capacity": 3}],
        "secret": {"name": "s", "key": "k"},
        "template": {"spec": {"containers": [{"name": "runner", "image": "r"}]}},
    }
    raw = {"metadata": {"namespace": "media", "name": "p", "uid": "pool"}, "spec": spec}
    owner = {"apiVersion": "mediafleet.dev/v1alpha1", "controller": True, "uid": "pool"}
    meta = {
        "namespace": "media",
        "name": "p-0",
        "uid": "u-0",
        "labels": {Label.STATE: PodState.READY},
        "ownerReferences": [owner],
    }
    conditions = [{"type": "Ready", "status": "True"}]
    one = {"metadata": meta, "status": {"conditions": conditions}}
    stranger = {**one, "metadata": {**meta, "uid": "u-1", "ownerReferences": []}}
    view = worker_pools([worker_pool_facts(raw)], [pod_facts(one), pod_facts(stranger)])
    pods = (PoolPod("p-0", "u-0", PodState.READY),)
    assert view.pools == (WorkerPool("media", "p", {Target(*IMAGE): 3}, pods),)
