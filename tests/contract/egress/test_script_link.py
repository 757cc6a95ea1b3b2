"""The ledger's own connection to Redis, on a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio as redis

from mediafleet_scheduler.egress.ledger.script_calls import ScriptCalls, StoreError
from mediafleet_testbed.real_servers import RedisServer, redis_server

WAIT_SECONDS = 30.0
ECHO = "return {ARGV[1], KEYS[1]}"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[redis.Redis]:
    made = redis.Redis.from_url(server.url, decode_responses=True, protocol=2)
    yield made
    await made.aclose()


@pytest.fixture
async def calls(client: redis.Redis) -> AsyncIterator[ScriptCalls]:
    made = ScriptCalls(client, WAIT_SECONDS)
    yield made
    await made.close()


async def test_calls_that_are_made_together_get_each_its_own_answer(calls: ScriptCalls) -> None:
    told = await asyncio.gather(*(calls.run(ECHO, ["k"], [number]) for number in range(200)))
    assert told == [[str(number), "k"] for number in range(200)]


async def test_who_gives_up_takes_no_other_callers_answer(
    calls: ScriptCalls, client: redis.Redis
) -> None:
    await calls.run(ECHO, ["k"], ["first"])
    await client.client_pause(200)
    impatient = asyncio.create_task(calls.run(ECHO, ["k"], ["impatient"]))
    patient = asyncio.create_task(calls.run(ECHO, ["k"], ["patient"]))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == ["patient", "k"]


async def test_a_script_that_redis_has_forgotten_is_loaded_again(
    calls: ScriptCalls, client: redis.Redis
) -> None:
    await calls.run(ECHO, ["k"], [1])
    await client.script_flush()
    assert await calls.run(ECHO, ["k"], [2]) == ["2", "k"]


async def test_a_call_outlives_the_connection_that_it_was_sent_on(
    calls: ScriptCalls, client: redis.Redis
) -> None:
    await calls.run(ECHO, ["k"], [1])
    await client.client_pause(300, all=False)
    told = asyncio.gather(*(calls.run(ECHO, ["k"], [number]) for number in range(5)))
    await asyncio.sleep(0)
    await client.client_kill_filter(_type="normal", skipme=True)
    assert await told == [[str(number), "k"] for number in range(5)]


async def test_a_redis_that_does_not_answer_in_time_is_an_error_and_the_next_call_is_answered(
    client: redis.Redis,
) -> None:
    calls = ScriptCalls(client, 0.2)
    await client.client_pause(600)
    with pytest.raises(StoreError, match=r"cannot be asked: no answer in 0\.2 s$"):
        await calls.run(ECHO, ["k"], [1])
    await client.client_unpause()
    patient = ScriptCalls(client, WAIT_SECONDS)
    assert await patient.run(ECHO, ["k"], [2]) == ["2", "k"]
    await calls.close()
    await patient.close()


async def test_after_its_end_nothing_is_asked(calls: ScriptCalls) -> None:
    await calls.run(ECHO, ["k"], [1])
    await calls.close()
    with pytest.raises(StoreError):
        await calls.run(ECHO, ["k"], [2])


async def test_one_key_is_taken_once(calls: ScriptCalls) -> None:
    assert await calls.take("what", 30)
    assert not await calls.take("what", 30)
