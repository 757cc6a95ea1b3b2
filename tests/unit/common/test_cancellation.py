"""A cancellation that comes together with a library's result is not lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mediafleet_common.cancellation import or_cancelled
from mediafleet_scheduler.broker.shared.ledger import Ledger


async def _loses_a_cancellation() -> str:
    """As asyncio.wait_for of Python 3.11, when the result is there at the same moment."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "the result"
    raise AssertionError("nobody cancelled")


async def test_a_call_that_loses_a_cancellation_ends_its_task_all_the_same() -> None:
    task = asyncio.create_task(or_cancelled(_loses_a_cancellation()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_loses_a_cancellation_and_then_fails_ends_its_task_all_the_same() -> None:
    async def call() -> str:
        await _loses_a_cancellation()
        raise ConnectionError("Redis is gone")

    task = asyncio.create_task(or_cancelled(call()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_fails_by_itself_says_so() -> None:
    async def call() -> str:
        raise ConnectionError("Redis is gone")

    with pytest.raises(ConnectionError, match="Redis is gone"):
        await or_cancelled(call())


async def test_a_call_that_is_not_cancelled_gives_its_result() -> None:
    async def call() -> int:
        return 3

    assert await or_cancelled(call()) == 3


async def test_a_time_out_is_told_as_one() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await or_cancelled(_loses_a_cancellation())


class _Client:
    """Of a Redis whose client loses cancellations."""

    def register_script(self, text: str) -> Any:
        return lambda keys, arguments: _loses_a_cancellation()

    def delete(self, *names: str) -> Any:
        return _loses_a_cancellation()


async def test_a_broker_that_is_stopped_while_it_asks_redis_stops() -> None:
    ledger = Ledger(_Client(), "a", 60.0)  # type: ignore[arg-type]
    for call in (ledger.leave(), ledger.drop("task")):
        task = asyncio.ensure_future(call)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
