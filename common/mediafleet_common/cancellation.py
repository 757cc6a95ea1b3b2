"""A cancellation that a library may lose is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

ResultT = TypeVar("ResultT")


async def or_cancelled(call: Awaitable[ResultT]) -> ResultT:
    """A call's result, unless its task was cancelled meanwhile.

    redis-py sends with asyncio.wait_for, which in Python 3.11 loses a cancellation that comes
    together with the result: https://github.com/python/cpython/issues/86296. The call then goes on,
    to its result or to an error, such as that of a Redis that is gone. A loop that is cancelled
    once would go on for good with either, and its process would not end.

    Raises:
        asyncio.CancelledError: it was cancelled, whatever the call gave or raised.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0

    def is_cancelled() -> bool:
        return task is not None and task.cancelling() > before

    try:
        result = await call
    except Exception as error:
        if is_cancelled():
            raise asyncio.CancelledError from error
        raise
    if is_cancelled():
        raise asyncio.CancelledError
    return result
