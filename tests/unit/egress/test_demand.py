"""Counting only what has changed comes to the same as counting all of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.queue import Waiting
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.directory.publisher import Publisher
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_scheduler.egress.process.branch_state import Branch
from mediafleet_scheduler.egress.process.branches import Branches
from mediafleet_scheduler.egress.process.demand import Demands

FLEETS = 12


class Told(Publisher[EgressView]):
    async def run(self) -> None:
        """Nothing to follow."""


def fleet(number: int, pods: int = 1) -> Fleet:
    workers = tuple(
        Worker(f"p{number}-{n}", f"u{number}-{n}", "c", None, 4.0, None, PodState.READY)
        for n in range(pods)
    )
    accepts = frozenset({RequestType.TRACK})
    return Fleet("media", f"f{number:02}", Placement(cpu=4), accepts, None, workers)


@dataclass
class Desk:
    """A desk's parts, as far as demand is read from them."""

    ledger: Ledger = field(default_factory=Ledger)
    complaint: str | None = None
    clock: Clock = SYSTEM
    pods: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(complete_until=1e12))

    def __post_init__(self) -> None:
        self.demand_news = self.ledger.watch()
        self.branch = Branch("", None)
        self.branch.service = cast("EgressService", self)
        self.branch.bus = cast("None", SimpleNamespace(connected=True))
        self.directory = Told()
        branches = cast("Branches", SimpleNamespace(all=(self.branch,), clock=self.clock))
        self.demands = Demands(self.directory, branches)

    def show(self, *fleets: Fleet) -> None:
        view = EgressView(fleets)
        self.directory.publish(view)
        self.branch.fleets.publish(view)

    def told(self) -> dict[str, FleetDemand]:
        found = self.demands.read()
        assert found is not None
        return {each.name: each for each in found}


@pytest.fixture
async def desk() -> Desk:
    made = Desk()
    made.show(*(fleet(number) for number in range(FLEETS)))
    made.told()
    return made


def job(egress_id: str, number: int) -> Job:
    name, uid = f"p{number}-0", f"u{number}-0"
    return Job(egress_id, f"media/f{number:02}", name, uid, "c", RequestType.TRACK, 0.5, "t", 1.0)


async def test_without_a_view_nothing_is_known() -> None:
    assert Desk().demands.read() is None


async def test_each_change_is_told_at_the_next_look(desk: Desk) -> None:
    for number in range(FLEETS):
        desk.ledger.put(job("a", number))
        assert [name for name, each in desk.told().items() if each.work] == [f"f{number:02}"]
    waiting = Waiting("w", "media/f03", RequestType.TRACK, 0.5, "", since=4e9)
    desk.ledger.wait(waiting)
    assert [name for name, each in desk.told().items() if each.queued] == ["f03"]
    desk.show(*(fleet(number, pods=2) for number in range(FLEETS)))
    assert {each.ready for each in desk.told().values()} == {2}


async def test_what_time_alone_changes_is_told_within_a_round(desk: Desk) -> None:
    waiting = Waiting("w", "media/f03", RequestType.TRACK, 0.5, "", since=0.0, keep_until=4e9)
    desk.ledger.wait(waiting)
    assert desk.told()["f03"].queued
    object.__setattr__(waiting, "keep_until", 1.0)
    looks = [bool(desk.told()["f03"].queued) for _ in range(11)]
    assert looks[-1] is False


async def test_a_ledger_that_cannot_be_read_makes_all_unknown_and_then_known_again(
    desk: Desk,
) -> None:
    desk.complaint = "it was last seen 20 s ago"
    assert not any(each.known for each in desk.told().values())
    desk.complaint = None
    assert all(each.known for each in desk.told().values())


async def test_pods_that_have_not_told_count_once_the_ledger_is_no_longer_complete(
    desk: Desk,
) -> None:
    desk.pods.complete_until = asyncio.get_running_loop().time() - 1
    assert not any(each.known for each in desk.told().values())
