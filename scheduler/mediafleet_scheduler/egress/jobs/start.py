"""Start one job: take a place, hand the request over, and go on until there is an answer.

A job that was handed to a pod goes to another one only when it surely does not run there: the pod
did not bid, or said that it has not enough CPU or is shutting down. When nobody knows (no answer,
or the try of a desk that has died), the claim is taken over, the pods are asked, and the same pod
again: it refuses an id that it runs already. Once no grant can be on its way any more, a pod that
lists its jobs without this one does not have it, nor does one that is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from dataclasses import dataclass, replace
from typing import Final

from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.redaction import redacted
from mediafleet_scheduler.core.egress.requests import Request, with_estimated_cpu
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.ledger.records import Record
from mediafleet_scheduler.egress.ledger.store import Claim, Store, StoreError
from mediafleet_scheduler.egress.ledger.writer import LedgerWriter
from mediafleet_scheduler.egress.peers import answers
from mediafleet_scheduler.egress.peers.active_list import list_active
from mediafleet_scheduler.egress.peers.answers import RefusedError
from mediafleet_scheduler.egress.peers.foreign_bidders import ForeignBidders
from mediafleet_scheduler.egress.peers.forwarding import (
    Forwarded,
    Forwarder,
    Outcome,
    fault_of,
)
from mediafleet_scheduler.egress.peers.job_info import JobInfos
from mediafleet_scheduler.egress.places.choice import Known, Nowhere, Placed, Wish
from mediafleet_scheduler.egress.places.placement import Placer
from mediafleet_scheduler.egress.places.pods import Pods, label
from mediafleet_scheduler.egress.places.queue import Queue
from mediafleet_scheduler.psrpc import envelope
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError

_log: Final = logging.getLogger(__name__)
_ASK_AGAIN_SECONDS: Final = 0.5
_PATIENT_ATTEMPTS: Final = 2


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


class Try:
    """The try to start one job, made once."""

    def __init__(self, tools: Tools, message: envelope.Request, request: Request) -> None:
        self._tools = tools
        self._message = message
        self._request = request
        self._token = secrets.token_hex(8)
        self._began = time.monotonic()
        self._came = time.time()
        self._since = tools.queue.since(request.egress_id, self._came)
        self._tried: set[str] = set()
        self._silent_only = True
        self._patient_tries: int | None = None
        self._place: Placed | None = None

    def joined(self, message: envelope.Request) -> None:
        """Its client asks again and waits for this try: it has so much longer."""
        sent_at_ns = max(self._message.sent_at_ns, message.sent_at_ns)
        expiry_ns = max(self._message.expiry_ns, message.expiry_ns)
        self._message = replace(self._message, sent_at_ns=sent_at_ns, expiry_ns=expiry_ns)
        self._came = time.time()

    async def run(self) -> bytes:
        """The `EgressInfo` of the job that runs.

        Raises:
            RefusedError: it was not started, or nobody knows.
            PsrpcError: the pod's error, which stands.
        """
        while True:
            tries, left = self._patient_tries or 0, self._left()
            if time.time_ns() > self._message.expiry_ns:
                self._release()
                sentence = "it was to be started too late for whoever asked"
                raise RefusedError(Code.UNAVAILABLE, answers.UNDECIDED, sentence)
            if self._tried and (tries >= _PATIENT_ATTEMPTS or left < 0):
                self._release()
                raise self._nobody_bid()
            wish = self._wish()
            try:
                found = await self._tools.queue.place(wish)
            except StoreError as error:
                self._tools.metrics.ledger_errors.labels("claim").inc()
                self._release()  # It may have been done all the same.
                raise RefusedError(Code.UNAVAILABLE, answers.LEDGER, str(error)) from error
            if self._place is None and not self._tried and not wish.waited:
                waited = time.monotonic() - self._began
                self._tools.metrics.decision_seconds.observe(waited)
            match found:
                case Placed():
                    self._place = found
                    answer = await self._hand_over(found)
                case Known():
                    self._tools.metrics.joins.inc()
                    answer = await self._settle(found)
                case Nowhere():
                    self._go_round_or_refuse(found, wish)
                    continue
            if answer is not None:
                return answer or await self._told()

    def _wish(self) -> Wish:
        """A place on a pod that was not tried, now or, if there is a queue, later."""
        settings = self._tools.settings
        sent_at = self._message.sent_at_ns / 1e9
        until = sent_at + settings.answer_within_seconds - settings.start_allowance_seconds
        if self._tried and self._silent_only:
            until = 0.0  # There is room, but nobody bids: that is no queue's business.
        return Wish(self._request, self._token, self._came, self._since, until, self._tried)

    async def _hand_over(self, place: Placed) -> bytes | None:
        """Give the request to the pod; `None`: it runs not there and may go to another.

        An empty answer: it runs, and the pod's own words are not known.
        """
        patient = self._patient_tries is not None
        forwarded = await self._forwarded(place.job, patient)
        if forwarded.outcome in (Outcome.NO_ANSWER, Outcome.TOO_LATE):
            return await self._settle(Known(Record(place.job), over=False))
        return self._concluded(place.job, forwarded)

    async def _forwarded(self, job: Job, patient: bool) -> Forwarded:
        """Give the request to a pod, and judge the pod by what it made of it."""
        pods = self._tools.pods
        message = self._with_estimate(job)
        forwarded = await self._tools.forwarder.forward(message, job, patient)
        fault = fault_of(forwarded, pods.had_room(job, time.time()))
        if fault is not None:
            pods.trust.failed(job.worker_uid, job.worker, fault)
        elif forwarded.outcome is Outcome.STARTED:
            pods.trust.started(job.worker_uid, job.worker)
        return forwarded

    def _with_estimate(self, job: Job) -> envelope.Request:
        """The request as it came, with what such a job was learnt to need, if anything was."""
        learnt = self._learnt(job)
        if learnt is None or self._request.estimated_cores is not None:
            return self._message
        return replace(self._message, payload=with_estimated_cpu(self._message.payload, learnt))

    def _learnt(self, job: Job) -> float | None:
        known = self._tools.pods.by_uid.get(job.worker_uid)
        return self._tools.pods.costs.estimate(known[0], job.kind) if known else None

    def _cores(self, job: Job) -> float:
        """CPUs that its pod was asked for."""
        return self._request.estimated_cores or self._learnt(job) or job.cores

    def _concluded(self, job: Job, forwarded: Forwarded) -> bytes | None:
        """What a pod's answer comes to; `None`: it runs not there and may go to another."""
        outcome = forwarded.outcome
        if outcome in (Outcome.STARTED, Outcome.ALREADY_RUNS):
            return self._started(job, forwarded.server_id, forwarded.answer)
        if outcome.not_started:
            _log.info("%s did not take %s: %s", job.worker, job.egress_id, outcome)
            seconds = self._tools.settings.shun_seconds
            self._tools.pods.trust.turned_down(job.worker_uid, seconds)
            if outcome is Outcome.NOT_ENOUGH_CPU:
                self._tools.pods.refused(job, self._cores(job), time.time())
            self._tried.add(job.worker_uid)
            self._silent_only &= outcome is Outcome.NO_BID
            if self._patient_tries is not None:
                self._patient_tries += 1
            return None
        error = forwarded.error or PsrpcError(Code.UNKNOWN, "the pod refused without a word")
        return self._over(job, error)

    def _started(self, job: Job, server_id: str | None, answer: bytes) -> bytes:
        kept = answers.without_request(answer) or self._tools.infos.heard(job.egress_id)
        now = time.time()
        record = Record(replace(job, started_at=now, server_id=server_id), kept)
        self._tools.ledger_writer.note(self._tools.store.started(record))
        if self._place is not None:
            fleet, metrics = self._place.fleet, self._tools.metrics
            mode = fleet.placement.mode
            metrics.placements.labels(label(fleet), mode, self._request.kind).inc()
            seconds = time.monotonic() - self._began
            metrics.placement_seconds.labels(label(fleet)).observe(seconds)
        return answer or kept

    async def _told(self) -> bytes:
        """What others know of a job that runs or ran, whose answer is not known here."""
        told = await self._tools.infos.of(self._request.egress_id)
        return told or answers.starting(self._request)

    def _over(self, job: Job, error: PsrpcError) -> bytes:
        """It failed for good; whoever asks for the same id again is told the same."""
        said = printable(redacted(str(error)))
        _log.warning("%s failed on %s: %s", job.egress_id, job.worker, said)
        record = Record(job, error=error)
        self._tools.ledger_writer.note(self._tools.store.ended(job.egress_id, record))
        raise error

    def _go_round_or_refuse(self, found: Nowhere, wish: Wish) -> None:
        """Nobody is left: ask the best ones once more with patience, or refuse."""
        if wish.came != self._came:
            return  # Whoever has joined meanwhile can wait for longer.
        silent = bool(self._tried) and self._silent_only
        if silent and self._patient_tries is None:
            self._patient_tries = 0
            self._tried.clear()
            return
        self._release()
        if silent:
            raise self._nobody_bid()
        raise answers.nowhere(found.reason, self._request, found.cores)

    def _nobody_bid(self) -> RefusedError:
        sentence = f"no pod with room for {self._request.kind} bid for it"
        return RefusedError(Code.UNAVAILABLE, answers.NO_BID, sentence)

    def _release(self) -> None:
        note = self._tools.store.released(self._request.egress_id, self._token)
        self._tools.ledger_writer.note(note)

    def _left(self) -> float:
        """Seconds until the client must have an answer."""
        left = (self._message.expiry_ns - time.time_ns()) / 1e9
        return left - self._tools.settings.answer_margin_seconds

    async def _settle(self, known: Known) -> bytes | None:
        """The answer for an id that was used before; `None`: it does not run, start it."""
        while True:
            record = known.record
            if record.error is not None:
                raise record.error
            if known.over or record.job.started_at is not None:
                return record.answer
            answer, sure = await self._find_out(record.job)
            if sure:
                return answer
            if self._left() < _ASK_AGAIN_SECONDS:
                sentence = f"nobody knows yet whether it runs on {record.job.worker}"
                raise RefusedError(Code.UNAVAILABLE, answers.UNDECIDED, sentence)
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
            now_known = await self._known()
            if now_known is None:
                return None
            known = now_known

    async def _known(self) -> Known | None:
        """What Redis says of the id by now; `None`: it is free again.

        Raises:
            RefusedError: Redis does not say.
        """
        try:
            claimed = await self._tools.store.find(self._request.egress_id)
        except StoreError as error:
            raise RefusedError(Code.UNAVAILABLE, answers.LEDGER, str(error)) from error
        if claimed is None or claimed.existing is None:
            return None
        return Known(claimed.existing, claimed.status is Claim.ENDED)

    async def _find_out(self, job: Job) -> tuple[bytes | None, bool]:
        """Whether a job runs: its answer or `None`, and whether that is sure."""
        tools, settings = self._tools, self._tools.settings
        wait, asked_at = settings.list_wait_seconds, time.time()
        telling = asyncio.create_task(tools.infos.latest(job.egress_id))
        try:
            listing = await list_active(tools.client, len(tools.pods.by_uid), wait, tools.metrics)
            server_id = listing.server_of(job.egress_id)
            if server_id is not None:
                # livekit-server, which may be slow or away, would say nothing that changes this.
                return self._started(job, server_id, b""), True
            told = await telling
        finally:
            telling.cancel()
        if told:
            # A pod that has had it would start it once more.
            return self._was_started(job, told), True
        if not await self._taken_over(job):
            return None, False
        job = replace(job, token=self._token)
        pod_is_there = job.worker_uid in tools.pods.by_uid
        if pod_is_there:
            forwarded = await self._forwarded(job, patient=True)
            if forwarded.outcome.decides:
                return self._concluded(job, forwarded), True
        # It is absent if the pod itself says so, or is gone, and no grant can be on its way.
        late = asked_at > tools.forwarder.lives_until(job) + settings.grant_margin_seconds
        if not late or not pod_is_there:
            return None, late
        heard = tools.store.server_of(job.worker_uid) in listing.by_server
        # A pod that has taken no job yet is told by its bid.
        heard = heard or await tools.forwarder.bidder(self._message, job) in listing.by_server
        return None, heard

    def _was_started(self, job: Job, told: bytes) -> bytes:
        """It was started, as livekit-server was told, and no pod lists it: it may be over."""
        if answers.ended_id(told) is None:
            return self._started(job, self._tools.store.server_of(job.worker_uid), told)
        self._tools.ledger_writer.note(self._tools.store.ended(job.egress_id, Record(job, told)))
        return told

    async def _taken_over(self, job: Job) -> bool:
        """Make a claim ours, so that whoever made it moves it nowhere while we ask its pod."""
        if job.token == self._token:
            return True
        if time.time() < job.claimed_at + self._tools.settings.leave_alone_seconds:
            return False
        with contextlib.suppress(StoreError):
            claimed = await self._tools.store.claim([(replace(job, token=self._token), job.token)])
            return claimed is not None and claimed[0].existing is None
        return False
