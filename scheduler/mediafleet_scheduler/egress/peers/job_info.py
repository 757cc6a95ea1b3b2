"""Job info: what pods and livekit-server say of jobs, as `livekit.EgressInfo` and as a report.

A pod has livekit-server make a record of a job when it starts it (IOInfo.CreateEgress) and tells
it of each change (UpdateEgress). The desk listens in; what was not heard, livekit-server knows
(GetEgress). An attempt to start a job is known by the psrpc client that asked for its record: what
another client says of the same id is about another attempt. Source: livekit/protocol
protobufs/rpc/io.proto; livekit/egress pkg/info/io.go.
"""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import DecodeError

from mediafleet_common.clock import Clock
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.attempt import Report
from mediafleet_scheduler.egress.peers import answers
from mediafleet_scheduler.egress.peers.answers import JobWord
from mediafleet_scheduler.egress.peers.io_info import IO_SERVICE, IoInfo
from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.client import OnBadMessage
from mediafleet_scheduler.psrpc.envelope import Request, decode
from mediafleet_scheduler.psrpc.errors import BadMessage, BadMessageError, PsrpcError

CREATES: Final = channels.request(IO_SERVICE, "CreateEgress")
UPDATES: Final = channels.request(IO_SERVICE, "UpdateEgress")
_REMEMBERED: Final = 10_000

OnUpdate = Callable[[Request, JobWord], None]
"""Told each update of a job, and the request that it came in."""


@dataclass(slots=True)
class _Heard:
    """What was heard of one attempt to start a job."""

    client_id: str
    """The psrpc client that speaks for it."""
    at: float
    """When it was first heard of, in Unix seconds."""
    info: bytes
    report: Report = Report.CREATED
    creates: set[str] = field(default_factory=set)
    """Ids of its CreateEgress requests: a second one is a second attempt on the same pod."""


class JobInfos:
    """Listens for news of jobs, and asks livekit-server for the rest."""

    def __init__(
        self,
        io: IoInfo,
        wait_seconds: float,
        margin_seconds: float,
        on_bad_message: OnBadMessage,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._io = io
        self._wait_seconds = wait_seconds
        self._margin_seconds = margin_seconds
        """The clocks of desks differ by no more."""
        self._on_bad_message = on_bad_message
        self._heard: collections.OrderedDict[str, _Heard] = collections.OrderedDict()
        self._on_update: OnUpdate = lambda request, word: None

    async def listen(self, bus: Bus, news: Bus, on_update: OnUpdate) -> None:
        """Listen from now on; `on_update` is told once an update counts here. Updates are heard on
        the bus `news`: nobody waits for them."""
        self._on_update = on_update
        await bus.subscribe(CREATES, self._take_create)
        await news.subscribe(UPDATES, self._take_update)

    def heard(self, egress_id: str) -> bytes:
        """What was last heard of a job, without the request in it; empty when nothing was."""
        known = self._heard.get(egress_id)
        return known.info if known else b""

    def heard_end(self, egress_id: str) -> bool:
        """Whether a job that had started was heard to be over."""
        known = self._heard.get(egress_id)
        return known is not None and known.report is Report.ENDED

    def io_client(self, job: Job) -> str | None:
        """The psrpc client that speaks for the attempt with this claim; `None`: not known."""
        if job.io_client is not None:
            return job.io_client
        known = self._heard.get(job.egress_id)
        if known is None or known.at < job.claimed_at - self._margin_seconds:
            return None
        return known.client_id

    def ends(self, word: JobWord, client_id: str, job: Job | None) -> bool:
        """Whether a word ends a job of the ledger; `job` is `None` where the ledger has none yet.

        FAILED and ABORTED end a job that has started. Before that they are about one attempt, which
        may be made again. After two attempts on one pod nobody can tell which of them failed.
        """
        if not word.ended:
            return False
        known = self._heard.get(word.egress_id)
        if word.report is not Report.CREATED:
            return job is None or self.io_client(job) in (None, client_id)
        if job is None or job.started_at is None or self.io_client(job) != client_id:
            return False
        return known is None or known.client_id != client_id or len(known.creates) <= 1

    async def of(self, egress_id: str) -> bytes:
        """The info of a job, what was heard first; empty when nobody knows it."""
        return self.heard(egress_id) or answers.without_request(
            await self._record(egress_id) or b""
        )

    async def report(self, egress_id: str) -> tuple[Report, bool, bytes]:
        """What is known of a job, whether livekit-server has answered, and the job's info."""
        record = await self._record(egress_id)
        known = self._heard.get(egress_id)
        report, info = (known.report, known.info) if known else (Report.NONE, b"")
        if record:
            word = answers.word_of(record)
            reported = word.report
            if word.ended and report is Report.STARTED:
                reported = Report.ENDED
            if report.or_later(reported) is reported:
                report, info = reported, word.info
        return report, record is not None, info

    async def _record(self, egress_id: str) -> bytes | None:
        """livekit-server's record; empty: there is none; `None`: it does not say."""
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await self._io.record(egress_id) or b""
        except (PsrpcError, TimeoutError):
            return None

    def _take_create(self, data: bytes) -> None:
        if (heard := self._read(data, CREATES)) is None:
            return
        request, word = heard
        known = self._heard.get(word.egress_id)
        if known is not None and known.client_id == request.client_id:
            known.creates.add(request.request_id)
            return
        fresh = _Heard(
            request.client_id, self._clock.unix(), word.info, creates={request.request_id}
        )
        self._remember(word.egress_id, fresh)

    def _take_update(self, data: bytes) -> None:
        if (heard := self._read(data, UPDATES)) is not None:
            self._note_update(*heard)
            self._on_update(*heard)

    def _note_update(self, request: Request, word: JobWord) -> None:
        known = self._heard.get(word.egress_id)
        if known is None or known.client_id != request.client_id:
            if word.report is Report.CREATED:
                return  # It is about another attempt.
            known = _Heard(request.client_id, self._clock.unix(), word.info)
            self._remember(word.egress_id, known)
        if known.report is not Report.ENDED:
            failed = word.ended and known.report is Report.STARTED
            known.report = Report.ENDED if failed else known.report.or_later(word.report)
            known.info = word.info

    def _remember(self, egress_id: str, heard: _Heard) -> None:
        self._heard.pop(egress_id, None)
        self._heard[egress_id] = heard
        if len(self._heard) > _REMEMBERED:
            self._heard.popitem(last=False)

    def _read(self, data: bytes, channel: str) -> tuple[Request, JobWord] | None:
        """A pod's word of a job, and the request that it came in; `None`: it cannot be read."""
        try:
            request = decode(data, Request)
            return request, answers.word_of(request.payload)
        except BadMessageError as error:
            self._on_bad_message(channel, error)
        except DecodeError:
            bad = BadMessageError(BadMessage.NOT_PROTOBUF, "EgressInfo")
            self._on_bad_message(channel, bad)
        return None
