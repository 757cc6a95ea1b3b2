"""What the desk's page shows of fleets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kit.egress.scene import fleet, with_state

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.names import DrainReason, PodState
from mediafleet_common.probes.load import Load
from mediafleet_common.reports.pages.fleets import FleetShown, PodShown
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.capacity import pod_of
from mediafleet_scheduler.core.egress.pages.fleets import (
    MOST_PLACEMENTS,
    fleet_shown,
    fleet_unknown,
    newest,
)
from mediafleet_scheduler.core.egress.queue import Waiting
from mediafleet_scheduler.core.egress.views import Fleet

NOW = 1000.0
FLEET = fleet("a", "b")


def job(name: str, pod: str = "a", kind: RequestType = RequestType.TRACK, **values: object) -> Job:
    made = Job(name, FLEET.key, pod, pod, pod, kind, 0.5, "", NOW - 60, NOW - 60)
    return made._replace(**values)  # type: ignore[arg-type]


def shown(
    ledger: Ledger, seen: Fleet = FLEET, left_out: frozenset[str] = frozenset()
) -> FleetShown:
    return fleet_shown(seen, ledger, NOW, left_out)


def pod(ledger: Ledger, seen: Fleet = FLEET, left_out: frozenset[str] = frozenset()) -> PodShown:
    return shown(ledger, seen, left_out).pods[0]


def tell(ledger: Ledger, load: Load) -> None:
    costs = FLEET.placement.cpu_cost
    # Jobs that the ledger does not know count once two readings tell of them.
    for at in (NOW - 2, NOW - 1):
        ledger.measure(pod_of(FLEET, FLEET.workers[0]), load, costs, at)


def test_a_pod_has_its_jobs_and_their_cpus_by_type() -> None:
    ledger = Ledger()
    for each in (job("1"), job("2"), job("3", kind=RequestType.WEB, cores=4.0)):
        ledger.put(each)
    told = pod(ledger)
    assert told.jobs == {"track": 2, "web": 1}
    assert told.used == {"track": 1.0, "web": 4.0}
    # 12 CPUs, of which a busy pod fills 0.8.
    assert told.free == pytest.approx(12 * 0.8 - 5.0)
    assert not told.load_known


def test_what_a_pod_measures_counts_more_than_the_table_once_a_job_is_settled() -> None:
    ledger = Ledger()
    ledger.put(job("1"))
    tell(ledger, Load(jobs=1, cpu_load=0.25))
    told = pod(ledger)
    assert told.used == {"track": 3.0}
    assert told.load_known


def test_a_new_job_counts_with_its_whole_cost_whatever_is_measured() -> None:
    ledger = Ledger()
    ledger.put(job("1", started_at=NOW - 3))
    tell(ledger, Load(jobs=1, cpu_load=0.01))
    assert pod(ledger).used == {"track": 0.5}


def test_jobs_that_no_desk_has_placed_are_other_jobs() -> None:
    ledger = Ledger()
    ledger.put(job("1"))
    tell(ledger, Load(jobs=3, cpu_load=0.5, jobs_by_type={"track": 1, "web": 2}))
    told = pod(ledger)
    assert told.jobs == {"track": 1, "other": 2}
    assert sum(told.used.values()) == pytest.approx(6.0, abs=0.02)


def test_a_measurement_that_is_old_is_not_shown_as_the_load() -> None:
    ledger = Ledger()
    ledger.put(job("1"))
    ledger.measure(
        pod_of(FLEET, FLEET.workers[0]),
        Load(jobs=1, cpu_load=0.5),
        FLEET.placement.cpu_cost,
        NOW - 3600,
    )
    told = pod(ledger)
    assert (told.used, told.load_known) == ({"track": 0.5}, False)


def test_free_cpus_are_rounded_and_never_below_none() -> None:
    ledger = Ledger()
    ledger.put(job("1", cores=100.0))
    assert pod(ledger).free == 0.0
    ledger = Ledger()
    ledger.put(job("1", cores=1 / 3))
    assert (pod(ledger).free, pod(ledger).used) == (9.27, {"track": 0.33})


def test_of_a_pod_of_unknown_size_the_free_cpus_are_unknown() -> None:
    worker = replace(FLEET.workers[0], cpu_cores=None)
    told = pod(Ledger(), replace(FLEET, workers=(worker,)))
    assert (told.cpus, told.free) == (None, None)


@pytest.mark.parametrize(
    ("state", "reason", "why"),
    [
        (PodState.READY, None, None),
        (PodState.PENDING, None, "it is not Ready"),
        (PodState.DRAINING, None, "it drains"),
        (PodState.DRAINING, DrainReason.SCALE_DOWN, "it drains: scale_down"),
    ],
)
def test_a_pod_that_takes_no_jobs_says_why(
    state: PodState, reason: DrainReason | None, why: str | None
) -> None:
    seen = with_state(FLEET, state, "a")
    workers = tuple(replace(each, drain_reason=reason) for each in seen.workers)
    told = pod(Ledger(), replace(seen, workers=workers))
    assert (told.state, told.why) == (state, why)


def test_a_pod_that_failed_or_closed_itself_says_so() -> None:
    assert "failed" in (pod(Ledger(), left_out=frozenset({"a"})).why or "")
    ledger = Ledger()
    tell(ledger, Load(jobs=0, disabled=True))
    assert "disabled itself" in (pod(ledger).why or "")
    assert shown(ledger).pods[1].why is None


def test_who_waits_is_counted_by_type_and_of_this_fleet_alone() -> None:
    ledger = Ledger()
    for name, key, kind in (
        ("1", FLEET.key, RequestType.WEB),
        ("2", FLEET.key, RequestType.WEB),
        ("3", FLEET.key, RequestType.TRACK),
        ("4", "/other", RequestType.TRACK),
    ):
        ledger.wait(Waiting(name, key, kind, 1.0, "", NOW, until=NOW + 5))
    assert shown(ledger).queued == {"track": 1, "web": 2}


def test_the_order_of_pods_and_who_is_not_confirmed_are_kept() -> None:
    told = fleet_shown(FLEET, Ledger(), NOW, (), {"a": None, "b": 2})
    assert [each.name for each in told.pods] == ["a", "b"]
    assert told.unconfirmed == {"a": None, "b": 2}
    assert (told.namespace, told.name, told.mode) == ("", "rec", FLEET.placement.mode)
    assert told.why_unknown is None


def test_of_a_fleet_whose_ledger_is_away_only_the_pods_are_known() -> None:
    told = fleet_unknown(FLEET, "no connection")
    assert told.why_unknown == "no connection"
    assert [(each.name, each.state, each.cpus, each.free, each.jobs) for each in told.pods] == [
        ("a", PodState.READY, 12.0, None, {}),
        ("b", PodState.READY, 12.0, None, {}),
    ]
    assert (told.namespace, told.name, told.mode) == ("", "rec", FLEET.placement.mode)


def test_the_newest_placements_come_first_and_starting_ones_are_marked() -> None:
    jobs = [job("1", claimed_at=5.0), job("2", claimed_at=7.0, started_at=None)]
    first, second = newest(jobs)
    assert (first.egress_id, first.at, first.started) == ("2", 7.0, False)
    assert (second.egress_id, second.started) == ("1", True)
    assert (first.fleet, first.pod, first.type) == ("rec", "a", RequestType.TRACK)


@given(st.permutations(range(MOST_PLACEMENTS + 5)))
def test_of_many_placements_the_last_are_shown_in_one_order(order: list[int]) -> None:
    jobs = [job(f"{number:03}", claimed_at=float(number // 2)) for number in order]
    told = [each.egress_id for each in newest(jobs)]
    assert told == [f"{number:03}" for number in range(MOST_PLACEMENTS + 4, 4, -1)]


def test_what_is_shown_twice_of_one_state_is_the_same_text() -> None:
    ledger = Ledger()
    ledger.put(job("1"))
    tell(ledger, Load(jobs=1, cpu_load=0.25))
    later = fleet_shown(FLEET, ledger, NOW + 1, ())
    assert later.model_dump_json() == shown(ledger).model_dump_json()
