"""A collector with a store: hours once, deletion that is confirmed by the store, last answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from tests.kit.community import MIDNIGHT, PEERS, Time, an_hour, reporter
from tests.unit.community.test_collector import page

from mediafleet_common.api.community import Share
from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.formats.times import rfc3339
from mediafleet_scheduler.community.collector import Collector
from mediafleet_scheduler.community.map_page import MapPage
from mediafleet_scheduler.community.pages import Pages
from mediafleet_scheduler.community.state import State
from mediafleet_scheduler.community.weeks.archive import AGAIN_SECONDS, FRESH_SECONDS, Archive
from mediafleet_scheduler.community.weeks.store import RefusedError, Store, StoreError
from mediafleet_scheduler.core.community.collecting import Summary, read_summary
from mediafleet_scheduler.core.community.weeks.series import Sample


@dataclass
class Memory(Store):
    """A store in memory; what it answers is its real sibling's to say (tests/real/community)."""

    samples: list[Sample] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    asked: int = 0
    away: bool = False
    refuses: str = "nobody"
    known: bool = False
    """Whether it has something of whoever is asked for."""

    async def write(self, samples: Any) -> None:
        self._is_there()
        if any(("operator", self.refuses) in each.labels for each in samples):
            raise RefusedError("HTTP 400: out of bounds")
        self.samples += samples

    async def query(self, promql: str, start: int, end: int, step: int) -> bytes:
        self.asked += 1
        self._is_there()
        told: list[Any] = [{"metric": {}, "values": [[start, "8"]]}] if self.known else []
        data = {"resultType": "matrix", "result": told}
        return json.dumps({"status": "success", "data": data}).encode()

    async def delete(self, selector: str) -> None:
        self._is_there()
        self.deleted.append(selector)

    def _is_there(self) -> None:
        if self.away:
            raise StoreError("no route")


@asynccontextmanager
async def visited(collector: Collector) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application()
    app.add_routes(MapPage(collector).routes())
    async with TestClient(TestServer(app)) as client:
        yield client


def told(*hours: int) -> Summary:
    starts = [{"start": rfc3339(MIDNIGHT + 3600 * each)} for each in hours]
    return read_summary(json.dumps({"version": 1, "region": "eu", "hours": starts}).encode())


def hours(store: Memory) -> list[int]:
    return [
        (each.at - int(MIDNIGHT)) // 3600
        for each in store.samples
        if ("__name__", "mediafleet_community_hour_told") in each.labels
    ]


async def test_an_hour_is_written_once_and_waits_while_the_store_is_away() -> None:
    time, store = Time(MIDNIGHT + 7200), Memory()
    kept = Archive(store, clock=time.clock)
    await kept.keep({"a": told(0)}, 1)
    await kept.keep({"a": told(0)}, 1)
    assert hours(store) == [0]
    store.away = True
    time.now += 3600
    await kept.keep({"a": told(0, 1)}, 1)
    assert kept.state() == {"days": 56, "awaySince": rfc3339(time.now), "refused": 0}
    store.away = False
    time.now += 3600
    await kept.keep({"a": told(0, 1, 2)}, 1)
    assert hours(store) == [0, 1, 2]
    assert kept.state()["awaySince"] is None


async def test_what_is_refused_of_one_costs_no_other_is_counted_and_not_sent_again() -> None:
    store = Memory(refuses="a")
    kept = Archive(store, clock=Time(MIDNIGHT + 7200).clock)
    for _ in range(2):
        await kept.keep({"a": told(0), "b": told(0)}, 2)
    assert hours(store) == [0]
    assert kept.state()["refused"] == 1
    assert kept.refusal == "refused, of 1 figures of a: HTTP 400: out of bounds"


async def test_visitors_cost_the_store_one_question_a_minute_and_none_while_it_is_away() -> None:
    time, store = Time(MIDNIGHT + 7200), Memory()
    kept = Archive(store, clock=time.clock)
    first = await kept.day("2026-11-29", [])
    assert first is not None
    assert await kept.day("2026-11-29", []) == first
    assert store.asked == 1
    store.away = True
    time.now += FRESH_SECONDS
    for _ in range(3):
        assert await kept.day("2026-11-29", []) == {**first, "old": True}
    assert store.asked == 2
    time.now += AGAIN_SECONDS
    store.away = False
    again = await kept.day("2026-11-29", [])
    assert again is not None
    assert again["old"] is False


