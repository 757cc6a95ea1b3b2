"""The ledger in Redis, and the local copy that follows it.

A place is claimed by one script, on the condition that the egress id is unused and nobody has
claimed a place of the fleet since the local copy was made; so placements are one after the other
among all desks, and a request is never started twice. Every call brings what other desks did
meanwhile. Scripts and keys: scripts.py.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, TypeAlias

from pydantic_core import from_json as read_json

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.value import value
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.queue import Waiting
from mediafleet_scheduler.egress.base.settings import LedgerTimes
from mediafleet_scheduler.egress.connections.opening import Commands
from mediafleet_scheduler.egress.ledger import scripts
from mediafleet_scheduler.egress.ledger.local_copy import LocalCopy
from mediafleet_scheduler.egress.ledger.recent_ends import RecentEnds, recent_ends
from mediafleet_scheduler.egress.ledger.records import (
    Record,
    from_json,
    to_json,
    waiting_to_json,
)
from mediafleet_scheduler.egress.ledger.script_calls import ScriptCalls, StoreError

DEFAULT_TIMES: Final = LedgerTimes()
_ATTEMPTS: Final = 3
_UNSEEN: Final = ("lost", "behind")
_MOVED: Final = "moved"

Arguments: TypeAlias = "Sequence[str | int]"

_log: Final = logging.getLogger(__name__)


class Claim(StrEnum):
    """What came of a claim."""

    CLAIMED = "claimed"
    LIVE = "live"
    """The id has a place already."""
    ENDED = "ended"
    """The id was used by a job that is over."""


@value
class Claimed:
    """A claim's result."""

    status: Claim
    existing: Record | None = None
    """What stands in the way, for `LIVE` and `ENDED`."""


