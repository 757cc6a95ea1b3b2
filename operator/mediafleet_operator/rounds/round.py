"""Brings one fleet in order: observe, plan, apply, report."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from mediafleet_common.api.egress_fleet import EgressFleetSpec
from mediafleet_common.api.names import KIND_LABELS, PodState
from mediafleet_common.api.shared import DrainStatus
from mediafleet_common.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    GoneError,
    KubeError,
    RefusedError,
)
from mediafleet_operator.core.drain import records
from mediafleet_operator.core.drain.loads_wanted import to_ask_first
from mediafleet_operator.core.fleet.actions import Action, Create
from mediafleet_operator.core.fleet.model import FleetKey, Memory, Observation
from mediafleet_operator.core.fleet.plan import Plan, plan
from mediafleet_operator.core.status import failures
from mediafleet_operator.core.status.events import tell
from mediafleet_operator.core.status.status import report
from mediafleet_operator.kube import digest
from mediafleet_operator.kube.apply import Applier, Outcome
from mediafleet_operator.kube.report import EventWriter, StatusWriter
from mediafleet_operator.kube.snapshots import Snapshots
from mediafleet_operator.manifests.pods.pod import problem
from mediafleet_operator.manifests.resource import Resource, template_hash
from mediafleet_operator.rounds import counters, metrics
from mediafleet_operator.rounds.autoscaling import Autoscaler
from mediafleet_operator.rounds.children import ChildResources
from mediafleet_operator.rounds.probes import Prober, subject
from mediafleet_operator.rounds.queue import KeyedQueue

_log: Final = logging.getLogger(__name__)
PASSES: Final = 3
"""A round plans again after its own actions; more than this would hide a plan without end."""
NEXT_ROUND_SECONDS: Final = 0.1
FIRST_LOADS_SECONDS: Final = 1.2
"""A little more than a probe may take."""
RETRY_SECONDS: Final = 1.0
"""After a write that failed for no fault of the plan's."""


