"""What a fleet's demand is, and how many pods a trigger asks for."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.names import Kind, PodState
from mediafleet_common.api.pool.advertise import Advertise
from mediafleet_common.probes.load import Load
from mediafleet_common.reports.demand import SESSION, FleetDemand
from mediafleet_common.scaling.unknown import unknown
from mediafleet_scheduler.core.advertise.demand import demand_of as pool_demand_of
from mediafleet_scheduler.core.advertise.demand import streams
from mediafleet_scheduler.core.advertise.ordering import Room
from mediafleet_scheduler.core.advertise.views import Node, PoolView
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger, Pod
from mediafleet_scheduler.core.egress.demand import egress_demand
from mediafleet_scheduler.core.egress.queue import REFUSED_SECONDS, Waiting
from mediafleet_scheduler.core.egress.views import Fleet, Worker
from mediafleet_scheduler.core.scaling.trigger import Metric, Trigger, TriggerError
from mediafleet_scheduler.core.scaling.wanted import UnknownDemandError, active, wanted

NOW = 1_000_000.0
WEB, TRACK = RequestType.WEB, RequestType.TRACK
COSTS = CpuCost()


def worker(name: str, state: PodState = PodState.READY, cores: float | None = 4.0) -> Worker:
    return Worker(name, f"uid-{name}", name, "http://x", cores, None, state)


def fleet(*workers: Worker, accepts: Iterable[RequestType] = (WEB, TRACK)) -> Fleet:
    return Fleet("media", "rec", Placement(cpu=4), frozenset(accepts), None, workers)


def ledger(**jobs: tuple[str, RequestType]) -> Ledger:
    """Jobs by id: the pod's name and the type."""
    made = Ledger()
    for egress_id, (pod, kind) in jobs.items():
        cores = COSTS.of(kind)
        made.put(Job(egress_id, "media/rec", pod, f"uid-{pod}", pod, kind, cores, "t", NOW))
    return made


def waiting(egress_id: str, kind: RequestType = WEB, fleet: str = "media/rec") -> Waiting:
    return Waiting(egress_id, fleet, kind, COSTS.of(kind), "room", NOW - 1)


def demand_of(view: Fleet, jobs: Ledger, *, complete: bool = True) -> FleetDemand:
    return egress_demand(view, jobs, complete, NOW)


def test_a_fleet_without_pods_whose_ledger_is_there_is_known_to_want_nothing() -> None:
    told = demand_of(fleet(), Ledger(), complete=False)
    assert (told.known, told.work, told.ready, told.free) == (True, 0, 0, {"track": 0, "web": 0})
    assert told.each == {"track": 6, "web": 1}


def test_a_ready_pod_that_has_not_told_its_load_makes_the_fleet_unknown() -> None:
    jobs = ledger(a=("p0", WEB))
    assert not demand_of(fleet(worker("p0")), jobs, complete=False).known
    jobs.measure(Pod("p0", "uid-p0", 4.0), Load(jobs=1), COSTS, NOW - 1)
    assert demand_of(fleet(worker("p0")), jobs, complete=False).known
    told = demand_of(fleet(worker("p0"), worker("p1")), jobs, complete=False)
    assert (told.known, told.reason) == (False, "p1 has not told its load lately")


@pytest.mark.parametrize("state", [PodState.PENDING, PodState.DRAINING])
def test_a_pod_that_has_no_job_and_takes_none_is_neither_demand_nor_capacity(
    state: PodState,
) -> None:
    told = demand_of(fleet(worker("p0", state)), Ledger(), complete=False)
    assert (told.known, told.work, told.used, told.ready, told.busy) == (True, 0, 0.0, 0, 0)
    assert (told.away, told.leaving, told.free) == (0, 0, {"track": 0, "web": 0})


def test_a_job_on_a_draining_pod_is_no_work_of_the_fleet_any_more() -> None:
    view = fleet(worker("p0", PodState.DRAINING))
    told = demand_of(view, ledger(a=("p0", WEB)), complete=False)
    assert (told.known, told.work, told.used, told.busy, told.away) == (True, 0, 0.0, 0, 0)


def away(name: str) -> Worker:
    """A pod that has been Ready and is not now."""
    return replace(worker(name, PodState.PENDING), was_ready=True)


