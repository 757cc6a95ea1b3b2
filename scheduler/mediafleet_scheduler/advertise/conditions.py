"""The advertiser's conditions, as JSON and on the resource where there is one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aiohttp import web

from mediafleet_common.api.names import Condition
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.kube.errors import KubeError
from mediafleet_common.reports.finding import MAX_MESSAGE_CHARACTERS, Finding, transition_time
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.advertise.head.head import Head
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.advertise.served_list import ServedList
from mediafleet_scheduler.advertise.settings import Times
from mediafleet_scheduler.core.advertise.findings import (
    UNUSED,
    HeadState,
    SourceState,
    findings,
)

_log: Final = logging.getLogger(__name__)

_OURS: Final = frozenset(
    {
        Condition.SOURCES_READY.value,
        Condition.HEAD_READY.value,
        Condition.ADDRESS_VERIFIED.value,
        Condition.NODES_LISTED.value,
    }
)

Sources = Callable[[], Mapping[str, SourceState]]


class Resource(Protocol):
    """A resource with conditions, ours and those of others."""

    async def read(self) -> list[dict[str, Any]]:
        """All its conditions.

        Raises:
            KubeError: it could not be done.
        """

    async def write(self, conditions: list[dict[str, Any]]) -> None:
        """Write these, and leave those of others alone.

        Raises:
            KubeError: it could not be done.
        """


class HasConditions(Protocol):
    """Has conditions."""

    def now(self) -> Mapping[Condition, Finding]:
        """The conditions of what is in use."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions at present."""

    served_list: ServedList
    head: Head
    sources: Sources

    def now(self) -> Mapping[Condition, Finding]:
        """The conditions of what is in use."""
        view = self.served_list.view
        if view is None:
            return {}
        state = HeadState(self.head.away, self.head.mistake)
        served = self.served_list
        return findings(view.advertise, self.sources(), state, served.unverified, served.remarks)

    def route(self) -> web.RouteDef:
        """`GET /conditions`."""

        async def conditions(_: web.Request) -> web.Response:
            return web.json_response([_said(name, each) for name, each in self.now().items()])

        return web.get("/conditions", conditions)


async def keep_writing(
    conditions: HasConditions,
    resource: Resource,
    metrics: AdvertiseMetrics,
    clock: Clock = SYSTEM,
    times: Times | None = None,
) -> None:
    """Write the conditions whenever they are others, until cancelled.

    A part that is no longer in use gets a condition that says so, also when an earlier process
    wrote it: otherwise it would stay as it was.
    """
    times = times or Times()
    book: _Book | None = None
    while True:
        try:
            if book is None:
                book = _Book(await resource.read())
            if book.take(conditions.now()):
                await resource.write(book.rendered(clock.unix()))
                book.written()
                metrics.condition_writes.labels("ok").inc()
        except KubeError as error:
            metrics.condition_writes.labels("failed").inc()
            _log.warning("conditions were not written: %s", printable(str(error), 300))
            await asyncio.sleep(times.conditions_failed_seconds)
        else:
            await asyncio.sleep(times.conditions_seconds)


class _Book:
    """Our conditions as they stand on the resource, and as they should."""

    def __init__(self, found: list[dict[str, Any]]) -> None:
        ours = [each for each in found if each.get("type") in _OURS]
        self._known = {each["type"]: _without_time(each) for each in ours}
        self._since = {each["type"]: str(each.get("lastTransitionTime")) for each in ours}
        self._next = self._known
        self._findings: Mapping[Condition, Finding] = {}

    def take(self, findings: Mapping[Condition, Finding]) -> bool:
        """Take the present findings; whether they differ from the resource's."""
        gone = {Condition(name): UNUSED for name in self._known if Condition(name) not in findings}
        self._findings = {**findings, **gone}
        self._next = {name.value: _said(name, each) for name, each in self._findings.items()}
        return self._next != self._known

    def rendered(self, now: float) -> list[dict[str, Any]]:
        """For the resource, with the times of transition."""
        for name, finding in self._findings.items():
            known = self._known.get(name.value)
            before = None if known is None else (known["status"], self._since[name.value])
            self._since[name.value] = transition_time(finding, before, now)
        return [
            {**each, "lastTransitionTime": self._since[name]} for name, each in self._next.items()
        ]

    def written(self) -> None:
        """It is on the resource now."""
        self._known = self._next


def _said(name: Condition, finding: Finding) -> dict[str, Any]:
    return {
        "type": name.value,
        "status": finding.status,
        "reason": finding.reason.value,
        "message": printable(finding.message, MAX_MESSAGE_CHARACTERS),
    }


def _without_time(condition: dict[str, Any]) -> dict[str, Any]:
    return {name: condition.get(name) for name in ("type", "status", "reason", "message")}
