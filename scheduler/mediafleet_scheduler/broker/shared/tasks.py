"""A broker's part in the tasks that all brokers share: written, taken over, and answered once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import shutil
from collections.abc import AsyncIterator, Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.broker.inputs import Folder
from mediafleet_scheduler.broker.jobs import Events, Input, TaskFailedError
from mediafleet_scheduler.broker.runner_api import rendered
from mediafleet_scheduler.broker.shared.attempts import Attempts
from mediafleet_scheduler.broker.shared.ledger import Beat, Ledger, LedgerError, Taken
from mediafleet_scheduler.broker.shared.peers import Peers
from mediafleet_scheduler.broker.tasks.kept import Kept, KeptTasks
from mediafleet_scheduler.core.workers.shared import (
    LOST_WORDS,
    MOST_INLINE,
    Peer,
    Record,
    SharedAnswer,
    is_task,
    record_of,
)
from mediafleet_scheduler.core.workers.steps import Ending

_SWEEP_SECONDS: Final = 60.0
_LONGEST_SECONDS: Final = 3600.0
"""That a task may wait and run: the bound of wait_seconds and timeout_seconds."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SharedTimes:
    """How brokers share tasks; times in seconds."""

    beat_seconds: float = 2.0
    """Between two signs of life in Redis; each takes tasks of brokers that are gone."""
    lease_seconds: float = 10.0
    """A broker that gave none for so long is gone: others take its tasks."""
    answer_seconds: float = 2.0
    """Redis has not answered after so long."""


