"""What a request is told that finds no place: why, for how many CPUs, and where it may wait."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.accounting.resources import Need, Rest
from mediafleet_scheduler.core.egress.placement.choice import Chooser, NoCapacity
from mediafleet_scheduler.core.egress.placement.modes import Refusal, WorkerView, choose
from mediafleet_scheduler.core.egress.queue import NO_QUEUE, QueueRule
from mediafleet_scheduler.core.egress.requests import Request
from mediafleet_scheduler.core.egress.views import Fleet, Worker

NOW = 1_000_000.0
HALF_A_SECOND = QueueRule(0.5)
NO_CPUS = WorkerView("p", "u", 8.0, free_cores=0.0, jobs=2)
NO_MEMORY = WorkerView("p", "u", 8.0, free_cores=8.0, jobs=2, rest=Rest(memory_gb=0.0))


def fleet(name: str, web: float, *, size: float = 8.0, queue: QueueRule = NO_QUEUE) -> Fleet:
    worker = Worker("p", f"u-{name}", "p", None, size, None, PodState.READY)
    placement = Placement(cpu_cost=CpuCost(web=web))
    kinds = frozenset(RequestType)
    return Fleet("", name, placement, kinds, None, (worker,), queue=queue)


@dataclass
class Pods:
    """Fleets in the order in which they are tried, each with what is known of its one pod."""

    views: list[tuple[Fleet, WorkerView]]
    by_uid: Mapping[str, tuple[Fleet, Worker]] = field(default_factory=dict)

    def accepting(self, kind: RequestType, room: str) -> list[Fleet]:
        return [each for each, _ in self.views if each.takes(kind, room)]

    def best(
        self,
        fleet: Fleet,
        need: Need,
        now: float,
        excluded: Collection[str],
        chance: random.Random,
    ) -> str | None:
        pods = self.candidates(fleet, now, excluded, need.kind.needs_chrome)
        chosen = choose(pods, need, fleet.placement.mode, chance)
        return chosen.uid if chosen else None

    def candidates(
        self, fleet: Fleet, now: float, excluded: Collection[str], chrome: bool
    ) -> list[WorkerView]:
        return [view for each, view in self.views if each is fleet]

    def estimate(self, fleet: Fleet, kind: RequestType) -> float | None:
        return None


@dataclass(frozen=True)
class Wanted:
    request: Request
    since: float = NOW
    token: str = "t"
    excluded: tuple[str, ...] = ()


WANTED = Wanted(Request("e", RequestType.WEB, None))


def told(*views: tuple[Fleet, WorkerView]) -> NoCapacity:
    picked = Chooser(Pods(list(views)), Ledger(), random.Random(0)).pick([WANTED], {}, NOW)
    ((_, found),) = picked.unplaced
    return found


def test_it_may_wait_in_the_first_fleet_with_a_queue_for_what_the_job_costs_there() -> None:
    at_once, waits = fleet("a", 4.0), fleet("b", 2.0, queue=HALF_A_SECOND)
    found = told((at_once, NO_CPUS), (waits, NO_CPUS))
    assert found == NoCapacity(Refusal.NO_CAPACITY, 2.0, waits)


def test_where_no_fleet_has_a_queue_it_is_refused_at_once_for_the_cpus_of_the_first() -> None:
    found = told((fleet("a", 4.0), NO_CPUS), (fleet("b", 6.0), NO_CPUS))
    assert found == NoCapacity(Refusal.NO_CAPACITY, 4.0, None)


def test_nobody_waits_for_pods_that_are_too_small_for_the_job_even_empty() -> None:
    small = fleet("a", 4.0, size=1.0, queue=HALF_A_SECOND)
    smaller = fleet("b", 2.0, size=1.0, queue=HALF_A_SECOND)
    found = told((small, NO_CPUS), (smaller, NO_CPUS))
    assert found == NoCapacity(Refusal.NO_TYPE_CAPACITY, 4.0, None)


def test_a_lack_is_named_only_where_the_pods_of_all_fleets_lack_the_same() -> None:
    one, other = fleet("a", 2.0), fleet("b", 2.0)
    assert told((one, NO_MEMORY), (other, NO_MEMORY)).reason is Refusal.NO_MEMORY
    assert told((one, NO_MEMORY), (other, NO_CPUS)).reason is Refusal.NO_CAPACITY
