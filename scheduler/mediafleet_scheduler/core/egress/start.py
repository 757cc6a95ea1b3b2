"""The rules of a start attempt: never start a job twice, and answer each request. Pure.

A job has started when its pod says OK, when an update or livekit-server's record says ACTIVE,
ENDING, COMPLETE or LIMIT_REACHED, or when a pod still lists it some seconds after the time in which
its record had to be made. Before that it is starting: a pod that cannot make the record aborts the
start, and the id is free again. AlreadyExists, a CreateEgress, a STARTING record and a younger
listing prove no more than that.

A job that was handed to a pod goes to another pod only when it surely does not run on the first:
that pod did not bid, said that it has not enough CPU or is shutting down, or lists its jobs without
this one when no grant can be on its way any more. When nobody knows (no answer, an error that a
client retries, or a claim of an attempt whose desk died), the pods and livekit-server are asked,
the claim is taken over, and the same pod is asked again: it refuses an id that it has in hand.

    phase      event                          next
    PLACING    Placed                         HANDING: give it to that pod
               AlreadyKnown, settled          done: what the ledger says
               AlreadyKnown, not settled      LOOKING: another attempt may have started it
               NoCapacity                     PLACING, once with patience if pods were silent;
                                              else done: refused
               LedgerFailed                   done: refused; the claim is given back, since it may
                                              have been made
    HANDING    Handed: started                done: it runs
               Handed: surely not started     PASSING: that pod is left out
               Handed: no answer, too late,   LOOKING: nobody knows
                 already exists, failed
               Handed: any other error        done: failed, since something may have been launched
    PASSING    PassedOver                     PLACING
    LOOKING    Looked: started, ended         done: it runs, or it is over
               Looked: a pod lists it         done when it has started by that; else RECALLING
               Looked: neither, claim is ours as TakenOver
               Looked: neither                TAKING, unless the claim is young: RECALLING
    TAKING     TakenOver                      PROVING: the same pod, with patience
               TakenOver, pod gone            PLACING once no grant can be on its way;
                                              else RECALLING
               TakenOver, it was created      as silence in PROVING: it may have run and be over, so
                                              it is not handed over again before livekit-server has
                                              said that it has not
               TakenOver failed               RECALLING
    PROVING    Handed: started, other error   as in HANDING
               Handed: already exists, failed RECALLING
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

Before each PLACING the client's time is looked at: with too little of it left nothing is started.
Before each RECALLING likewise: the client hears that it is undecided, and its retry goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    Report,
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
    return attempt._replace(
        sent_at=max(attempt.sent_at, sent_at),
        expires_at=max(attempt.expires_at, expires_at),
        came_at=now,
    )


def _place(attempt: Attempt, now: float) -> Next:
    if attempt.expires_at - now < attempt.times.least_forward_seconds:
        return _refuse(attempt, Why.EXPIRED)
    tries = attempt.patient_tries or 0
    if attempt.tried and (tries >= PATIENT_TRIES or _left(attempt, now) < 0):
        return _refuse(attempt, Why.NO_BID)
    times = attempt.times
    until = attempt.sent_at + times.answer_within_seconds - times.start_allowance_seconds
    if attempt.tried and attempt.silent_only:
        until = 0.0  # There is room, but no pod bids: waiting for room does not help.
    placing = attempt._replace(phase=Phase.PLACING, placed_for=attempt.came_at, job=None)
    return placing, TakePlace(until, attempt.tried)


def _placed(attempt: Attempt, event: Placed, now: float) -> Next:
    del now
    handing = attempt._replace(phase=Phase.HANDING, job=event.job)
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
    return _place(attempt._replace(patient_tries=0, tried=frozenset()), now)


def _ledger_failed(attempt: Attempt, event: LedgerFailed, now: float) -> Next:
    del now
    return _refuse(attempt, Why.LEDGER, event, release=attempt.phase is Phase.PLACING)


def _handed(attempt: Attempt, event: Handed, now: float) -> Next:
    job = _job(attempt)
    match event.outcome:
        case Outcome.STARTED:
            return _done(attempt, Succeed(job, event.server_id))
        case Outcome.NO_ANSWER | Outcome.TOO_LATE | Outcome.ALREADY_EXISTS | Outcome.FAILED:
            return _look(attempt, job, now)
        case Outcome.REFUSED:
            return _done(attempt, Fail(job))
    return _pass_over(attempt, job, event.outcome)


def _pass_over(attempt: Attempt, job: Job, outcome: Outcome) -> Next:
    tries = attempt.patient_tries
    passing = attempt._replace(
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
    if event.report is Report.ENDED:
        return _done(attempt, Finished(job))
    if event.report is Report.STARTED or (event.runs_on and _started_if_listed(attempt)):
        return _done(attempt, Succeed(job, event.runs_on or event.pod_server_id))
    looked = attempt._replace(looked=event)
    if event.runs_on is not None:
        return _recall(looked, now)
    if job.token == attempt.token:
        return _prove(looked, job, event.pod_is_there, now)
    if now < job.claimed_at + attempt.times.leave_alone_seconds:
        return _recall(looked, now)
    return looked._replace(phase=Phase.TAKING), TakeOver(job)


def _taken_over(attempt: Attempt, event: TakenOver, now: float) -> Next:
    if not event.ours:
        return _recall(attempt, now)
    job = _job(attempt)._replace(token=attempt.token)
    return _prove(attempt._replace(job=job), job, event.pod_is_there, now)


def _prove(attempt: Attempt, job: Job, pod_is_there: bool, now: float) -> Next:
    looked = attempt.looked
    created = looked is not None and looked.report is Report.CREATED
    if created and looked is not None and not looked.asked_livekit:
        return _recall(attempt, now)  # Its end may not have been heard.
    if not pod_is_there:
        return _place(attempt, now) if _no_grant_can_come(attempt) else _recall(attempt, now)
    if created:
        return _if_gone(attempt, looked.pod_server_id if looked else None, now)
    return attempt._replace(phase=Phase.PROVING), HandOver(job, patient=True)


def _proved(attempt: Attempt, event: Handed, now: float) -> Next:
    match event.outcome:
        case Outcome.NO_ANSWER | Outcome.NO_BID | Outcome.TOO_LATE:
            return _if_gone(attempt, event.pod_server_id, now)
        case Outcome.ALREADY_EXISTS | Outcome.FAILED:
            return _recall(attempt, now)
    return _handed(attempt, event, now)


def _if_gone(attempt: Attempt, pod_server_id: str | None, now: float) -> Next:
    """Start it anew if its pod has listed its jobs without it for good."""
    if not _no_grant_can_come(attempt):
        return _recall(attempt, now)
    if pod_server_id in _servers(attempt):
        return _place(attempt, now)
    # A pod that has taken no job yet is known by its bid.
    return attempt._replace(phase=Phase.BIDDING), AskBid(_job(attempt))


def _bid(attempt: Attempt, event: Bid, now: float) -> Next:
    if event.server_id in _servers(attempt):
        return _place(attempt, now)
    return _recall(attempt, now)


def _free(attempt: Attempt, event: Free, now: float) -> Next:
    del event
    return _place(attempt, now)


def _look(attempt: Attempt, job: Job, now: float) -> Next:
    return attempt._replace(phase=Phase.LOOKING, job=job, asked_at=now), AskPods(job)


def _recall(attempt: Attempt, now: float) -> Next:
    pause = attempt.times.ask_again_seconds
    if _left(attempt, now) < pause:
        return _refuse(attempt, Why.UNDECIDED, release=False)
    return attempt._replace(phase=Phase.RECALLING), Recall(pause)


def _refuse(
    attempt: Attempt,
    why: Why,
    event: NoCapacity | LedgerFailed | None = None,
    *,
    release: bool = True,
) -> Next:
    return _done(attempt, Refuse(why, release, event, attempt.job))


def _done(attempt: Attempt, step: Step) -> Next:
    return attempt._replace(phase=Phase.DONE), step


def _left(attempt: Attempt, now: float) -> float:
    """Seconds until the client must have an answer."""
    return attempt.expires_at - now - attempt.times.answer_margin_seconds


def _servers(attempt: Attempt) -> frozenset[str]:
    """The psrpc servers that listed their jobs, none of which has this one."""
    return attempt.looked.servers if attempt.looked else frozenset()


def _started_if_listed(attempt: Attempt) -> bool:
    """Whether the pods were asked so late that a job which one of them lists has its record."""
    times = attempt.times
    made_by = _job(attempt).claimed_at + times.forward_seconds
    return attempt.asked_at >= made_by + times.started_after_seconds


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