@pytest.mark.parametrize("metric", Metric)
def test_jobs_on_pods_that_are_not_ready_any_more_ask_for_these_pods(metric: Metric) -> None:
    """A kubelet or its lease may be away for longer than any cool-down, and the jobs run on."""
    names = [f"p{index}" for index in range(5)]
    told = demand_of(fleet(*map(away, names)), ledger(**{name: (name, WEB) for name in names}))
    asked = trigger(metric, 1.0)
    assert (told.known, told.work, told.busy, told.away, told.ready) == (True, 5, 5, 5, 0)
    assert told.free == {"track": 0, "web": 0}, "they take nothing more"
    assert wanted(told, asked) == 5 + (metric is Metric.SLOTS)
    assert active(told, asked)


def test_pods_that_are_not_ready_any_more_are_no_room_for_what_waits() -> None:
    jobs = ledger(a=("p0", WEB), b=("p1", WEB))
    for each in ("c", "d", "e"):
        jobs.wait(waiting(each))
    told = demand_of(fleet(away("p0"), worker("p1"), worker("p2", PodState.PENDING)), jobs)
    assert (told.ready, told.away, told.busy) == (1, 1, 2)
    assert wanted(told, trigger(Metric.QUEUE, 1.0)) == 5
    assert wanted(told, trigger(Metric.SLOTS, 1.0)) == 6


def test_a_pod_that_is_not_ready_any_more_and_silent_makes_an_unsure_ledger_unknown() -> None:
    jobs = Ledger()
    assert not demand_of(fleet(away("p0")), jobs, complete=False).known
    assert demand_of(fleet(away("p0")), jobs, complete=True).known
    for at in (NOW - 5, NOW - 1):
        jobs.measure(Pod("p0", "uid-p0", 4.0), Load(jobs=1), COSTS, at)
    told = demand_of(fleet(away("p0")), jobs, complete=False)
    assert (told.known, told.work, told.away) == (True, 1, 1)


def test_a_job_on_a_draining_pod_asks_for_no_pod_but_keeps_the_fleet_from_zero() -> None:
    told = demand_of(fleet(worker("p0", PodState.DRAINING)), ledger(a=("p0", WEB)))
    asked = trigger(Metric.UTILIZATION, 1.0)
    assert (told.leaving, wanted(told, asked), active(told, asked)) == (1, 0, True)


def test_a_full_pod_counts_as_one_pod_however_dear_its_job() -> None:
    told = demand_of(fleet(worker("p0"), worker("p1")), ledger(a=("p0", WEB), b=("p1", TRACK)))
    assert (told.work, told.busy, told.size) == (2, 2, 3.2)
    assert told.used == pytest.approx(3.2 + 3.2 / 6)


def test_a_job_that_only_the_pod_knows_of_counts_as_the_dearest() -> None:
    jobs = Ledger()
    for at in (NOW - 5, NOW - 1):
        jobs.measure(Pod("p0", "uid-p0", 16.0), Load(jobs=1), COSTS, at)
    view = replace(fleet(worker("p0", cores=16.0)), placement=Placement(cpu=16))
    told = demand_of(view, jobs)
    assert (told.work, told.used) == (1, told.size and told.size / told.each["web"])


def test_as_many_jobs_as_fit_on_a_pod_ask_for_one_pod_whatever_it_is_that_limits_them() -> None:
    placement = Placement(cpu=16, limits={WEB: 2})
    view = replace(fleet(worker("p0", cores=16.0)), placement=placement)
    jobs = ledger(a=("p0", WEB), b=("p0", WEB))
    assert wanted(demand_of(view, jobs), trigger(Metric.UTILIZATION, 1.0)) == 1
    jobs.wait(waiting("c"))
    assert wanted(demand_of(view, jobs), trigger(Metric.UTILIZATION, 1.0)) == 2


def test_who_waits_for_this_fleet_is_its_demand() -> None:
    jobs = Ledger()
    for each in (waiting("a"), waiting("b", TRACK), waiting("c", fleet="media/other")):
        jobs.wait(each)
    told = demand_of(fleet(), jobs)
    assert told.queued == {"track": 1, "web": 1}
    assert told.queued_cost == pytest.approx(3.2 + 3.2 / 6)


