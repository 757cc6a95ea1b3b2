"""Runs a round of discovery: asks the nodes it names, and gives it the answers and the time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.core.advertise.discovery import (
    Failure,
    Offer,
    Report,
    Round,
    Visit,
    Why,
    Wishes,
)

_log: Final = logging.getLogger(__name__)

Ask = Callable[[str], Awaitable[Offer | Failure]]
"""GetOrchestrator at a URL; never raises but for cancellation."""
_Reply = tuple[Visit, Offer | Failure, float]


async def discover(
    top: Sequence[str],
    wishes: Wishes,
    ask: Ask,
    clock: Clock = SYSTEM,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Report:
    """One round that begins with `top`; it takes 6 seconds at most."""
    this = Round(wishes)
    replies: asyncio.Queue[_Reply] = asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:

        async def visit(entry: Visit) -> None:
            began = clock.monotonic()
            reply = await ask(entry.url)
            replies.put_nowait((entry, reply, clock.monotonic() - began))

        asked = [tasks.create_task(visit(entry)) for entry in this.begin(top, clock.monotonic())]
        while this.ended is None:
            reply = await _next(replies, pause(max(0.0, this.wake_at - clock.monotonic())))
            if reply is None:
                this.wake(clock.monotonic())
            else:
                now = clock.monotonic()
                asked += [tasks.create_task(visit(entry)) for entry in this.hear(*reply, now)]
        for task in asked:
            task.cancel()
    report = this.report()
    for missed in report.left_out:
        if missed.why is Why.BAD_URL:
            _log.warning(
                "%s lists %s, which gateways cannot use: %s",
                printable(missed.visit.via or "a webhook"),
                printable(missed.visit.url),
                missed.detail,
            )
    return report


async def _next(replies: asyncio.Queue[_Reply], alarm: Awaitable[None]) -> _Reply | None:
    """The next reply, or `None` when the alarm came before it."""
    getting = asyncio.ensure_future(replies.get())
    ringing = asyncio.ensure_future(alarm)
    try:
        await asyncio.wait((getting, ringing), return_when=asyncio.FIRST_COMPLETED)
        return getting.result() if getting.done() else None
    finally:
        getting.cancel()
        ringing.cancel()
