"""The rules of a start: one at a time by example, and all faults of two and three messages."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
from tests.kit.egress.meddling import MESSAGES, Fate
from tests.kit.egress.start_model import LATE_SECONDS, TIMES, Placement

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.core.egress import start
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.attempt import (
    Attempt,
    Finished,
    Handed,
    HandOver,
    Looked,
    Outcome,
    Phase,
    Recall,
    Refuse,
    Report,
    Step,
    Succeed,
    TakeOver,
    TakePlace,
    Why,
)

Fates = Mapping[int, Fate]
TABLE = cast("dict[Any, Any]", start._TABLE)
Fault = Callable[[Fates], str | None]


def not_once(fates: Fates) -> str | None:
    """One placement under these fates; what is wrong unless it is started once."""
    placement = Placement(fates)
    told = placement.call()
    if not told or len(placement.started) != 1:
        return f"{fates}: told {told}, started {placement.started}"
    return _asked_again(placement, fates)


def twice(fates: Fates) -> str | None:
    """The same where all attempts of a client may be lost: then its next call starts the job."""
    placement = Placement(fates)
    told = placement.call()
    placement.wait(1.0)
    if told and not placement.started:
        return f"{fates}: told of a start that never was"
    return _asked_again(placement, fates)


def _asked_again(placement: Placement, fates: Fates) -> str | None:
    placement.wait(max(LATE_SECONDS.values()))
    if not placement.call() or len(placement.started) != 1:
        return f"{fates}: asked again, started {placement.started}"
    return None


def failures(fault: Fault, numbers: Iterable[int], count: int) -> Iterator[str]:
    """What is wrong when so many of these messages have each fate."""
    for chosen in itertools.combinations(numbers, count):
        for fates in itertools.product(Fate, repeat=count):
            if (failure := fault(dict(zip(chosen, fates, strict=True)))) is not None:
                yield failure


def test_a_placement_is_as_many_messages_as_on_the_real_bus() -> None:
    placement = Placement({}, lax=True)
    assert placement.call()
    placement.wait(1.0)
    assert placement.world.messages == MESSAGES


def test_whatever_becomes_of_two_messages_the_job_is_started_once() -> None:
    """The record of the job is made by two of them: without it the pod aborts the start."""
    assert list(failures(not_once, range(2 * MESSAGES), 2)) == []


@pytest.mark.timeout(180)
def test_whatever_becomes_of_three_of_the_ten_commonest_messages_it_is_not_started_twice() -> None:
    assert list(failures(twice, range(10), 3)) == []


def test_a_rule_that_takes_silence_for_proof_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def place_anew(attempt: Attempt, event: Looked, now: float) -> start.Next:
        del event
        tried = {attempt.job.worker_uid} if attempt.job else set()
        return start._place(attempt._replace(tried=attempt.tried | tried), now)

    monkeypatch.setitem(TABLE, (Phase.LOOKING, Looked), place_anew)
    assert any("'EG_1', 'EG_1'" in each for each in failures(not_once, range(2 * MESSAGES), 2))


@pytest.mark.parametrize("what", ["a record", "AlreadyExists"])
def test_a_rule_that_takes_a_starting_job_for_a_started_one_is_found_out(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """So it was: a client was told OK of a job that its pod then aborted."""

    def looked(attempt: Attempt, event: Looked, now: float) -> start.Next:
        if event.report is Report.CREATED:
            event = replace(event, report=Report.STARTED)
        return start._looked(attempt, event, now)

    def handed(attempt: Attempt, event: Handed, now: float) -> start.Next:
        if event.outcome is Outcome.ALREADY_EXISTS:
            event = replace(event, outcome=Outcome.STARTED)
        return start._handed(attempt, event, now)

    if what == "AlreadyExists":
        monkeypatch.setitem(TABLE, (Phase.PROVING, Handed), handed)
    else:
        monkeypatch.setitem(TABLE, (Phase.LOOKING, Looked), looked)
    assert any("started []" in each for each in failures(not_once, range(2 * MESSAGES), 2))


CLAIMED_AT = 1000.0
JOB = Job("EG_1", "/rec", "pod-0", "uid", "pod-0", RequestType.TRACK, 0.5, "token", CLAIMED_AT)


def looking(at: float, token: str = "token") -> Attempt:
    """An attempt that has asked the pods, so long after the claim."""
    now = CLAIMED_AT + at
    return Attempt(TIMES, token, now, now + 20.0, now, Phase.LOOKING, job=JOB, asked_at=now)


def seen(
    report: Report = Report.NONE,
    runs_on: str | None = None,
    *,
    asked: bool = True,
    there: bool = True,
) -> Looked:
    return Looked(runs_on, frozenset({"SRV"}), report, asked, "SRV", there)


@pytest.mark.parametrize(
    ("at", "event", "step"),
    [
        (1.0, seen(runs_on="SRV"), Recall),
        (12.9, seen(runs_on="SRV"), Recall),
        (13.0, seen(runs_on="SRV"), Succeed),
        (1.0, seen(Report.CREATED, "SRV"), Recall),
        (1.0, seen(Report.STARTED, "SRV"), Succeed),
        (1.0, seen(Report.STARTED), Succeed),
        (1.0, seen(Report.ENDED), Finished),
        (1.0, seen(), HandOver),
        (1.0, seen(Report.CREATED), Recall),
        (15.1, seen(Report.CREATED), TakePlace),
        (15.1, seen(Report.CREATED, asked=False), Recall),
        (1.0, seen(there=False), Recall),
        (15.1, seen(there=False), TakePlace),
    ],
)
def test_what_follows_from_what_pods_and_livekit_server_say(
    at: float, event: Looked, step: type[Step]
) -> None:
    attempt = looking(at)
    assert isinstance(start.advance(attempt, event, attempt.asked_at)[1], step)


def test_a_young_claim_of_another_attempt_is_left_to_it() -> None:
    attempt = looking(TIMES.leave_alone_seconds / 2, "another")
    assert isinstance(start.advance(attempt, seen(), attempt.asked_at)[1], Recall)
    attempt = looking(TIMES.leave_alone_seconds, "another")
    assert isinstance(start.advance(attempt, seen(), attempt.asked_at)[1], TakeOver)


def test_nothing_is_started_for_a_client_with_too_little_time_left() -> None:
    attempt = Attempt(TIMES, "token", CLAIMED_AT, CLAIMED_AT + 10, CLAIMED_AT)
    assert isinstance(start.begin(attempt, CLAIMED_AT + 8.0)[1], TakePlace)
    assert start.begin(attempt, CLAIMED_AT + 8.1)[1] == Refuse(Why.EXPIRED, release=True)
