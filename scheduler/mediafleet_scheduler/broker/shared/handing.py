"""What workers bring to the wrong broker goes to the right one.

An input's name tells its broker. A task id tells nothing, so the others are asked; and where one of
them is gone, its tasks will be another's within its lease, and a result is held for so long.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from mediafleet_scheduler.broker.access.secrets import Secrets
from mediafleet_scheduler.broker.results import Post
from mediafleet_scheduler.broker.shared.peers import HANDED, STATUS, TAG, Peers
from mediafleet_scheduler.broker.shared.tasks import SharedTasks
from mediafleet_scheduler.core.workers.shared import Peer
from mediafleet_scheduler.core.workers.steps import Verdict

MOST_HELD: Final = 1024
"""Results that wait at a time until their broker's tasks are another's; further ones do not."""
_TASK_ID: Final = re.compile(r"\d{1,19}")


class Handing:
    """Between the brokers of one Redis. `verdict`: what a task id is here."""

    def __init__(
        self,
        shared: SharedTasks,
        peers: Peers | None,
        secrets: Secrets,
        verdict: Callable[[int], Verdict],
    ) -> None:
        """`peers`: `None` where the brokers do not reach each other."""
        self._shared = shared
        self._peers = peers
        self._secrets = secrets
        self._verdict = verdict
        self._held = 0

    async def result(self, post: Post, task_id: int) -> tuple[int, str] | None:
        """Hand on a result that nobody here waits for, whose sender may send it; `None`: no other
        broker does either, or this one does by now."""
        if HANDED.lower() in post.headers:
            return None
        owner = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._shared.take_over_seconds):
                owner = await self._owner(post.headers, task_id)
        if owner is None or self._peers is None:
            return None
        return await self._peers.result(post, owner)

    async def late(self, post: Post, task_id: int) -> tuple[int, str] | None:
        """Hand on a result whose task was here and may be another's by now, as Redis was away for
        long; `None`: no other broker waits for it."""
        if self._peers is None or HANDED.lower() in post.headers:
            return None
        owner, _ = await self._peers.owner(post.headers, task_id)
        return None if owner is None else await self._peers.result(post, owner)

    def _is_here(self, task_id: int) -> bool:
        return self._verdict(task_id) is not Verdict.UNKNOWN

    async def _owner(self, headers: Mapping[str, str], task_id: int) -> Peer | None:
        is_fresh = False  # Who is busy was looked at since the result came.
        while not self._is_here(task_id):
            answered: frozenset[Peer] = frozenset()
            if self._peers is not None:
                owner, answered = await self._peers.owner(headers, task_id)
                if owner is not None:
                    return owner
            if self._is_here(task_id) or (is_fresh and not self._shared.may_take(answered)):
                break
            if not await self._held_for_a_beat():
                break
            is_fresh = True
        return None

    async def _held_for_a_beat(self) -> bool:
        """Wait for this broker's next look at Redis; whether there was room to."""
        if self._held >= MOST_HELD:
            return False
        self._held += 1
        try:
            await self._shared.next_beat()
        finally:
            self._held -= 1
        return True

    async def input(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """An input that lies at another broker; `None`: no other broker is named."""
        return None if self._peers is None else await self._peers.input(request)

    def asked(self, request: web.BaseRequest) -> web.Response:
        """Another broker asks whether a task id is one of ours."""
        tag = {} if self._peers is None else {TAG: str(self._peers.me.tag)}
        if not self._secrets.accept(request.headers.get("Credentials", "")):
            return web.Response(status=401, headers=tag)
        number = request.headers.get("TaskId", "")
        is_number = _TASK_ID.fullmatch(number) is not None
        verdict = self._verdict(int(number)) if is_number else Verdict.UNKNOWN
        return web.Response(status=STATUS[verdict], headers=tag)
