"""A start attempt as plain values: its state, what happens to it (events), what it does (steps).

The rules that lead from one to the next are in start.py. Times are Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from mediafleet_common.value import value
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.placement.modes import Refusal


class Outcome(StrEnum):
    """What came of handing a request to a pod."""

    STARTED = "started"
    ALREADY_EXISTS = "already_exists"
    """The pod has the same egress id in hand: it is starting there, or it runs."""
    NO_BID = "no_bid"
    """Nothing was started."""
    NOT_ENOUGH_CPU = "not_enough_cpu"
    """Nothing was started."""
    SHUTTING_DOWN = "shutting_down"
    """Nothing was started."""
    FAILED = "failed"
    """An error after which a client asks again. Something may have been launched, and is aborted:
    so it is when livekit-server did not make the record in time."""
    REFUSED = "refused"
    """Any other error: it is the answer, since something may have been launched."""
    NO_ANSWER = "no_answer"
    """The pod was granted the request and kept silent: nobody knows."""
    TOO_LATE = "too_late"
    """It was not handed over: the claim is too old, and others may have acted on it."""

    @property
    def not_started(self) -> bool:
        """Whether the job surely does not run there, so that another pod may have it."""
        return self in (Outcome.NO_BID, Outcome.NOT_ENOUGH_CPU, Outcome.SHUTTING_DOWN)


class Report(StrEnum):
    """What is known of a job from livekit-server's record and from its pod's words on the bus."""

    NONE = "none"
    CREATED = "created"
    """A pod has asked for its record: it is starting, or its start was aborted."""
    STARTED = "started"
    ENDED = "ended"
    """It had started, and is over."""

    def or_later(self, other: Report) -> Report:
        """The one that comes later in the life of a job."""
        return other if _RANK[other] > _RANK[self] else self


_RANK: Final = {report: rank for rank, report in enumerate(Report)}


class Phase(StrEnum):
    """What an attempt is doing."""

    PLACING = "placing"
    HANDING = "handing"
    PASSING = "passing"
    LOOKING = "looking"
    TAKING = "taking"
    PROVING = "proving"
    BIDDING = "bidding"
    RECALLING = "recalling"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Times:
    """The settings of the desk that the rules need, by the same names; in seconds."""

    forward_seconds: float
    least_forward_seconds: float
    started_after_seconds: float
    grant_margin_seconds: float
    leave_alone_seconds: float
    answer_margin_seconds: float
    answer_within_seconds: float
    start_allowance_seconds: float
    ask_again_seconds: float


class Attempt(NamedTuple):
    """The state of a start attempt."""

    times: Times
    token: str
    """Of its claims."""
    sent_at: float
    expires_at: float
    """When the client gives up."""
    came_at: float
    phase: Phase = Phase.PLACING
    tried: frozenset[str] = frozenset()
    """Uids of pods that did not take the job."""
    silent_only: bool = True
    """Whether none of these said why."""
    patient_tries: int | None = None
    """Pods that were asked with patience; `None`: there was no need to."""
    placed_for: float = 0.0
    """`came_at` when the place was asked for: a client that asks again changes it."""
    job: Job | None = None
    """The job that a pod may have."""
    asked_at: float = 0.0
    """When the pods were last asked what they run."""
    looked: Looked | None = None
    """What they said then."""


# Events: what came of a step.


@value
class Placed:
    """A place is claimed."""

    job: Job


@value
class AlreadyKnown:
    """The ledger has the egress id: its job runs, may run, or is over."""

    job: Job
    settled: bool
    """Whether the ledger has its answer: it runs, failed or is over."""


@value
class NoCapacity:
    """No pod has room."""

    reason: Refusal
    cores: float


@value
class LedgerFailed:
    """Redis did not answer; what was asked of it may be done all the same."""

    why: str


@value
class Handed:
    """A pod was given the request."""

    outcome: Outcome
    server_id: str | None
    """Of the pod that answered."""
    pod_server_id: str | None
    """The one that the pod of the job answered with last, to any request."""


@value
class PassedOver:
    """It is noted that a pod did not take the job."""


@value
class Looked:
    """The pods and livekit-server were asked."""

    runs_on: str | None
    """The psrpc server that lists the job."""
    servers: frozenset[str]
    """All that answered."""
    report: Report
    asked_livekit: bool
    """Whether livekit-server has answered; else `report` is what was heard on the bus."""
    pod_server_id: str | None
    pod_is_there: bool


@value
class TakenOver:
    """Another attempt's claim was to be made ours."""

    ours: bool
    pod_is_there: bool


@value
class Bid:
    """The pod of the job was asked for a bid; `server_id` is `None` when it made none."""

    server_id: str | None


@value
class Free:
    """The ledger does not have the egress id any more."""


Event = (
    Placed
    | AlreadyKnown
    | NoCapacity
    | LedgerFailed
    | Handed
    | PassedOver
    | Looked
    | TakenOver
    | Bid
    | Free
)


# Steps: what is to be done next. The last five end the attempt.


@value
class TakePlace:
    """Claim a place, now or, where there is a queue, until a time; 0: now."""

    wait_until: float
    excluded: frozenset[str]


@value
class HandOver:
    """Give the request to the pod that the claim names."""

    job: Job
    patient: bool


@value
class PassOver:
    """Note that a pod did not take the job."""

    job: Job
    outcome: Outcome


@value
class AskPods:
    """Ask all pods which jobs they run, and livekit-server what it knows of this one."""

    job: Job


@value
class TakeOver:
    """Make another attempt's claim ours, so that it moves the job nowhere meanwhile."""

    job: Job


@value
class AskBid:
    """Learn the psrpc server id of the job's pod from a bid; nothing is granted."""

    job: Job


@value
class Recall:
    """Wait, then look the egress id up in the ledger."""

    after_seconds: float


@value
class Succeed:
    """The job runs: note it, and answer."""

    job: Job
    server_id: str | None


@value
class Finished:
    """The job ran and is over: note it, and answer with its record."""

    job: Job


@value
class Fail:
    """The pod's error stands: note it, and answer with it."""

    job: Job


@value
class Repeat:
    """Answer with what the ledger has."""


class Why(StrEnum):
    """Why an attempt ends without a start."""

    EXPIRED = "expired"
    NO_BID = "no bid"
    NO_CAPACITY = "no capacity"
    LEDGER = "ledger"
    UNDECIDED = "undecided"
    """Nobody knows yet whether the job runs."""


@value
class Refuse:
    """Answer that it was not started, or that nobody knows."""

    why: Why
    release: bool
    """Whether the claim, if there is one, is given back."""
    event: NoCapacity | LedgerFailed | None = None
    """What it follows from."""
    job: Job | None = None


Step = (
    TakePlace
    | HandOver
    | PassOver
    | AskPods
    | TakeOver
    | AskBid
    | Recall
    | Succeed
    | Finished
    | Fail
    | Repeat
    | Refuse
)
