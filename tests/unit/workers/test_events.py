"""Events of a result on their way from a worker to a caller."""

from __future__ import annotations

import asyncio

import pytest

from mediafleet_scheduler.broker.jobs import Events, TaskFailedError


async def test_a_caller_that_has_gone_holds_its_worker_back_no_longer() -> None:
    events = Events()

    async def pour() -> None:
        for _ in range(1000):
            await events.put(b"x")
        await events.end()

    pouring = asyncio.create_task(pour())
    await asyncio.wait({pouring}, timeout=0.01)
    assert not pouring.done()
    events.break_off()
    await asyncio.wait_for(pouring, 10)


async def test_what_is_broken_off_is_no_end() -> None:
    events = Events()
    await events.put(b"x")
    events.break_off()
    with pytest.raises(TaskFailedError):
        await events.get()
