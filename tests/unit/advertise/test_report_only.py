"""A reporter that answers no gateway: own nodes alone, and nothing before the pool is known."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from mediafleet_common.api.community import Community, Leave
from mediafleet_common.api.pool.advertise import Advertise
from mediafleet_scheduler.advertise.community.report_only import serve
from mediafleet_scheduler.community.settings import Settings
from mediafleet_scheduler.core.advertise.views import PoolView


class OnePool:
    """A directory that knows one pool, or none yet."""

    complaint: str | None = None

    def __init__(self, view: PoolView | None) -> None:
        self.view = view

    def subscribe(self, listener: Callable[[PoolView], None]) -> None:
        if self.view is not None:
            listener(self.view)

    async def run(self) -> None:
        await asyncio.Event().wait()


async def answers(directory: OnePool, *paths: str, leave: Leave | None = None) -> list[int]:
    """The status of each page of a reporter that is ready."""
    stop, port = asyncio.Event(), asyncio.get_running_loop().create_future()
    settings = Settings("127.0.0.1:0", Community(region="eu-west", leave=leave))
    serving = asyncio.create_task(
        serve(settings, directory, stop, port.set_result, registry=CollectorRegistry())
    )
    base = f"http://127.0.0.1:{await port}"
    said = [await asyncio.to_thread(status, f"{base}{path}") for path in paths]
    stop.set()
    await serving
    return said


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert answer.read() is not None
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


POOL = PoolView("media", "transcoders", Advertise(), ())


async def test_it_shows_what_is_shared_once_the_pool_is_known() -> None:
    pages = ("/readyz", "/summary", "/metrics/community", "/community/status", "/orchestrators")
    assert await answers(OnePool(POOL), *pages) == [200, 200, 200, 200, 404]


async def test_it_is_not_ready_before_the_pool_is_known() -> None:
    assert await answers(OnePool(None), "/readyz", "/healthz") == [503, 200]


async def test_whose_file_says_to_leave_tells_nothing() -> None:
    assert await answers(OnePool(POOL), "/summary", "/metrics/community", leave=Leave()) == [
        410,
        410,
    ]
