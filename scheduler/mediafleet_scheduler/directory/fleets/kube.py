"""The egress fleets of a cluster and their pods, as they change.

What happens in one namespace is read at that namespace's pace, a little at a time: whoever changes
its objects without a pause delays nobody else's. While the API server is away the last view stays.
A desk that starts meanwhile uses the view that its predecessor kept, if it was given a file for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry

from mediafleet_common.api.names import Kind, KindLabel, Label
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.kube.watch import Changed, Listed
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.directory.fleets.pace import Pace, PaceTimes
from mediafleet_scheduler.directory.fleets.views import FleetViews
from mediafleet_scheduler.directory.kube import (
    FollowedKind,
    Kinds,
    KubeDirectory,
    pods,
    resources,
    uid_of,
)
from mediafleet_scheduler.directory.last_view import LastView
from mediafleet_scheduler.directory.objects import (
    NO_BOUNDS,
    Bounds,
    fleet_facts,
    pod_facts,
)

_log: Final = logging.getLogger(__name__)
_SLICE_SECONDS: Final = 0.002
"""So long is read at a time, before others have the loop."""
_KEEP_SECONDS: Final = 0.1
"""From the first change to writing the view, with all changes meanwhile."""
_KEEP_AGAIN_SECONDS: Final = 1.0
"""Between two writes: it is for the next process, after this one."""


class KubeEgressDirectory(KubeDirectory[EgressView]):
    """All EgressFleets of `namespaces` (none: of the cluster) and their pods.

    `bounds`: what the administrator lets fleets say; `cpu`: seconds that this thread has worked.
    """

    def __init__(
        self,
        namespaces: Sequence[str],
        registry: CollectorRegistry = REGISTRY,
        last_view: LastView | None = None,
        clock: Clock = SYSTEM,
        bounds: Bounds = NO_BOUNDS,
        pace: PaceTimes | None = None,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        super().__init__(namespaces, registry, clock)
        self._last_view = last_view
        self._cpu = cpu
        self._keep_due: asyncio.TimerHandle | None = None
        self._kept_at = float("-inf")
        self._fleets = FollowedKind(resources(Kind.EGRESS_FLEET), fleet_facts)
        self._pods = FollowedKind(pods(f"{Label.KIND}={KindLabel.EGRESS}"), pod_facts)
        self._kinds = [self._fleets, self._pods]
        self._views = FleetViews(bounds)
        self._pace = Pace(pace or PaceTimes())
        self._waiting: dict[str, dict[str, tuple[Kinds, Changed]]] = {}
        """The newest of each object that is not read yet, by namespace and uid."""
        self._first: set[str] | None = None
        """Namespaces that the first view waits for; `None`: it is not known yet which."""
        self._due_at = 0.0

    def _note(self, kind: Kinds, news: Changed | Listed) -> None:
        if isinstance(news, Listed):
            self._take_list(kind, news)
        elif not kind.knows(news):
            namespace = str(news.raw["metadata"].get("namespace", ""))
            self._waiting.setdefault(namespace, {})[uid_of(news.raw)] = (kind, news)
            self._pace.changed(namespace, self._clock.monotonic())
        self._wake()

    def _take_list(self, kind: Kinds, news: Listed) -> None:
        # A list tells what is gone of what came before it, so that is read first.
        for waiting in self._waiting.values():
            for uid, (of, one) in tuple(waiting.items()):
                if of is kind:
                    del waiting[uid]
                    self._digest(kind, one)
        self._digest(kind, news)
        self._pace.forget_rested(self._clock.monotonic())

    def _digest(self, kind: Kinds, news: Changed | Listed) -> None:
        now = self._clock.monotonic()
        for uid in self._read(kind, news):
            if kind is self._fleets:
                namespace = self._views.put_fleet(uid, self._fleets.object_store.get(uid))
            else:
                namespace = self._views.put_pod(uid, self._pods.object_store.get(uid))
            if namespace is not None:
                self._pace.changed(namespace, now)

    def _wake(self) -> None:
        """Work when the next namespace is due."""
        if not self._complete:
            return
        if self._first is None:
            self._first = self._pace.waiting()
            if not self._first:
                self._tell()
        next_at = self._pace.next_at()
        if next_at is None:
            return
        if self._due is not None:
            if self._due_at <= next_at:
                return
            self._due.cancel()
        self._due_at = next_at
        pause = max(0.0, next_at - self._clock.monotonic())
        self._due = asyncio.get_running_loop().call_later(pause, self._make)

    def _make(self) -> None:
        """Read some of what is due."""
        self._due = None
        now = self._clock.monotonic()
        namespace = self._pace.due(now)
        if namespace is not None:
            before, done = self._cpu(), False
            try:
                done = self._read_some(namespace, now + _SLICE_SECONDS)
                if done:
                    self._tell_of(namespace)
            finally:
                spent = self._cpu() - before
                self._pace.worked(namespace, spent, self._clock.monotonic(), done=done)
        self._wake()

    def _tell_of(self, namespace: str) -> None:
        """What one namespace has is known; the first view is of all that were listed."""
        if self._first:
            self._first.discard(namespace)
        if not self._first:
            self._tell()

    def _read_some(self, namespace: str, until: float) -> bool:
        """Whether that was all."""
        waiting = self._waiting.get(namespace, {})
        while self._clock.monotonic() < until:
            if waiting:
                self._digest(*waiting.pop(next(iter(waiting))))
            elif not self._views.make_one(namespace):
                self._waiting.pop(namespace, None)
                return True
        return False

    def _tell(self) -> None:
        view = self._views.view()
        unmade = self._views.unmade
        self._no_view = next(
            (f"a fleet cannot be made of what is in the cluster: {why}" for why in unmade.values()),
            None,
        )
        if unmade and not (view.fleets or view.native):
            return
        if self.publish(view) and self._last_view is not None and self._keep_due is None:
            pause = max(
                _KEEP_SECONDS, self._kept_at + _KEEP_AGAIN_SECONDS - self._clock.monotonic()
            )
            self._keep_due = asyncio.get_running_loop().call_later(pause, self._keep)

    def _keep(self) -> None:
        self._keep_due = None
        self._kept_at = self._clock.monotonic()
        if self._last_view is not None and self.view is not None:
            self._last_view.keep(self.view)

    def _go_without(self) -> None:
        if self.view is not None or self._last_view is None:
            return
        kept = self._last_view.read()
        if kept is not None:
            _log.warning("serving the fleets and pods that were known before this start")
            self.publish(kept)