@dataclass(slots=True)
class Worker:
    """Everything that one round of a fleet needs."""

    snapshots: Snapshots
    queue: KeyedQueue[FleetKey]
    applier: Applier
    child_resources: ChildResources
    statuses: StatusWriter
    events: EventWriter
    prober: Prober
    autoscaler: Autoscaler
    clock: Callable[[], float] = time.monotonic
    _met: dict[FleetKey, float] = field(default_factory=dict)
    """When each fleet was first looked at by this process."""
    _asking: dict[FleetKey, float] = field(default_factory=dict)
    """Since when a choice among a fleet's pods waits for their answers."""
    _memories: dict[FleetKey, tuple[str, Memory]] = field(default_factory=dict)
    """By fleet, with the template that the memory is of."""
    _ended: dict[FleetKey, list[DrainStatus]] = field(default_factory=dict)
    """Drains of which no status tells yet."""
    late_sessions: counters.LateSessions = field(default_factory=counters.LateSessions)
    _problems: dict[FleetKey, tuple[str, int, str | None]] = field(default_factory=dict)
    """By fleet: uid and generation, and why no pod can be made of them."""

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            key = await self.queue.take()
            began = time.monotonic()
            try:
                await self.round(key)
            except KubeError as error:
                self._failed(key, error.word, error)
            except Exception as error:  # noqa: BLE001 -- it must not stop the other fleets
                _log.exception("%s: unexpected", key)
                self._failed(key, "unexpected", error)
            finally:
                kind = KIND_LABELS[key.kind]
                metrics.reconcile_seconds.labels(kind).observe(time.monotonic() - began)
                self.queue.done(key)

    async def round(self, key: FleetKey) -> None:
        """Bring one fleet in order, as far as can be now.

        Raises:
            KubeError: something could not be written; the key is to be looked at again.
        """
        resource = self.snapshots.fleets.get(key)
        if resource is None:
            self._forget(key)
            return
        if self._too_early(resource):
            self.queue.add_after(key, FIRST_LOADS_SECONDS)
            return
        resource, done = await self.autoscaler.round(resource, self._observe)
        for _ in range(PASSES):
            observation, planned = self._plan(resource)
            asked = self._asked_first(resource, observation, planned)
            self._follow(resource, planned, asked)
            if asked or not planned.actions:
                break
            outcomes = await self.applier.apply(resource, planned.actions)
            done += [each.action for each in outcomes if each.error is None]
            resource = self.snapshots.fleets.get(key, resource)
            if not self._learn(resource, outcomes):
                break
        observation, planned = self._plan(resource)
        if resource.deleting:
            return
        if planned.actions:
            self.queue.add_after(key, NEXT_ROUND_SECONDS)
        if planned.look_again_seconds is not None:
            self.queue.add_after(key, planned.look_again_seconds)
        await self._report(resource, observation, planned, done)
        await self._keep_parts(resource, planned)

    async def _keep_parts(self, resource: Resource, planned: Plan) -> None:
        key = resource.key
        services = list(self.snapshots.services.get(key, {}).values())
        kept = await self.child_resources.keep(resource, planned, services)
        if kept.look_again_seconds is not None:
            self.queue.add_after(key, kept.look_again_seconds)
        memory = self._memory(resource)
        if memory.unmade != kept.refused:
            memory = failures.unmade(memory, kept.refused)
            self._memories[key] = (template_hash(resource.spec), memory)
            self.queue.add_after(key, NEXT_ROUND_SECONDS)

    def _too_early(self, resource: Resource) -> bool:
        """Whether to wait for the first word of the pods' load.

        Just started, we know none: a scale-down that waited for us would take a busy pod where an
        idle one is. The first answers bring the key back; should none come, time does.
        """
        first = self._met.setdefault(resource.key, self.clock())
        if self.clock() - first >= FIRST_LOADS_SECONDS:
            return False
        _, planned = self._plan(resource)
        self._follow(resource, planned)
        serving = [pod for pod in planned.roster.counted if pod.serving]
        return any(pod.uid not in self.prober.histories for pod in serving)

    def _asked_first(
        self, resource: Resource, observation: Observation, planned: Plan
    ) -> frozenset[str]:
        """Uids of the pods whose answer a choice still waits for; each brings the key back.

        Should one not answer, the choice is made by what is known.
        """
        asked = to_ask_first(observation, planned)
        if not asked:
            self._asking.pop(resource.key, None)
            return asked
        since = self._asking.setdefault(resource.key, self.clock())
        return asked if self.clock() - since < FIRST_LOADS_SECONDS else frozenset()

    def _plan(self, resource: Resource) -> tuple[Observation, Plan]:
        observation = self._observe(resource)
        return observation, plan(observation)

    def _observe(self, resource: Resource) -> Observation:
        observation = self.snapshots.observe(
            resource,
            self._problem(resource),
            self.prober.histories,
            self._memory(resource),
            self.applier.now(),
        )
        return replace(observation, scaling=self.autoscaler.scalings.get(resource.key))

    def _problem(self, resource: Resource) -> str | None:
        known = self._problems.get(resource.key)
        if known is None or known[:2] != (resource.uid, resource.generation):
            said = problem(resource, self.applier.product)
            known = self._problems[resource.key] = (resource.uid, resource.generation, said)
        return known[2]

    async def _report(
        self, resource: Resource, observation: Observation, planned: Plan, done: list[Action]
    ) -> None:
        """Status, Events and metrics, all from the snapshot after the actions."""
        key, spec = resource.key, resource.spec
        mode = spec.placement.mode.value if isinstance(spec, EgressFleetSpec) else None
        ended = self._ended.get(key, [])
        status = report(observation, planned, resource.status, mode=mode, ended=ended)
        counters.count(key, planned)
        self.late_sessions.look(observation, planned)
        due = self.statuses.due(resource, status)
        tellings = tell(done, f"{key.name}-", resource.status, status)
        if due:
            self.queue.add_after(key, due)
        elif due is not None:
            answer = await self.statuses.write(resource, status)
            self.snapshots.put_fleet(digest.resource(answer, key.kind))
            self._ended.pop(key, None)
        await asyncio.gather(*(self.events.post(resource, each) for each in tellings))

    def _learn(self, resource: Resource, outcomes: list[Outcome]) -> bool:
        """Take note of what became of the actions; whether to go on at once."""
        key, now = resource.key, self.applier.now()
        kind = KIND_LABELS[key.kind].value
        memory = self._memory(resource)
        refusal: RefusedError | None = None
        go_on = True
        for outcome in outcomes:
            action, error = outcome.action, outcome.error
            if error is None:
                counters.count_drain(kind, action, now)
                if (drain := records.ended(action, now)) is not None:
                    self._ended.setdefault(key, []).append(drain)
                self.late_sessions.note(key, action)
                if isinstance(action, Create):
                    memory = failures.created(memory)
                continue
            metrics.reconcile_errors.labels(kind, error.word).inc()
            if outcome.slot_taken and isinstance(action, Create):
                memory = failures.slot_taken(memory, action.slot, now)
            elif isinstance(error, RefusedError) and isinstance(action, Create):
                refusal = error
            elif not isinstance(error, ConflictError | GoneError | AlreadyExistsError):
                _log.warning("%s: %s: %s", key, type(action).__name__, error)
                self.queue.add_after(key, RETRY_SECONDS)
                go_on = False
        if refusal is not None:
            _log.warning("%s: pod refused: %s", key, refusal)
            memory = failures.refused(memory, refusal.reason, str(refusal), now)
        self._memories[key] = (template_hash(resource.spec), memory)
        return go_on

    def _memory(self, resource: Resource) -> Memory:
        template, memory = self._memories.get(resource.key, ("", Memory()))
        if template != template_hash(resource.spec):
            memory = failures.template_changed(memory)
        return memory

    def _follow(
        self, resource: Resource, planned: Plan, asked: frozenset[str] = frozenset()
    ) -> None:
        roster = planned.roster
        # Those that go are still asked: a session may have come after the last idle reading.
        pods = (*roster.current, *roster.outdated, *roster.draining, *roster.going)
        often = planned.probe_often | asked | {pod.uid for pod in roster.going}
        self.prober.follow(
            resource.key,
            {
                pod.uid: subject(resource, pod, often=pod.uid in often)
                for pod in pods
                if pod.ip and pod.state is not PodState.PENDING
            },
        )

    def _failed(self, key: FleetKey, word: str, error: Exception) -> None:
        # A conflict is everyday: the resource changed meanwhile, and its event is on its way.
        level = logging.DEBUG if isinstance(error, ConflictError) else logging.WARNING
        _log.log(level, "%s: %s", key, error)
        metrics.reconcile_errors.labels(KIND_LABELS[key.kind], word).inc()
        self.queue.add_after(key, RETRY_SECONDS)

    def _forget(self, key: FleetKey) -> None:
        self.prober.follow(key, {})
        self._met.pop(key, None)
        self._asking.pop(key, None)
        self._memories.pop(key, None)
        self._problems.pop(key, None)
        self.autoscaler.forget(key)
        self._ended.pop(key, None)
        self.child_resources.forget(key)
        self.statuses.forget(key)
        self.events.forget(key)
        counters.forget(key)
