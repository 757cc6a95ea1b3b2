"""Who is given a place before whom, on the local copy of the ledger."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.placement.choice import MOST_AT_ONCE, Chooser, NoCapacity
from mediafleet_scheduler.core.egress.placement.modes import Refusal
from mediafleet_scheduler.core.egress.queue import QueueRule, Waiting, line
from mediafleet_scheduler.core.egress.requests import Request
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.places.pods import Pods
from mediafleet_scheduler.egress.places.quarantine import Quarantine

NOW = time.time()


@dataclass(frozen=True)
class Wanted:
    """A request for a place."""

    request: Request
    since: float
    token: str = "t"
    excluded: tuple[str, ...] = ()


class Desk:
    """A chooser over a fleet of pods that take one web page each."""

    def __init__(self, pods: int) -> None:
        self.ledger = Ledger()
        quarantine = Quarantine(EgressMetrics(CollectorRegistry()), Settings().quarantine)
        self.pods = Pods(self.ledger, quarantine)
        workers = tuple(
            Worker(f"p{n}", f"u{n}", f"p{n}", None, 4.0, None, PodState.READY) for n in range(pods)
        )
        kinds, queue = frozenset(RequestType), QueueRule(5.0)
        self.fleet = Fleet("", "rec", Placement(), kinds, None, workers, queue=queue)
        self.pods.follow(EgressView((self.fleet,)))
        self.chooser = Chooser(self.pods, self.ledger, random.Random(0))

    def chosen(self, *wanted: Wanted, patient: tuple[Wanted, ...] = ()) -> list[str]:
        """Who is given a place."""
        waiting = {wish.request.egress_id: wish for wish in patient}
        picked = self.chooser.pick(wanted, waiting, NOW)
        assert set(self.ledger.jobs) == {place.job.egress_id for _, place in picked.chosen}
        self.chooser.undo(picked, picked.chosen)
        assert not self.ledger.jobs, "nothing is held beyond the choosing"
        return [wish.request.egress_id for wish, _ in picked.chosen]


def want(name: str, room: str = "", since: float = 0.0) -> Wanted:
    request = Request(name, RequestType.WEB, None, room_name=room)
    return Wanted(request, NOW + since)


def elsewhere(name: str, room: str = "", since: float = 0.0) -> Waiting:
    return Waiting(name, "/rec", RequestType.WEB, 4.0, room, NOW + since, until=math.inf)


async def test_while_nobody_waits_the_first_come_is_first() -> None:
    assert Desk(2).chosen(want("x"), want("y"), want("z")) == ["x", "y"]


async def test_who_waits_is_before_who_comes() -> None:
    assert Desk(1).chosen(want("x", since=9), patient=(want("y"),)) == ["y"]


async def test_a_place_is_left_for_one_before_who_waits_at_another_desk() -> None:
    desk = Desk(2)
    desk.ledger.wait(elsewhere("other", since=-1))
    assert desk.chosen(patient=(want("x"), want("y", since=1))) == ["x"]


async def test_a_retry_has_the_place_that_was_kept_for_it() -> None:
    desk = Desk(1)
    desk.ledger.wait(elsewhere("x", since=-1))
    assert desk.chosen(want("y", since=1)) == []
    assert desk.chosen(want("x", since=-1), patient=(want("y", since=1),)) == ["x"]


async def test_what_fits_passes_what_does_not() -> None:
    desk = Desk(1)
    small = Wanted(Request("small", RequestType.TRACK, None), NOW + 1)
    large = Wanted(Request("large", RequestType.WEB, 8.0), NOW)
    assert desk.chosen(patient=(large, small)) == ["small"]


async def test_a_place_tells_its_fleet_and_no_more_is_to_be_done() -> None:
    desk = Desk(2)
    picked = desk.chooser.pick([want("x")], {}, NOW)
    assert [place.fleet for _, place in picked.chosen] == [desk.fleet]
    assert not picked.more


async def test_nothing_is_held_for_one_who_waits_and_has_been_given_a_place_meanwhile() -> None:
    desk = Desk(2)
    desk.ledger.wait(elsewhere("other", since=-1))
    desk.ledger.put(Job("other", "/rec", "p0", "u0", "p0", RequestType.WEB, 4.0, "t", NOW))
    picked = desk.chooser.pick([want("x")], {}, NOW)
    assert [place.job.worker_uid for _, place in picked.chosen] == ["u1"]


async def test_many_who_wait_are_given_places_by_several_calls_and_none_is_passed() -> None:
    desk = Desk(MOST_AT_ONCE + 2)
    patient = tuple(want(f"{n:03}", since=n / 1000) for n in range(MOST_AT_ONCE + 5))
    picked = desk.chooser.pick(
        [want("late", since=9)], {each.request.egress_id: each for each in patient}, NOW
    )
    assert len(picked.chosen) == MOST_AT_ONCE
    assert picked.more
    assert [
        each.request.egress_id for each, _ in picked.unplaced if each.request.egress_id == "late"
    ]


@settings(deadline=None)
@given(
    st.integers(0, 12),
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["here", "there", "new"])), max_size=20
    ),
)
async def test_places_go_by_the_line_whoever_asks_where(
    pods: int, wanted: list[tuple[str, str]]
) -> None:
    desk = Desk(pods)
    here: list[Wanted] = []
    new: list[Wanted] = []
    for number, (room, where) in enumerate(wanted):
        name = f"{number:02}{where}"
        if where == "there":
            desk.ledger.wait(elsewhere(name, room, number))
        else:
            (here if where == "here" else new).append(want(name, room, number))
    everybody = [elsewhere(f"{n:02}{where}", room, n) for n, (room, where) in enumerate(wanted)]
    order = [each.egress_id for each in line(everybody, {}, NOW)][:pods]
    ours = [name for name in order if not name.endswith("there")]
    if here or desk.ledger.waiting:
        assert desk.chosen(*new, patient=tuple(here)) == ours
    else:
        assert desk.chosen(*new) == [each.request.egress_id for each in new][:pods]


async def test_room_is_known_before_anything_is_asked() -> None:
    assert Desk(1).chooser.could(want("x").request, NOW)
    assert not Desk(0).chooser.could(want("x").request, NOW)


async def test_a_type_that_no_fleet_accepts_is_said_to_be_so() -> None:
    desk = Desk(1)
    desk.pods.follow(EgressView(()))
    ((_, found),) = desk.chooser.pick([want("x")], {}, NOW).unplaced
    assert found == NoCapacity(Refusal.NO_TYPE_CAPACITY, 0.0)


async def test_a_request_is_placed_where_it_has_not_been_and_others_anywhere() -> None:
    desk = Desk(2)
    moved = Wanted(Request("x", RequestType.WEB, None), NOW, excluded=("u0",))
    picked = desk.chooser.pick([moved, want("y")], {}, NOW)
    assert [(place.job.egress_id, place.job.worker_uid) for _, place in picked.chosen] == [
        ("x", "u1"),
        ("y", "u0"),
    ]


async def test_what_fits_nowhere_is_looked_for_once_and_refused_alike() -> None:
    desk = Desk(1)
    picked = desk.chooser.pick([want("x"), want("y"), want("z")], {}, NOW)
    assert [wish.request.egress_id for wish, _ in picked.unplaced] == ["y", "z"]
    assert len({found for _, found in picked.unplaced}) == 1
    assert list(picked.full.values()) == [picked.unplaced[0][1]]


async def test_what_is_undone_leaves_what_was_known_before_and_what_redis_told_since() -> None:
    desk = Desk(2)
    before = Job("x", "/rec", "p9", "u9", "p9", RequestType.WEB, 4.0, "old", NOW - 9)
    desk.ledger.put(before)
    picked = desk.chooser.pick([want("x"), want("y")], {}, NOW)
    told = desk.ledger.jobs["y"]._replace(token="of another desk")
    desk.ledger.put(told)
    desk.chooser.undo(picked, picked.chosen)
    assert desk.ledger.jobs == {"x": before, "y": told}


def one_pod(cores: float, counts: Placement | None, placement: Placement) -> Desk:
    desk = Desk(0)
    worker = Worker("p0", "u0", "p0", None, cores, None, PodState.READY, counts=counts)
    desk.fleet = replace(desk.fleet, placement=placement, workers=(worker,))
    desk.pods.follow(EgressView((desk.fleet,)))
    return desk


async def test_a_pod_is_given_as_many_jobs_as_it_counts_itself() -> None:
    """An audio fleet of 100 was cut to a tenth by a pod with another cost: nobody knew."""
    now, before = Placement(cpu_cost=CpuCost(web=0.5)), Placement(cpu_cost=CpuCost(web=2.0))
    jobs = [want(f"e{n}") for n in range(9)]
    assert len(one_pod(5.0, None, now).chosen(*jobs)) == 8
    assert len(one_pod(5.0, before, now).chosen(*jobs)) == 2
    picked = one_pod(5.0, before, now).chooser.pick(jobs, {}, NOW)
    assert {place.job.cores for _, place in picked.chosen} == {2.0}
    assert len(one_pod(5.0, now, before).chosen(*jobs)) == 8, "what it takes, it is given"


async def test_what_a_request_says_itself_decides_whatever_a_pod_counts_by() -> None:
    """`estimated_cpu` replaces the cost when a pod admits; it is held by the pod's own cost."""
    now, before = Placement(), Placement(cpu_cost=CpuCost(web=6.0))
    said = Wanted(Request("e", RequestType.WEB, estimated_cores=3.0), NOW)
    desk = one_pod(4.0, before, now)
    assert desk.chosen(want("x")) == [], "six CPUs by its own table"
    picked = desk.chooser.pick([said], {}, NOW)
    assert [place.job.cores for _, place in picked.chosen] == [6.0]
