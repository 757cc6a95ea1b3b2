"""Writes the marks of pods beside the rounds, so that no drain and no new pod waits for them.

A fleet that has just been made has a mark to write for each of its pods, when all other writes of
the cluster wait as well. Its pods have work before that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from mediafleet_common.keyed_tasks import KeyedTasks
from mediafleet_operator.core.fleet.actions import Action, Mark
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.kube.apply import Outcome
from mediafleet_operator.manifests.resource import Resource

AT_A_TIME: Final = 4
"""Of one fleet; a mark that waits long for its turn is of a pod that has changed meanwhile."""
WAIT_SECONDS: Final = 0.1
"""So long a round waits for its marks: if the API server is quick, it needs no other round."""

Apply = Callable[[Resource, Sequence[Action]], Awaitable[list[Outcome]]]


@dataclass(slots=True)
class _Fleet:
    """The marks of one fleet, by uid of the pod."""

    resource: Resource
    wanted: dict[str, Mark] = field(default_factory=dict)
    """Not begun."""
    writing: dict[str, Mark] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    """Of those that ended, until a round takes them."""
    awaited: bool = False
    """A round waits for them, and need not be told."""


class MarkWriter:
    """One task for each fleet that has marks to write. `on_news`: some were written."""

    def __init__(self, apply: Apply, on_news: Callable[[FleetKey], None]) -> None:
        self._apply = apply
        self._on_news = on_news
        self._fleets: dict[FleetKey, _Fleet] = {}
        self._tasks = KeyedTasks[FleetKey]()

    def want(self, resource: Resource, marks: Sequence[Mark]) -> None:
        """All marks that a fleet now needs; of earlier ones those that have not begun are void."""
        fleet = self._fleets.setdefault(resource.key, _Fleet(resource))
        fleet.resource = resource
        fleet.wanted = {mark.pod.uid: mark for mark in marks if mark.pod.uid not in fleet.writing}
        task = self._tasks.get(resource.key)
        if fleet.wanted and (task is None or task.done()):
            self._tasks.start(resource.key, self._write(fleet), f"marks of {resource.key}")

    def pending(self, key: FleetKey, action: Action) -> bool:
        """Whether an action is a mark of this fleet that will be written."""
        fleet = self._fleets.get(key)
        if fleet is None or not isinstance(action, Mark):
            return False
        return action.pod.uid in fleet.wanted or action.pod.uid in fleet.writing

    async def outcomes(self, key: FleetKey) -> list[Outcome]:
        """What became of a fleet's marks since the last time, after a short wait."""
        fleet, task = self._fleets.get(key), self._tasks.get(key)
        if fleet is None or task is None:
            return []
        fleet.awaited = True
        try:
            await asyncio.wait({task}, timeout=WAIT_SECONDS)
        finally:
            fleet.awaited = False
        if task.done():
            self._tasks.drop([key])
            task.result()
        ended, fleet.outcomes = fleet.outcomes, []
        return ended

    def forget(self, key: FleetKey) -> None:
        """The fleet is gone."""
        self._fleets.pop(key, None)
        self._tasks.keep_only(self._fleets.keys())

    async def close(self) -> None:
        """Write no more."""
        await self._tasks.close()

    async def _write(self, fleet: _Fleet) -> None:
        while fleet.wanted:
            batch = dict(list(fleet.wanted.items())[:AT_A_TIME])
            fleet.writing = batch
            for uid in batch:
                del fleet.wanted[uid]
            try:
                ended = await self._apply(fleet.resource, list(batch.values()))
                fleet.outcomes += ended
            finally:
                fleet.writing = {}
                if not fleet.awaited:
                    self._on_news(fleet.resource.key)