def test_who_was_refused_for_good_is_told_for_a_quarter_hour_and_asks_for_no_pod() -> None:
    jobs = Ledger()
    kept = [replace(waiting(each), keep_until=NOW - 10) for each in ("a", "b")]
    other = replace(waiting("c", fleet="media/other"), keep_until=NOW - 10)
    for each in (*kept, other, waiting("d", TRACK)):
        jobs.wait(each)
    jobs.give_up("a")
    jobs.give_up("a")
    jobs.give_up("c")
    jobs.leave("b")
    told = demand_of(fleet(), jobs)
    assert (told.refused, told.queued) == ({"web": 1}, {"track": 1})
    later = egress_demand(fleet(), jobs, True, NOW - 10 + REFUSED_SECONDS)
    assert later.refused == {}


def test_a_pod_of_unknown_size_makes_size_unknown_and_not_zero() -> None:
    view = replace(fleet(worker("p0", cores=None)), placement=Placement())
    told = demand_of(view, ledger(a=("p0", TRACK)))
    assert (told.known, told.size, told.work) == (True, None, 1)


def pool(*nodes: Node, sessions_max: int | None = None) -> PoolView:
    return PoolView("media", "orch", Advertise(), nodes, sessions_max=sessions_max)


def node(name: str, state: PodState = PodState.READY, source: str | None = None) -> Node:
    return Node(name, f"uid-{name}", f"https://{name}:8935", "http://x", state, source=source)


def rooms(**sessions: tuple[int | None, int | None]) -> dict[tuple[str, str], Room]:
    return {(f"uid-{n}", f"https://{n}:8935"): Room(*each) for n, each in sessions.items()}


def test_a_pool_adds_up_the_sessions_of_its_own_ready_nodes() -> None:
    nodes = (node("a"), node("b"), node("c", PodState.DRAINING), node("d", source="elsewhere"))
    told = pool_demand_of(pool(*nodes), rooms(a=(3, 10), b=(0, 8), c=(9, 9), d=(5, 5)), NOW)
    assert (told.known, told.ready, told.busy, told.work) == (True, 2, 1, 3)
    assert (told.size, told.free, told.each) == (9.0, {SESSION: 15}, {SESSION: 8})


@pytest.mark.parametrize("known", [{}, {"b": (None, 8)}])
def test_a_node_that_does_not_tell_its_sessions_makes_the_pool_unknown(
    known: dict[str, tuple[int | None, int | None]],
) -> None:
    told = pool_demand_of(pool(node("a"), node("b")), rooms(a=(0, 10), **known), NOW)
    assert (told.known, told.reason) == (False, "b does not tell its sessions")


def test_a_pool_without_ready_nodes_has_the_size_that_the_resource_says() -> None:
    told = pool_demand_of(pool(sessions_max=12), {}, NOW)
    assert (told.known, told.size, told.each) == (True, 12.0, {SESSION: 12})
    assert pool_demand_of(pool(), {}, NOW).size is None


def test_sessions_on_nodes_that_are_not_ready_any_more_still_count() -> None:
    gone = [replace(node(name, PodState.PENDING), was_ready=True) for name in ("a", "b")]
    fresh = node("c", PodState.PENDING)
    told = pool_demand_of(
        pool(*gone, fresh, node("d")), rooms(a=(3, 10), b=(0, 10), d=(4, 10)), NOW
    )
    assert (told.known, told.work, told.busy, told.away, told.ready) == (True, 7, 2, 1, 1)
    assert told.free == {SESSION: 6}


@pytest.mark.parametrize(
    ("known", "leaving"),
    [({}, 1), ({"a": (None, 10)}, 1), ({"a": (3, 10)}, 3), ({"a": (0, 10)}, 0)],
)
def test_sessions_on_a_draining_node_keep_the_pool_active_and_so_does_one_that_does_not_tell(
    known: dict[str, tuple[int | None, int | None]], leaving: int
) -> None:
    away = node("b", PodState.DRAINING, source="elsewhere")
    told = pool_demand_of(pool(node("a", PodState.DRAINING), away), rooms(**known), NOW)
    asked = trigger(Metric.SESSIONS, 1.0)
    assert (told.known, told.work, told.leaving) == (True, 0, leaving)
    assert active(told, asked) is (leaving > 0)