class SharedTasks:
    """Writes what comes here, and does what other brokers left."""

    def __init__(
        self,
        ledger: Ledger,
        kept: KeptTasks,
        bodies: Path | None,
        times: SharedTimes,
        keep_seconds: float,
        clock: Clock = SYSTEM,
    ) -> None:
        self.ledger: Final = ledger
        self.bodies: Final = bodies
        self._kept = kept
        self._times = times
        self._keep_seconds = keep_seconds
        self._clock = clock
        self.peers: Peers | None = None
        """Other brokers, once this one can be reached by them."""
        self._away = False
        self._epoch: str | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._attempts = Attempts(ledger)
        self._busy: frozenset[Peer | None] | None = None
        self._beaten = asyncio.Event()
        kept.on_answer, kept.on_given = self._answered, self._attempts.tell

    async def put(self, kept: Kept, seconds: float, session: str | None) -> None:
        """A task has come here; without Redis it is done, and does not survive this broker."""
        kept.deadline, kept.session = self._clock.unix() + seconds, session
        try:
            await self._put(kept)
        finally:
            kept.written.set()

    async def _put(self, kept: Kept) -> None:
        try:
            record = await asyncio.to_thread(self._record, kept)
            keep, given = kept.seconds + self._keep_seconds, kept.job.given
            await self.ledger.put(kept.job.id, record.to_json(), keep, given)
            kept.version = 1
            if kept.job.given is not given:
                self._attempts.tell(kept)
        except (LedgerError, OSError) as error:
            self._complain(error)

    @property
    def take_over_seconds(self) -> float:
        """After so long a broker's tasks are another's, counted from when it is gone."""
        times = self._times
        return times.lease_seconds + 2 * times.beat_seconds + times.answer_seconds

    def may_take(self, answered: Container[Peer]) -> bool:
        """Whether tasks of others, but for those that have `answered`, may be ours soon."""
        busy = self._busy
        return busy is None or any(each is None or each not in answered for each in busy)

    async def next_beat(self) -> None:
        """Wait until this broker has asked Redis once more, and taken what there was."""
        await self._beaten.wait()

    async def run(self) -> None:
        """Beat until cancelled."""
        telling = asyncio.create_task(self._attempts.run())
        try:
            await self._keep_beating()
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _keep_beating(self) -> None:
        swept = 0.0
        while True:
            await self._beat()
            beaten, self._beaten = self._beaten, asyncio.Event()
            beaten.set()
            now = self._clock.unix()
            if self.bodies is not None and now - swept >= _SWEEP_SECONDS:
                swept = now
                before = now - _LONGEST_SECONDS - self._keep_seconds
                await asyncio.to_thread(sweep, self.bodies, before)
            await asyncio.sleep(self._times.beat_seconds)

    async def leave(self) -> None:
        """This broker ends: others may take its tasks at once."""
        for each in self._answering:
            each.cancel()
        with contextlib.suppress(LedgerError):
            await self.ledger.leave()
        await self.ledger.close()

    async def _beat(self) -> None:
        before = [each for each in self._kept.all() if each.version is not None]
        try:
            me = None if self.peers is None else self.peers.me
            beat = await self.ledger.beat(self._times.lease_seconds, me)
        except LedgerError as error:
            self._complain(error)
            return
        if self._away:
            _log.info("Redis answers again: tasks are shared")
        self._away = False
        self._attempts.again()
        self._busy = beat.busy
        if self.peers is not None:
            self.peers.known(beat.peers)
        emptied, self._epoch = self._epoch not in (None, beat.epoch), beat.epoch
        await self._keep(before, beat, emptied=emptied)
        for one in beat.taken:
            if self._kept.get(one.id) is None:
                await self._take(one)

    async def _keep(self, before: list[Kept], beat: Beat, *, emptied: bool) -> None:
        """See that Redis and this broker agree on the tasks that are its own."""
        for each in before:
            if each.job.id in beat.own or each.job.result.done():
                continue
            if emptied:
                await self._put(each)
                continue
            _log.info("task %s is cancelled, or another broker's by now", each.job.id)
            self._kept.give_up(each)
        for each in self._kept.all():
            if each.version is None and each.written.is_set() and each.job.id in beat.own:
                await self._found(each)

    async def _found(self, kept: Kept) -> None:
        """A task is in Redis though its write was not confirmed. One that is over was answered
        here alone: nobody else may wait for it, or do it again."""
        if not kept.job.result.done():
            kept.version = 1
            self._attempts.tell(kept)
            return
        with contextlib.suppress(LedgerError):
            await self.ledger.drop(kept.job.id)

    async def _take(self, taken: Taken) -> None:
        _log.info("task %s is taken over: its broker is gone", printable(taken.id))
        folder = self._kept.new_folder()
        try:
            record = record_of(taken.record)
            task = await asyncio.to_thread(self._input, taken.id, record, folder)
        except (ValueError, OSError) as error:
            folder.remove()
            words = str(error) if isinstance(error, ValueError) else f"input lost: {error.strerror}"
            answer = SharedAnswer(Ending.LOST, words).to_json()
            with contextlib.suppress(LedgerError):
                await self.ledger.answer(taken.id, taken.version, answer, self._keep_seconds)
            return
        seconds = min(max(0.0, record.deadline - self._clock.unix()), _LONGEST_SECONDS)
        kept = self._kept.submit(
            record.target, task, folder, seconds, record.session, taken.id, taken.given
        )
        kept.version, kept.deadline, kept.session = taken.version, record.deadline, record.session
        kept.written.set()
        self._attempts.tell(kept)

    def _answered(self, kept: Kept) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(kept))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, kept: Kept) -> None:
        await kept.written.wait()
        if kept.version is None:
            self._kept.settle(kept)
            return
        answer = await self._answer_of(kept)
        while True:
            try:
                ours = await self.ledger.answer(
                    kept.job.id, kept.version, answer.to_json(), self._keep_seconds
                )
                break
            except LedgerError as error:
                # Nobody is answered before Redis says that nobody else has done the task.
                self._complain(error)
                await asyncio.sleep(self._times.beat_seconds)
        if ours:
            self._kept.settle(kept)
        else:
            _log.info("task %s was done by another broker: our answer is not used", kept.job.id)
            self._kept.give_up(kept)

    async def _answer_of(self, kept: Kept) -> SharedAnswer:
        try:
            result = kept.job.result.result()
        except TaskFailedError as error:
            return SharedAnswer(error.ending, error.words)
        if isinstance(result, Events):
            return SharedAnswer(Ending.DONE, streams=True)
        try:
            return await self._written(kept.job.id, rendered(result))
        except OSError as error:
            _log.error("task %s: its result stays here alone: %s", kept.job.id, error.strerror)
            return SharedAnswer(Ending.DONE)

    async def _written(self, task: str, chunks: AsyncIterator[bytes]) -> SharedAnswer:
        """A result where others find it, never whole in memory."""
        text = bytearray()
        async for chunk in chunks:
            text += chunk
            if len(text) > MOST_INLINE:
                break
        else:
            return SharedAnswer(Ending.DONE, result=text.decode())
        if self.bodies is None:
            return SharedAnswer(Ending.DONE)
        with (self.bodies / f"{task}.result").open("wb") as file:
            file.write(text)
            async for chunk in chunks:
                file.write(chunk)
        return SharedAnswer(Ending.DONE, in_folder=True)

    def _record(self, kept: Kept) -> Record:
        job = kept.job
        plain = Record(job.target, kept.deadline, kept.session)
        request = dict(job.input.request)
        if len(json.dumps(request)) <= MOST_INLINE:
            plain = replace(plain, request=request)
        file = job.input.file
        if file is None:
            return plain
        if file.stat().st_size <= MOST_INLINE:
            return replace(plain, file=base64.b64encode(file.read_bytes()).decode())
        if self.bodies is None:
            return replace(plain, file_lost=True)
        shutil.copyfile(file, self._shared_input(job.id))
        return replace(plain, in_folder=True)

    def _input(self, task: str, record: Record, folder: Folder) -> Input:
        if not is_task(task):
            raise ValueError("not a task: its id")
        if record.request is None or record.file_lost:
            raise ValueError(LOST_WORDS)
        if record.in_folder:
            path = folder.file("input")
            shutil.copyfile(self._shared_input(task), path)
        elif record.file is not None:
            path = folder.file("input")
            path.write_bytes(base64.b64decode(record.file, validate=True))
        else:
            return Input(record.request)
        return Input(record.request, path)

    def _shared_input(self, task: str) -> Path:
        if self.bodies is None:
            raise ValueError(LOST_WORDS)
        return self.bodies / f"{task}.input"

    def _complain(self, error: Exception) -> None:
        if not self._away:
            _log.error("%s; tasks that come now do not survive this broker", error)
        self._away = True


def sweep(bodies: Path, before: float) -> None:
    """Delete inputs and results in the shared folder that were written before a Unix time: their
    tasks are over, and expired."""
    for pattern in ("*.input", "*.result"):
        for file in bodies.glob(pattern):
            # Another broker may have deleted it meanwhile.
            with contextlib.suppress(OSError):
                if file.stat().st_mtime < before:
                    file.unlink()
