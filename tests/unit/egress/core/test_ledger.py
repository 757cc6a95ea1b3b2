"""What a pod has left, counted as the pod itself counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.probes.load import Load
from mediafleet_scheduler.core.egress.accounting.accounts import HOLD_SECONDS, Job
from mediafleet_scheduler.core.egress.accounting.ledger import (
    STALE_SECONDS,
    Account,
    Ledger,
    Pod,
)
from mediafleet_scheduler.core.egress.queue import Waiting

POD = Pod("pod-0", "uid-0", 10.0)
OTHER = Pod("pod-1", "uid-1", 10.0)
COSTS = CpuCost()
UTILIZATION = 0.8
NOW = 1_000_000.0


def job(name: str, kind: RequestType = RequestType.TRACK, pod: Pod = POD) -> Job:
    return Job(name, "/rec", pod.name, pod.uid, pod.name, kind, COSTS.of(kind), "t", NOW)


def ledger_with(*jobs: Job, started_at: float | None = None) -> Ledger:
    ledger = Ledger()
    for each in jobs:
        ledger.put(each)
        if started_at is not None:
            ledger.start(each.egress_id, started_at, "SRV_1")
    return ledger


def free(ledger: Ledger, now: float = NOW, pod: Pod = POD) -> float | None:
    return ledger.account(pod, UTILIZATION, now).free_cores


def test_an_idle_pod_has_all_its_cpus() -> None:
    assert free(Ledger()) == 10.0


def test_a_busy_pod_has_its_share_less_what_is_taken() -> None:
    assert free(ledger_with(job("a", RequestType.WEB))) == 4.0


def test_a_pending_job_counts_with_its_cost_for_as_long_as_it_is_pending() -> None:
    ledger = ledger_with(job("a", RequestType.WEB))
    ledger.measure(POD, Load(jobs=1, cpu_load=0.01), COSTS, NOW + 990)
    assert free(ledger, NOW + 1000) == 4.0


REFUSES = "it has less than it was asked for, whatever the ledger reckons"
NO_MORE: Mapping[str, Callable[[Ledger], object]] = {
    "it tells its load": lambda ledger: ledger.measure(POD, Load(jobs=1), COSTS, NOW + 5),
    "a job of it ends": lambda ledger: ledger.drop("a"),
}


@pytest.mark.parametrize("happens", NO_MORE.values(), ids=NO_MORE)
def test_a_pod_that_refused_is_full_until_something_has_changed(
    happens: Callable[[Ledger], object],
) -> None:
    ledger = ledger_with(job("a"), started_at=NOW - HOLD_SECONDS)
    assert free(ledger, NOW) == 7.5
    ledger.refuse(POD.uid, 4.0, NOW)
    ledger.put(job("b"))
    ledger.drop("b")
    left = free(ledger, NOW + 5)
    assert left is not None
    assert 3.9 < left < 4.0, REFUSES
    assert free(ledger, NOW, OTHER) == 10.0
    happens(ledger)
    left = free(ledger, NOW + 5)
    assert left is not None
    assert left > 4.0


def test_a_refusal_counts_until_a_job_is_no_longer_new_and_not_for_ever() -> None:
    ledger = ledger_with(job("a"), started_at=NOW - 10)
    ledger.refuse(POD.uid, 4.0, NOW)
    assert free(ledger, NOW + 4.9) == pytest.approx(4.0)
    assert free(ledger, NOW + 5) == 7.5
    ledger.refuse(POD.uid, 4.0, NOW + 6)
    assert free(ledger, NOW + 6 + STALE_SECONDS) == 7.5


def test_a_new_job_counts_with_its_cost_for_15_seconds_then_with_what_it_uses() -> None:
    ledger = ledger_with(job("a", RequestType.WEB), started_at=NOW)
    ledger.measure(POD, Load(jobs=1, cpu_load=0.1), COSTS, NOW + 10)
    assert free(ledger, NOW + HOLD_SECONDS - 0.01) == 4.0
    assert free(ledger, NOW + HOLD_SECONDS) == 7.0


def test_a_new_job_that_uses_more_than_its_cost_counts_with_that() -> None:
    ledger = ledger_with(job("a", RequestType.WEB), started_at=NOW)
    ledger.measure(POD, Load(jobs=1, cpu_load=0.6), COSTS, NOW + 1)
    assert free(ledger, NOW + 2) == 2.0


def test_without_a_measurement_a_job_counts_with_its_cost() -> None:
    ledger = ledger_with(job("a", RequestType.WEB), started_at=NOW)
    assert free(ledger, NOW + 3600) == 4.0


def test_an_old_measurement_says_nothing() -> None:
    ledger = ledger_with(job("a", RequestType.WEB), started_at=NOW)
    ledger.measure(POD, Load(jobs=1, cpu_load=0.1), COSTS, NOW + 20)
    assert free(ledger, NOW + 20 + STALE_SECONDS) == 7.0
    assert free(ledger, NOW + 21 + STALE_SECONDS) == 4.0
    assert not ledger.account(POD, UTILIZATION, NOW + 21 + STALE_SECONDS).measured


def test_the_load_is_shared_out_by_cost_and_leaves_with_its_job() -> None:
    web, track = job("web", RequestType.WEB), job("track", RequestType.TRACK_COMPOSITE)
    ledger = ledger_with(web, track, started_at=NOW)
    ledger.measure(POD, Load(jobs=2, cpu_load=0.5), COSTS, NOW + 20)
    assert free(ledger, NOW + 21) == pytest.approx(8.0 - 5.0)
    ledger.drop("web")
    assert free(ledger, NOW + 21) == pytest.approx(8.0 - 1.0)
    ledger.drop("track")
    assert free(ledger, NOW + 21) == 10.0, "idle, whatever was measured before"


def test_jobs_that_the_ledger_does_not_know_count_by_their_types() -> None:
    ledger = Ledger()
    told = Load(jobs=2, jobs_by_type={"room_composite": 1, "track": 1})
    ledger.measure(POD, told, COSTS, NOW)
    account = ledger.account(POD, UTILIZATION, NOW)
    assert account.jobs == 2
    assert account.free_cores == pytest.approx(8.0 - 4.5)


def test_unknown_jobs_of_unknown_types_count_as_the_dearest() -> None:
    ledger = Ledger()
    ledger.measure(POD, Load(jobs=1), COSTS, NOW)
    assert free(ledger) == pytest.approx(4.0)


def test_a_job_that_has_just_ended_is_not_taken_for_a_foreign_one() -> None:
    ledger = ledger_with(job("a"), started_at=NOW)
    ledger.measure(POD, Load(jobs=1, cpu_load=0.05), COSTS, NOW)
    ledger.drop("a")
    ledger.measure(POD, Load(jobs=1, cpu_load=0.05), COSTS, NOW + 1)
    assert free(ledger, NOW + 1) == 10.0
    ledger.measure(POD, Load(jobs=1, cpu_load=0.05), COSTS, NOW + 6)
    assert ledger.account(POD, UTILIZATION, NOW + 6).jobs == 1, "but one that stays is"


def test_a_pod_of_unknown_size_has_an_unknown_rest() -> None:
    nameless = replace(POD, cores=None)
    account = ledger_with(job("a")).account(nameless, UTILIZATION, NOW)
    assert account.free_cores is None
    assert account.jobs == 1


def test_the_first_word_on_a_start_counts() -> None:
    ledger = ledger_with(job("a"))
    ledger.start("a", NOW + 1, "SRV_1")
    ledger.start("a", NOW + 9, "SRV_2")
    assert ledger.jobs["a"].started_at == NOW + 1
    assert ledger.jobs["a"].server_id == "SRV_1"


def test_a_start_after_the_end_brings_nothing_back() -> None:
    ledger = ledger_with(job("a"))
    ledger.drop("a")
    ledger.start("a", NOW, "SRV_1")
    assert not ledger.jobs


def test_a_job_that_moves_leaves_its_first_pod() -> None:
    ledger = ledger_with(job("a", RequestType.WEB))
    ledger.put(job("a", RequestType.WEB, OTHER))
    assert free(ledger) == 10.0
    assert free(ledger, pod=OTHER) == 4.0


def test_dropping_twice_is_dropping_once() -> None:
    ledger = ledger_with(job("a"))
    assert ledger.drop("a") is not None
    assert ledger.drop("a") is None


def test_a_changed_limit_counts_at_once() -> None:
    ledger = ledger_with(job("a", RequestType.WEB))
    assert ledger.account(POD, 0.8, NOW).free_cores == 4.0
    assert ledger.account(POD, 0.5, NOW).free_cores == 1.0
    assert ledger.account(replace(POD, cores=20.0), 0.5, NOW).free_cores == 6.0


@given(st.lists(st.sampled_from(RequestType), max_size=20), st.floats(0, 1), st.floats(0, 60))
def test_a_new_job_never_counts_with_less_than_its_cost(
    kinds: list[RequestType], cpu_load: float, age: float
) -> None:
    jobs = [job(f"e{n}", kind) for n, kind in enumerate(kinds)]
    ledger = ledger_with(*jobs, started_at=NOW)
    ledger.measure(POD, Load(jobs=len(jobs), cpu_load=cpu_load), COSTS, NOW + age)
    rest = free(ledger, NOW + age)
    assert rest is not None
    if jobs and age < HOLD_SECONDS:
        assert rest <= 10.0 * UTILIZATION - sum(each.cores for each in jobs) + 1e-9


class LedgerMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order, the ledger is what was last said of each job, and the
    accounts kept between calls are those of a ledger made anew."""

    pods = (POD, OTHER)

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.truth: dict[str, Job] = {}
        self.now = NOW

    @rule(
        name=st.sampled_from("abcd"), pod=st.sampled_from(pods), kind=st.sampled_from(RequestType)
    )
    def put(self, name: str, pod: Pod, kind: RequestType) -> None:
        each = job(name, kind, pod)
        self.ledger.put(each)
        self.truth[name] = each

    @rule(name=st.sampled_from("abcd"))
    def start(self, name: str) -> None:
        self.ledger.start(name, self.now, "SRV_1")
        each = self.truth.get(name)
        if each and each.started_at is None:
            self.truth[name] = each._replace(started_at=self.now, server_id="SRV_1")

    @rule(name=st.sampled_from("abcd"))
    def drop(self, name: str) -> None:
        assert self.ledger.drop(name) == self.truth.pop(name, None)

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def jobs_are_what_was_said(self) -> None:
        assert dict(self.ledger.jobs) == self.truth
        assert sum(len(self.ledger.on(pod.uid)) for pod in self.pods) == len(self.truth)

    @invariant()
    def accounts_are_those_of_a_fresh_ledger(self) -> None:
        fresh = Ledger()
        fresh.replace_all(self.truth.values())
        for pod in self.pods:
            kept = self.ledger.account(pod, UTILIZATION, self.now)
            made = fresh.account(pod, UTILIZATION, self.now)
            assert _counts(kept) == pytest.approx(_counts(made))


