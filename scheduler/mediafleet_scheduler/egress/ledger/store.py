"""The ledger in Redis, and the local copy that follows it.

A place is claimed by one script, on the condition that the egress id is unused and nobody has
claimed a place of the fleet since the local copy was made; so placements are one after the other
among all desks, and a request is never started twice. Every call brings what other desks did
meanwhile. The scripts and keys are told in scripts.py.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from redis.exceptions import NoScriptError, RedisError

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.queue import Waiting
from mediafleet_scheduler.egress.connections.opening import Commands
from mediafleet_scheduler.egress.ledger import scripts
from mediafleet_scheduler.egress.ledger.recent_ends import RecentEnds, recent_ends
from mediafleet_scheduler.egress.ledger.records import (
    Record,
    UnreadableRecordError,
    from_json,
    to_json,
    waiting_from_json,
    waiting_to_json,
)

KEEP_ENDED_SECONDS: Final = 120
"""How long the id of a job that is over stays taken; a client's last retry comes sooner."""
KEEP_LEDGER_SECONDS: Final = 7 * 86400
"""A ledger that no desk has looked at for so long is forgotten."""
_CALL_SECONDS: Final = 5.0
"""As `redis.answer_seconds`, and for the turn before it: a claim that waits longer helps nobody."""
_AT_ONCE: Final = 64
"""More wait for their turn: redis-py refuses what its pool of 100 connections has no room for."""
_ATTEMPTS: Final = 3
_MAX_OWN: Final = 1000
_MAX_OVER: Final = 20_000
_UNSEEN: Final = ("lost", "behind")
_MOVED: Final = "moved"

Arguments = Sequence[str | int]

_log: Final = logging.getLogger(__name__)


class StoreError(Exception):
    """Redis could not be asked, or gave an answer that makes no sense."""


class Claim(StrEnum):
    """What came of a claim."""

    CLAIMED = "claimed"
    LIVE = "live"
    """The id has a place already."""
    ENDED = "ended"
    """The id was used by a job that is over."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim's result."""

    status: Claim
    existing: Record | None = None
    """What stands in the way, for `LIVE` and `ENDED`."""


@dataclass(frozen=True, slots=True)
class Note:
    """What became of a job, to be written."""

    operation: str
    egress_id: str
    token: str
    record: str
    keep_seconds: int


