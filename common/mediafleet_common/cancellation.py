"""A cancellation that a library may lose is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

ResultT = TypeVar("ResultT")


async def or_cancelled(call: Awaitable[ResultT]) -> ResultT:
    """A call's result, unless its task was cancelled meanwhile.

    redis-py waits with asyncio.wait_for, which in Python 3.11 loses a cancellation that comes
    together with the result: https://github.com/python/cpython/issues/86296. A loop that is
    cancelled once then goes on for good, and its process does not end.

    Raises:
        asyncio.CancelledError: it was cancelled, whatever the call gave.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    result = await call
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return result
