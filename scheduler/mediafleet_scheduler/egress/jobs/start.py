"""A start attempt: carries out the steps of core/egress/start.py, and says what came of each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field, fields
from typing import Final

from mediafleet_common.clock import Clock
from mediafleet_common.serving.logs import printable
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
    Placed,
    Recall,
    Refuse,
    Repeat,
    Succeed,
    TakenOver,
    TakeOver,
    TakePlace,
    Times,
)
from mediafleet_scheduler.core.egress.placement import choice
from mediafleet_scheduler.core.egress.redaction import redacted
from mediafleet_scheduler.core.egress.requests import Request, with_estimated_cpu
from mediafleet_scheduler.core.egress.views import Fleet
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.ledger.records import Record
from mediafleet_scheduler.egress.ledger.script_calls import StoreError
from mediafleet_scheduler.egress.ledger.store import Claim, Store
from mediafleet_scheduler.egress.ledger.writer import LedgerWriter
from mediafleet_scheduler.egress.peers import answers
from mediafleet_scheduler.egress.peers.active_list import list_active
from mediafleet_scheduler.egress.peers.foreign_bidders import ForeignBidders
from mediafleet_scheduler.egress.peers.forwarding import Forwarded, Forwarder, fault_of
from mediafleet_scheduler.egress.peers.job_info import JobInfos
from mediafleet_scheduler.egress.peers.redacted_request import with_request
from mediafleet_scheduler.egress.places import request as places
from mediafleet_scheduler.egress.places.placement import Placer
from mediafleet_scheduler.egress.places.pods import Pods, label
from mediafleet_scheduler.egress.places.queue import Queue
from mediafleet_scheduler.psrpc import envelope
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError

_log: Final = logging.getLogger(__name__)

_End = Succeed | Finished | Fail | Repeat | Refuse
_Do = TakePlace | HandOver | PassOver | AskPods | TakeOver | AskBid | Recall


@dataclass(frozen=True, slots=True)
class Tools:
    """What starting a job takes."""

    pods: Pods
    store: Store
    placer: Placer
    queue: Queue
    infos: JobInfos
    foreign_bidders: ForeignBidders
    forwarder: Forwarder
    client: Client
    ledger_writer: LedgerWriter
    metrics: EgressMetrics
    settings: Settings
    clock: Clock
    times: Times = field(init=False)
    """Those of the settings that the rules of a start need."""

    def __post_init__(self) -> None:
        of_rules = {each.name: getattr(self.settings, each.name) for each in fields(Times)}
        object.__setattr__(self, "times", Times(**of_rules))


class StartAttempt:
    """The attempt to start one job, made once."""

    def __init__(self, tools: Tools, message: envelope.Request, request: Request) -> None:
        self._tools = tools
        self._message = message
        self._request = request
        self._clock = tools.clock
        self._began = self._clock.monotonic()
        now = self._clock.unix()
        self._since = tools.queue.since(request.egress_id, now)
        self._state = Attempt(
            tools.times,
            token=tools.store.token(),
            sent_at=message.sent_at_ns / 1e9,
            expires_at=message.expiry_ns / 1e9,
            came_at=now,
        )
        self._fleet: Fleet | None = None
        """The fleet in which a place was found."""
        self._decided = False
        self._record: Record | None = None
        """What the ledger has of the job."""
        self._info = b""
        """The last `EgressInfo` of the job; empty when none is known."""
        self._error: PsrpcError | None = None
        """The pod's."""

    def joined(self, message: envelope.Request) -> None:
        """Its client asks again and waits for this attempt: it has so much longer."""
        sent_at, expires_at = message.sent_at_ns / 1e9, message.expiry_ns / 1e9
        self._state = start.joined(self._state, sent_at, expires_at, self._clock.unix())

    async def run(self) -> bytes:
        """The `EgressInfo` of the job that runs.

        Raises:
            RefusedError: it was not started, or nobody knows.
            PsrpcError: the pod's error, which stands.
        """
        self._state, step = start.begin(self._state, self._clock.unix())
        while not isinstance(step, _End):
            event = await self._carried_out(step)
            self._state, step = start.advance(self._state, event, self._clock.unix())
        return await self._concluded(step)

    async def _carried_out(self, step: _Do) -> Event:
        match step:
            case TakePlace():
                return await self._take_place(step)
            case HandOver():
                return await self._hand_over(step.job, step.patient)
            case PassOver():
                return self._pass_over(step)
            case AskPods():
                return await self._ask_pods(step.job)
            case TakeOver():
                ours = await self._take_over(step.job)
                return TakenOver(ours, step.job.worker_uid in self._tools.pods.by_uid)
            case AskBid():
                return Bid(await self._tools.forwarder.bidder(self._message, step.job))
            case Recall():
                await asyncio.sleep(step.after_seconds)
                return await self._recall()

    async def _take_place(self, step: TakePlace) -> Event:
        state = self._state
        wanted = places.PlacementRequest(
            self._request, state.token, state.came_at, self._since, step.wait_until, step.excluded
        )
        try:
            found = await self._tools.queue.place(wanted)
        except StoreError as error:
            self._tools.metrics.ledger_errors.labels("claim").inc()
            return LedgerFailed(str(error))
        if not self._decided and not wanted.waited:
            self._tools.metrics.decision_seconds.observe(self._clock.monotonic() - self._began)
        self._decided = True
        match found:
            case choice.Placed():
                self._fleet = found.fleet
                return Placed(found.job)
            case places.AlreadyKnown():
                self._tools.metrics.joins.inc()
                return self._known(found.record, found.over)
            case choice.NoCapacity():
                return NoCapacity(found.reason, found.cores)

    def _known(self, record: Record, over: bool) -> AlreadyKnown:
        self._record = record
        started = record.job.started_at is not None
        return AlreadyKnown(record.job, settled=over or started or record.error is not None)

    async def _hand_over(self, job: Job, patient: bool) -> Handed:
        """Give the request to a pod, and judge the pod by what it made of it."""
        message = self._with_estimate(job)
        forwarded = await self._tools.forwarder.forward(
            message, job, self._state.expires_at, patient
        )
        self._judge_pod(job, forwarded)
        self._info, self._error = forwarded.answer, forwarded.error
        known = self._tools.store.copy.server_of(job.worker_uid)
        return Handed(forwarded.outcome, forwarded.server_id, known)

    def _judge_pod(self, job: Job, forwarded: Forwarded) -> None:
        pods = self._tools.pods
        fault = fault_of(forwarded, lambda: pods.had_room(job, self._clock.unix()))
        chrome = job.kind.needs_chrome
        if fault is not None:
            pods.quarantine.failed(job.worker_uid, job.worker, fault, chrome)
        elif forwarded.outcome is Outcome.STARTED:
            pods.quarantine.started(job.worker_uid, job.worker, chrome)

    def _with_estimate(self, job: Job) -> envelope.Request:
        """The request as it came, with what such a job was learnt to need, if anything was."""
        learnt = self._learnt(job)
        if learnt is None or self._request.estimated_cores is not None:
            return self._message
        return self._message._replace(payload=with_estimated_cpu(self._message.payload, learnt))

    def _learnt(self, job: Job) -> float | None:
        known = self._tools.pods.by_uid.get(job.worker_uid)
        return self._tools.pods.costs.estimate(known[0], job.kind) if known else None

    def _pass_over(self, step: PassOver) -> PassedOver:
        job, pods = step.job, self._tools.pods
        _log.info("%s did not take %s: %s", job.worker, job.egress_id, step.outcome)
        pods.quarantine.turned_down(job.worker_uid, self._tools.settings.ask_last_seconds)
        if step.outcome is Outcome.NOT_ENOUGH_CPU:
            cores = self._request.estimated_cores or self._learnt(job) or job.cores
            pods.refused(job, cores, self._clock.unix())
        return PassedOver()

    async def _ask_pods(self, job: Job) -> Looked:
        tools = self._tools
        pods, wait = len(tools.pods.by_uid), tools.settings.list_wait_seconds
        active, (report, asked, self._info) = await asyncio.gather(
            list_active(tools.client, pods, wait, tools.metrics), tools.infos.report(job.egress_id)
        )
        return Looked(
            active.server_of(job.egress_id),
            frozenset(active.by_server),
            report,
            asked_livekit=asked,
            pod_server_id=tools.store.copy.server_of(job.worker_uid),
            pod_is_there=job.worker_uid in tools.pods.by_uid,
        )

    async def _take_over(self, job: Job) -> bool:
        """Make another attempt's claim ours, so that it moves the job nowhere while we ask."""
        token = self._state.token
        with contextlib.suppress(StoreError):
            claimed = await self._tools.store.claim([(job._replace(token=token), job.token)])
            return claimed is not None and claimed[0].existing is None
        return False

    async def _recall(self) -> Event:
        try:
            found = await self._tools.store.find(self._request.egress_id)
        except StoreError as error:
            return LedgerFailed(str(error))
        if found is None or found.existing is None:
            return Free()
        return self._known(found.existing, found.status is Claim.ENDED)

    async def _concluded(self, step: _End) -> bytes:
        """The answer of an attempt that ends.

        Raises:
            PsrpcError: as for `run`.
        """
        match step:
            case Succeed():
                info = self._started(step.job, step.server_id)
            case Finished():
                self._note_end(step.job, Record(step.job, self._info))
                info = self._info
            case Fail():
                raise self._failed(step.job)
            case Repeat():
                info = self._repeated()
            case Refuse():
                raise self._refused(step)
        return with_request(info or await self._known_info(), self._message.payload)

    def _started(self, job: Job, server_id: str | None) -> bytes:
        kept = answers.without_request(self._info) or self._tools.infos.heard(job.egress_id)
        io_client = self._tools.infos.io_client(job)
        started = job._replace(
            started_at=self._clock.unix(), server_id=server_id, io_client=io_client
        )
        record = Record(started, kept)
        self._tools.ledger_writer.note(self._tools.store.started(record))
        if self._fleet is not None:
            fleet, metrics = self._fleet, self._tools.metrics
            mode = fleet.placement.mode
            metrics.placements.labels(label(fleet), mode, self._request.kind).inc()
            seconds = self._clock.monotonic() - self._began
            metrics.placement_seconds.labels(label(fleet)).observe(seconds)
        return self._info or kept

    def _failed(self, job: Job) -> PsrpcError:
        """The pod's error; a client that asks for the same id again gets it too."""
        error = self._error or PsrpcError(Code.UNKNOWN, "the pod refused without a word")
        said = printable(redacted(str(error)))
        _log.warning("%s failed on %s: %s", job.egress_id, job.worker, said)
        self._note_end(job, Record(job, error=error))
        return error

    def _repeated(self) -> bytes:
        if self._record is None:
            return b""
        if self._record.error is not None:
            raise self._record.error
        return self._record.answer

    def _refused(self, step: Refuse) -> answers.RefusedError:
        if step.release:
            note = self._tools.store.released(self._request.egress_id, self._state.token)
            self._tools.ledger_writer.note(note)
        return answers.refusal(step, self._request)

    def _note_end(self, job: Job, record: Record) -> None:
        self._tools.ledger_writer.note(self._tools.store.ended(job.egress_id, record))

    async def _known_info(self) -> bytes:
        """What others know of a job that runs or ran, whose answer is not known here."""
        known = await self._tools.infos.of(self._request.egress_id)
        return known or answers.starting(self._request)
