"""Asking desks which certificate KEDA meets, on virtual time."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from mediafleet_common.api.names import Kind
from mediafleet_common.probes.http_client import Failure, FetchError
from mediafleet_common.reports.demand import Demand
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.rounds.desks.certificates import Certificates

KEY: Final = FleetKey(Kind.EGRESS_FLEET, "media", "rec")
OTHER: Final = FleetKey(Kind.EGRESS_FLEET, "media", "other")
URL: Final = "http://desk:8080/demand"
OLD: Final = "20261129T210000Z-ffffffff"
NEW: Final = "20271129T210000Z-0a1b2c3d"


class Desk:
    """Answers as the test says, after so many seconds, and counts."""

    def __init__(self, certificate: str | None = OLD, seconds: float = 0.1) -> None:
        self.certificate, self.seconds = certificate, seconds
        self.silent = False
        self.asked = 0
        self.news: list[FleetKey] = []
        self.certificates = Certificates(self.ask, self.news.append)

    async def ask(self, url: str) -> Demand:
        assert url == URL
        self.asked += 1
        await asyncio.sleep(self.seconds)
        if self.silent:
            raise FetchError(Failure.UNREACHABLE, "connection refused")
        return Demand(fleets=[], certificate=self.certificate)

    async def of(self, key: FleetKey = KEY) -> str | None:
        return await self.certificates.of(key, URL, 2.0)


@pytest.mark.looptime
async def test_the_first_to_follow_a_desk_waits_for_its_answer_and_all_share_one_question() -> None:
    desk = Desk()
    assert [await desk.of(), await desk.of(OTHER), await desk.of()] == [OLD] * 3
    await asyncio.sleep(10)
    assert desk.asked == 5
    await desk.certificates.close()


@pytest.mark.looptime
async def test_a_desk_that_does_not_answer_holds_nobody_up_for_long() -> None:
    loop = asyncio.get_running_loop()
    desk = Desk(seconds=3.0)
    began = loop.time()
    assert await desk.of() is None
    assert loop.time() - began == pytest.approx(1.0)
    await asyncio.sleep(3)
    assert await desk.of() == OLD
    assert desk.news == [KEY], "who did not wait that long is told"
    await desk.certificates.close()


@pytest.mark.looptime
async def test_a_newer_certificate_is_news_for_all_and_an_older_replica_is_none() -> None:
    desk = Desk()
    await desk.of()
    await desk.of(OTHER)
    desk.news.clear()
    desk.certificate = NEW
    await asyncio.sleep(2.2)
    assert set(desk.news) == {KEY, OTHER}
    desk.news.clear()
    for said in (OLD, None, NEW):
        desk.certificate = said
        await asyncio.sleep(2.2)
    assert desk.news == []
    assert await desk.of() == NEW
    desk.silent = True
    await asyncio.sleep(60)
    assert await desk.of() == NEW, "what it showed last holds while it is away"
    await desk.certificates.close()


@pytest.mark.looptime
async def test_a_desk_that_no_fleet_follows_is_not_asked() -> None:
    desk = Desk()
    await desk.of()
    desk.certificates.forget(KEY)
    desk.certificates.forget(KEY)
    asked = desk.asked
    await asyncio.sleep(10)
    assert desk.asked == asked
    await desk.certificates.close()
