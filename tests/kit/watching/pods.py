"""Every pod of a namespace that ever was, with the times at which the API server told of it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from tests.kit.watching import api

from mediafleet_common.api.names import Annotation, Label, PodState
from mediafleet_common.reports.readiness import serves_unmarked
from mediafleet_testbed.waiting import WaitedInVainError

_AGAIN_SECONDS: Final = 0.2


@dataclass(slots=True)
class Pod:
    """One pod; times are Unix seconds at which this was seen, unless said otherwise."""

    uid: str
    name: str
    fleet: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    ip: str | None = None
    state: str = ""
    ready: bool = False
    ready_at: float | None = None
    """When it was Ready for the first time."""
    listed_at: float | None = None
    """When desks were first told to give it work."""
    drain_started: float | None = None
    """What the annotation says now, or said last."""
    draining_at: float | None = None
    deleted_at: float | None = None
    gone_at: float | None = None
    restarts: int = 0
    unplaced: str = ""
    """Why no node has room for it."""

    @property
    def there(self) -> bool:
        """Whether it exists and nobody has deleted it."""
        return self.deleted_at is None and self.gone_at is None

    @property
    def serving(self) -> bool:
        """Whether desks may give it work."""
        return self.there and self.ready and self.state == PodState.READY


class PodWatch:
    """Follows the pods of a namespace, as an async context manager."""

    def __init__(self, server: api.Api, namespace: str) -> None:
        self.pods: dict[str, Pod] = {}
        """By uid; those that are gone stay."""
        self._server = server
        self._path = api.pods(namespace)
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="pod-watch")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def of(self, fleet: str) -> list[Pod]:
        """The pods of a fleet that are there, by name."""
        mine = (pod for pod in self.pods.values() if pod.fleet == fleet and pod.gone_at is None)
        return sorted(mine, key=lambda pod: pod.name)

    def serving(self, fleet: str) -> list[Pod]:
        """The pods of a fleet that desks may give work."""
        return [pod for pod in self.of(fleet) if pod.serving]

    def component(self, name: str) -> list[Pod]:
        """Our own pods of a component that are there: operator, egress, advertiser."""
        return sorted(self._component(name), key=lambda pod: pod.name)

    def _component(self, name: str) -> Iterator[Pod]:
        for pod in self.pods.values():
            if not pod.fleet and pod.there and pod.labels.get(Label.COMPONENT) == name:
                yield pod

    async def until(self, what: str, look: Callable[[], bool], seconds: float) -> None:
        """Wait until `look` says yes; it is asked whenever a pod has changed.

        Raises:
            WaitedInVainError: it did not in time.
        """
        try:
            async with asyncio.timeout(seconds), self._changed:
                while not look():
                    if self._task.done():
                        self._task.result()
                    await self._changed.wait()
        except TimeoutError:
            raise WaitedInVainError(f"{what}: not so after {seconds:g} s") from None

    async def nudge(self) -> None:
        """Have all who wait look again."""
        async with self._changed:
            self._changed.notify_all()

    async def _follow(self) -> None:
        while True:
            try:
                async with contextlib.aclosing(self._server.watch(self._path)) as events:
                    async for kind, seen in events:
                        self._note(kind, seen, time.time())
                        await self.nudge()
            except (aiohttp.ClientError, TimeoutError, api.ApiRefusedError, OSError):
                # The API server may be away; a new watch tells all that is there.
                await asyncio.sleep(_AGAIN_SECONDS)

    def _note(self, kind: str, seen: dict[str, Any], now: float) -> None:
        meta = seen["metadata"]
        pod = self.pods.setdefault(meta["uid"], Pod(meta["uid"], meta["name"]))
        pod.labels = meta.get("labels") or {}
        pod.fleet = pod.labels.get(Label.FLEET, "") if Label.KIND in pod.labels else ""
        # As desks see it: a pod serves before its label says so.
        label = pod.labels.get(Label.STATE, "")
        pod.state = PodState.READY.value if serves_unmarked(seen) else label
        status = seen.get("status") or {}
        pod.ip = status.get("podIP") or pod.ip
        said = {each["type"]: each for each in status.get("conditions") or ()}
        pod.ready = said.get("Ready", {}).get("status") == "True"
        placed = said.get("PodScheduled", {})
        pod.unplaced = placed.get("message", "") if placed.get("status") == "False" else ""
        pod.restarts = sum(each["restartCount"] for each in status.get("containerStatuses") or ())
        if pod.ready:
            pod.ready_at = pod.ready_at or now
        if pod.state == PodState.READY:
            pod.listed_at = pod.listed_at or now
            pod.draining_at = None
        _note_leaving(pod, meta, kind, now)


def _note_leaving(pod: Pod, meta: dict[str, Any], kind: str, now: float) -> None:
    started = (meta.get("annotations") or {}).get(Annotation.DRAIN_STARTED)
    if pod.deleted_at is None:
        # What it said when it was deleted is what counts; later changes change nothing.
        pod.drain_started = (
            datetime.datetime.fromisoformat(started).timestamp() if started else None
        )
    if pod.state == PodState.DRAINING:
        pod.draining_at = pod.draining_at or now
    if meta.get("deletionTimestamp"):
        pod.deleted_at = pod.deleted_at or now
    if kind == "DELETED":
        pod.gone_at = now
