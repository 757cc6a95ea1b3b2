"""Brokers as processes that share the JSON API's tasks in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kit.workers.processes import IMAGE, Process, two
from tests.kit.workers.scene import Worker, registration, worker

from mediafleet_scheduler.broker.shared.ledger import client_of
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_testbed.real_servers import RedisServer, redis_server


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def at(some: Process, *targets: tuple[Pipeline, str], capacity: int = 4) -> Any:
    """A worker of a broker."""
    return worker(some, registration(*targets, capacity=capacity))  # type: ignore[arg-type]


async def does_all(some: Process, one: Worker, done: list[str]) -> None:
    """Work as a worker that says which request it has done."""
    while True:
        attempt, _, data = await one.job()
        done.append(data["request"]["prompt"])
        await some.post(attempt, {"did": data["request"]["prompt"]})


async def test_tasks_of_a_broker_that_is_killed_are_done_by_another_and_answered_once(
    tmp_path: Path, redis: RedisServer
) -> None:
    done: list[str] = []
    async with two(tmp_path, redis) as (a, b), at(a, IMAGE, capacity=2) as first:
        tasks = [await a.submit(number) for number in range(8)]
        attempt, _, data = await first.job()
        await a.post(attempt, {"did": data["request"]["prompt"]})
        assert await a.result(tasks[0]) == (200, {"did": "picture 0"})
        # Two more have been given to its worker, and the others wait.
        await first.job()
        a.process.kill()
        await a.process.wait()
        async with at(b, IMAGE) as second:
            working = asyncio.create_task(does_all(b, second, done))
            answers = await asyncio.gather(*(b.result(task) for task in tasks))
            again = await asyncio.gather(*(b.result(task) for task in tasks))
            working.cancel()
    assert answers == [(200, {"did": f"picture {number}"}) for number in range(8)]
    assert again == answers
    assert sorted(done) == [f"picture {number}" for number in range(1, 8)]


async def test_a_result_that_comes_while_its_broker_is_gone_answers_the_task_once(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with two(tmp_path, redis) as (a, b), at(a, IMAGE, capacity=1) as first:
        done, running, waiting = [await a.submit(number) for number in range(3)]
        attempt, _, _ = await first.job()
        await a.post(attempt, {"did": "first"})
        assert await a.result(done) == (200, {"did": "first"})
        attempt, _, data = await first.job()
        assert data["request"]["prompt"] == "picture 1"
        await given(redis, running, attempt)
        a.process.kill()
        await a.process.wait()
        # The other broker has no worker: nobody else could do the task.
        await b.post(attempt, {"did": "second"})
        assert await b.result(running) == (200, {"did": "second"})
        await b.post(attempt, {"did": "again"})
        assert await b.result(running) == (200, {"did": "second"})
        assert (await b.result(waiting, wait=0))[0] == 202


async def given(redis: RedisServer, task: str, attempt: int) -> None:
    """Wait until Redis has it that a task was given to a worker."""
    client = client_of(redis.url, None, 2.0)
    async with asyncio.timeout(20):
        while str(attempt) not in str(
            await client.hget(f"mediafleet:{{broker}}:task:{task}", "given")
        ):
            pass
    await client.aclose()
