"""Hand a request to one pod, in a fresh envelope, and say what came of it.

A fresh envelope: request id and client id are ours; payload and metadata are the client's, byte for
byte. It expires with the claim that it is made under or with the client's time, whichever is first:
after that no pod takes it any more, so that a desk which was paused starts nothing stale, and a pod
whose livekit-server does not make the record aborts the start.
Sources: livekit/egress pkg/server/server_rpc.go, pkg/errors/errors.go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Final

from mediafleet_common.clock import Clock
from mediafleet_common.value import value
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.attempt import Outcome
from mediafleet_scheduler.core.egress.bid_times import BidTimes
from mediafleet_scheduler.core.egress.quarantine import Fault
from mediafleet_scheduler.core.psrpc.selection import Selection
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Request, Response
from mediafleet_scheduler.psrpc.errors import Code, NoAnswerError, NoBidError, PsrpcError

SERVICE: Final = "EgressInternal"
START_EGRESS: Final = "StartEgress"


@value
class Forwarded:
    """The outcome and what the pod said."""

    outcome: Outcome
    answer: bytes = field(default=b"", repr=False)
    server_id: str | None = None
    error: PsrpcError | None = None


_RETRIED: Final = (Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE)
"""livekit-server asks again after these (livekit/protocol rpc/egress_client.go)."""


def outcome_of(response: Response) -> Forwarded:
    """What a pod's answer means."""
    error = response.error
    if error is None:
        return Forwarded(Outcome.STARTED, response.payload, response.server_id)
    said = error.message.lower()
    outcome = Outcome.REFUSED
    if error.code is Code.ALREADY_EXISTS:
        outcome = Outcome.ALREADY_EXISTS
    elif error.code is Code.UNAVAILABLE and "not enough cpu" in said:
        outcome = Outcome.NOT_ENOUGH_CPU
    elif error.code is Code.UNAVAILABLE and "shutting down" in said:
        outcome = Outcome.SHUTTING_DOWN
    elif error.code in _RETRIED:
        outcome = Outcome.FAILED
    return Forwarded(outcome, server_id=response.server_id, error=error)


_POD_FAILED: Final = frozenset(
    {Code.INTERNAL, Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.UNKNOWN}
)
"""Any other error is about the request."""


def fault_of(forwarded: Forwarded, had_room: Callable[[], bool]) -> Fault | None:
    """What a pod did wrong; `None`: nothing. `had_room` says whether it had room to spare."""
    match forwarded.outcome:
        case Outcome.NO_BID:
            return Fault.NO_BID if had_room() else None
        case Outcome.NOT_ENOUGH_CPU:
            return Fault.REFUSED if had_room() else None
        case Outcome.SHUTTING_DOWN:
            return Fault.REFUSED
        case Outcome.NO_ANSWER:
            return Fault.NO_ANSWER
        case Outcome.REFUSED | Outcome.FAILED:
            code = forwarded.error.code if forwarded.error else Code.UNKNOWN
            return Fault.FAILED if code in _POD_FAILED else None
        case Outcome.STARTED | Outcome.ALREADY_EXISTS | Outcome.TOO_LATE:
            return None


class Forwarder:
    """Hands requests to pods."""

    def __init__(
        self,
        client: Client,
        metrics: EgressMetrics,
        settings: Settings,
        clock: Clock,
        on_bid: Callable[[Job, bool], None] = lambda job, late: None,
    ) -> None:
        """`on_bid` is told the job that a pod has bid for, and whether nobody waits any more."""
        self.bid_times: Final = BidTimes()
        self._on_bid = on_bid
        self._clock = clock
        self._client = client
        self._metrics = metrics
        self._settings = settings

    def lives_until(self, job: Job) -> float:
        """Unix time after which no pod takes a request that is handed over under a claim."""
        return job.claimed_at + self._settings.forward_seconds

    async def forward(
        self, request: Request, job: Job, expires_at: float, patient: bool = False
    ) -> Forwarded:
        """Hand a request to the pod that a claim names, and wait for its answer.

        The client waits until `expires_at` (Unix seconds). The pod's answer may come somewhat
        later, and is worth to be known.
        """
        settings = self._settings
        left = min(self.lives_until(job), expires_at) - self._clock.unix()
        if left < settings.least_forward_seconds:
            return self._counted(Forwarded(Outcome.TOO_LATE))
        wait = settings.patient_bid_wait_seconds
        if not patient:
            crowd = settings.bid_wait_per_call_seconds * self._client.waiting
            own = self.bid_times.wait(job.worker_uid, settings.bid_wait_seconds, wait)
            wait = min(wait, own + crowd)

        def on_bid(seconds: float) -> None:
            self.bid_times.note(job.worker_uid, seconds)
            self._on_bid(job, seconds > wait)

        try:
            response = await self._client.request(
                START_EGRESS,
                request.payload,
                (job.cluster_id,),
                timeout_seconds=left,
                wait_seconds=left + settings.started_after_seconds,
                selection=Selection(accept_first=True, affinity_timeout_seconds=wait),
                metadata=request.metadata,
                on_bid=on_bid,
            )
            forwarded = outcome_of(response)
        except NoBidError:
            forwarded = Forwarded(Outcome.NO_BID)
        except NoAnswerError as error:
            forwarded = Forwarded(Outcome.NO_ANSWER, server_id=error.server_id, error=error)
        except PsrpcError as error:
            forwarded = Forwarded(Outcome.REFUSED, error=error)
        return self._counted(forwarded)

    async def bidder(self, request: Request, job: Job) -> str | None:
        """The psrpc server id of the pod that a claim names, if it bids; nothing is granted."""
        wait = self._settings.patient_bid_wait_seconds
        topic = (job.cluster_id,)
        return await self._client.bidder(START_EGRESS, request.payload, topic, timeout_seconds=wait)

    def _counted(self, forwarded: Forwarded) -> Forwarded:
        self._metrics.forward_attempts.labels(forwarded.outcome).inc()
        return forwarded
