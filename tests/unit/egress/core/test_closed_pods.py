"""A pod that says itself that it takes nothing gets nothing, and is no capacity for anybody."""

from __future__ import annotations

import random

import pytest

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Mode, Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.probes.load import Load
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import STALE_SECONDS, Ledger, Pod
from mediafleet_scheduler.core.egress.accounting.resources import need_of
from mediafleet_scheduler.core.egress.demand import egress_demand
from mediafleet_scheduler.core.egress.placement.explanation import Seen, why_not
from mediafleet_scheduler.core.egress.placement.modes import WorkerView, choose
from mediafleet_scheduler.core.egress.views import Fleet, Worker

NOW = 1_000_000.0
TRACK = RequestType.TRACK
NEED = need_of(TRACK, Placement())
DISABLED = Load(jobs=0, disabled=True, terminating=False)
TERMINATING = Load(jobs=0, disabled=True, terminating=True)
CLOSED = pytest.mark.parametrize("load", [DISABLED, TERMINATING], ids=["disabled", "terminating"])


def fleet(pods: int) -> Fleet:
    workers = tuple(
        Worker(f"p{n}", f"u{n}", f"p{n}", None, 4.0, None, PodState.READY) for n in range(pods)
    )
    return Fleet("", "rec", Placement(), frozenset({TRACK}), None, workers)


def ledger_of(*loads: Load) -> Ledger:
    ledger = Ledger()
    for n, load in enumerate(loads):
        ledger.measure(Pod(f"p{n}", f"u{n}", 4.0), load, Placement().cpu_cost, NOW)
    return ledger


def views(of: Fleet, ledger: Ledger, now: float = NOW) -> list[WorkerView]:
    seen = []
    for worker in of.workers:
        account = ledger.account(Pod(worker.name, worker.uid, worker.cpu_cores), 0.8, now)
        seen.append(
            WorkerView(
                worker.name,
                worker.uid,
                4.0,
                account.free_cores,
                account.jobs,
                closed=account.closed,
            )
        )
    return seen


@CLOSED
@pytest.mark.parametrize("mode", Mode)
def test_it_is_never_chosen(load: Load, mode: Mode) -> None:
    pods = views(fleet(2), ledger_of(load, Load(jobs=0, disabled=False)))
    chosen = choose(pods, NEED, mode, random.Random(1))
    assert chosen is not None
    assert chosen.name == "p1"
    assert choose(pods[:1], NEED, mode, random.Random(1)) is None


@CLOSED
def test_it_has_no_room_in_what_autoscalers_are_told(load: Load) -> None:
    told = egress_demand(fleet(2), ledger_of(load, Load(jobs=0)), True, NOW)
    open_one = egress_demand(fleet(1), ledger_of(Load(jobs=0)), True, NOW)
    assert (told.ready, told.busy, told.away) == (1, 0, 0)
    assert told.free == open_one.free


def test_what_it_still_runs_counts_as_work_on_a_pod_that_takes_no_more() -> None:
    of = fleet(2)
    ledger = ledger_of(DISABLED, Load(jobs=0))
    ledger.put(Job("e1", of.key, "p0", "u0", "p0", TRACK, 0.5, "t", NOW))
    told = egress_demand(of, ledger, True, NOW)
    assert (told.ready, told.busy, told.away, told.work) == (1, 1, 1, 1)


@CLOSED
def test_who_asks_why_is_told(load: Load) -> None:
    of = fleet(1)
    (view,) = views(of, ledger_of(load))
    said = why_not(Seen(of.workers[0], view, left_out=False), NEED)
    word = "livekit_egress_is_terminating" if load.terminating else "livekit_egress_is_disabled"
    assert said is not None
    assert word in said


def test_it_is_open_again_when_it_says_so_or_has_said_nothing_for_long() -> None:
    of, ledger = fleet(1), ledger_of(DISABLED)
    assert views(of, ledger)[0].closed is not None
    assert views(of, ledger, NOW + STALE_SECONDS + 1)[0].closed is None
    ledger.measure(Pod("p0", "u0", 4.0), Load(jobs=0, disabled=False), Placement().cpu_cost, NOW)
    assert views(of, ledger)[0].closed is None
