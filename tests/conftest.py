"""What every tier needs."""

from __future__ import annotations

import asyncio
import os

from hypothesis import HealthCheck, settings


def pytest_configure() -> None:
    """Say that there is no event loop yet.

    Else pytest-asyncio, asking Python 3.11 for the present one, is given a fresh loop that nobody
    closes, and its warning fails whichever test runs when it is collected.
    """
    asyncio.set_event_loop(None)


# A property is about what holds, not about how fast a shared machine checks it. CI draws the same
# examples each time, so that a red run is the change's doing; everybody else draws new ones.
settings.register_profile(
    "mediafleet",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("mediafleet")