@pytest.mark.parametrize("day", ["2026-11-30", "2026-10-01", "2026-02-30", "29-11-2026", "x"])
async def test_no_other_day_is_asked_for(day: str) -> None:
    store = Memory()
    assert await Archive(store, clock=Time(MIDNIGHT + 7200).clock).day(day, []) is None
    assert store.asked == 0


async def test_who_has_left_is_deleted_from_the_store_before_it_is_confirmed(
    tmp_path: Path,
) -> None:
    time, store = Time(), Memory()
    mine = reporter(time, Share(own_streams=True), state=State(tmp_path))
    an_hour(time, mine, PEERS)
    async with page(Pages(mine).routes()) as url:
        collector = Collector([url], "Example", time.clock, archive=Archive(store, 56, time.clock))
        await collector.look()
        assert hours(store) == [0]
        State(tmp_path).leave()
        store.away = True
        await collector.look_again(url)
        assert not collector.targets[url].deleted
        store.away = False
        await collector.look()
        await collector.look()
    assert len(store.deleted) == 1
    assert json.dumps(url) in store.deleted[0]


async def test_a_confirmation_waits_for_the_store(tmp_path: Path) -> None:
    time, store = Time(), Memory()
    mine = reporter(time, state=State(tmp_path))
    State(tmp_path).leave()
    async with page(Pages(mine).routes()) as url:
        collector = Collector([url], "Example", time.clock, archive=Archive(store, 56, time.clock))
        store.away = True
        async with visited(collector) as visitor:
            asked = {"target": url}
            assert (await visitor.post("/forget", json=asked)).status == 503
            store.away = False
            assert (await visitor.post("/forget", json=asked)).status == 200


async def test_who_is_asked_no_more_may_have_the_weeks_deleted_by_a_word_of_his_own(
    tmp_path: Path,
) -> None:
    time, store = Time(), Memory()
    mine = reporter(time, state=State(tmp_path))
    archive = Archive(store, 56, time.clock)
    collector = Collector([], "Example", time.clock, strangers=OWN_WORD, archive=archive)
    async with page(Pages(mine).routes()) as url, visited(collector) as visitor:
        asked = {"target": url}
        assert (await visitor.post("/forget", json=asked)).status == 404
        assert (await visitor.post("/forget", json=asked)).status == 503
        store.known = True
        time.now += 1
        assert (await visitor.post("/forget", json=asked)).status == 409
        State(tmp_path).leave()
        time.now += 1
        assert (await visitor.post("/forget", json=asked)).status == 200
    assert json.dumps(url) in store.deleted[0]


async def test_the_weeks_of_a_silent_operator_are_not_said_to_be_deleted() -> None:
    time, store = Time(), Memory(known=True)
    collector = Collector(
        ["http://127.0.0.1:1"], "Example", time.clock, archive=Archive(store, 56, time.clock)
    )
    async with visited(collector) as visitor:
        answer = await visitor.post("/forget", json={"target": "http://127.0.0.1:1"})
        assert answer.status == 409
        assert "it does not say that it has left" in (await answer.json())["message"]
    assert store.deleted == []


async def test_without_a_store_there_are_no_days_and_one_that_is_away_is_said() -> None:
    time, store = Time(MIDNIGHT + 7200), Memory(away=True)
    async with visited(Collector([], "Example", time.clock)) as visitor:
        assert (await visitor.get("/weeks")).status == 404
        assert (await (await visitor.get("/view")).json())["store"] is None
    archive = Archive(store, clock=time.clock)
    async with visited(Collector([], "Example", time.clock, archive=archive)) as visitor:
        assert (await visitor.get("/weeks")).status == 503
        assert (await visitor.get("/day/2026-11-29")).status == 503
        store.away = False
        time.now += AGAIN_SECONDS
        day = await (await visitor.get("/day/2026-11-29")).json()
        assert (day["operator"], day["unknown"], day["shared"]) == ("Example", None, 0)
        assert (await visitor.get("/day/2026-01-01")).status == 404
