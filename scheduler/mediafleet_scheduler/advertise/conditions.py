"""Tells what the advertiser finds: as JSON, and on the resource where there is one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from aiohttp import web

from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.advertise.board import Board
from mediafleet_scheduler.advertise.head import Head
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.core.findings import (
    Finding,
    HeadState,
    SourceState,
    findings,
    unused,
)
from mediafleet_scheduler.directory.kube_access import ApiAwayError

_log: Final = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 2.0
_FAILED_SECONDS: Final = 15.0

Sources = Callable[[], Mapping[str, SourceState]]


class Writer(Protocol):
    """Puts conditions on the resource."""

    async def write(self, conditions: list[dict[str, Any]]) -> None:
        """Write these, and leave those of others alone.

        Raises:
            ApiAwayError: it could not be done.
        """


class Teller(Protocol):
    """Knows what there is to tell."""

    def now(self) -> tuple[Finding, ...]:
        """The conditions of what is in use."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What there is to tell now."""

    board: Board
    head: Head
    sources: Sources

    def now(self) -> tuple[Finding, ...]:
        """The conditions of what is in use."""
        view = self.board.view
        if view is None:
            return ()
        state = HeadState(self.head.away, self.head.mistake)
        return findings(view.advertise, self.sources(), state, self.board.unverified)

    def route(self) -> web.RouteDef:
        """`GET /conditions`."""

        async def conditions(_: web.Request) -> web.Response:
            told = [
                {
                    "type": each.type.value,
                    "status": each.status,
                    "reason": each.reason.value,
                    "message": printable(each.message, 1000),
                }
                for each in self.now()
            ]
            return web.json_response(told)

        return web.get("/conditions", conditions)


async def keep_writing(conditions: Teller, writer: Writer, metrics: AdvertiseMetrics) -> None:
    """Write the conditions whenever they are others, until cancelled.

    What is no longer in use is said so, since a condition that nobody speaks for would stay.
    """
    written: dict[str, Finding] = {}
    since: dict[str, str] = {}
    while True:
        now = {each.type.value: each for each in conditions.now()}
        now |= {name: unused(each.type) for name, each in written.items() if name not in now}
        pause = _LOOK_SECONDS
        if now != written:
            for name, each in now.items():
                before = written.get(name)
                if before is None or before.status != each.status:
                    since[name] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            try:
                await writer.write([_rendered(each, since[name]) for name, each in now.items()])
            except ApiAwayError as error:
                metrics.condition_writes.labels("failed").inc()
                _log.warning("conditions were not written: %s", printable(str(error), 300))
                pause = _FAILED_SECONDS
            else:
                metrics.condition_writes.labels("ok").inc()
                written = now
        await asyncio.sleep(pause)


def _rendered(finding: Finding, since: str) -> dict[str, Any]:
    return {
        "type": finding.type.value,
        "status": finding.status,
        "reason": finding.reason.value,
        "message": printable(finding.message, 1000),
        "lastTransitionTime": since,
    }
