"""Which pod gets the next job."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.api.egress.placement import Mode, Placement
from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.egress.accounting.accounts import Job, free_cores
from mediafleet_scheduler.core.egress.accounting.ledger import Account, Ledger, Pod
from mediafleet_scheduler.core.egress.accounting.resources import Need
from mediafleet_scheduler.core.egress.placement.modes import (
    PageRoom,
    Refusal,
    WorkerView,
    choose,
    dearest_page,
    page_room,
    why_nowhere,
)

CHANCE = random.Random(0)
MAX_UTILIZATION = 0.8
COSTS = CpuCost()
BIG, SMALL = Need(RequestType.PARTICIPANT, 4.0), Need(RequestType.TRACK, 0.5)
PAGE = Need(RequestType.WEB, 4.0)


def pod(name: str, free: float | None, jobs: int = 1, cores: float | None = 10.0) -> WorkerView:
    return WorkerView(name, f"uid-{name}", cores, free, jobs)


def idle(name: str, cores: float = 10.0) -> WorkerView:
    return pod(name, cores, 0, cores)


def keeps(view: WorkerView, pages: int, spare: float, wanted: bool = True) -> WorkerView:
    return replace(view, page_room=PageRoom(pages, spare, wanted))


CASES = {
    "pack: the fullest that fits": (
        Mode.PACK,
        SMALL,
        [idle("a"), pod("b", 3.0), pod("c", 1.0), pod("d", 0.4)],
        "c",
    ),
    "pack: an idle one only when no busy one fits": (
        Mode.PACK,
        BIG,
        [pod("a", 3.0), idle("b")],
        "b",
    ),
    "pack: of idle ones the smallest that fits, then by name": (
        Mode.PACK,
        BIG,
        [idle("c", 16.0), idle("b", 4.0), idle("a", 4.0), idle("d", 2.0)],
        "a",
    ),
    "pack: a tie goes by name, whatever the order": (
        Mode.PACK,
        SMALL,
        [pod("b", 2.0), pod("a", 2.0)],
        "a",
    ),
    "spread: the largest free share": (
        Mode.SPREAD,
        SMALL,
        [pod("a", 5.0, cores=20.0), pod("b", 4.0, cores=10.0)],
        "b",
    ),
    "spread: idle before busy": (Mode.SPREAD, SMALL, [pod("a", 8.0), idle("b", 2.0)], "b"),
    "spread: equal shares go to the one with fewer jobs": (
        Mode.SPREAD,
        SMALL,
        [pod("a", 5.0, jobs=3), pod("b", 5.0, jobs=2)],
        "b",
    ),
    "type_aware: a track goes where most is free": (
        Mode.TYPE_AWARE,
        SMALL,
        [pod("a", 2.0), pod("b", 7.0)],
        "b",
    ),
    "type_aware: a track first where as many pages fit beside it": (
        Mode.TYPE_AWARE,
        SMALL,
        [keeps(pod("a", 4.4), 1, 0.4), keeps(pod("b", 2.0), 0, 2.0)],
        "b",
    ),
    "type_aware: of those the fullest": (
        Mode.TYPE_AWARE,
        SMALL,
        [keeps(pod("a", 2.0), 0, 2.0), keeps(pod("b", 1.0), 0, 1.0), keeps(pod("c", 5.0), 1, 1.0)],
        "b",
    ),
    "type_aware: an idle one after them": (
        Mode.TYPE_AWARE,
        SMALL,
        [keeps(idle("a"), 2, 0.5), keeps(pod("b", 1.0), 0, 1.0)],
        "b",
    ),
    "type_aware: then one where a page fewer fits": (
        Mode.TYPE_AWARE,
        SMALL,
        [keeps(pod("a", 4.4), 1, 0.4), keeps(pod("b", 8.2), 2, 0.2)],
        "b",
    ),
    "type_aware: an idle pod takes new jobs before one that has just been given some": (
        Mode.TYPE_AWARE,
        SMALL,
        [
            replace(keeps(pod("a", 2.0), 0, 2.0), new_jobs=True),
            keeps(idle("b", 4.0), 1, 0.0, False),
        ],
        "b",
    ),
    "type_aware: unless it would be the last page's, and there are pages": (
        Mode.TYPE_AWARE,
        SMALL,
        [replace(keeps(pod("a", 2.0), 0, 2.0), new_jobs=True), keeps(idle("b", 4.0), 1, 0.0)],
        "a",
    ),
    "type_aware: the last page's when there is no other": (
        Mode.TYPE_AWARE,
        SMALL,
        [keeps(pod("a", 4.4), 1, 0.4), keeps(pod("b", 0.4), 0, 0.4)],
        "a",
    ),
    "type_aware: a page takes the last room": (
        Mode.TYPE_AWARE,
        PAGE,
        [keeps(pod("a", 4.4), 1, 0.4), keeps(pod("b", 4.2), 1, 0.2)],
        "a",
    ),
    "a pod that fits nothing more is no candidate": (Mode.SPREAD, BIG, [pod("a", 3.9)], None),
    "exactly enough is enough": (Mode.SPREAD, BIG, [pod("a", 4.0)], "a"),
    "nobody": (Mode.PACK, SMALL, [], None),
    "a pod of unknown size comes after those that surely fit": (
        Mode.SPREAD,
        SMALL,
        [pod("a", None, 0, None), pod("b", 0.5)],
        "b",
    ),
    "a pod of unknown size is better than none": (
        Mode.SPREAD,
        BIG,
        [pod("a", None, 0, None), pod("b", 0.5)],
        "a",
    ),
    "pods of unknown size are spread by their jobs": (
        Mode.SPREAD,
        BIG,
        [pod("a", None, 2, None), pod("b", None, 1, None)],
        "b",
    ),
    "pods of unknown size are packed by their jobs": (
        Mode.PACK,
        BIG,
        [pod("a", None, 1, None), pod("b", None, 2, None), pod("c", None, 0, None)],
        "b",
    ),
    "a pod that would not bid lately is the last": (
        Mode.SPREAD,
        SMALL,
        [replace(idle("a"), refused_lately=True), pod("b", 1.0)],
        "b",
    ),
    "and is tried when there is no other": (
        Mode.SPREAD,
        SMALL,
        [replace(idle("a"), refused_lately=True), pod("b", 0.1)],
        "a",
    ),
}


@pytest.mark.parametrize(("mode", "need", "pods", "wanted"), CASES.values(), ids=CASES.keys())
def test_the_pod_chosen(mode: Mode, need: Need, pods: list[WorkerView], wanted: str | None) -> None:
    for order in (pods, pods[::-1]):
        chosen = choose(order, need, mode, CHANCE)
        assert (chosen.name if chosen else None) == wanted


@pytest.mark.parametrize(
    ("pods", "wanted"),
    [
        ([pod("a", 9.0, cores=12.0), idle("b", 4.0)], "b"),
        ([pod("a", 5.0), pod("b", 6.0)], "b"),
        ([pod("a", 5.0), idle("b", 2.0)], "a"),
    ],
    ids=["idle before the most free", "else the most free", "an idle one must be large enough"],
)
def test_type_aware_sends_pages_to_idle_pods(pods: list[WorkerView], wanted: str) -> None:
    chosen = choose(pods, PAGE, Mode.TYPE_AWARE, CHANCE)
    assert chosen is not None
    assert chosen.name == wanted


def test_pods_of_unknown_load_compete_by_two_random_ones() -> None:
    pods = [replace(pod(f"p{n}", 1.0 + n / 10), known=False) for n in range(10)]
    chosen = {
        choose(pods, SMALL, Mode.SPREAD, random.Random(seed)).name  # type: ignore[union-attr]
        for seed in range(200)
    }
    assert "p9" in chosen
    assert len(chosen) > 5
    assert "p0" not in chosen, "of two, the fuller one never wins"


def test_a_known_pod_competes_with_two_of_unknown_load() -> None:
    pods = [replace(idle(f"p{n}"), known=False) for n in range(10)]
    best = pod("z", 9.99)
    wins = sum(
        choose([*pods, best], SMALL, Mode.PACK, random.Random(seed)) == best for seed in range(20)
    )
    assert wins == 20, "busy before idle in pack, whatever is drawn"


@pytest.mark.parametrize(
    ("states", "ever_fits", "wanted"),
    [
        ([PodState.READY], True, Refusal.NO_CAPACITY),
        ([PodState.READY], False, Refusal.NO_TYPE_CAPACITY),
        ([PodState.DRAINING], True, Refusal.DRAINING),
        ([PodState.DRAINING], False, Refusal.NO_TYPE_CAPACITY),
        ([PodState.DRAINING, PodState.PENDING], True, Refusal.DRAINING),
        ([PodState.DRAINING, PodState.READY], True, Refusal.NO_CAPACITY),
        ([PodState.PENDING], True, Refusal.NO_CAPACITY),
        ([], True, Refusal.NO_CAPACITY),
    ],
)
def test_the_reason_for_placing_nowhere(
    states: list[PodState], ever_fits: bool, wanted: Refusal
) -> None:
    assert why_nowhere(states, ever_fits) is wanted


SPARES = {
    # CPUs, jobs, CPUs they take -> pages of 4 that fit, and CPUs to spare beside them
    "an idle pod": (16.0, 0, 0.0, (3, 0.8)),
    "an idle pod that a page would fill": (4.0, 0, 0.0, (1, 0.0)),
    "an idle pod too small for a page": (2.0, 0, 0.0, (0, 1.6)),
    "a busy pod": (16.0, 2, 8.0, (1, 0.8)),
    "a busy pod without room": (16.0, 2, 9.0, (0, 3.8)),
    "a pod of unknown size": (None, 1, 2.0, None),
}


@pytest.mark.parametrize(("cores", "jobs", "used", "wanted"), SPARES.values(), ids=SPARES)
def test_what_a_pod_may_take_beside_a_page(
    cores: float | None, jobs: int, used: float, wanted: tuple[int, float] | None
) -> None:
    free = None if cores is None else free_cores(cores, MAX_UTILIZATION, jobs, used)
    account = Account((Pod("a", "u", cores), MAX_UTILIZATION), jobs, free, True, math.inf)
    room = page_room(account, dearest_page(Placement(), RequestType), wanted=True)
    if wanted is None:
        assert room is None
    else:
        assert room is not None
        assert room.pages == wanted[0]
        assert room.spare_cores == pytest.approx(wanted[1])


def test_a_fleet_that_takes_no_pages_keeps_no_room_for_them() -> None:
    assert dearest_page(Placement(), {RequestType.TRACK, RequestType.PARTICIPANT}) is None
    cheap = dearest_page(Placement(), {RequestType.TRACK, RequestType.AUDIO_WEB})
    assert cheap is not None
    assert cheap.kind is RequestType.AUDIO_WEB


class Simulated:
    """Pods and a ledger, without a bus: places jobs as the desk does."""

    def __init__(self, sizes: list[float], mode: Mode) -> None:
        self.pods = [Pod(f"p{n}", f"u{n}", size) for n, size in enumerate(sizes)]
        self.mode = mode
        self.ledger = Ledger()
        self.placed = 0

    def place(self, kind: RequestType, now: float = 0.0) -> str | None:
        accounts = [self.ledger.account(each, MAX_UTILIZATION, now) for each in self.pods]
        page = dearest_page(Placement(), RequestType) if self.mode is Mode.TYPE_AWARE else None
        wanted = any(account.pages for account in accounts)
        views = [
            WorkerView(
                each.name,
                each.uid,
                each.cores,
                account.free_cores,
                account.jobs,
                new_jobs=account.new,
                page_room=page_room(account, page, wanted),
            )
            for each, account in zip(self.pods, accounts, strict=True)
        ]
        chosen = choose(views, Need(kind, COSTS.of(kind)), self.mode, CHANCE)
        if chosen is None:
            return None
        self.placed += 1
        egress_id = f"e{self.placed}"
        self.ledger.put(
            Job(egress_id, "f", chosen.name, chosen.uid, "c", kind, COSTS.of(kind), "t", now)
        )
        return chosen.uid

    def counts(self) -> list[int]:
        return [len(self.ledger.on(each.uid)) for each in self.pods]


@given(
    st.integers(1, 30),
    st.integers(0, 200),
    st.sampled_from([4.0, 8.0, 12.0, 16.0]),
    st.sampled_from([kind for kind in RequestType if not kind.needs_chrome]),
    st.sampled_from([Mode.SPREAD, Mode.TYPE_AWARE]),
)
def test_a_burst_of_equal_jobs_is_spread_evenly(
    pods: int, jobs: int, cpu: float, kind: RequestType, mode: Mode
) -> None:
    fleet = Simulated([cpu] * pods, mode)
    for _ in range(jobs):
        fleet.place(kind)
    counts = fleet.counts()
    assert max(counts) - min(counts) <= 1


@given(
    st.integers(1, 12),
    st.lists(st.sampled_from(RequestType), max_size=80),
    st.sampled_from([Mode.SPREAD, Mode.TYPE_AWARE]),
)
def test_mixed_jobs_load_no_pod_by_more_than_the_mean_and_one_job(
    pods: int, kinds: list[RequestType], mode: Mode
) -> None:
    fleet = Simulated([32.0] * pods, mode)
    placed = [kind for kind in kinds if fleet.place(kind) is not None]
    loads = [sum(job.cores for job in fleet.ledger.on(p.uid).values()) for p in fleet.pods]
    largest = max((COSTS.of(kind) for kind in placed), default=0.0)
    assert max(loads) <= sum(loads) / pods + largest + 1e-9


def test_51_tracks_on_10_pods_are_5_or_6_each() -> None:
    fleet = Simulated([12.0] * 10, Mode.SPREAD)
    for _ in range(51):
        assert fleet.place(RequestType.TRACK)
    assert sorted(fleet.counts()) == [5] * 9 + [6]


@given(
    st.lists(st.sampled_from([2.0, 4.0, 8.0, 12.0]), min_size=1, max_size=8),
    st.lists(st.sampled_from(RequestType), max_size=60),
    st.sampled_from(Mode),
)
def test_no_mode_passes_a_pods_budget(
    sizes: list[float], kinds: list[RequestType], mode: Mode
) -> None:
    fleet = Simulated(sizes, mode)
    for kind in kinds:
        before = fleet.counts()
        uid = fleet.place(kind)
        if uid is None:
            continue
        index = next(n for n, each in enumerate(fleet.pods) if each.uid == uid)
        used = sum(job.cores for job in fleet.ledger.on(uid).values())
        alone = before[index] == 0
        assert used <= sizes[index] * (1.0 if alone else MAX_UTILIZATION) + 1e-9


def test_pack_fills_pods_one_after_the_other() -> None:
    fleet = Simulated([12.0] * 4, Mode.PACK)
    order = [fleet.place(RequestType.TRACK) for _ in range(51)]
    # A busy pod of 12 CPUs takes 0.8 x 12 = 9.6: 19 tracks of 0.5.
    assert order == ["u0"] * 19 + ["u1"] * 19 + ["u2"] * 13


@given(st.lists(st.sampled_from(RequestType), max_size=60))
def test_pack_opens_an_idle_pod_only_when_no_busy_one_fits(kinds: list[RequestType]) -> None:
    fleet = Simulated([8.0] * 6, Mode.PACK)
    for kind in kinds:
        free = {
            each.uid: fleet.ledger.account(each, MAX_UTILIZATION, 0.0).free_cores or 0.0
            for each in fleet.pods
            if fleet.ledger.on(each.uid)
        }
        busy_fits = any(cores >= COSTS.of(kind) for cores in free.values())
        uid = fleet.place(kind)
        if busy_fits:
            assert uid in free


def test_tracks_that_come_one_by_one_leave_type_aware_room_for_pages() -> None:
    fleet = Simulated([4.0] * 4, Mode.TYPE_AWARE)
    for minute in range(12):
        assert fleet.place(RequestType.TRACK, 60.0 * minute)
    assert sorted(fleet.counts()) == [0, 0, 6, 6]
    assert fleet.place(RequestType.WEB, 720.0)
    assert fleet.place(RequestType.WEB, 720.0)


def test_type_aware_keeps_pages_apart_while_there_are_idle_pods() -> None:
    fleet = Simulated([8.0] * 4, Mode.TYPE_AWARE)
    for _ in range(4):
        fleet.place(RequestType.WEB)
    assert fleet.counts() == [1, 1, 1, 1]


def test_an_idle_pod_takes_a_job_as_large_as_all_its_cpus() -> None:
    fleet = Simulated([4.0], Mode.SPREAD)
    assert fleet.place(RequestType.ROOM_COMPOSITE) == "u0"
    assert fleet.place(RequestType.TRACK) is None