class Store:
    """One ledger in one Redis."""

    def __init__(
        self, client: Commands, ledger: Ledger, db: int = 0, clock: Clock = SYSTEM
    ) -> None:
        self._client = client
        self._clock = clock
        self._ledger = ledger
        # One hash tag, so that a Redis cluster keeps all keys of a script in one place.
        self._prefix = f"mediafleet:{{egress/{db}}}:"
        self._keys = [self._prefix + name for name in ("jobs", "state", "log", "waiting")]
        self._epoch = ""
        self._seq = 0
        self._versions: dict[str, str] = {}
        self._records: dict[str, Record] = {}
        self._servers: dict[str, tuple[float, str]] = {}
        self._own: dict[str, Record] = {}
        self._over: dict[str, None] = {}
        # Jobs that are gone while Redis has not been told: token of the try, empty for any.
        self._gone: dict[str, str] = {}
        self.on_over: Callable[[Job], None] = lambda job: None
        """Told of each job that had started and is over, whoever found out."""
        self.recent_ends = RecentEnds()
        """What the log in Redis told of ends when it was last read whole."""
        self._opening = asyncio.Lock()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._shas: dict[str, str] = {}

    @property
    def records(self) -> dict[str, Record]:
        """The record of every job that is pending or started, by egress id."""
        return self._records

    def knows(self, egress_id: str) -> bool:
        """Whether an id was used lately, as far as this desk has seen."""
        return egress_id in self._records or egress_id in self._over

    async def open(self, lost: bool = False) -> None:
        """Read the whole ledger; where there is none or it is `lost`, make it of what is known.

        Raises:
            StoreError: Redis could not be asked.
        """
        waiting = self._ledger.waiting
        arguments: list[str | int] = [self._epoch if lost else "", secrets.token_hex(8)]
        arguments += [f"{self._clock.unix():.3f}", len(self._records)]
        arguments += [part for i, r in self._records.items() for part in (i, to_json(r))]
        arguments += [part for i, w in waiting.items() for part in (i, waiting_to_json(w))]
        keys = self._keys + [f"{self._prefix}ended:{egress_id}" for egress_id in self._records]
        state, values, entries, *log = await self._run(scripts.OPEN, keys, arguments)
        told = {str(key): str(value) for key, value in _pairs(state)}
        self._epoch = told.pop("epoch")
        self._seq = int(told.pop("seq", "0"))
        self._versions = {k[2:]: v for k, v in told.items() if k.startswith("v:")}
        self._records = {}
        for value in values:
            self._remember(value)
        self._ledger.replace_all(
            (record.job for record in self._records.values()),
            (entry for text in entries if (entry := _waiting(text)) is not None),
        )
        self.recent_ends = recent_ends(told, *log)
        for job in self.recent_ends.jobs:
            self.on_over(job)

    async def claim(self, jobs: Sequence[tuple[Job, str]]) -> list[Claimed] | None:
        """Take places for jobs, chosen on the present local copy; `None`: that is out of date.

        Each job comes with the token of the claim that it takes over, or an empty text.

        Raises:
            StoreError: Redis could not be asked; the places may be taken all the same.
        """
        fleets = sorted({job.fleet for job, _ in jobs})
        arguments: list[str | int] = [len(fleets)]
        for fleet in fleets:
            arguments += [fleet, self._versions.get(fleet, "0")]
        for job, replaces in jobs:
            text = self._written(Record(job))
            arguments += [job.egress_id, job.fleet, job.token, replaces, text]
        ids = [job.egress_id for job, _ in jobs]
        status, results = await self._call(scripts.CLAIM, ids, arguments)
        if status == _MOVED:
            return None
        return [
            Claimed(Claim(result), from_json(record) if record else None)
            for result, record in results
        ]

    async def find(self, egress_id: str) -> Claimed | None:
        """What is known of an id; `None`: nothing.

        Raises:
            StoreError: Redis could not be asked.
        """
        arguments: Arguments = [egress_id]
        status, record = await self._call(scripts.FIND, [egress_id], arguments)
        return Claimed(Claim(status), from_json(record)) if record else None

    async def wait(self, entry: Waiting) -> Claimed | None:
        """Let a request wait for room; `None`: it waits, else what is known of its id.

        Raises:
            StoreError: Redis could not be asked; it may wait there all the same.
        """
        arguments: Arguments = [entry.egress_id, entry.fleet, waiting_to_json(entry)]
        status, record = await self._call(scripts.WAIT, [entry.egress_id], arguments)
        return Claimed(Claim(status), from_json(record)) if record else None

    def kept(self, entry: Waiting) -> Note:
        """To be written: a request was refused, and its place is kept. Counts here at once."""
        self._ledger.wait(entry)
        return Note("keep", entry.egress_id, "", waiting_to_json(entry), 0)

    def left(self, entry: Waiting) -> Note:
        """To be written: nobody came for a place that was kept. Counts here at once."""
        if self._ledger.waiting.get(entry.egress_id) == entry:
            self._ledger.leave(entry.egress_id)
        return Note("leave", entry.egress_id, "", waiting_to_json(entry), 0)

    def started(self, record: Record) -> Note:
        """To be written: a pod has said that a job runs. Counts here at once."""
        job = record.job
        self._ledger.start(job.egress_id, job.started_at or job.claimed_at, job.server_id)
        return Note("start", job.egress_id, job.token, self._written(record), KEEP_ENDED_SECONDS)

    def ended(self, egress_id: str, record: Record | None = None, token: str = "") -> Note:
        """To be written: a job is over; for a while a retry gets what `record` says.

        With a token it ends only the attempt that has it.
        """
        self._forget(egress_id, token)
        text = to_json(record) if record else ""
        return Note("end", egress_id, token, text, KEEP_ENDED_SECONDS)

    def released(self, egress_id: str, token: str) -> Note:
        """To be written: nothing came of the claim of a try, and the id may be used again."""
        self._forget(egress_id, token)
        return Note("end", egress_id, token, "", 0)

    async def write(self, notes: Sequence[Note]) -> None:
        """Write notes, in order.

        Raises:
            StoreError: Redis could not be asked; writing them again does no harm.
        """
        arguments: list[str | int] = []
        for note in notes:
            arguments += [note.operation, note.egress_id, note.token]
            arguments += [note.record, note.keep_seconds]
        await self._call(scripts.WRITE, [note.egress_id for note in notes], arguments)
        for note in notes:
            if note.operation == "end":
                self._gone.pop(note.egress_id, None)

    async def take(self, what: str, egress_id: str, seconds: int) -> bool:
        """Take on something that is to be done once, for a while; whether nobody else has.

        Raises:
            StoreError: Redis could not be asked; it may be taken all the same.
        """
        key = f"{self._prefix}{what}:{egress_id}"
        try:
            async with asyncio.timeout(_CALL_SECONDS), self._turns:
                return bool(await self._client.set(key, "taken", nx=True, ex=seconds))
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreError(f"the ledger in Redis cannot be asked: {error}") from error

    async def sync(self) -> None:
        """Take over what other desks did.

        Raises:
            StoreError: Redis could not be asked.
        """
        await self._call(scripts.SYNC, [], [KEEP_LEDGER_SECONDS])

    async def _call(
        self, script: str, egress_ids: Sequence[str], arguments: Arguments
    ) -> tuple[str, Any]:
        """Run a script and take over what it tells; its status and record.

        A ledger that is not the one seen is read anew, and the script is run once more unless it
        was a claim, which has to be thought over.
        """
        keys = self._keys + [f"{self._prefix}ended:{egress_id}" for egress_id in egress_ids]
        for _ in range(_ATTEMPTS):
            epoch, seen = self._epoch, self._seq
            status, seq, missed, record = await self._run(script, keys, [epoch, seen, *arguments])
            if status not in _UNSEEN:
                self._take_over(int(seq), missed)
                return status, record
            await self._reopen(epoch, seen, lost=status == "lost")
            if script is scripts.CLAIM:
                return _MOVED, ""
        raise StoreError("the ledger in Redis goes on changing under us")

    async def _reopen(self, epoch: str, seen: int, *, lost: bool) -> None:
        async with self._opening:
            if (self._epoch, self._seq) == (epoch, seen):
                _log.warning("the ledger in Redis is not the one known here: reading it anew")
                await self.open(lost)

    def _take_over(self, seq: int, missed: str) -> None:
        for name, fields in json.loads(missed) if missed else ():
            number = int(name.partition("-")[2])
            if number <= self._seq:
                continue
            change: dict[str, str] = dict(_pairs(fields))
            self._apply(change["op"], change["id"], change["fleet"], change["record"])
        self._seq = max(self._seq, seq)

    def _apply(self, operation: str, egress_id: str, fleet: str, record: str) -> None:
        if operation == "end":
            self._records.pop(egress_id, None)
            self._drop(egress_id)
            if record:
                self._over[egress_id] = None
                if len(self._over) > _MAX_OVER:
                    del self._over[next(iter(self._over))]
            return
        if operation == "leave":
            self._ledger.leave(egress_id)
            return
        if operation == "wait":
            entry = _waiting(record)
            if entry is not None:
                self._ledger.wait(entry)
            return
        if operation == "put":
            self._versions[fleet] = str(int(self._versions.get(fleet, "0")) + 1)
        self._remember(record)
        if operation == "put" and self._ledger.waiting:
            self._took_turn(egress_id)

    def _took_turn(self, egress_id: str) -> None:
        job, entry = self._ledger.jobs.get(egress_id), self._ledger.waiting.get(egress_id)
        if job is not None:
            self._ledger.took_turn(entry.flow if entry else job.room or egress_id, job.claimed_at)
        self._ledger.leave(egress_id)

    def _written(self, record: Record) -> str:
        """A record as text, which will come back in the log and need not be read then."""
        text = to_json(record)
        self._own[text] = record
        if len(self._own) > _MAX_OWN:
            del self._own[next(iter(self._own))]
        return text

    def _remember(self, text: str) -> None:
        try:
            record = self._own.pop(text, None) or from_json(text)
        except UnreadableRecordError as error:
            _log.warning("a record in Redis makes no sense: %s", error)
            return
        job = record.job
        if self._gone.get(job.egress_id) in ("", job.token):
            return
        self._records[job.egress_id] = record
        self._ledger.put(job)
        known = self._servers.get(job.worker_uid)
        if job.server_id and job.started_at and (known is None or job.started_at >= known[0]):
            self._servers[job.worker_uid] = (job.started_at, job.server_id)

    def server_of(self, worker_uid: str) -> str | None:
        """The psrpc server id of a pod, once it has taken a job: new whenever it starts anew."""
        known = self._servers.get(worker_uid)
        return known[1] if known else None

    def keep_only(self, worker_uids: Iterable[str]) -> None:
        """Only these pods are there."""
        for uid in self._servers.keys() - set(worker_uids):
            del self._servers[uid]

    def _forget(self, egress_id: str, token: str) -> None:
        """A job of a try (empty token: of any) is gone, whatever older news Redis still has."""
        self._gone[egress_id] = token
        record = self._records.get(egress_id)
        if record is not None and token in ("", record.job.token):
            del self._records[egress_id]
        job = self._ledger.jobs.get(egress_id)
        if job is not None and token in ("", job.token):
            self._drop(egress_id)

    def _drop(self, egress_id: str) -> None:
        job = self._ledger.drop(egress_id)
        if job is not None and job.started_at is not None:
            self.on_over(job)

    async def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        try:
            async with asyncio.timeout(_CALL_SECONDS), self._turns:
                sha = self._shas.get(script)
                if sha is not None:
                    try:
                        call = self._client.evalsha(sha, len(keys), *keys, *arguments)
                        return await _or_cancelled(call)
                    except NoScriptError:
                        pass
                sha = self._shas[script] = str(await self._client.script_load(script))
                call = self._client.evalsha(sha, len(keys), *keys, *arguments)
                return await _or_cancelled(call)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreError(f"the ledger in Redis cannot be asked: {error}") from error


async def _or_cancelled(call: Awaitable[Any]) -> Any:
    """A call's result, unless its task was cancelled meanwhile.

    redis-py waits with asyncio.wait_for, which in Python 3.11 loses a cancellation that comes
    together with the result: https://github.com/python/cpython/issues/86296.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    result = await call
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
    return result


def _waiting(text: str) -> Waiting | None:
    try:
        return waiting_from_json(text)
    except UnreadableRecordError as error:
        _log.warning("a record in Redis makes no sense: %s", error)
        return None


def _pairs(flat: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(flat[::2], flat[1::2], strict=True))
