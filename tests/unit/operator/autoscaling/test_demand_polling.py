"""Asking desks for demand, on virtual time: how often, for how long a word counts, and faults."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry
from tests.kit.operator.demand_builders import demand

from mediafleet_common.api.names import Kind, Reason
from mediafleet_common.clock import Clock
from mediafleet_common.probes.http_client import Failure, FetchError
from mediafleet_common.reports.demand import Demand, FleetDemand
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.rounds.desks.demand import (
    DemandPoller,
    Silence,
)
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_operator.settings import DemandTimes

METRICS = OperatorMetrics(CollectorRegistry())
KEY: Final = FleetKey(Kind.EGRESS_FLEET, "media", "rec")
OTHER: Final = FleetKey(Kind.EGRESS_FLEET, "media", "other")
URL: Final = "http://desk:8080/demand"


class Desk:
    """Answers as the test says, and counts."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.fleets: list[FleetDemand] | None = [demand([1])]
        self.asked: list[float] = []
        self.news: list[FleetKey] = []
        self.frozen_at: float | None = None
        self.poller = DemandPoller(
            self.ask,
            self.news.append,
            METRICS,
            Clock(monotonic=self.loop.time),
        )

    async def ask(self, url: str) -> Demand:
        assert url == URL
        self.asked.append(self.loop.time())
        if self.fleets is None:
            raise FetchError(Failure.UNREACHABLE, "connection refused")
        at = self.loop.time() if self.frozen_at is None else self.frozen_at
        return Demand(fleets=[each.model_copy(update={"at": at}) for each in self.fleets])

    def reason(self) -> Reason | None:
        heard = self.poller.heard(KEY)
        return heard.reason if isinstance(heard, Silence) else None


@pytest.mark.looptime
async def test_a_desk_is_asked_often_while_something_scales_and_else_rarely() -> None:
    desk = Desk()
    desk.poller.follow(KEY, URL, 2.0)
    await asyncio.sleep(10.5)
    assert len(desk.asked) == 6
    desk.asked.clear()
    desk.poller.follow(KEY, URL, 1.0)
    await asyncio.sleep(10.5)
    assert len(desk.asked) == 10
    await desk.poller.close()


@pytest.mark.looptime
async def test_all_fleets_of_a_desk_share_one_question() -> None:
    desk = Desk()
    desk.fleets = [demand([1]), demand([2]).model_copy(update={"name": "other"})]
    desk.poller.follow(KEY, URL, 1.0)
    desk.poller.follow(OTHER, URL, 1.0)
    await asyncio.sleep(3.5)
    assert len(desk.asked) == 4
    heard = desk.poller.heard(OTHER)
    assert isinstance(heard, FleetDemand)
    assert heard.work == 2
    desk.poller.forget(KEY)
    desk.poller.forget(OTHER)
    await asyncio.sleep(5)
    assert len(desk.asked) == 4, "nobody follows a fleet of it any more"
    await desk.poller.close()


@pytest.mark.looptime
async def test_only_what_is_new_is_news() -> None:
    desk = Desk()
    desk.poller.follow(KEY, URL, 1.0)
    await asyncio.sleep(3.5)
    assert desk.news == [KEY]
    desk.fleets = [demand([1], queued=1)]
    await asyncio.sleep(3)
    assert desk.news == [KEY, KEY]
    await desk.poller.close()


@pytest.mark.looptime
async def test_a_word_counts_for_a_while_and_then_the_desk_is_called_unreachable() -> None:
    desk = Desk()
    assert desk.reason() is Reason.DEMAND_UNKNOWN
    desk.poller.follow(KEY, URL, 1.0)
    await asyncio.sleep(0.5)
    assert desk.reason() is None
    desk.fleets = None
    await asyncio.sleep(DemandTimes().valid_seconds - 1)
    assert desk.reason() is None, "one answer that fails to come is no news yet"
    await asyncio.sleep(2)
    assert desk.reason() is Reason.DESK_UNREACHABLE
    heard = desk.poller.heard(KEY)
    assert isinstance(heard, Silence)
    assert "connection refused" in heard.why
    desk.fleets = [demand([1])]
    await asyncio.sleep(DemandTimes().max_pause_seconds + 1)
    assert desk.reason() is None
    await desk.poller.close()


@pytest.mark.looptime
async def test_a_desk_that_does_not_answer_is_asked_less_and_less() -> None:
    desk = Desk()
    desk.fleets = None
    desk.poller.follow(KEY, URL, 1.0)
    await asyncio.sleep(60)
    assert len(desk.asked) <= 60 / DemandTimes().max_pause_seconds + 3
    assert desk.news == [KEY], "it is told once that nothing can be told"
    await desk.poller.close()


@pytest.mark.looptime
async def test_an_old_answer_repeated_counts_no_longer_than_a_new_one() -> None:
    desk = Desk()
    desk.poller.follow(KEY, URL, 1.0)
    await asyncio.sleep(0.5)
    desk.frozen_at = 0.0
    await asyncio.sleep(DemandTimes().valid_seconds + 2)
    assert desk.reason() is Reason.DEMAND_UNKNOWN
    await desk.poller.close()


@pytest.mark.looptime
async def test_a_fleet_that_the_desk_does_not_know_is_unknown_and_not_idle() -> None:
    desk = Desk()
    desk.poller.follow(OTHER, URL, 1.0)
    await asyncio.sleep(0.5)
    heard: Any = desk.poller.heard(OTHER)
    assert isinstance(heard, Silence)
    assert "does not know" in heard.why
    await desk.poller.close()
