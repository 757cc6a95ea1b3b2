"""What desks keep of the demand of the last hours."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from mediafleet_common.api.names import Kind
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.serving.http import HttpServer
from mediafleet_scheduler.core.scaling.history import (
    EVERY_SECONDS,
    SAMPLES,
    STEP_SECONDS,
    STEPS,
    History,
)
from mediafleet_scheduler.scaler.outlook import Outlook
from mediafleet_scheduler.scaler.server import history_route

REC = ("ns", "rec")


def demand(at: float, name: str = "rec", **values: Any) -> FleetDemand:
    known = {"known": True, "ready": 3, "busy": 2, "work": 9, "each": {"track": 4}, "size": 4.0}
    return FleetDemand(
        kind=Kind.EGRESS_FLEET, namespace="ns", name=name, at=at, **{**known, **values}
    )


def test_a_sample_has_the_pods_that_work_asks_for_and_those_there_are() -> None:
    history = History()
    history.note([demand(5.0, free={"track": 3}, queued={"track": 8}, forecast=6)])
    kept = history.of(REC)
    assert kept is not None
    # 3 free places and 8 that wait: two pods of four places more.
    assert kept.model_dump() == {
        "at": [5.0],
        "wanted": [5],
        "ready": [3],
        "busy": [2],
        "work": [9],
        "waiting": [8],
        "forecast": [6],
    }


def test_what_is_unknown_is_kept_as_unknown() -> None:
    history = History()
    history.note([demand(5.0, known=False, reason="away")])
    kept = history.of(REC)
    assert kept is not None
    assert (kept.at, kept.wanted, kept.ready, kept.work) == ([5.0], [None], [None], [None])
    assert (kept.busy, kept.waiting, kept.forecast) == ([None], [None], [None])


def test_pods_asked_for_are_unknown_where_nothing_fits_on_a_pod() -> None:
    history = History()
    history.note([demand(5.0, each={})])
    kept = history.of(REC)
    assert kept is not None
    assert (kept.wanted, kept.ready) == ([None], [3])


def test_samples_are_ten_seconds_apart_and_the_oldest_are_forgotten() -> None:
    history = History()
    for second in range(int(EVERY_SECONDS) * (SAMPLES + 5)):
        history.note([demand(float(second))])
    kept = history.of(REC)
    assert kept is not None
    assert kept.at[:2] == [50.0, 60.0]
    assert len(kept.at) == SAMPLES


def test_only_what_is_newer_is_asked_for_again() -> None:
    history = History()
    for at in (10.0, 20.0, 30.0):
        history.note([demand(at)])
    kept = history.of(REC, after=20.0)
    assert kept is not None
    assert kept.at == [30.0]


def test_a_day_has_the_most_of_each_ten_minutes() -> None:
    history = History()
    history.note([demand(600.0, work=5)])
    history.note([demand(900.0, work=9, busy=1)])
    history.note([demand(1190.0, known=False, reason="away")])
    history.note([demand(1200.0, known=False, reason="away")])
    history.note([demand(1210.0, work=4), demand(1210.0, "other")])
    kept = history.of(REC, day=True)
    assert kept is not None
    assert (kept.at, kept.work, kept.busy) == ([600.0, 1200.0], [9, 4], [2, 2])
    history.note([demand(1800.0, known=False, reason="away")])
    kept = history.of(REC, 1200.0, day=True)
    assert kept is not None
    assert (kept.at, kept.work) == ([1800.0], [None])
    assert history.of(("ns", "other"), day=True) is None


def test_a_day_is_kept_and_no_more() -> None:
    history = History()
    for step in range(STEPS + 3):
        history.note([demand(step * STEP_SECONDS + 7.0)])
    kept = history.of(REC, day=True)
    assert kept is not None
    assert (kept.at[0], len(kept.at)) == (3 * STEP_SECONDS, STEPS)


def test_a_fleet_that_is_gone_is_forgotten_and_others_stay() -> None:
    history = History()
    history.note([demand(1.0), demand(1.0, "other")])
    history.note([demand(2.0, "other")])
    assert history.of(REC) is None
    kept = history.of(("ns", "other"))
    assert kept is not None
    assert kept.at == [1.0]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("namespace=ns&name=rec", 200),
        ("namespace=ns&name=rec&after=3.5", 200),
        ("namespace=ns&name=rec&range=hours", 200),
        ("namespace=ns&name=nobody&range=day", 404),
        ("namespace=ns&name=nobody", 404),
        ("name=rec", 404),
        ("namespace=ns&name=rec&after=x", 400),
    ],
)
async def test_a_desk_answers_with_what_it_has_kept(query: str, status: int) -> None:
    outlook = Outlook(lambda: [demand(5.0)])
    outlook.look()
    http = HttpServer(
        "127.0.0.1:0",
        lambda: None,
        registry=CollectorRegistry(),
        reports=[history_route(outlook)],
    )
    async with http, aiohttp.ClientSession() as client:
        url = f"http://127.0.0.1:{http.port}/ui/history?{query}"
        async with client.get(url) as answer:
            assert answer.status == status
            if status == 200:
                assert (await answer.json())["at"] == [5.0]
