"""How many more jobs of each type fit."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger, Pod
from mediafleet_scheduler.core.egress.accounting.resources import need_of
from mediafleet_scheduler.core.egress.capacity import capacity, ever_fits, pod_cores
from mediafleet_scheduler.core.egress.views import Fleet, Worker

NOW = 1_000_000.0
KINDS = frozenset({RequestType.ROOM_COMPOSITE, RequestType.TRACK})


def fleet(*sizes: float | None, state: PodState = PodState.READY) -> Fleet:
    workers = tuple(
        Worker(f"p{n}", f"u{n}", f"p{n}", None, size, None, state) for n, size in enumerate(sizes)
    )
    return Fleet("", "rec", Placement(), KINDS, None, workers)


def put(ledger: Ledger, of: Fleet, number: int, kind: RequestType, pod: int = 0) -> None:
    cores = of.placement.cpu_cost.of(kind)
    job = Job(f"e{number}", of.key, f"p{pod}", f"u{pod}", f"p{pod}", kind, cores, "t", NOW)
    ledger.put(job)


def test_an_idle_pod_takes_its_first_job_up_to_all_its_cpus() -> None:
    told = capacity(fleet(4.0, 8.0), Ledger(), NOW)
    assert told.free == {RequestType.ROOM_COMPOSITE: 1 + 1, RequestType.TRACK: 6 + 12}
    assert told.each == {RequestType.ROOM_COMPOSITE: 1, RequestType.TRACK: 6}


def test_jobs_take_from_what_fits() -> None:
    ledger, pods = Ledger(), fleet(12.0)
    put(ledger, pods, 1, RequestType.ROOM_COMPOSITE)
    told = capacity(pods, ledger, NOW)
    assert told.free == {RequestType.ROOM_COMPOSITE: 1, RequestType.TRACK: 11}
    assert told.each == {RequestType.ROOM_COMPOSITE: 2, RequestType.TRACK: 19}


def test_only_ready_pods_take_more() -> None:
    told = capacity(fleet(8.0, state=PodState.DRAINING), Ledger(), NOW)
    assert told.free == {RequestType.ROOM_COMPOSITE: 0, RequestType.TRACK: 0}


def test_a_type_too_large_for_a_pod_fits_nowhere() -> None:
    told = capacity(fleet(2.0), Ledger(), NOW)
    assert told.free == {RequestType.ROOM_COMPOSITE: 0, RequestType.TRACK: 3}


def test_what_a_pod_of_unknown_size_takes_is_unknown() -> None:
    told = capacity(fleet(8.0, None), Ledger(), NOW)
    assert told.free is None
    assert told.each is None


def test_a_fleet_without_pods_has_the_size_that_its_template_says() -> None:
    empty = replace(fleet(), pod_cores=8.0)
    assert pod_cores(empty) == 8.0
    told = capacity(empty, Ledger(), NOW)
    assert told.free == {RequestType.ROOM_COMPOSITE: 0, RequestType.TRACK: 0}
    assert told.each == {RequestType.ROOM_COMPOSITE: 1, RequestType.TRACK: 12}


@given(st.floats(0.5, 64.0), st.lists(st.sampled_from(sorted(KINDS)), max_size=8))
def test_as_many_as_are_told_fit_one_after_the_other_and_not_one_more(
    cores: float, before: list[RequestType]
) -> None:
    pods, pod = fleet(cores), Pod("p0", "u0", cores)
    for kind in KINDS:
        ledger = Ledger()
        for number, each in enumerate(before):
            put(ledger, pods, number, each)
        told = capacity(pods, ledger, NOW).free
        assert told is not None
        fitted, cost = 0, pods.placement.cpu_cost.of(kind)
        while (ledger.account(pod, 0.8, NOW).free_cores or 0.0) >= cost:
            put(ledger, pods, 1000 + fitted, kind)
            fitted += 1
        assert told[kind] == fitted


def test_each_pod_is_counted_by_its_own_costs() -> None:
    """Pods that wait to be replaced still count by what the fleet said before."""
    before = Placement(cpu_cost=CpuCost(track=2.0), max_cpu_utilization=0.5)
    known = fleet(8.0, 8.0)
    old = replace(known, workers=(replace(known.workers[0], counts=before), known.workers[1]))
    told = capacity(old, Ledger(), NOW)
    assert told.free == {RequestType.ROOM_COMPOSITE: 1 + 1, RequestType.TRACK: 2 + 12}
    assert told.each == {RequestType.ROOM_COMPOSITE: 1, RequestType.TRACK: 12}, "of a new pod"


def test_a_job_fits_where_one_pod_counts_it_less() -> None:
    dear, cheap = Placement(cpu_cost=CpuCost(web=16.0)), Placement()
    known = fleet(8.0)
    now = replace(known, placement=dear, pod_cores=8.0)
    assert not ever_fits(now, need_of(RequestType.WEB, dear))
    old = replace(now, workers=(replace(known.workers[0], counts=cheap),))
    assert ever_fits(old, need_of(RequestType.WEB, dear))
