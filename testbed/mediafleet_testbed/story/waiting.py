"""Wait for something to become true, with a bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mediafleet_testbed.errors import TestbedError

T = TypeVar("T")


async def until(
    what: str,
    ask: Callable[[], Awaitable[T]],
    enough: Callable[[T], bool],
    seconds: float = 60.0,
    pause_seconds: float = 0.1,
) -> T:
    """The first answer that is enough.

    Raises:
        TestbedError: none was, in time; with the last answer.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = await ask()
        if enough(answer):
            return answer
        if time.monotonic() > deadline:
            raise TestbedError(f"{what}: not within {seconds:g} s; last seen: {answer}")
        await asyncio.sleep(pause_seconds)
