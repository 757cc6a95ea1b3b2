"""Asks collectors to delete what they have of who has left, until each has confirmed."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp

from mediafleet_common.api.community import Leave
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.reach import OWN_WORD
from mediafleet_common.formats.times import rfc3339
from mediafleet_common.probes.http_client import client
from mediafleet_common.reports.community import Deletion
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.community.state import State
from mediafleet_scheduler.core.community.stored import deletions_as_stored, deletions_from_stored

ASK_SECONDS: Final = 60.0
_TIMEOUT_SECONDS: Final = 30.0
"""A collector asks us before it answers."""
_MAX_TOLD_BYTES: Final = 500

Ask = Callable[[str, str], Awaitable[tuple[bool, str]]]
"""Asks a collector to delete what it has of a target: whether it has, and what it said."""


async def ask(collector: str, target: str) -> tuple[bool, str]:
    """Ask one collector."""
    try:
        async with (
            client(reach=OWN_WORD) as session,
            session.post(
                f"{collector.rstrip('/')}/forget",
                json={"target": target},
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
                allow_redirects=False,
            ) as answer,
        ):
            body = await answer.content.read(_MAX_TOLD_BYTES)
            return answer.status == 200, f"{answer.status}: {_message(body)}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return False, f"no answer: {printable(str(error)) or type(error).__name__}"


def _message(body: bytes) -> str:
    try:
        return printable(str(json.loads(body)["message"]))
    except (ValueError, KeyError, TypeError):
        return printable(body.decode("utf-8", "replace")).strip()


class Leaving:
    """What collectors have answered."""

    def __init__(
        self, leave: Leave, state: State | None, clock: Clock = SYSTEM, how: Ask = ask
    ) -> None:
        self._leave = leave
        self._state = state
        self._clock = clock
        self._ask = how
        self._asked_at: float | None = None
        kept = {each.collector: each for each in _kept(state)}
        self.deletions = [
            kept.get(url, Deletion(collector=url, confirmed=False))
            for url in dict.fromkeys(leave.collectors)
        ]

    async def look(self) -> None:
        """Ask those who have not confirmed, once a minute."""
        now, target = self._clock.unix(), self._leave.target
        waits = self._asked_at is not None and 0 <= now - self._asked_at < ASK_SECONDS
        if target is None or waits or all(each.confirmed for each in self.deletions):
            return
        self._asked_at = now
        self.deletions = [
            each if each.confirmed else await self._one(each.collector, target, now)
            for each in self.deletions
        ]
        if self._state is not None:
            self._state.note_left(deletions_as_stored(self.deletions))

    async def _one(self, collector: str, target: str, now: float) -> Deletion:
        confirmed, answer = await self._ask(collector, target)
        return Deletion(collector=collector, confirmed=confirmed, answer=answer, at=rfc3339(now))


def _kept(state: State | None) -> list[Deletion]:
    return [] if state is None else deletions_from_stored(state.left_note)