def _counts(account: Account) -> tuple[int, float]:
    return account.jobs, account.free_cores or 0.0


TestLedgerMachine = LedgerMachine.TestCase


def test_what_was_told_is_touched_once_and_all_of_it_at_first() -> None:
    ledger = ledger_with(job("a"))
    touched, other = ledger.watch(), ledger.watch()
    assert touched.take() is None
    assert touched.take() == set()
    ledger.start("a", NOW, "SRV_1")
    ledger.measure(OTHER, Load(jobs=0), COSTS, NOW)
    assert touched.take() == {POD.uid, OTHER.uid}
    ledger.wait(Waiting("w", "/rec", RequestType.WEB, 4.0, "", NOW))
    assert touched.take() == {"/rec"}
    ledger.leave("w")
    ledger.drop("a")
    assert touched.take() == {"/rec", POD.uid}
    ledger.replace_all([])
    assert touched.take() is None
    assert other.take() is None, "each who watches is told for himself"
    assert other.take() == set()


def turns(ledger: Ledger) -> list[str]:
    return list(ledger.turns)


def test_turns_count_while_somebody_waits_and_the_last_is_last() -> None:
    ledger = Ledger()
    ledger.took_turn("a", NOW)
    assert turns(ledger) == []
    ledger.wait(Waiting("e", "/rec", RequestType.TRACK, 0.5, "", NOW, until=NOW + 9))
    for flow in ("a", "b", "a"):
        ledger.took_turn(flow, NOW)
    assert turns(ledger) == ["b", "a"]
    ledger.leave("another")
    assert turns(ledger) == ["b", "a"]
    ledger.leave("e")
    assert turns(ledger) == []


def test_flows_that_took_a_turn_are_remembered_up_to_a_bound() -> None:
    ledger = Ledger()
    ledger.wait(Waiting("e", "/rec", RequestType.TRACK, 0.5, "", NOW, until=NOW + 9))
    for number in range(10_001):
        ledger.took_turn(str(number), NOW)
    assert turns(ledger)[0] == "1"
    assert len(turns(ledger)) == 10_000


def test_what_a_pod_said_is_forgotten_with_it() -> None:
    ledger = ledger_with(job("a"), started_at=NOW)
    for each in (POD, OTHER):
        ledger.measure(each, Load(jobs=2, cpu_load=0.5), COSTS, NOW)
        ledger.refuse(each.uid, 1.0, NOW)
        ledger.account(each, UTILIZATION, NOW)
    ledger.keep_only([OTHER.uid])
    account = ledger.account(POD, UTILIZATION, NOW + 1)
    assert (account.measured, account.free_cores) == (False, 7.5)
    kept = ledger.account(OTHER, UTILIZATION, NOW + 1)
    assert (kept.measured, kept.jobs) == (True, 2)
    assert kept.free_cores == pytest.approx(1.0)
