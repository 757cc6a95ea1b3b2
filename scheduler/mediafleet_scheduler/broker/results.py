"""What workers post: results in all their forms, read with bounds and written to disk.

Forms: `multipart/mixed` with file parts and one JSON part, `text/event-stream`, or an error as
`livepeer/ai-worker-error` (go-livepeer server/ai_worker.go); and the earlier JSON with JobType,
TaskID, Data and Err.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.broker.access.secrets import Holder, Secrets
from mediafleet_scheduler.broker.jobs import Job, Jobs, Whole
from mediafleet_scheduler.broker.metrics import BrokerMetrics
from mediafleet_scheduler.broker.parts import MOST_JSON, Parts, UnreadableError, as_object
from mediafleet_scheduler.core.workers.orchestrators.llm_events import LastWord
from mediafleet_scheduler.core.workers.steps import FULL_WORDS, Verdict

PATH: Final = "/aiResults"
_SCHEMES: Final = ("Livepeer-AI-Worker-1.0", "Livepeer-Transcoder-1.0")
_MOST_ERROR: Final = 64 * 1024
_TASK_ID: Final = re.compile(r"\d{1,19}")

_log: Final = logging.getLogger(__name__)


class Post(Protocol):
    """A posted result, whichever HTTP it came by."""

    @property
    def headers(self) -> Mapping[str, str]:
        """By lower-case name."""

    def let_in(self) -> None:
        """Its sender may send a large body."""

    def body(self) -> AsyncIterator[bytes]:
        """The body as it comes."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A post whose body was read."""

    headers: Mapping[str, str]
    whole: bytes

    def let_in(self) -> None:
        """Nothing is to come."""

    async def body(self) -> AsyncIterator[bytes]:
        yield self.whole


class Handover(Protocol):
    """Other brokers, for results that are theirs."""

    async def result(self, post: Post, task_id: int) -> tuple[int, str] | None: ...

    async def late(self, post: Post, task_id: int) -> tuple[int, str] | None: ...


