"""Answers to a client: `livekit.EgressInfo`, and refusals in sentences. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from google.protobuf.message import DecodeError
from livekit.protocol import egress as livekit

from mediafleet_common.value import value
from mediafleet_common.wire import egress_pb2 as wire
from mediafleet_scheduler.core.egress.attempt import LedgerFailed, NoCapacity, Refuse, Report, Why
from mediafleet_scheduler.core.egress.placement.modes import Refusal
from mediafleet_scheduler.core.egress.requests import Request
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError

ENDED: Final[frozenset[int]] = frozenset(
    {
        livekit.EgressStatus.EGRESS_COMPLETE,
        livekit.EgressStatus.EGRESS_FAILED,
        livekit.EgressStatus.EGRESS_ABORTED,
        livekit.EgressStatus.EGRESS_LIMIT_REACHED,
    }
)

_REPORTS: Final[Mapping[int, Report]] = {
    livekit.EgressStatus.EGRESS_ACTIVE: Report.STARTED,
    livekit.EgressStatus.EGRESS_ENDING: Report.STARTED,
    livekit.EgressStatus.EGRESS_COMPLETE: Report.ENDED,
    livekit.EgressStatus.EGRESS_LIMIT_REACHED: Report.ENDED,
}

NO_BID: Final = "NoBid"
UNDECIDED: Final = "Undecided"
LEDGER: Final = "Ledger"


class RefusedError(PsrpcError):
    """Nothing was started, or nobody knows yet: the same id may be asked for again.

    `reason` is one word, the label of the counter.
    """

    def __init__(self, code: Code, reason: str, sentence: str) -> None:
        super().__init__(code, f"{reason}: {sentence}")
        self.reason = reason


def no_capacity(reason: Refusal, request: Request, cores: float) -> RefusedError:
    """What to say when no pod has room.

    livekit-server asks again after `resource_exhausted`, and not after `failed_precondition`.
    Source: livekit/protocol rpc/egress_client.go (isErrRecoverable).
    """
    job = f"a {request.kind} that needs {cores:g} CPUs"
    match reason:
        case Refusal.NO_CAPACITY:
            return RefusedError(Code.RESOURCE_EXHAUSTED, reason, f"no pod has room for {job}")
        case Refusal.NO_MEMORY:
            sentence = f"no pod has memory for {job} (spec.placement.memory)"
            return RefusedError(Code.RESOURCE_EXHAUSTED, reason, sentence)
        case Refusal.NO_PULSE_CLIENTS:
            sentence = f"no pod has PulseAudio clients for {job} (spec.placement.maxPulseClients)"
            return RefusedError(Code.RESOURCE_EXHAUSTED, reason, sentence)
        case Refusal.NO_TYPE_CAPACITY:
            sentence = f"no pod of any fleet could take {job}, even with nothing else on it"
            return RefusedError(Code.FAILED_PRECONDITION, reason, sentence)
        case Refusal.DRAINING:
            sentence = f"all pods that could take {job} are leaving"
            return RefusedError(Code.RESOURCE_EXHAUSTED, reason, sentence)


def refusal(step: Refuse, request: Request) -> RefusedError:
    """What to say when an attempt ends without a start."""
    match step.why, step.event:
        case Why.NO_CAPACITY, NoCapacity(reason, cores):
            return no_capacity(reason, request, cores)
        case Why.LEDGER, LedgerFailed(why):
            return RefusedError(Code.UNAVAILABLE, LEDGER, why)
        case Why.NO_BID, _:
            sentence = f"no pod with room for {request.kind} bid for it"
            return RefusedError(Code.UNAVAILABLE, NO_BID, sentence)
        case Why.EXPIRED, _:
            sentence = "the client has too little time left for a start"
            return RefusedError(Code.UNAVAILABLE, UNDECIDED, sentence)
    worker = step.job.worker if step.job else "a pod"
    sentence = f"nobody knows yet whether it runs on {worker}"
    return RefusedError(Code.UNAVAILABLE, UNDECIDED, sentence)


@value
class JobWord:
    """What an `EgressInfo` says of a job."""

    egress_id: str
    report: Report
    """`CREATED` also for a job that failed or was aborted: whether it had started is not said."""
    ended: bool
    info: bytes = field(repr=False)
    """The `EgressInfo` without what may hold secrets."""


def word_of(info: bytes) -> JobWord:
    """What an `EgressInfo` says.

    Raises:
        DecodeError: it is no `EgressInfo`.
    """
    read = wire.JobInfo.FromString(info)
    status = read.status
    report = _REPORTS.get(status, Report.CREATED)
    return JobWord(read.egress_id, report, status in ENDED, _kept(read))


def without_request(answer: bytes) -> bytes:
    """An `EgressInfo` without what may hold secrets: fit to be kept in Redis."""
    try:
        return _kept(wire.JobInfo.FromString(answer))
    except DecodeError:
        return b""


def _kept(info: wire.JobInfo) -> bytes:
    info.DiscardUnknownFields()
    return info.SerializeToString()


def starting(request: Request) -> bytes:
    """The `EgressInfo` of a job that runs and whose own answer is not known any more."""
    info = livekit.EgressInfo(
        egress_id=request.egress_id,
        room_id=request.room_id,
        room_name=request.room_name,
        status=livekit.EgressStatus.EGRESS_STARTING,
    )
    return bytes(info.SerializeToString())