def test_streams_of_a_pool_are_those_of_its_own_nodes_wherever_they_stand() -> None:
    away = replace(node("c", PodState.PENDING), was_ready=True)
    mine = pool(node("a"), node("b", PodState.DRAINING), away, node("d", PodState.PENDING))
    known = rooms(a=(3, 10), b=(2, 10), c=(1, 10))
    assert streams(mine, known) == 6
    sourced = pool(*mine.nodes, node("e", source="eu"))
    assert streams(sourced, known | rooms(e=(9, 10))) == 6
    assert streams(pool(), {}) == 0


@pytest.mark.parametrize("known", [{}, {"b": (None, 10)}])
def test_streams_are_unknown_where_one_node_does_not_tell_them(
    known: dict[str, tuple[int | None, int | None]],
) -> None:
    assert streams(pool(node("a"), node("b")), rooms(a=(3, 10), **known)) is None


def test_a_node_that_is_not_ready_any_more_and_silent_counts_as_full() -> None:
    gone = replace(node("a", PodState.PENDING), was_ready=True)
    told = pool_demand_of(pool(gone, node("d")), rooms(d=(4, 10)), NOW)
    assert (told.known, told.work, told.busy, told.away) == (True, 14, 2, 1)
    assert not pool_demand_of(pool(gone), {}, NOW).known, "how much is full is not known"


def trigger(metric: Metric, target: float, kind: str | None = None, above: float = 0) -> Trigger:
    return Trigger("media", "rec", metric, target, kind, above)


BASE = FleetDemand(
    kind=Kind.EGRESS_FLEET, namespace="media", name="rec", known=True, at=NOW, size=3.2
)
TYPES = {"web": 1, "track": 6}


@pytest.mark.parametrize(
    ("said", "asked", "pods"),
    [
        # utilization: what runs and waits over the part of a pod that may be taken
        ({}, trigger(Metric.UTILIZATION, 0.5), 0),
        ({"used": 0.1}, trigger(Metric.UTILIZATION, 0.5), 1),
        ({"used": 1.6}, trigger(Metric.UTILIZATION, 0.5), 1),
        ({"used": 1.7}, trigger(Metric.UTILIZATION, 0.5), 2),
        ({"used": 3.2, "queued_cost": 6.4}, trigger(Metric.UTILIZATION, 1.0), 3),
        ({"used": 20 * 0.7 * 3.2}, trigger(Metric.UTILIZATION, 0.7), 20),
        # sessions: so many a pod
        ({}, trigger(Metric.SESSIONS, 2), 0),
        ({"work": 3, "queued": {"web": 2}}, trigger(Metric.SESSIONS, 2), 3),
        # queue: pods with work, and one for each so many that wait
        ({"busy": 3, "ready": 9}, trigger(Metric.QUEUE, 1), 3),
        ({"busy": 3, "queued": {"web": 4, "track": 1}}, trigger(Metric.QUEUE, 2), 6),
        ({"busy": 3, "queued": {"web": 4, "track": 1}}, trigger(Metric.QUEUE, 2, "track"), 4),
        # slots: so many places free, beyond what waits
        ({"each": TYPES}, trigger(Metric.SLOTS, 2), 2),
        ({"each": TYPES}, trigger(Metric.SLOTS, 2, "track"), 1),
        (
            {"each": TYPES, "ready": 3, "busy": 3, "free": {"web": 0}, "queued": {"web": 2}},
            trigger(Metric.SLOTS, 1),
            6,
        ),
        ({"each": TYPES, "ready": 5, "free": {"web": 5}}, trigger(Metric.SLOTS, 2), 2),
        ({"each": TYPES, "ready": 5, "busy": 4, "free": {"web": 5}}, trigger(Metric.SLOTS, 2), 4),
    ],
)
def test_how_many_pods_a_metric_asks_for(
    said: dict[str, object], asked: Trigger, pods: int
) -> None:
    assert wanted(BASE.model_copy(update=said), asked) == pods