class Results:
    """Takes results and gives them to the jobs that wait for them."""

    def __init__(
        self,
        jobs: Jobs,
        secrets: Secrets,
        metrics: BrokerMetrics,
        most_bytes: int = 4 << 30,
        others: Handover | None = None,
        end_seconds: float = 5.0,
    ) -> None:
        self._others = others
        self._jobs = jobs
        self._secrets = secrets
        self._metrics = metrics
        self._most_bytes = most_bytes
        """Of one result."""
        self._end_seconds = end_seconds
        """That an LLM's stream may stay open after its last word: some workers do not end it."""
        self._reading: set[int] = set()

    async def take(self, post: Post) -> tuple[int, str]:
        """Status and text of the answer. Nothing of a body is read before the secret is right."""
        headers = post.headers
        known = headers.get("authorization") in _SCHEMES
        holder = self._secrets.holder(headers.get("credentials", "")) if known else None
        if holder is None:
            self._metrics.results.labels("unauthorized").inc()
            return 401, "invalid secret"
        media, _, _ = headers.get("content-type", "").partition(";")
        if media.strip().lower() == "application/json":
            return await self._earlier(post, holder)
        number = headers.get("taskid", "")
        if not _TASK_ID.fullmatch(number):
            self._metrics.results.labels("unreadable").inc()
            return 400, "TaskId must be the number of the job"
        attempt = int(number)
        if (said := await self._not_here(post, attempt, holder)) is not None:
            return said
        job = self._jobs.job_of(attempt)
        if job is None:
            return await self._not_wanted(post, attempt)
        if attempt in self._reading:
            return 200, "this result is being read already"
        post.let_in()
        self._reading.add(attempt)
        try:
            await self._read(post, media.strip().lower(), attempt, job)
        except UnreadableError as error:
            self._unreadable(attempt, str(error))
            return 400, str(error)
        except OSError as error:
            return self._not_written(attempt, job, error)
        except (Exception, asyncio.CancelledError):
            # A lost connection cancels this: a stock worker does not repeat a result, and what ours
            # repeats nobody waits for. Its room is free.
            self._unreadable(attempt, "the result was broken off")
            raise
        finally:
            self._reading.discard(attempt)
        return 200, "ok"

    def _not_written(self, attempt: int, job: Job, error: OSError) -> tuple[int, str]:
        if job.result.done():
            # Its files went with it while they came.
            self._jobs.succeeded(attempt)
            return 200, "nobody waits for this result any more"
        why = f"the broker cannot write the result: {error.strerror or type(error).__name__}"
        _log.error("%s: %s", job.target, why)
        self._unreadable(attempt, why)
        return 500, why

    async def _not_here(self, post: Post, attempt: int, holder: Holder) -> tuple[int, str] | None:
        """The answer to a result of another broker's job, or of another worker's."""
        if self._jobs.dispatcher.verdict(attempt) is Verdict.UNKNOWN and self._others is not None:
            said = await self._others.result(post, attempt)
            if said is not None:
                return said
        if not holder.is_other_than(self._jobs.dispatcher.known_as(attempt)):
            return None
        self._metrics.results.labels("foreign").inc()
        return 401, "this job was given to another worker"

    async def _not_wanted(self, post: Post, attempt: int) -> tuple[int, str]:
        """Its capacity is free again; the body is not wanted, unless by another broker."""
        is_late = self._jobs.dispatcher.verdict(attempt) is Verdict.LATE
        self._jobs.succeeded(attempt)
        said = await self._others.late(post, attempt) if is_late and self._others else None
        return said or (200, "nobody waits for this result any more")

    def _told(self, words: str) -> str:
        return words if words.strip() == FULL_WORDS else self._secrets.hidden(words)

    def _unreadable(self, attempt: int, why: str) -> None:
        self._metrics.results.labels("unreadable").inc()
        self._jobs.failed(attempt, why)

    async def _read(self, post: Post, media: str, attempt: int, job: Job) -> None:
        if media == "livepeer/ai-worker-error":
            words = self._told((await _all(post, _MOST_ERROR)).decode(errors="replace"))
            _log.info("a worker failed a task of %s: %s", job.target, printable(words))
            self._jobs.failed(attempt, words)
        elif media == "text/event-stream":
            await self._events(post, attempt)
        elif media == "multipart/mixed":
            self._jobs.succeeded(attempt, await self._parts(post, job, attempt))
        else:
            raise UnreadableError(
                "Content-Type must be multipart/mixed, text/event-stream, livepeer/ai-worker-error"
                " or application/json"
            )

    async def _events(self, post: Post, attempt: int) -> None:
        events, last = None, LastWord()
        size = 0
        body = post.body()
        while chunk := await _next(body, self._end_seconds if last.said else None):
            size += len(chunk)
            if size > self._most_bytes:
                raise UnreadableError("the result is too long")
            events = events or self._jobs.streams(attempt)
            if events is None:
                break
            last.feed(chunk)
            await events.put(chunk)
        if events is None:
            raise UnreadableError("an event stream without an event")
        await events.end()
        self._jobs.succeeded(attempt)

    async def _parts(self, post: Post, job: Job, attempt: int) -> Whole:
        parts = Parts(post.headers["content-type"], job.folder, f"result-{attempt}")
        size = 0
        try:
            async for chunk in post.body():
                size += len(chunk)
                if size > self._most_bytes:
                    raise UnreadableError("the result is too long")
                parts.feed(chunk)
            return parts.whole()
        finally:
            parts.close()

    async def _earlier(self, post: Post, holder: Holder) -> tuple[int, str]:
        post.let_in()
        try:
            body = await _all(post, MOST_JSON)
            fields = as_object(body)
            attempt = _task_id(fields)
        except UnreadableError as error:
            self._metrics.results.labels("unreadable").inc()
            return 400, str(error)
        read = _Read(post.headers, body)
        if (said := await self._not_here(read, attempt, holder)) is not None:
            return said
        job = self._jobs.job_of(attempt)
        if job is None:
            return await self._not_wanted(read, attempt)
        if words := fields.get("Err"):
            self._jobs.failed(attempt, self._told(str(words)[:_MOST_ERROR]))
            return 200, "ok"
        try:
            data = base64.b64decode(str(fields.get("Data") or ""), validate=True)
            self._jobs.succeeded(attempt, Whole(as_object(data)))
        except (UnreadableError, binascii.Error) as error:
            self._unreadable(attempt, "Data must be base64 of a JSON object")
            return 400, str(error)
        return 200, "ok"


async def _next(body: AsyncIterator[bytes], within: float | None) -> bytes:
    """More of a body; empty: that was all, or nothing came in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            async for chunk in body:
                if chunk:
                    return chunk
    return b""


async def _all(post: Post, most: int) -> bytes:
    body = bytearray()
    async for chunk in post.body():
        body += chunk
        if len(body) > most:
            raise UnreadableError(f"longer than {most} bytes")
    return bytes(body)


def _task_id(fields: Mapping[str, object]) -> int:
    attempt = fields.get("TaskID")
    if not isinstance(attempt, int) or not 0 <= attempt < 1 << 63:
        raise UnreadableError("TaskID must be the number of the job")
    return attempt
