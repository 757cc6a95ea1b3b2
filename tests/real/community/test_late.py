"""A backlog at a plain Prometheus: taken with out_of_order_time_window; without it, who sends says
what is refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from tests.kit import stores
from tests.kit.community import Time
from tests.real.community.test_sending import World, get
from tests.real.community.test_weeks import NOW, answered, told

from mediafleet_scheduler.community.weeks.archive import Archive
from mediafleet_scheduler.community.weeks.store import Store
from mediafleet_scheduler.core.community.delivery import deliveries
from mediafleet_scheduler.core.community.weeks.series import Sample
from mediafleet_testbed.tools import debian

pytestmark = pytest.mark.timeout(300)
OTHER: Final = (("__name__", "mediafleet_community_streams_published"), ("operator", "other"))
BACKLOG: Final = 30
"""Samples of the last four hours, of which the older half is late for a Prometheus."""


async def backlog(port: int, now: float) -> list[float]:
    """Have a vmagent send what it could not send before; the times of it."""
    times = [now - 14_400 + 480 * number for number in range(BACKLOG)]
    lines = "".join(f"mediafleet_community_streams_published 20 {int(at * 1000)}\n" for at in times)
    url = f"http://127.0.0.1:{port}/api/v1/import/prometheus"
    async with aiohttp.ClientSession() as session, session.post(url, data=lines) as answer:
        assert answer.status == 204
    return [round(at, 3) for at in times]


async def received(url: str, now: float) -> list[float]:
    """Times of the samples of us that lie there."""
    query = 'mediafleet_community_streams_published{operator="me"}[5h]'
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/api/v1/query", params={"query": query, "time": now}) as answer,
    ):
        found = (await answer.json())["data"]["result"]
    return [float(at) for each in found for at, _ in each["values"]]


@pytest.mark.parametrize("window", ["48h", None])
async def test_a_backlog_is_taken_within_the_window_and_told_as_refused_without_one(
    tmp_path: Path, window: str | None
) -> None:
    debian.ensure(stores.PROGRAMS)
    world, now = World(tmp_path, "vmagent"), int(time.time())
    async with stores.prometheus(tmp_path, world.receiver_port, window) as url:
        # Somebody else has sent meanwhile: Prometheus' head is at now.
        await Store(url).write([Sample(OTHER, now, 10)])
        async with world.sending():
            times = await backlog(world.sender_port, now)
            metrics = f"http://127.0.0.1:{world.sender_port}/metrics"

            async def sent() -> tuple[int, int]:
                (each,) = deliveries(await get(metrics), ["one"])
                return each.accepted, each.refused

            accepted, refused = await answered(sent, any)
        found = await received(url, now)
    if window is None:
        assert (accepted, refused) == (0, 1)
        assert found == []
        assert "out of bounds" in world.log() or "out of order" in world.log()
    else:
        assert (accepted, refused) == (1, 0)
        assert found == pytest.approx(times)


async def test_a_collector_without_the_window_says_what_its_store_refuses(tmp_path: Path) -> None:
    debian.ensure(stores.PROGRAMS)
    async with stores.prometheus(tmp_path, World(tmp_path, "-").receiver_port, None) as url:
        await Store(url).write([Sample(OTHER, int(NOW), 10)])
        kept = Archive(Store(url), clock=Time(NOW).clock)
        await kept.keep({"http://a.example.com": told(1)}, 1)
    assert kept.state()["refused"] > 0
    assert "HTTP 400: out of bounds" in str(kept.refusal)
