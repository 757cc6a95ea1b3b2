"""Tasks of the JSON API that are another broker's, as anybody's broker answers for them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from aiohttp import web

from mediafleet_common.reports.task import TaskState
from mediafleet_scheduler.broker.shared.ledger import Known, Ledger, LedgerError
from mediafleet_scheduler.broker.tasks.messages import Task
from mediafleet_scheduler.broker.tasks.problems import ProblemError, of_ending, unknown_task
from mediafleet_scheduler.core.workers.shared import SharedAnswer, answer_of, is_task, record_of
from mediafleet_scheduler.core.workers.steps import Ending

_LOOK_SECONDS: Final = 0.2


class SharedElsewhere:
    """Reads what the shared ledger has of a task.

    Raises:
        ProblemError: from each call: it is unknown, or Redis is away.
    """

    def __init__(self, ledger: Ledger, bodies: Path | None) -> None:
        self._ledger = ledger
        self._bodies = bodies

    async def state(self, name: str) -> Task:
        """How it stands."""
        return _state(name, await self._find(name))

    async def result(self, name: str, seconds: float) -> web.StreamResponse | Task:
        """Its result within a time, or how it stands then."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (known := await self._find(name)).answer is None:
            if loop.time() >= until:
                return _state(name, known)
            await asyncio.sleep(min(_LOOK_SECONDS, max(0.0, until - loop.time())))
        answer = _answer(known)
        if answer.ending is not Ending.DONE:
            raise of_ending(answer.ending, answer.words)
        if answer.result is not None:
            return web.Response(text=answer.result, content_type="application/json")
        if answer.in_folder and self._bodies is not None:
            return web.FileResponse(
                self._bodies / f"{name}.result", headers={"Content-Type": "application/json"}
            )
        raise _at_its_broker(answer, known.owner)

    async def drop(self, name: str) -> None:
        """Cancel it, or throw its result away."""
        try:
            found = await self._ledger.drop(name)
        except LedgerError as error:
            raise _away(error) from error
        if not found:
            raise unknown_task()

    async def _find(self, name: str) -> Known:
        if not is_task(name):
            raise unknown_task()
        try:
            known = await self._ledger.find(name)
        except LedgerError as error:
            raise _away(error) from error
        if known is None:
            raise unknown_task()
        return known


def _state(name: str, known: Known) -> Task:
    try:
        target = record_of(known.record).target
    except ValueError as error:
        raise _unreadable() from error
    answer = None if known.answer is None else _answer(known)
    return Task(
        id=name,
        pipeline=target.pipeline.value,
        model=target.model,
        state=TaskState.WAITING if answer is None else TaskState(answer.ending.value),
        words="" if answer is None else answer.words,
    )


def _answer(known: Known) -> SharedAnswer:
    try:
        return answer_of(known.answer or "")
    except ValueError as error:
        raise _unreadable() from error


def _unreadable() -> ProblemError:
    return ProblemError(502, "unreadable", "what Redis has of the task is none", "submit it again")


def _at_its_broker(answer: SharedAnswer, owner: str) -> ProblemError:
    what = "a stream of events" if answer.streams else "too long for Redis"
    fix = "ask again until that broker answers" + (
        "" if answer.streams else ", or start the brokers with --bodies DIR"
    )
    return ProblemError(409, "elsewhere", f"the result is {what}, at broker {owner}", fix)


def _away(error: LedgerError) -> ProblemError:
    return ProblemError(503, "redis_away", str(error), "try again")
