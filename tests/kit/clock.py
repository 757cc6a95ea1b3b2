"""A clock on the event loop's time, which is virtual under looptime."""

from __future__ import annotations

import asyncio

from mediafleet_common.clock import Clock


def loop_clock() -> Clock:
    """Reads the running loop's time, or the one that runs when it is read."""

    def now() -> float:
        return asyncio.get_running_loop().time()

    return Clock(now, now)
