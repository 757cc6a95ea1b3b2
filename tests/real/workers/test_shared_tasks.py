"""Brokers in this process that share the JSON API's tasks in a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.kit.egress.scene import eventually
from tests.kit.workers.scene import Broker, Worker, broker, registration, worker

from mediafleet_scheduler.broker.serve import Times
from mediafleet_scheduler.broker.shared.ledger import Ledger, LedgerError, client_of
from mediafleet_scheduler.broker.shared.tasks import SharedTimes, sweep
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_scheduler.core.workers.steps import Verdict
from mediafleet_scheduler.core.workers.views import Target
from mediafleet_testbed.real_servers import RedisServer, free_port, redis_server

UPSCALE = (Pipeline.UPSCALE, "m/up")
LONG = b"x" * (1024 * 1024 + 1)
TIMES = Times(shared=SharedTimes(beat_seconds=0.05, lease_seconds=5.0))


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@contextlib.asynccontextmanager
async def two(
    tmp_path: Path, redis: RedisServer, **more: Any
) -> AsyncIterator[tuple[Broker, Broker]]:
    """Two brokers of one Redis."""
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            where = f"127.0.0.1:{free_port()}"
            given = {"redis": client_of(redis.url, None, 2.0), "times": TIMES, **more}
            given |= {"listen": where, "peer": where}
            some = broker(tmp_path / name, UPSCALE, **given)
            found.append(await stack.enter_async_context(some))
        yield found[0], found[1]


async def submit(some: Broker, content: bytes) -> str:
    request = {"model_id": UPSCALE[1], "prompt": "hi"}
    form = aiohttp.FormData()
    form.add_field("task", json.dumps({"pipeline": UPSCALE[0].value, "request": request}))
    form.add_field("file", io.BytesIO(content), filename="file")
    async with some.session.post(f"{some.runner}/v1/tasks", data=form) as response:
        assert response.status == 202, await response.text()
        return str((await response.json())["id"])


async def result(some: Broker, task: str, wait: float = 20) -> tuple[int, Any]:
    url = f"{some.runner}/v1/tasks/{task}/result?wait={wait:g}"
    async with some.session.get(url) as response:
        return response.status, await response.json()


async def post(some: Broker, attempt: int, answer: str) -> None:
    """A worker's result."""
    part = json.dumps({"did": answer}).encode()
    data = b"--b\r\nContent-Type: application/json\r\n\r\n" + part + b"\r\n--b--\r\n"
    await some.post_result(attempt, data, "multipart/mixed; boundary=b")


async def work(some: Broker, one: Worker, inputs: list[bytes]) -> None:
    """Work as a worker that answers with the length of its input."""
    while True:
        attempt, _, data = await one.job()
        inputs.append(await one.input(data["input_url"]))
        await post(some, attempt, str(len(inputs[-1])))