@pytest.mark.parametrize("metric", Metric)
def test_what_is_unknown_is_an_error_for_every_metric_and_never_zero(metric: Metric) -> None:
    told = unknown(Kind.EGRESS_FLEET, "media", "rec", "the ledger is not read yet", NOW)
    for ask in (wanted, active):
        with pytest.raises(UnknownDemandError, match="the ledger is not read yet"):
            ask(told, trigger(metric, 1))


@pytest.mark.parametrize("metric", [Metric.UTILIZATION, Metric.SLOTS])
def test_an_unknown_size_is_an_error_where_it_matters(metric: Metric) -> None:
    told = BASE.model_copy(update={"size": None})
    with pytest.raises(UnknownDemandError, match="size of a pod of rec"):
        wanted(told, trigger(metric, 1))
    assert wanted(told, trigger(Metric.SESSIONS, 1)) == 0


@pytest.mark.parametrize(
    ("kind", "asked", "says"),
    [
        (Kind.ORCHESTRATOR_POOL, trigger(Metric.QUEUE, 1), "nothing queues for a pool"),
        (Kind.ORCHESTRATOR_POOL, trigger(Metric.SLOTS, 1, "web"), "takes session"),
        (Kind.EGRESS_FLEET, trigger(Metric.SLOTS, 1, "session"), "takes track, web"),
        (Kind.EGRESS_FLEET, trigger(Metric.SLOTS, 1, "participant"), "takes track, web"),
    ],
)
def test_what_a_fleet_can_never_answer_is_refused_by_name(
    kind: Kind, asked: Trigger, says: str
) -> None:
    with pytest.raises(TriggerError, match=says):
        wanted(BASE.model_copy(update={"kind": kind, "each": TYPES}), asked)


def test_places_for_a_type_that_fits_on_no_pod_are_refused() -> None:
    with pytest.raises(TriggerError, match="not even one fits"):
        wanted(BASE.model_copy(update={"each": {"web": 0}}), trigger(Metric.SLOTS, 1))


@pytest.mark.parametrize(
    ("work", "queued", "above", "is_active"),
    [(0, 0, 0, False), (1, 0, 0, True), (0, 1, 0, True), (2, 1, 3, False), (2, 2, 3, True)],
)
def test_a_fleet_is_active_while_more_runs_or_waits_than_activation(
    work: int, queued: int, above: float, is_active: bool
) -> None:
    told = BASE.model_copy(update={"work": work, "queued": {"web": queued}})
    assert active(told, trigger(Metric.UTILIZATION, 0.7, above=above)) is is_active


DEMANDS = st.builds(
    lambda ready, share, per_pod, queued: BASE.model_copy(
        update={
            "ready": ready,
            "busy": round(ready * share),
            "work": round(ready * share) * per_pod,
            "used": round(ready * share) * min(3.2, per_pod * 0.5),
            "free": {"track": ready * 6 - round(ready * share) * per_pod},
            "each": {"track": 6},
            "queued": {"track": queued},
            "queued_cost": queued * 0.5,
        }
    ),
    st.integers(0, 200),
    st.floats(0, 1),
    st.integers(1, 6),
    st.integers(0, 500),
)
TARGETS = st.builds(trigger, st.sampled_from(Metric), st.integers(10, 1000).map(lambda n: n / 1000))


@given(DEMANDS, TARGETS, st.integers(1, 50))
def test_more_waiting_never_asks_for_fewer_pods(
    told: FleetDemand, asked: Trigger, more: int
) -> None:
    queued = told.queued["track"] + more
    later = told.model_copy(update={"queued": {"track": queued}, "queued_cost": queued * 0.5})
    assert wanted(later, asked) >= wanted(told, asked)


@given(DEMANDS, TARGETS)
def test_whatever_runs_or_waits_asks_for_a_pod(told: FleetDemand, asked: Trigger) -> None:
    if told.work or told.queued["track"]:
        assert wanted(told, asked) >= 1


@given(DEMANDS, TARGETS)
def test_an_hpa_reads_the_very_number_that_was_meant(told: FleetDemand, asked: Trigger) -> None:
    """KEDA hands both on as text with three decimals; the HPA rounds their ratio up."""
    pods = wanted(told, asked)
    value, target = (round(float(f"{x:.3f}") * 1000) for x in (pods * asked.target, asked.target))
    assert math.ceil(value / target) == pods
