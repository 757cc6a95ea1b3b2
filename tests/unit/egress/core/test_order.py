"""The order over a fleet's pods that is kept from pick to pick, held to a look at all of them."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediafleet_common.api.egress.costs import CpuCost, Limits, Memory, RequestType
from mediafleet_common.api.egress.placement import Mode, Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.probes.load import Load
from mediafleet_scheduler.core.egress.accounting.accounts import HOLD_SECONDS, Job
from mediafleet_scheduler.core.egress.accounting.ledger import NEW_SECONDS, STALE_SECONDS, Ledger
from mediafleet_scheduler.core.egress.accounting.resources import need_of
from mediafleet_scheduler.core.egress.capacity import account_of, pod_of
from mediafleet_scheduler.core.egress.placement.modes import choose, dearest_page
from mediafleet_scheduler.core.egress.placement.order import KEPT_NEEDS, Order, view_of
from mediafleet_scheduler.core.egress.views import Fleet, Worker

NOW = 1_000_000.0
KINDS = tuple(RequestType)
SIZES = (4.0, 6.0, 8.0, None)
PLACEMENT = Placement(
    memory=Memory(max_gb=12), limits=Limits(track_composite=2), max_pulse_clients=8
)
OWN = Placement(cpu_cost=CpuCost(track=2.0))

LOADS = st.builds(
    Load,
    jobs=st.integers(0, 3),
    cpu_load=st.sampled_from([0.1, 0.5, 0.9]),
    disabled=st.sampled_from([False, False, False, True]),
)

Change = Callable[[Ledger], None]


def drop(name: str, ledger: Ledger) -> None:
    ledger.drop(name)


def start(name: str, at: float, ledger: Ledger) -> None:
    ledger.start(name, at, "SRV_1")


def measure(fleet: Fleet, worker: Worker, load: Load, at: float, ledger: Ledger) -> None:
    ledger.measure(pod_of(fleet, worker), load, fleet.counts(worker).cpu_cost, at)


def refuse(uid: str, at: float, ledger: Ledger) -> None:
    ledger.refuse(uid, 3.0, at)


def worker(number: int, cores: float | None = 8.0, state: PodState = PodState.READY) -> Worker:
    name = f"pod-{number}"
    return Worker(name, f"uid-{number}", name, None, cores, None, state)


def fleet_of(mode: Mode, *workers: Worker, placement: Placement = PLACEMENT) -> Fleet:
    placement = placement.model_copy(update={"mode": mode})
    return Fleet("", "rec", placement, frozenset(RequestType), None, workers)


@dataclass
class Twice:
    """A fleet whose order is kept, and the same counted anew for each look."""

    fleet: Fleet
    now: float = NOW
    complete: bool = True
    ledger: Ledger = field(default_factory=Ledger)
    changes: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.order = Order(self.fleet, self.ledger)
        self.news = self.ledger.watch()

    def change(self, change: Change) -> None:
        change(self.ledger)
        self.changes.append(change)

    def give(self, name: str, uid: str, kind: RequestType) -> None:
        each = next(each for each in self.fleet.workers if each.uid == uid)
        cores = self.fleet.counts(each).cpu_cost.of(kind)
        job = Job(name, self.fleet.key, each.name, uid, each.name, kind, cores, "t", self.now)
        self.change(lambda ledger: ledger.put(job))

    def kept(
        self, kind: RequestType, skipped: frozenset[str], last: frozenset[str], seed: int
    ) -> str | None:
        self.order.touch(self.news.take())
        need = need_of(kind, self.fleet.placement)
        chance = random.Random(seed)
        return self.order.best(need, self.now, self.complete, skipped, last, chance)

    def counted(
        self, kind: RequestType, skipped: frozenset[str], last: frozenset[str], seed: int
    ) -> str | None:
        ledger, fleet = Ledger(), self.fleet
        for change in self.changes:
            change(ledger)
        accounts = {each.uid: account_of(fleet, each, ledger, self.now) for each in fleet.workers}
        page, wanted = None, False
        if fleet.placement.mode is Mode.TYPE_AWARE:
            page = dearest_page(fleet.placement, fleet.accepts)
            wanted = any(account.pages for account in accounts.values())
        views = [
            replace(
                view_of(each, accounts[each.uid], self.complete, page, wanted),
                refused_lately=each.uid in last,
            )
            for each in fleet.workers
            if each.state is PodState.READY and each.uid not in skipped
        ]
        need = need_of(kind, fleet.placement)
        chosen = choose(views, need, fleet.placement.mode, random.Random(seed))
        return chosen.uid if chosen else None

    def best(
        self,
        kind: RequestType,
        skipped: frozenset[str] = frozenset(),
        last: frozenset[str] = frozenset(),
        seed: int = 0,
    ) -> str | None:
        found = self.kept(kind, skipped, last, seed)
        assert found == self.counted(kind, skipped, last, seed)
        return found


@settings(max_examples=50, deadline=None)
@given(data=st.data(), mode=st.sampled_from(list(Mode)))
def test_the_kept_order_names_the_pod_that_a_look_at_all_of_them_would(
    data: st.DataObject, mode: Mode
) -> None:
    draw = data.draw
    states = st.sampled_from([PodState.READY, PodState.READY, PodState.READY, PodState.DRAINING])
    workers = [
        replace(
            worker(number, draw(st.sampled_from(SIZES)), draw(states)),
            counts=OWN if draw(st.integers(0, 5)) == 0 else None,
        )
        for number in range(draw(st.integers(0, 7)))
    ]
    uids = [each.uid for each in workers]
    some = st.frozensets(st.sampled_from(uids), max_size=2) if uids else st.just(frozenset())
    world = Twice(fleet_of(mode, *workers))
    jobs = 0
    for _ in range(draw(st.integers(1, 20))):
        what = draw(st.integers(0, 6))
        name = f"EG_{draw(st.integers(0, max(jobs - 1, 0)))}"
        at = world.now
        if what == 0:
            world.change(functools.partial(drop, name))
        elif what == 1:
            world.change(functools.partial(start, name, at))
        elif what == 2:
            pauses = (0.5, NEW_SECONDS, HOLD_SECONDS, STALE_SECONDS + 1)
            world.now += draw(st.sampled_from(pauses))
        elif what == 3:
            world.complete = not world.complete
        elif what in (4, 5) and workers:
            each = draw(st.sampled_from(workers))
            if what == 4:
                world.change(functools.partial(measure, world.fleet, each, draw(LOADS), at))
            else:
                world.change(functools.partial(refuse, each.uid, at))
        kind = draw(st.sampled_from(KINDS))
        found = world.best(kind, draw(some), draw(some), draw(st.integers(0, 3)))
        if found is not None:
            world.give(f"EG_{jobs}", found, kind)
            jobs += 1


@pytest.mark.parametrize("mode", list(Mode))
def test_what_time_alone_changes_is_seen(mode: Mode) -> None:
    world = Twice(fleet_of(mode, worker(0, 4.0), worker(1, 4.0)))
    for name, uid in (("a", "uid-0"), ("b", "uid-1")):
        world.give(name, uid, RequestType.PARTICIPANT)
    world.change(lambda ledger: ledger.start("b", NOW, "SRV_1"))
    pods = {each.uid: pod_of(world.fleet, each) for each in world.fleet.workers}
    light = Load(jobs=1, cpu_load=0.01)
    world.change(lambda ledger: ledger.measure(pods["uid-1"], light, CpuCost(), NOW + 14.0))
    world.now = NOW + 14.0
    assert world.best(RequestType.TRACK_COMPOSITE) is not None
    world.now = NOW + HOLD_SECONDS + 1
    world.best(RequestType.TRACK_COMPOSITE)
    world.now = NOW + 14.0 + STALE_SECONDS + 1
    world.best(RequestType.TRACK_COMPOSITE)


def test_a_pod_that_refused_lately_is_taken_when_there_is_no_other() -> None:
    world = Twice(fleet_of(Mode.SPREAD, worker(0), worker(1)))
    assert world.best(RequestType.TRACK) == "uid-0"
    assert world.best(RequestType.TRACK, last=frozenset({"uid-0"})) == "uid-1"
    both = frozenset({"uid-0", "uid-1"})
    assert world.best(RequestType.TRACK, last=both) == "uid-0"
    assert world.best(RequestType.TRACK, frozenset({"uid-1"}), both) == "uid-0"
    assert world.best(RequestType.TRACK, both, both) is None


def test_of_pods_whose_load_is_unknown_two_random_ones_are_compared() -> None:
    world = Twice(fleet_of(Mode.SPREAD, *(worker(n) for n in range(6))), complete=False)
    found = {world.best(RequestType.TRACK, seed=seed) for seed in range(40)}
    assert len(found) == 5, "any but the worst of all"


def test_as_many_needs_have_an_order_as_are_kept_and_others_are_answered_too() -> None:
    fleet = fleet_of(Mode.SPREAD, worker(0), worker(1, 2.0))
    order, chance = Order(fleet, Ledger()), random.Random(1)
    for _ in range(2):
        for number in range(2 * KEPT_NEEDS):
            need = need_of(RequestType.TRACK, fleet.placement, 1.0 + number / KEPT_NEEDS)
            assert order.best(need, NOW, True, (), (), chance) == "uid-0"
    need = need_of(RequestType.TRACK, fleet.placement, 9.0)
    assert order.best(need, NOW, True, (), (), chance) is None


def test_news_of_other_fleets_pods_does_not_matter() -> None:
    order = Order(fleet_of(Mode.PACK, worker(0)), Ledger())
    order.touch({"uid-of-another-fleet", "/rec"})
    need = need_of(RequestType.TRACK, PLACEMENT)
    assert order.best(need, NOW, True, (), (), random.Random(1)) == "uid-0"


def test_room_for_pages_is_kept_from_the_first_page_to_the_end_of_the_last() -> None:
    workers = worker(0, 4.0), worker(1, 16.0)
    world = Twice(fleet_of(Mode.TYPE_AWARE, *workers, placement=Placement()))
    world.give("track", "uid-1", RequestType.TRACK)
    assert world.best(RequestType.TRACK) == "uid-0", "nobody asks for pages: jobs are spread"
    world.give("page", "uid-1", RequestType.WEB)
    assert world.best(RequestType.TRACK) == "uid-1", "the last room for a page is left"
    world.change(functools.partial(drop, "page"))
    assert world.best(RequestType.TRACK) == "uid-0"


def test_the_need_that_was_asked_for_longest_ago_loses_its_order() -> None:
    fleet = fleet_of(Mode.SPREAD, worker(0))
    order, chance = Order(fleet, Ledger()), random.Random(1)
    first, *others = (
        need_of(RequestType.TRACK, fleet.placement, 1.0 + n / 100) for n in range(KEPT_NEEDS + 1)
    )
    for need in (first, *others[:-1], first, others[-1]):
        order.best(need, NOW, True, (), (), chance)
    assert first in order.needs
    assert others[0] not in order.needs
    assert len(order.needs) == KEPT_NEEDS == 32
