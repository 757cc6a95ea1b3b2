"""What an account of a pod says beside its free CPUs, and for how long it is right."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mediafleet_common.api.egress.costs import CpuCost, Memory, RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.probes.load import Load
from mediafleet_scheduler.core.egress.accounting.accounts import HOLD_SECONDS, Closed, Job
from mediafleet_scheduler.core.egress.accounting.ledger import (
    NEW_SECONDS,
    STALE_SECONDS,
    Account,
    Ledger,
    Pod,
)
from mediafleet_scheduler.core.egress.accounting.resources import Need, Rest, Rules, rules_of

POD = Pod("pod-0", "uid-0", 10.0)
NOW = 1_000_000.0
COSTS = CpuCost()
OLD = NOW - 100


def job(name: str, kind: RequestType = RequestType.TRACK, claimed_at: float = OLD) -> Job:
    return Job(name, "/rec", POD.name, POD.uid, POD.name, kind, 1.0, "t", claimed_at)


def account(*jobs: Job, now: float = NOW, pod: Pod = POD, load: Load | None = None) -> Account:
    ledger = Ledger()
    for each in jobs:
        ledger.put(each)
    if load is not None:
        ledger.measure(pod, load, COSTS, NOW)
    return ledger.account(pod, 0.8, now)


def test_a_pod_runs_pages_as_soon_as_one_of_its_jobs_is_one() -> None:
    web, track = job("w", RequestType.WEB), job("t")
    assert account(web, track).pages
    assert not account(track).pages
    assert not account().pages


def test_a_pod_has_new_jobs_for_five_seconds_after_the_last_claim() -> None:
    jobs = job("a", claimed_at=NOW - 50), job("b", claimed_at=NOW)
    assert account(*jobs, now=NOW + 4.9).new
    assert not account(*jobs, now=NOW + 5).new
    assert not account().new


def test_an_account_is_right_until_a_job_is_no_longer_new_or_held_or_the_load_is_old() -> None:
    new = job("a", claimed_at=NOW - 1)
    assert account(new).valid_until == NOW - 1 + NEW_SECONDS
    held = job("a")._replace(started_at=NOW - 10)
    assert account(held).valid_until == NOW - 10 + HOLD_SECONDS
    assert account(job("a"), load=Load(jobs=1)).valid_until == NOW + STALE_SECONDS
    assert account(job("a")).valid_until == math.inf
    both = new._replace(started_at=NOW - 12)
    assert account(both).valid_until == NOW - 12 + HOLD_SECONDS, "the first of them"


def test_an_account_that_was_asked_for_in_time_is_kept_and_then_made_anew() -> None:
    ledger = Ledger()
    ledger.put(job("a", claimed_at=NOW))
    first = ledger.account(POD, 0.8, NOW)
    assert ledger.account(POD, 0.8, NOW + NEW_SECONDS - 0.1) is first
    assert ledger.account(POD, 0.8, NOW + NEW_SECONDS) is not first


def test_a_pod_that_takes_nothing_by_its_own_word_has_room_for_none() -> None:
    closed = account(load=Load(jobs=0, disabled=True))
    assert closed.closed is Closed.DISABLED
    assert closed.times(Need(RequestType.TRACK, 0.5)) == 0
    assert account().closed is None


@pytest.mark.parametrize(
    ("cores", "times"),
    [(10.0, 1), (10.1, 0), (8.0, 1), (4.0, 2), (2.0, 4), (1.0, 8), (0.8, 10)],
)
def test_an_idle_pod_may_be_filled_by_its_first_job_and_then_to_its_share(
    cores: float, times: int
) -> None:
    assert account().times(Need(RequestType.TRACK, cores)) == times


def test_a_busy_pod_takes_what_fits_into_its_share_and_never_less_than_none() -> None:
    busy = account(job("a"))
    assert busy.times(Need(RequestType.TRACK, 7.0)) == 1
    assert busy.times(Need(RequestType.TRACK, 7.1)) == 0
    full = account(*(job(f"e{n}") for n in range(9)))
    assert full.free_cores == -1.0
    assert full.times(Need(RequestType.TRACK, 0.5)) == 0


def test_how_much_fits_on_a_pod_of_unknown_size_is_unknown() -> None:
    assert account(pod=replace(POD, cores=None)).times(Need(RequestType.TRACK, 0.5)) is None


def test_memory_and_clients_count_by_the_pods_own_shares_of_its_limits() -> None:
    rules = Rules(memory=Memory(max_gb=11.0), max_pulse_clients=50)
    told = Load(jobs=0, memory_share=0.5, pulse_share=0.2)
    rest = account(pod=replace(POD, rules=rules), load=told).rest
    assert rest.memory_gb == pytest.approx(11.0 - 1.0 - 5.5)
    assert rest.pulse_clients == 40
    silent = account(pod=replace(POD, rules=rules), load=Load(jobs=0)).rest
    assert (silent.memory_gb, silent.pulse_clients) == (10.0, 50)


def test_jobs_that_others_gave_a_pod_count_until_its_word_is_old() -> None:
    foreign = Load(jobs=2)
    assert account(job("a"), load=foreign).jobs == 2
    assert account(job("a"), load=foreign, now=NOW + STALE_SECONDS).jobs == 2
    assert account(job("a"), load=foreign, now=NOW + STALE_SECONDS + 0.1).jobs == 1
    assert not account(load=foreign, now=NOW + STALE_SECONDS + 0.1).measured


def test_a_pod_of_which_nothing_is_said_has_the_limits_of_a_fleet_that_says_nothing() -> None:
    assert Rules() == rules_of(Placement())
    assert Rest().pulse_clients == Placement().max_pulse_clients
