"""Weeks of a collector in a real VictoriaMetrics and a real Prometheus: what is read is what was
told, through restarts of both, and what is of no hour is in none."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from tests.kit import stores
from tests.kit.community import Time

from mediafleet_common.formats.times import rfc3339
from mediafleet_scheduler.community.collector import Collector
from mediafleet_scheduler.community.weeks.archive import Archive, AwayError
from mediafleet_scheduler.community.weeks.store import Store
from mediafleet_scheduler.core.community.collecting import Summary, read_summary
from mediafleet_scheduler.core.community.mapping import world_view
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.tools import debian

pytestmark = pytest.mark.timeout(300)
A, B = "http://a.example.com", "http://b.example.com"
NOW: Final = time.time() // 3600 * 3600 + 60
GAP: Final = 5
"""Hours ago: nobody published."""

Started = Callable[[], AbstractAsyncContextManager[str]]


def told(number: int) -> Summary:
    """A day of one operator, with an hour in which it said nothing."""
    group = {"average": 5 * number, "maximum": 10 * number, "streaming": "3-5", "asking": "6-10"}
    hours = [
        {
            "start": rfc3339(NOW // 3600 * 3600 - 3600 * back),
            "own": {"average": 5 * back, "maximum": 5 * back + 5},
            "groups": {"05+50+010": group, "world": {"asking": "3-5"}},
            "work": {"aiByModel": {"m/sd": 5 * number}},
        }
        for back in range(24, 0, -1)
        if back != GAP
    ]
    average = sum(5 * back for back in range(1, 25) if back != GAP) / 23
    day = {"average": round(average, 1), "maximum": 125, "hours": 23}
    return read_summary(
        json.dumps({"version": 1, "region": "eu-west", "day": day, "hours": hours}).encode()
    )


SUMMARIES: Final = {A: told(1), B: told(2)}


def archive(url: str) -> Archive:
    return Archive(Store(url), clock=Time(NOW).clock)


async def answered(read: Callable[[], Any], right: Callable[[Any], bool]) -> Any:
    """What is read, once it is right: a store shows what it took within seconds."""
    deadline = time.monotonic() + stores.SECONDS
    while not right(found := await read()):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)
    return found


@pytest.fixture(params=["victoria-metrics", "prometheus"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Started:
    debian.ensure(stores.PROGRAMS)
    start = stores.victoria_metrics if request.param == "victoria-metrics" else stores.prometheus
    port = free_port()

    @asynccontextmanager
    async def run() -> AsyncIterator[str]:
        async with start(tmp_path, port) as url:
            yield url

    return run


async def test_what_was_told_is_read_again_after_both_were_started_anew(store: Started) -> None:
    async with store() as url:
        await archive(url).keep(SUMMARIES, 5)
    async with store() as url:
        found = await answered(lambda: archive(url).restore(), lambda found: len(found) == 2)
        assert found == SUMMARIES

        again = Collector([A, B], "Example", Time(NOW).clock, archive=archive(url))
        await again.restore()
        shown = json.loads(again.view)
        hours = world_view(list(SUMMARIES.values()), 0, NOW)["hours"]
        assert (shown["shared"], shown["unknown"]) == (2, 0)
        assert shown["hours"] == json.loads(json.dumps(hours))
        assert [each["operators"] for each in shown["hours"]].count(0) == 1

        weeks = await archive(url).weeks([])
        days = {row["day"] for row in weeks["rows"]}
        assert days == {hour.start[:10] for hour in SUMMARIES[A].hours}
        assert sum(row["hours"] for row in weeks["rows"]) == 23
        assert max(row["maximum"] for row in weeks["rows"]) == 2 * 125
        alone = await archive(url).weeks([B])
        assert max(row["maximum"] for row in alone["rows"]) == 125


async def test_a_day_is_the_view_of_that_day_and_who_is_marked_is_not_in_it(
    store: Started,
) -> None:
    day = rfc3339(NOW - 3600)[:10]
    async with store() as url:
        kept = archive(url)
        await kept.keep(SUMMARIES, 5)
        await answered(kept.restore, lambda found: len(found) == 2)
        found = await kept.day(day, [])
        assert found is not None
        assert (found["shared"], found["unknown"], found["old"]) == (2, 3, False)
        alone = await kept.day(day, [B])
        assert alone is not None
        assert (alone["shared"], alone["unknown"]) == (1, 4)
        empty = await kept.day(rfc3339(NOW - 20 * 86_400)[:10], [])
        assert empty is not None
        assert (empty["shared"], empty["unknown"], empty["regions"]) == (0, None, [])
        assert await kept.day(rfc3339(NOW - 60 * 86_400)[:10], []) is None


async def test_what_is_of_an_operator_is_deleted_and_of_the_others_stays(store: Started) -> None:
    async with store() as url:
        kept = archive(url)
        await kept.keep(SUMMARIES, 2)
        await answered(kept.restore, lambda found: len(found) == 2)
        assert await archive(url).knows(A)
        await answered(lambda: kept.forget(A), bool)
        await answered(archive(url).restore, lambda found: list(found) == [B])
        assert not await archive(url).knows(A)


async def test_a_store_that_is_away_is_said_and_what_was_shown_stays(store: Started) -> None:
    now = Time(NOW)
    async with store() as url:
        kept = Archive(Store(url), clock=now.clock)
        await kept.keep(SUMMARIES, 2)
        await answered(archive(url).restore, lambda found: len(found) == 2)
        shown = await kept.weeks([])
        assert shown["rows"]
    now.now += 61
    assert await kept.weeks([]) == {**shown, "old": True}
    assert kept.state()["awaySince"] is not None
    with pytest.raises(AwayError):
        await kept.day(rfc3339(NOW - 3600)[:10], [])
    # An hour later: it waits, and is written when the store is back.
    now.now += 3600
    later = told(1)
    assert not await kept.forget(A)
    await kept.keep({A: later}, 2)
    async with store():
        now.now += 10
        await kept.keep({A: later}, 2)
        assert kept.state() == {"days": 56, "awaySince": None, "refused": 0}
