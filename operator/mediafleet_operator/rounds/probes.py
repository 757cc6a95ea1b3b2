"""Reads the loads of pods: every second where they decide something, rarely elsewhere."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Final, Protocol

from mediafleet_common.api.ai_worker_pool import AIWorkerPoolSpec
from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.names import KIND_LABELS, Port
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.hosts import bracketed
from mediafleet_common.keyed_tasks import KeyedTasks
from mediafleet_common.probes.http_client import NoLoad
from mediafleet_common.probes.load import Load, Source
from mediafleet_operator.core.fleet.model import FleetKey, History, PodView, Reading
from mediafleet_operator.manifests.resource import Resource
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_operator.settings import ProbeTimes

KEPT_READINGS: Final = 2
RARE_AT_A_TIME: Final = 100
"""Of thousands of pods that nothing is decided about; those that are asked often do not wait."""
_MOST_DOUBLINGS: Final = 16
_SPREAD: Final = (0.8, 1.2)
"""Thousands that were asked at once are not asked at once again."""


class Ask(Protocol):
    """Asks one URL for a load; never raises."""

    async def __call__(self, url: str, source: Source) -> Load | NoLoad:
        """The load, or why there is none."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A pod to ask."""

    key: FleetKey
    url: str
    source: Source
    often: bool


class Prober:
    """One task for each pod; `histories` is what they have learnt."""

    def __init__(
        self,
        ask: Ask,
        on_news: Callable[[FleetKey], None],
        metrics: OperatorMetrics,
        clock: Clock = SYSTEM,
        times: ProbeTimes | None = None,
    ) -> None:
        self._times = times or ProbeTimes()
        self.histories: dict[str, History] = {}
        self._ask = ask
        self._on_news = on_news
        self._metrics = metrics
        self._clock = clock
        self._subjects: dict[str, Subject] = {}
        self._of_fleet: dict[FleetKey, set[str]] = {}
        self._tasks = KeyedTasks[str]()
        self._wake: dict[str, asyncio.Event] = {}
        self._rare = asyncio.Semaphore(RARE_AT_A_TIME)
        self._silent: set[str] = set()
        """Pods that did not tell their load when they were asked last."""
        self._idle: set[str] = set()
        """Pods that were idle then, and told nothing new."""

    def follow(self, key: FleetKey, subjects: dict[str, Subject]) -> None:
        """From now on ask these pods of a fleet, by uid, and no others of it."""
        before = self._of_fleet.pop(key, set())
        if subjects:
            self._of_fleet[key] = set(subjects)
        for uid in self._tasks.drop(before - subjects.keys()):
            del self._subjects[uid]
            self._wake.pop(uid)
            self._silent.discard(uid)
            self._idle.discard(uid)
            self.histories.pop(uid, None)
        for uid, subject in subjects.items():
            known = self._subjects.get(uid)
            self._subjects[uid] = subject
            if known is None:
                self._wake[uid] = asyncio.Event()
                self._tasks.start(uid, self._follow(uid), f"probe {uid}")
            elif subject.often and not known.often:
                self._wake[uid].set()

    async def close(self) -> None:
        """Read no load any more."""
        await self._tasks.close()

    async def _follow(self, uid: str) -> None:
        asked_again, silences = False, 0
        while True:
            async with self._turn(uid):
                subject = self._subjects[uid]
                began = self._clock.unix()
                answer = await self._ask(subject.url, subject.source)
            load = answer if isinstance(answer, Load) else Load()
            jobs = load.jobs
            result = answer.why.value if isinstance(answer, NoLoad) else "ok"
            if isinstance(answer, Load) and jobs is None:
                result = "absent"
            self._metrics.probes.labels(KIND_LABELS[subject.key.kind], result).inc()
            before = self.histories.get(uid, ())
            lost = jobs is None and bool(before) and before[-1].jobs is not None
            if lost and not (subject.often or asked_again):
                # One answer that is late says little, and would be written on the pod.
                asked_again = True
                await asyncio.sleep(self._times.often_seconds)
                continue
            asked_again = False
            silences = silences + 1 if jobs is None else 0
            (self._silent.add if silences else self._silent.discard)(uid)
            reading = _reading(began, load, before[-1] if before else None)
            self.histories[uid] = (*before, reading)[-KEPT_READINGS:]
            news = not before or replace(before[-1], began_at=began) != reading
            (self._idle.discard if news or jobs != 0 else self._idle.add)(uid)
            if news or self._subjects[uid].often:
                self._on_news(subject.key)
            await self._pause(uid, silences)

    def _turn(self, uid: str) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._subjects[uid].often else self._rare

    async def _pause(self, uid: str, silences: int) -> None:
        wake, times = self._wake[uid], self._times
        rarely = times.rarely_seconds
        if silences:
            doubled = rarely * 2.0 ** min(silences - 1, _MOST_DOUBLINGS)
            doubled = min(doubled, times.silent_seconds)
            rarely = max(rarely, doubled, len(self._silent) / times.silent_per_second)
        elif uid in self._idle:
            shared = len(self._idle) / times.idle_per_second
            rarely = max(rarely, min(shared, times.idle_seconds))
        rarely *= random.uniform(*_SPREAD)
        try:
            async with asyncio.timeout(
                times.often_seconds if self._subjects[uid].often else rarely
            ):
                await wake.wait()
        except TimeoutError:
            return
        wake.clear()


def _reading(began_at: float, load: Load, before: Reading | None) -> Reading:
    disabled = None if load.disabled is None else load.disabled and not load.terminating
    since = None
    if disabled and load.jobs == 0:
        since = before.disabled_idle_since if before else None
        since = began_at if since is None else since
    return Reading(
        began_at,
        load.jobs,
        load.capacity,
        load.cli_exposed,
        disabled,
        since,
        load.finished,
        _busy_at(began_at, load, before),
        load.in_flight,
        load.refusing,
        load.uncounted,
    )


def _busy_at(began_at: float, load: Load, before: Reading | None) -> float | None:
    """When a pod last had work: a job shorter than the pause between two readings shows in the
    number of those that have ended."""
    last = before.busy_at if before else None
    ended_before = before.finished if before else None
    more = load.finished is not None and ended_before is not None and load.finished > ended_before
    return began_at if load.jobs or more else last


def subject(resource: Resource, pod: PodView, *, often: bool) -> Subject:
    """Where to ask a pod of a fleet."""
    spec = resource.spec
    host = bracketed(pod.ip or "")
    if isinstance(spec, EgressFleetSpec):
        url = f"http://{host}:{Port.EGRESS_METRICS}/metrics"
        return Subject(resource.key, url, Source.EGRESS, often)
    url = f"http://{host}:{Port.AGENT}/metrics"
    if isinstance(spec, AIWorkerPoolSpec):
        return Subject(resource.key, url, Source.AI_WORKER, often)
    return Subject(resource.key, url, Source(spec.load.value), often)