@value
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
        self,
        client: Commands,
        ledger: Ledger,
        db: int = 0,
        clock: Clock = SYSTEM,
        times: LedgerTimes = DEFAULT_TIMES,
    ) -> None:
        self.copy: Final = LocalCopy(ledger)
        self._clock = clock
        self._calls = ScriptCalls(client, times.answer_seconds)
        self._times = times
        # One hash tag, so that a Redis cluster keeps all keys of a script in one place.
        self._prefix = f"mediafleet:{{egress/{db}}}:"
        self._keys = [self._prefix + name for name in ("jobs", "state", "log", "waiting")]
        self._epoch = ""
        self._seq = 0
        self.recent_ends = RecentEnds()
        """What the log in Redis said of ends when it was last read whole."""
        self._opening = asyncio.Lock()
        self._name = secrets.token_hex(6)
        self._tokens = itertools.count(1)

    def token(self) -> str:
        """For the claims of a start attempt: unique, and known to be this desk's."""
        return f"{self._name}-{next(self._tokens):x}"

    def is_own(self, token: str) -> bool:
        """Whether a claim was made by this desk, since it was started."""
        return token.startswith(self._name)

    async def close(self) -> None:
        """Ask Redis no more."""
        await self._calls.close()

    async def open(self, lost: bool = False) -> None:
        """Read the whole ledger; where there is none or it is `lost`, make it of what is known.

        Raises:
            StoreError: Redis could not be asked.
        """
        records, waiting = self.copy.records, self.copy.ledger.waiting
        arguments: list[str | int] = [self._epoch if lost else "", secrets.token_hex(8)]
        arguments += [f"{self._clock.unix():.3f}", len(records)]
        arguments += [part for i, r in records.items() for part in (i, to_json(r))]
        arguments += [part for i, w in waiting.items() for part in (i, waiting_to_json(w))]
        keys = self._keys + [f"{self._prefix}ended:{egress_id}" for egress_id in records]
        state, values, entries, *log = await self._calls.run(scripts.OPEN, keys, arguments)
        found = {str(key): str(value) for key, value in _pairs(state)}
        self._epoch = found.pop("epoch")
        self._seq = int(found.pop("seq", "0"))
        versions = {k[2:]: v for k, v in found.items() if k.startswith("v:")}
        self.copy.replace_all(versions, values, entries)
        self.recent_ends = recent_ends(found, *log)
        for job in self.recent_ends.jobs:
            self.copy.on_over(job)

    async def claim(self, jobs: Sequence[tuple[Job, str]]) -> list[Claimed] | None:
        """Take places for jobs, chosen on the present local copy; `None`: that is out of date.

        Each job comes with the token of the claim that it takes over, or an empty text.

        Raises:
            StoreError: Redis could not be asked; the places may be taken all the same.
        """
        fleets = sorted({job.fleet for job, _ in jobs})
        arguments: list[str | int] = [len(fleets)]
        for fleet in fleets:
            arguments += [fleet, self.copy.versions.get(fleet, "0")]
        for job, replaces in jobs:
            text = self.copy.text(Record(job))
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
        self.copy.ledger.wait(entry)
        return Note("keep", entry.egress_id, "", waiting_to_json(entry), 0)

    def left(self, entry: Waiting) -> Note:
        """To be written: nobody came for a place that was kept. Counts here at once."""
        if self.copy.ledger.waiting.get(entry.egress_id) == entry:
            self.copy.ledger.give_up(entry.egress_id)
        return Note("leave", entry.egress_id, "", waiting_to_json(entry), 0)

    def started(self, record: Record) -> Note:
        """To be written: a pod has said that a job runs. Counts here at once."""
        job = record.job
        self.copy.ledger.start(job.egress_id, job.started_at or job.claimed_at, job.server_id)
        return Note(
            "start",
            job.egress_id,
            job.token,
            self.copy.text(record),
            self._times.keep_ended_seconds,
        )

    def ended(self, egress_id: str, record: Record | None = None, token: str = "") -> Note:
        """To be written: a job is over; for a while a retry gets what `record` says.

        With a token it ends only the attempt that has it.
        """
        self.copy.forget(egress_id, token)
        text = to_json(record) if record else ""
        return Note("end", egress_id, token, text, self._times.keep_ended_seconds)

    def released(self, egress_id: str, token: str) -> Note:
        """To be written: nothing came of the claim of an attempt, and the id may be used again."""
        self.copy.forget(egress_id, token)
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
        self.copy.forgotten(note.egress_id for note in notes if note.operation == "end")

    async def take(self, what: str, egress_id: str, seconds: int) -> bool:
        """Take on something that is to be done once, for a while; whether nobody else has.

        Raises:
            StoreError: Redis could not be asked; it may be taken all the same.
        """
        return await self._calls.take(f"{self._prefix}{what}:{egress_id}", seconds)

    async def sync(self) -> None:
        """Take over what other desks did.

        Raises:
            StoreError: Redis could not be asked.
        """
        await self._call(scripts.SYNC, [], [self._times.keep_ledger_seconds])

    async def _call(
        self, script: str, egress_ids: Sequence[str], arguments: Arguments
    ) -> tuple[str, Any]:
        """Run a script and take over what it says; its status and record.

        A ledger that is not the one seen is read anew, and the script is run once more unless it
        was a claim, which has to be thought over.
        """
        keys = self._keys + [f"{self._prefix}ended:{egress_id}" for egress_id in egress_ids]
        for _ in range(_ATTEMPTS):
            epoch, seen = self._epoch, self._seq
            status, seq, missed, record = await self._calls.run(
                script, keys, [epoch, seen, *arguments]
            )
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
        for name, fields in read_json(missed) if missed else ():
            number = int(name.partition("-")[2])
            if number <= self._seq:
                continue
            change: dict[str, str] = dict(_pairs(fields))
            self.copy.apply(change["op"], change["id"], change["fleet"], change["record"])
        self._seq = max(self._seq, seq)


def _pairs(flat: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(flat[::2], flat[1::2], strict=True))
