"""Counts tasks, units and time for each worker and model, so that a pool can share earnings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import Counter

from mediafleet_common.formats.hosts import unbracketed
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.core.workers.steps import Answer, Ending, Send
from mediafleet_scheduler.core.workers.views import Target, Worker
from mediafleet_scheduler.core.workers.work.units import SAYING, units

_Counters = tuple[Counter, Counter, Counter | None]

OTHERS: Final = "others"
MOST_NAMES: Final = 2000
"""Further workers are counted together: a stranger with the secret could make up names."""


@dataclass(frozen=True, slots=True)
class _Given:
    worker: str
    at: float


class Work:
    """What each worker has done since the broker started."""

    def __init__(self, tasks: Counter, seconds: Counter, asked_for: Counter) -> None:
        """Counters by worker, pipeline and model."""
        self._tasks = tasks
        self._seconds = seconds
        self._asked_for = asked_for
        self._names: dict[str, str] = {}
        self._nameless: set[str] = set()
        """Of workers without a name that are connected."""
        self._given: dict[str, dict[int, _Given]] = {}
        """By task and attempt."""
        self._known: set[str] = set()
        self._of: dict[tuple[str, Target], _Counters] = {}

    def connected(self, worker: Worker) -> None:
        """It may be given tasks from now on."""
        own = _own(worker)
        name = self._apart(_host(worker)) if own is None else own
        if name not in self._known and len(self._known) >= MOST_NAMES:
            name = OTHERS
        self._known.add(name)
        self._names[worker.id] = name
        if own is None and name != OTHERS:
            self._nameless.add(name)

    def lost(self, worker: str) -> None:
        """It is gone; what it has done stays counted."""
        self._nameless.discard(self._names.pop(worker, ""))

    def given(self, step: Send, now: float) -> None:
        """It has a task."""
        given = _Given(self._names.get(step.worker, OTHERS), now)
        self._given.setdefault(step.task, {})[step.attempt] = given

    def answered(
        self, step: Answer, target: Target, request: Mapping[str, Any], now: float
    ) -> None:
        """A task is over: it counts for the worker that did it, if one of ours did."""
        given = self._given.pop(step.task, {}).get(step.attempt or 0)
        if given is None or step.ending is not Ending.DONE:
            return
        tasks, seconds, asked_for = self._counters(given.worker, target)
        tasks.inc()
        seconds.inc(max(0.0, now - given.at))
        asked = units(target.pipeline, request)
        if asked is not None and asked_for is not None:
            asked_for.inc(asked)

    def _apart(self, host: str) -> str:
        """The host, or the first number at it that no connected worker has: behind one NAT several
        come from one address. Who comes back alone has its number again."""
        names = (host if number == 1 else f"{host}#{number}" for number in itertools.count(1))
        return next(each for each in names if each not in self._nameless)

    def _counters(self, worker: str, target: Target) -> _Counters:
        found = self._of.get((worker, target))
        if found is None:
            labels = (worker, *target)
            found = self._of[worker, target] = (
                self._tasks.labels(*labels),
                self._seconds.labels(*labels),
                self._asked_for.labels(*labels) if target.pipeline in SAYING else None,
            )
        return found


def _own(worker: Worker) -> str | None:
    """Whose its secret is, where that is known: what it calls itself is a claim. `None`: it has no
    name."""
    if worker.known_as is not None or worker.name is None:
        return worker.known_as
    return printable(worker.name)


def _host(worker: Worker) -> str:
    """Where a worker without a name connects from."""
    return unbracketed(worker.address.rpartition(":")[0]) or "unknown"
