"""Two brokers and a real Redis: each tells the demand of a pool's workers and tasks at both."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kit.workers.scene import Broker, broker, registration, worker

from mediafleet_common.api.names import PodState
from mediafleet_scheduler.broker.serve import Times
from mediafleet_scheduler.broker.shared.ledger import client_of
from mediafleet_scheduler.broker.shared.tasks import SharedTimes
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.pools import PoolPod, WorkerPool, WorkerPools
from mediafleet_scheduler.core.workers.views import Target
from mediafleet_scheduler.directory.publisher import Publisher
from mediafleet_testbed.real_servers import RedisServer, redis_server

IMAGE = (Pipeline.TEXT_TO_IMAGE, "m/sd")
TIMES = Times(shared=SharedTimes(beat_seconds=0.05, lease_seconds=3.0))


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


class Pools(Publisher[WorkerPools]):
    """One pool with one pod."""

    def __init__(self) -> None:
        super().__init__()
        pod = PoolPod("p-0", "u-0", PodState.READY)
        self.publish(WorkerPools((WorkerPool("media", "p", {Target(*IMAGE): 2}, (pod,)),)))

    async def run(self) -> None:
        """Nothing to follow."""


@contextlib.asynccontextmanager
async def two(tmp_path: Path, redis: RedisServer) -> AsyncIterator[tuple[Broker, Broker]]:
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            client = client_of(redis.url, None, 2.0)
            some = broker(tmp_path / name, IMAGE, redis=client, times=TIMES, pools=Pools())
            found.append(await stack.enter_async_context(some))
        yield found[0], found[1]


async def demand(of: Broker) -> dict[str, Any]:
    async with of.session.get(f"{of.runner}/demand") as response:
        (told,) = (await response.json())["fleets"]
        found: dict[str, Any] = told
        return found


async def until_both_say(brokers: tuple[Broker, Broker], **wanted: Any) -> None:
    async with asyncio.timeout(20):
        for some in brokers:
            while not wanted.items() <= (told := await demand(some)).items():
                assert told["name"] == "p"
                await asyncio.sleep(0.02)


async def submit(some: Broker, number: int) -> str:
    request = {"model_id": IMAGE[1], "prompt": f"picture {number}"}
    task = {"pipeline": IMAGE[0].value, "request": request}
    async with some.session.post(f"{some.runner}/v1/tasks", json=task) as response:
        return str((await response.json())["id"])


async def test_each_broker_tells_of_the_tasks_and_workers_of_all_and_of_none_without_redis(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with (
        two(tmp_path, redis) as both,
        worker(both[0], registration(IMAGE)),
    ):
        await until_both_say(both, known=True, workers=0, queued={})
        await submit(both[0], 0)
        await submit(both[0], 1)
        task = await submit(both[1], 2)
        # A worker that is no pod has the first; one waits at each broker.
        await until_both_say(both, known=True, queued={str(Target(*IMAGE)): 2})
        for some, words in ((both[0], "broker "), (both[1], "")):
            async with some.session.get(f"{some.runner}/explain?task={task}") as response:
                assert response.status == (404 if words else 200)
                assert words in await response.text()
        redis.process.kill()
        redis.process.wait()
        await until_both_say(
            both, known=False, reason="Redis does not tell what other brokers have"
        )