async def test_any_broker_answers_for_a_task_and_cancels_it(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with two(tmp_path, redis) as (a, b), worker(a, registration(UPSCALE, capacity=2)) as one:
        task = await submit(a, b"short")
        attempt, _, _ = await one.job()
        status, state = await result(b, task, wait=0)
        assert (status, state["id"], state["state"]) == (202, task, "waiting")
        asking = asyncio.create_task(result(b, task))
        await post(a, attempt, "it")
        assert await asking == await result(a, task) == (200, {"did": "it"})
        other = await submit(a, b"short")
        async with b.session.delete(f"{b.runner}/v1/tasks/{other}") as response:
            assert response.status == 204
        for some in (b, a):
            async with asyncio.timeout(20):
                # Each call waits a little at the broker.
                while (await result(some, other, wait=0.05))[0] == 202:
                    pass
            assert (await result(some, other, wait=0))[0] == 404


@pytest.mark.parametrize("has_folder", [True, False])
async def test_what_a_broker_leaves_is_done_by_another_if_its_input_is_short_or_in_the_folder(
    tmp_path: Path, redis: RedisServer, has_folder: bool
) -> None:
    bodies = tmp_path / "bodies"
    bodies.mkdir()
    inputs: list[bytes] = []
    async with two(tmp_path, redis, bodies=bodies if has_folder else None) as (a, b):
        short, long = await submit(a, b"short"), await submit(a, LONG)
        a.stop.set()
        async with worker(b, registration(UPSCALE)) as one:
            working = asyncio.create_task(work(b, one, inputs))
            assert await result(b, short) == (200, {"did": "5"})
            status, answer = await result(b, long)
            working.cancel()
    if has_folder:
        assert (status, answer) == (200, {"did": str(len(LONG))})
    else:
        assert (status, answer["error"]["code"]) == (502, "lost")
        assert answer["error"]["message"].startswith("input lost")
    assert sorted(inputs, key=len) == [b"short", LONG][: 1 + has_folder]


async def test_a_result_and_an_input_go_through_the_broker_that_a_worker_happens_to_reach(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with two(tmp_path, redis) as (a, b), worker(a, registration(UPSCALE)) as one:
        task = await submit(a, LONG)
        attempt, _, data = await one.job()
        through = data["input_url"].replace(a.authority, b.authority)
        assert through != data["input_url"]
        async with asyncio.timeout(20):
            # Brokers hear of each other by their beats.
            while True:
                async with b.session.get(through, ssl=False) as response:
                    if response.status == 200:
                        assert await response.read() == LONG
                        break
        part = b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b--\r\n"
        media = "multipart/mixed; boundary=b"
        wrong = await b.post_result(attempt, part, media, Credentials="another")
        assert wrong == (401, "invalid secret")
        assert await b.post_result(attempt, part, media) == (200, "ok")
        assert await result(a, task) == (200, {})
        # A second time its own broker says that nobody waits.
        again = (200, "nobody waits for this result any more")
        assert await b.post_result(attempt, part, media) == again
        nobody = through.replace("/inputs/", "/inputs/0")
        async with b.session.get(nobody, ssl=False) as response:
            assert response.status == 404


async def test_a_result_of_a_broker_that_ended_is_taken_from_its_own_worker_alone(
    tmp_path: Path, redis: RedisServer
) -> None:
    named = [("alice", "a-secret"), ("bob", "b-secret")]
    media = "multipart/mixed; boundary=b"
    part = b'--b\r\nContent-Type: application/json\r\n\r\n{"did":"it"}\r\n--b--\r\n'
    async with two(tmp_path, redis, named=lambda: named) as (a, b):
        async with worker(a, registration(UPSCALE, secret="a-secret")) as one:
            task = await submit(a, b"short")
            attempt, _, _ = await one.job()
        # The worker is gone, and then its broker.
        a.stop.set()
        foreign = await b.post_result(attempt, part, media, Credentials="b-secret")
        assert foreign == (401, "this job was given to another worker")
        own = await b.post_result(attempt, part, media, Credentials="a-secret")
        assert own == (200, "ok")
        assert await result(b, task) == (200, {"did": "it"})


async def test_a_result_goes_to_the_broker_that_took_its_task_from_one_that_is_alive(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with two(tmp_path, redis) as (a, b), worker(a, registration(UPSCALE)) as one:
        task = await submit(a, b"short")
        attempt, _, _ = await one.job()
        client = client_of(redis.url, None, 2.0)
        owner = str(await client.hget(f"mediafleet:{{broker}}:task:{task}", "owner"))
        theirs, own = b.serving.jobs.dispatcher, a.serving.jobs.dispatcher
        async with asyncio.timeout(20):
            # As if it had not reached Redis for longer than its lease.
            while theirs.verdict(attempt) is not Verdict.WANTED:
                await client.delete(f"mediafleet:{{broker}}:alive:{owner}")
        await client.aclose()
        await eventually(lambda: own.verdict(attempt) is Verdict.LATE)
        await post(a, attempt, "it")
        assert await result(b, task) == (200, {"did": "it"})
        assert own.in_use(Target(*UPSCALE)) == 0


async def test_an_emptied_redis_costs_no_task_and_hears_of_all_again(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with two(tmp_path, redis) as (a, b), worker(a, registration(UPSCALE)) as one:
        task = await submit(a, b"short")
        attempt, _, _ = await one.job()
        client = client_of(redis.url, None, 2.0)
        await client.flushall()
        async with asyncio.timeout(20):
            while (await result(b, task, wait=0))[0] == 404:
                pass
        await post(a, attempt, "it")
        assert await result(b, task) == (200, {"did": "it"})
        await client.aclose()


async def test_without_redis_tasks_are_done_and_answered_by_their_own_broker(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with two(tmp_path, redis) as (a, b), worker(a, registration(UPSCALE)) as one:
        redis.process.kill()
        redis.process.wait()
        task = await submit(a, b"short")
        attempt, _, _ = await one.job()
        await post(a, attempt, "it")
        assert await result(a, task) == (200, {"did": "it"})
        status, answer = await result(b, task, wait=0)
        assert (status, answer["error"]["code"]) == (503, "redis_away")


async def test_a_broker_that_was_away_for_long_answers_no_task_that_others_took(
    redis: RedisServer,
) -> None:
    first, second = (Ledger(client_of(redis.url, None, 2.0), name, 2.0) for name in ("a", "b"))
    await first.beat(0.001)
    for task in ("t1", "t2"):
        await first.put(task, "{}", 60)
    assert await first.answer("t2", 1, "first", 60)
    async with asyncio.timeout(20):
        while not (beat := await second.beat(60)).taken:
            pass
    (taken,) = beat.taken
    assert (taken.id, taken.version, taken.record) == ("t1", 2, "{}")
    assert not await first.answer("t1", 1, "first", 60)
    assert await second.answer("t1", 2, "second", 60)
    # The same again is taken for the one that was given, another one is not.
    assert await second.answer("t1", 2, "second", 60)
    assert not await second.answer("t1", 2, "third", 60)
    assert [known and known.answer for known in [await first.find(t) for t in ("t1", "t2")]] == [
        "second",
        "first",
    ]
    assert (await first.beat(60)).own == frozenset()
    for each in (first, second):
        await each.close()
    redis.process.kill()
    redis.process.wait()
    away = Ledger(client_of(redis.url, None, 2.0), "c", 2.0)
    with pytest.raises(LedgerError, match="Redis cannot be asked"):
        await away.find("t1")
    await away.close()


def test_the_shared_folder_is_rid_of_what_tasks_of_long_ago_left(tmp_path: Path) -> None:
    for name, at in (("a.input", 10), ("b.result", 10), ("c.input", 30), ("notes", 10)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (at, at))
    sweep(tmp_path, 20.0)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["c.input", "notes"]
