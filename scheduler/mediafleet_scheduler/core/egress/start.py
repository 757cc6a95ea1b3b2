"""The rules of a start attempt: never start a job twice, and answer each request. Pure.

A job that was handed to a pod goes to another pod only when it surely does not run on the first:
that pod did not bid, or said that it has not enough CPU or is shutting down. When nobody knows (no
answer, or a claim of an attempt whose desk died), the pods and livekit-server are asked, the claim
is taken over, and the same pod is asked again: it refuses an id that it runs already.

    phase      event                          next
    PLACING    Placed                         HANDING: give it to that pod
               AlreadyKnown, settled          done: what the ledger says
               AlreadyKnown, not settled      LOOKING: another attempt may have started it
               NoCapacity                     PLACING, once with patience if pods were silent;
                                              else done: refused
               LedgerFailed                   done: refused; the claim is given back, since it may
                                              have been made
    HANDING    Handed: started, already runs  done: it runs
               Handed: surely not started     PASSING: that pod is left out
               Handed: no answer, too late    LOOKING: nobody knows
               Handed: any other error        done: failed, since something may have been launched
    PASSING    PassedOver                     PLACING
    LOOKING    Looked: a pod lists it         done: it runs
               Looked: there is a record      done: it runs, or it is over. Only a pod that starts a
                                              job makes a record
               Looked: neither, claim is ours PROVING, or as below when the pod is gone
               Looked: neither                TAKING, unless the claim is young: RECALLING
    TAKING     TakenOver                      PROVING: the same pod, with patience
               TakenOver, pod gone            PLACING once no grant can be on its way;
                                              else RECALLING
               TakenOver failed               RECALLING
    PROVING    Handed: an answer              as in HANDING
               Handed: silence                no proof, since a full pod does not bid for what it
                                              runs. Once no grant can be on its way, a pod that
                                              listed its jobs without this one proves it: PLACING;
                                              if the pod's server id is unknown, BIDDING;
                                              else RECALLING
    BIDDING    Bid of a server that listed    PLACING
               no such bid                    RECALLING
    RECALLING  Free                           PLACING
               AlreadyKnown                   as in PLACING
               LedgerFailed                   done: refused

Before each PLACING the client's time is looked at: a client that has given up gets nothing started.
Before each RECALLING likewise: the client hears that it is undecided, and its retry goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

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
    Step,
    Succeed,
    TakenOver,
    TakeOver,
    TakePlace,
    Why,
)

PATIENT_TRIES: Final = 2
"""When no pod bid, so many are asked once more with patience."""

Next = tuple[Attempt, Step]


def begin(attempt: Attempt, now: float) -> Next:
    """The first step of an attempt."""
    return _place(attempt, now)


def advance(attempt: Attempt, event: Event, now: float) -> Next:
    """The state and the step that follow an event.

    Raises:
        KeyError: the event cannot happen in this phase.
    """
    return _TABLE[attempt.phase, type(event)](attempt, event, now)


def joined(attempt: Attempt, sent_at: float, expires_at: float, now: float) -> Attempt:
    """The client asks again and waits for this attempt: it has so much longer."""
    return replace(
        attempt,
        sent_at=max(attempt.sent_at, sent_at),
        expires_at=max(attempt.expires_at, expires_at),
        came_at=now,
    )


def _place(attempt: Attempt, now: float) -> Next:
    if now > attempt.expires_at:
        return _refuse(attempt, Why.EXPIRED)
    tries = attempt.patient_tries or 0
    if attempt.tried and (tries >= PATIENT_TRIES or _left(attempt, now) < 0):
        return _refuse(attempt, Why.NO_BID)
    times = attempt.times
    until = attempt.sent_at + times.answer_within_seconds - times.start_allowance_seconds
    if attempt.tried and attempt.silent_only:
        until = 0.0  # There is room, but no pod bids: waiting for room does not help.
    placing = replace(attempt, phase=Phase.PLACING, placed_for=attempt.came_at, job=None)
    return placing, TakePlace(until, attempt.tried)


def _placed(attempt: Attempt, event: Placed, now: float) -> Next:
    del now
    handing = replace(attempt, phase=Phase.HANDING, job=event.job)
    return handing, HandOver(event.job, patient=attempt.patient_tries is not None)


def _already_known(attempt: Attempt, event: AlreadyKnown, now: float) -> Next:
    if event.settled:
        return _done(attempt, Repeat())
    return _look(attempt, event.job, now)


def _no_capacity(attempt: Attempt, event: NoCapacity, now: float) -> Next:
    if attempt.placed_for != attempt.came_at:
        return _place(attempt, now)  # A client that joined meanwhile can wait for longer.
    if not (attempt.tried and attempt.silent_only):
        return _refuse(attempt, Why.NO_CAPACITY, event)
    if attempt.patient_tries is not None:
        return _refuse(attempt, Why.NO_BID)
    return _place(replace(attempt, patient_tries=0, tried=frozenset()), now)


def _ledger_failed(attempt: Attempt, event: LedgerFailed, now: float) -> Next:
    del now
    return _refuse(attempt, Why.LEDGER, event, release=attempt.phase is Phase.PLACING)


def _handed(attempt: Attempt, event: Handed, now: float) -> Next:
    job = _job(attempt)
    match event.outcome:
        case Outcome.STARTED | Outcome.ALREADY_RUNS:
            return _done(attempt, Succeed(job, event.server_id))
        case Outcome.NO_ANSWER | Outcome.TOO_LATE:
            return _look(attempt, job, now)
        case Outcome.REFUSED:
            return _done(attempt, Fail(job))
    return _pass_over(attempt, job, event.outcome)


def _pass_over(attempt: Attempt, job: Job, outcome: Outcome) -> Next:
    tries = attempt.patient_tries
    passing = replace(
        attempt,
        phase=Phase.PASSING,
        tried=attempt.tried | {job.worker_uid},
        silent_only=attempt.silent_only and outcome is Outcome.NO_BID,
        patient_tries=None if tries is None else tries + 1,
    )
    return passing, PassOver(job, outcome)


def _passed_over(attempt: Attempt, event: PassedOver, now: float) -> Next:
    del event
    return _place(attempt, now)


def _looked(attempt: Attempt, event: Looked, now: float) -> Next:
    job = _job(attempt)
    if event.runs_on is not None:
        return _done(attempt, Succeed(job, event.runs_on))
    if event.recorded:
        # A pod that has had the job would start it once more.
        step = Finished(job) if event.ended else Succeed(job, event.pod_server_id)
        return _done(attempt, step)
    looked = replace(attempt, servers=event.servers)
    if job.token == attempt.token:
        return _prove(looked, job, event.pod_is_there, now)
    if now < job.claimed_at + attempt.times.leave_alone_seconds:
        return _recall(looked, now)
    return replace(looked, phase=Phase.TAKING), TakeOver(job)


def _taken_over(attempt: Attempt, event: TakenOver, now: float) -> Next:
    if not event.ours:
        return _recall(attempt, now)
    job = replace(_job(attempt), token=attempt.token)
    return _prove(attempt, job, event.pod_is_there, now)


def _prove(attempt: Attempt, job: Job, pod_is_there: bool, now: float) -> Next:
    if pod_is_there:
        proving = replace(attempt, phase=Phase.PROVING, job=job)
        return proving, HandOver(job, patient=True)
    return _place(attempt, now) if _no_grant_can_come(attempt) else _recall(attempt, now)


def _proved(attempt: Attempt, event: Handed, now: float) -> Next:
    if event.outcome not in (Outcome.NO_ANSWER, Outcome.NO_BID, Outcome.TOO_LATE):
        return _handed(attempt, event, now)
    if not _no_grant_can_come(attempt):
        return _recall(attempt, now)
    if event.pod_server_id in attempt.servers:
        return _place(attempt, now)
    # A pod that has taken no job yet is known by its bid.
    return replace(attempt, phase=Phase.BIDDING), AskBid(_job(attempt))


def _bid(attempt: Attempt, event: Bid, now: float) -> Next:
    if event.server_id in attempt.servers:
        return _place(attempt, now)
    return _recall(attempt, now)


def _free(attempt: Attempt, event: Free, now: float) -> Next:
    del event
    return _place(attempt, now)


def _look(attempt: Attempt, job: Job, now: float) -> Next:
    return replace(attempt, phase=Phase.LOOKING, job=job, asked_at=now), AskPods(job)


def _recall(attempt: Attempt, now: float) -> Next:
    pause = attempt.times.ask_again_seconds
    if _left(attempt, now) < pause:
        return _refuse(attempt, Why.UNDECIDED, release=False)
    return replace(attempt, phase=Phase.RECALLING), Recall(pause)


def _refuse(
    attempt: Attempt,
    why: Why,
    event: NoCapacity | LedgerFailed | None = None,
    *,
    release: bool = True,
) -> Next:
    return _done(attempt, Refuse(why, release, event, attempt.job))


def _done(attempt: Attempt, step: Step) -> Next:
    return replace(attempt, phase=Phase.DONE), step


def _left(attempt: Attempt, now: float) -> float:
    """Seconds until the client must have an answer."""
    return attempt.expires_at - now - attempt.times.answer_margin_seconds


def _no_grant_can_come(attempt: Attempt) -> bool:
    """Whether the pods were asked when no grant for the job could be on its way any more."""
    times = attempt.times
    lives = times.forward_seconds + times.grant_margin_seconds
    return attempt.asked_at > _job(attempt).claimed_at + lives


def _job(attempt: Attempt) -> Job:
    if attempt.job is None:
        raise ValueError(f"no job in phase {attempt.phase}")
    return attempt.job


_TABLE: Final[Mapping[tuple[Phase, type[Event]], Callable[[Attempt, Any, float], Next]]] = {
    (Phase.PLACING, Placed): _placed,
    (Phase.PLACING, AlreadyKnown): _already_known,
    (Phase.PLACING, NoCapacity): _no_capacity,
    (Phase.PLACING, LedgerFailed): _ledger_failed,
    (Phase.HANDING, Handed): _handed,
    (Phase.PASSING, PassedOver): _passed_over,
    (Phase.LOOKING, Looked): _looked,
    (Phase.TAKING, TakenOver): _taken_over,
    (Phase.PROVING, Handed): _proved,
    (Phase.BIDDING, Bid): _bid,
    (Phase.RECALLING, Free): _free,
    (Phase.RECALLING, AlreadyKnown): _already_known,
    (Phase.RECALLING, LedgerFailed): _ledger_failed,
}
