"""Each row of a start's table, at the edges of its times."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.core.egress import start
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.attempt import (
    AlreadyKnown,
    AskBid,
    AskPods,
    Attempt,
    Bid,
    Event,
    Fail,
    Finished,
    Free,
    Handed,
    HandOver,
    LedgerFailed,
    Looked,
    NoCapacity,
    Outcome,
    PassedOver,
    PassOver,
    Phase,
    Placed,
    Recall,
    Refuse,
    Repeat,
    Report,
    Step,
    Succeed,
    TakenOver,
    TakeOver,
    TakePlace,
    Times,
    Why,
)
from mediafleet_scheduler.core.egress.placement.modes import Refusal

TIMES = Times(
    forward_seconds=10,
    least_forward_seconds=2,
    started_after_seconds=3,
    grant_margin_seconds=1,
    leave_alone_seconds=30,
    answer_margin_seconds=0.5,
    answer_within_seconds=20,
    start_allowance_seconds=5,
    ask_again_seconds=1,
)
NOW = 1000.0
JOB = Job("EG_1", "/rec", "pod-0", "uid-0", "pod-0", RequestType.TRACK, 0.5, "token", NOW)
FULL = NoCapacity(Refusal.NO_CAPACITY, 1.0)
TRIED = frozenset({"uid-0"})


def attempt(phase: Phase = Phase.PLACING, **known: object) -> Attempt:
    """An attempt that came just now, with as much time as its client has."""
    begun = Attempt(TIMES, "token", NOW, NOW + 60, NOW, phase, placed_for=NOW)
    if phase is not Phase.PLACING:
        begun = begun._replace(job=JOB)
    return begun._replace(**known)  # type: ignore[arg-type]


def after(state: Attempt, event: Event, now: float = NOW) -> tuple[Phase, Step]:
    following, step = start.advance(state, event, now)
    return following.phase, step


def handed(outcome: Outcome, pod_server: str | None = None) -> Handed:
    return Handed(outcome, "SRV", pod_server)


def looked(
    report: Report = Report.NONE,
    runs_on: str | None = None,
    *,
    asked: bool = True,
    pod_server: str | None = "SRV",
    there: bool = True,
) -> Looked:
    return Looked(runs_on, frozenset({"SRV"}), report, asked, pod_server, there)


# PLACING


def test_a_request_waits_for_a_place_as_long_as_a_start_can_still_be_answered() -> None:
    state, step = start.begin(attempt(sent_at=NOW - 4), NOW)
    assert step == TakePlace(NOW - 4 + 20 - 5, frozenset())
    assert (state.phase, state.job, state.placed_for) == (Phase.PLACING, None, NOW)


def test_after_silence_nobody_waits_for_room_but_after_a_word_they_do() -> None:
    silent = start.begin(attempt(tried=TRIED), NOW)[1]
    assert silent == TakePlace(0.0, TRIED)
    spoken = start.begin(attempt(tried=TRIED, silent_only=False), NOW)[1]
    assert spoken == TakePlace(NOW + 15, TRIED)


@pytest.mark.parametrize(("tries", "ends"), [(None, False), (1, False), (2, True)])
def test_pods_asked_with_patience_are_two_at_most(tries: int | None, ends: bool) -> None:
    step = start.begin(attempt(tried=TRIED, patient_tries=tries), NOW)[1]
    assert (step == Refuse(Why.NO_BID, release=True)) is ends


def test_another_pod_is_asked_only_while_its_answer_can_be_told() -> None:
    late = attempt(tried=TRIED, expires_at=NOW + 2)
    times = replace(TIMES, answer_margin_seconds=2)
    assert isinstance(start.begin(late._replace(times=times), NOW)[1], TakePlace)
    times = replace(TIMES, answer_margin_seconds=2.1)
    assert start.begin(late._replace(times=times), NOW)[1] == Refuse(Why.NO_BID, release=True)
    fresh = late._replace(times=times, tried=frozenset())
    assert isinstance(start.begin(fresh, NOW)[1], TakePlace)


@pytest.mark.parametrize("tries", [None, 0, 1])
def test_a_place_is_handed_over_with_patience_once_pods_were_silent(tries: int | None) -> None:
    state, step = start.advance(attempt(patient_tries=tries), Placed(JOB), NOW)
    assert step == HandOver(JOB, patient=tries is not None)
    assert (state.phase, state.job) == (Phase.HANDING, JOB)


@pytest.mark.parametrize("phase", [Phase.PLACING, Phase.RECALLING])
def test_a_job_that_the_ledger_knows_is_repeated_or_looked_for(phase: Phase) -> None:
    assert after(attempt(phase), AlreadyKnown(JOB, settled=True)) == (Phase.DONE, Repeat())
    state, step = start.advance(attempt(phase), AlreadyKnown(JOB, settled=False), NOW + 7)
    assert step == AskPods(JOB)
    assert (state.phase, state.job, state.asked_at) == (Phase.LOOKING, JOB, NOW + 7)


def test_without_room_it_is_refused_with_the_reason() -> None:
    refused = (Phase.DONE, Refuse(Why.NO_CAPACITY, release=True, event=FULL))
    assert after(attempt(), FULL) == refused
    assert after(attempt(tried=TRIED, silent_only=False), FULL) == refused


def test_when_all_pods_were_silent_they_are_asked_once_more_with_patience() -> None:
    state, step = start.advance(attempt(tried=TRIED), FULL, NOW)
    assert (state.patient_tries, state.tried) == (0, frozenset())
    assert step == TakePlace(NOW + 15, frozenset())
    again = attempt(tried=TRIED, patient_tries=1)
    assert after(again, FULL) == (Phase.DONE, Refuse(Why.NO_BID, release=True))


def test_a_client_that_asked_again_meanwhile_waits_for_as_long_as_it_can() -> None:
    state = start.joined(attempt(), NOW + 8, NOW + 90, NOW + 9)
    assert (state.sent_at, state.expires_at, state.came_at) == (NOW + 8, NOW + 90, NOW + 9)
    assert after(state, FULL, NOW + 9) == (Phase.PLACING, TakePlace(NOW + 23, frozenset()))
    older = start.joined(state, NOW + 1, NOW + 20, NOW + 10)
    assert (older.sent_at, older.expires_at) == (NOW + 8, NOW + 90)


def test_a_ledger_that_fails_gives_back_the_claim_that_may_have_been_made() -> None:
    failed = LedgerFailed("away")
    placing = Refuse(Why.LEDGER, release=True, event=failed)
    assert after(attempt(), failed) == (Phase.DONE, placing)
    recalling = Refuse(Why.LEDGER, release=False, event=failed, job=JOB)
    assert after(attempt(Phase.RECALLING), failed) == (Phase.DONE, recalling)


# HANDING and PASSING


@pytest.mark.parametrize("phase", [Phase.HANDING, Phase.PROVING])
def test_what_a_pod_says_of_a_start_stands(phase: Phase) -> None:
    state = attempt(phase)
    assert after(state, handed(Outcome.STARTED)) == (Phase.DONE, Succeed(JOB, "SRV"))
    assert after(state, handed(Outcome.REFUSED)) == (Phase.DONE, Fail(JOB))


@pytest.mark.parametrize(
    "outcome", [Outcome.NO_ANSWER, Outcome.TOO_LATE, Outcome.ALREADY_EXISTS, Outcome.FAILED]
)
def test_when_nobody_knows_the_pods_are_asked(outcome: Outcome) -> None:
    state, step = start.advance(attempt(Phase.HANDING), handed(outcome), NOW + 3)
    assert step == AskPods(JOB)
    assert (state.phase, state.asked_at) == (Phase.LOOKING, NOW + 3)
    assert not outcome.not_started


@pytest.mark.parametrize("outcome", [each for each in Outcome if each.not_started])
def test_a_pod_that_surely_did_not_start_it_is_left_out(outcome: Outcome) -> None:
    state, step = start.advance(attempt(Phase.HANDING, patient_tries=0), handed(outcome), NOW)
    assert step == PassOver(JOB, outcome)
    assert (state.phase, state.tried, state.patient_tries) == (Phase.PASSING, TRIED, 1)
    assert state.silent_only is (outcome is Outcome.NO_BID)
    impatient, _ = start.advance(attempt(Phase.HANDING), handed(outcome), NOW)
    assert impatient.patient_tries is None
    assert isinstance(after(impatient, PassedOver())[1], TakePlace)


def test_one_word_among_silent_pods_is_remembered() -> None:
    state = attempt(Phase.HANDING, silent_only=False)
    assert not start.advance(state, handed(Outcome.NO_BID), NOW)[0].silent_only


# LOOKING and TAKING


def test_a_listed_job_runs_on_the_server_that_lists_it() -> None:
    # Asked 10 s for the grant and 3 s for the record after the claim.
    late = attempt(Phase.LOOKING, asked_at=NOW + 13)
    assert after(late, looked(runs_on="OTHER")) == (Phase.DONE, Succeed(JOB, "OTHER"))
    early = late._replace(asked_at=NOW + 12.9)
    assert after(early, looked(runs_on="OTHER")) == (Phase.RECALLING, Recall(1))
    assert after(early, looked(Report.STARTED)) == (Phase.DONE, Succeed(JOB, "SRV"))
    assert after(early, looked(Report.ENDED)) == (Phase.DONE, Finished(JOB))


def test_a_claim_of_ours_is_proved_at_once_and_anothers_when_it_is_old() -> None:
    state = attempt(Phase.LOOKING, asked_at=NOW)
    assert after(state, looked()) == (Phase.PROVING, HandOver(JOB, patient=True))
    theirs = JOB._replace(token="theirs")
    state = state._replace(job=theirs)
    assert after(state, looked(), NOW + 29.9) == (Phase.RECALLING, Recall(1))
    assert after(state, looked(), NOW + 30) == (Phase.TAKING, TakeOver(theirs))


def test_a_claim_taken_over_is_ours_and_asked_for_again() -> None:
    state = attempt(Phase.TAKING, job=JOB._replace(token="theirs"), looked=looked())
    following, step = start.advance(state, TakenOver(ours=True, pod_is_there=True), NOW)
    assert (following.phase, following.job) == (Phase.PROVING, JOB)
    assert step == HandOver(JOB, patient=True)
    lost = TakenOver(ours=False, pod_is_there=True)
    assert after(state, lost) == (Phase.RECALLING, Recall(1))


# Asked more than 10 s for the grant and 1 s of margin after the claim.
@pytest.mark.parametrize(("asked_at", "over"), [(NOW + 11, False), (NOW + 11.1, True)])
def test_a_job_whose_pod_is_gone_goes_elsewhere_once_no_grant_can_come(
    asked_at: float, over: bool
) -> None:
    state = attempt(Phase.TAKING, asked_at=asked_at, looked=looked())
    gone = TakenOver(ours=True, pod_is_there=False)
    assert isinstance(after(state, gone)[1], TakePlace if over else Recall)
    state = attempt(Phase.LOOKING, asked_at=asked_at)
    assert isinstance(after(state, looked(there=False))[1], TakePlace if over else Recall)


@pytest.mark.parametrize(("asked_at", "over"), [(NOW + 11, False), (NOW + 11.1, True)])
def test_a_job_that_was_created_is_not_handed_over_again(asked_at: float, over: bool) -> None:
    state = attempt(Phase.LOOKING, asked_at=asked_at)
    assert isinstance(after(state, looked(Report.CREATED))[1], TakePlace if over else Recall)
    unheard = looked(Report.CREATED, asked=False)
    assert after(state, unheard) == (Phase.RECALLING, Recall(1))
    unknown = looked(Report.CREATED, pod_server="NEW")
    assert after(state, unknown)[1] == (AskBid(JOB) if over else Recall(1))


# PROVING, BIDDING and RECALLING


@pytest.mark.parametrize("outcome", [Outcome.ALREADY_EXISTS, Outcome.FAILED])
def test_a_pod_that_has_it_in_hand_is_waited_for(outcome: Outcome) -> None:
    assert after(attempt(Phase.PROVING), handed(outcome)) == (Phase.RECALLING, Recall(1))


@pytest.mark.parametrize("outcome", [Outcome.NO_ANSWER, Outcome.NO_BID, Outcome.TOO_LATE])
def test_silence_proves_nothing_unless_the_pod_listed_its_jobs_without_it(
    outcome: Outcome,
) -> None:
    listed = attempt(Phase.PROVING, asked_at=NOW + 11.1, looked=looked())
    assert isinstance(after(listed, handed(outcome, "SRV"))[1], TakePlace)
    assert after(listed, handed(outcome, None)) == (Phase.BIDDING, AskBid(JOB))
    young = listed._replace(asked_at=NOW + 11)
    assert after(young, handed(outcome, "SRV")) == (Phase.RECALLING, Recall(1))
    unasked = listed._replace(looked=None)
    assert after(unasked, handed(outcome, "SRV")) == (Phase.BIDDING, AskBid(JOB))


def test_a_proof_that_is_refused_for_want_of_cpu_passes_the_pod_over() -> None:
    step = after(attempt(Phase.PROVING), handed(Outcome.NOT_ENOUGH_CPU))
    assert step == (Phase.PASSING, PassOver(JOB, Outcome.NOT_ENOUGH_CPU))


def test_a_bid_of_a_server_that_listed_its_jobs_sets_the_job_free() -> None:
    state = attempt(Phase.BIDDING, looked=looked())
    assert isinstance(after(state, Bid("SRV"))[1], TakePlace)
    for other in ("OTHER", None):
        assert after(state, Bid(other)) == (Phase.RECALLING, Recall(1))


def test_an_id_that_is_free_again_is_placed() -> None:
    assert isinstance(after(attempt(Phase.RECALLING), Free())[1], TakePlace)


def test_a_client_whose_time_is_over_hears_that_nobody_knows() -> None:
    state = attempt(Phase.BIDDING, looked=looked(), expires_at=NOW + 1.5)
    assert after(state, Bid(None)) == (Phase.RECALLING, Recall(1))
    state = state._replace(expires_at=NOW + 1.4)
    undecided = Refuse(Why.UNDECIDED, release=False, job=JOB)
    assert after(state, Bid(None)) == (Phase.DONE, undecided)


def test_what_cannot_happen_is_no_event() -> None:
    with pytest.raises(KeyError):
        start.advance(attempt(), Bid("SRV"), NOW)
    with pytest.raises(ValueError, match="no job in phase handing"):
        start.advance(attempt(Phase.HANDING, job=None), handed(Outcome.STARTED), NOW)


def test_a_report_never_goes_back() -> None:
    assert Report.CREATED.or_later(Report.NONE) is Report.CREATED
    assert Report.STARTED.or_later(Report.ENDED) is Report.ENDED
