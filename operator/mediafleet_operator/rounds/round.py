"""One round of a fleet: observe, plan, apply, report."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import Final

from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.names import KIND_LABELS, PodState
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    GoneError,
    KubeError,
    RefusedError,
)
from mediafleet_operator.core.drain import records
from mediafleet_operator.core.drain.loads_wanted import WAIT_SECONDS, loads_wanted, unread
from mediafleet_operator.core.fleet.actions import Action, Create, Mark
from mediafleet_operator.core.fleet.model import FleetKey, Observation
from mediafleet_operator.core.fleet.state import FleetState
from mediafleet_operator.core.plan import Plan, plan
from mediafleet_operator.core.status import failures
from mediafleet_operator.core.status.events import events_to_post, restarts_to_post
from mediafleet_operator.core.status.status import report
from mediafleet_operator.kube import digest
from mediafleet_operator.kube.apply import Applier, Outcome
from mediafleet_operator.kube.report import EventWriter, StatusWriter, asked
from mediafleet_operator.kube.snapshots import Snapshots
from mediafleet_operator.manifests.pods.pod import problem
from mediafleet_operator.manifests.resource import Resource
from mediafleet_operator.rounds.autoscaling import Autoscaler
from mediafleet_operator.rounds.children import ChildResources
from mediafleet_operator.rounds.counters import FleetCounts, note_idle
from mediafleet_operator.rounds.desks.job_ends import JobEnds
from mediafleet_operator.rounds.mark_writer import MarkWriter
from mediafleet_operator.rounds.probes import Prober, subject
from mediafleet_operator.rounds.queue import KeyedQueue

_log: Final = logging.getLogger(__name__)
PASSES: Final = 3
"""A round plans again after its own actions; more than this would hide a plan without end."""
ACTIONS_A_PASS: Final = 50
"""Fleets beside a large one have their turn meanwhile; deletes and drains stand before creates."""
NEXT_ROUND_SECONDS: Final = 0.1
_MOST_REST_SECONDS: Final = 0.25
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
    counts: FleetCounts
    clock: Clock = SYSTEM
    job_ends: JobEnds | None = None
    """`None`: no desk is asked whether jobs are over."""
    io_update_timeout: float | None = None
    """In seconds; `None`: as each pod tells."""
    rest_seconds_per_pod: float = 0.0
    """A fleet rests between two rounds for so long for each of its pods."""
    marks: MarkWriter = field(init=False)
    _states: dict[FleetKey, FleetState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.marks = MarkWriter(self.applier.apply, self.queue.add)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            key = await self.queue.take()
            began = self.clock.monotonic()
            try:
                await self.round(key)
            except KubeError as error:
                self._failed(key, error.word, error)
            except Exception as error:  # noqa: BLE001 -- it must not stop the other fleets
                _log.exception("%s: unexpected", key)
                self._failed(key, "unexpected", error)
            finally:
                kind = KIND_LABELS[key.kind]
                self.counts.metrics.reconcile_seconds.labels(kind).observe(
                    self.clock.monotonic() - began
                )
                self.queue.done(key, self._rest(key))

    def _rest(self, key: FleetKey) -> float:
        """The changes of many pods make one round."""
        pods = len(self.snapshots.pods.get(key, {}))
        return min(_MOST_REST_SECONDS, pods * self.rest_seconds_per_pod)

    async def round(self, key: FleetKey) -> None:
        """Bring one fleet in order, as far as can be now.

        Raises:
            KubeError: something could not be written; the key is to be looked at again.
        """
        resource = self.snapshots.fleets.get(key)
        if resource is None:
            self._forget(key)
            return
        state = self._state(resource)
        early = self._too_early(resource, state)
        if early is not None:
            self.queue.add_after(key, WAIT_SECONDS)
            await self._make_missing(resource, state, early)
            return
        resource, done = await self._act(resource, state)
        if resource.uid != state.uid:
            self.queue.add(key)
            return
        observation, planned = self._plan(resource, state)
        if resource.deleting:
            return
        if not all(self.marks.pending(key, each) for each in planned.actions):
            self.queue.add_after(key, NEXT_ROUND_SECONDS)
        if planned.look_again_seconds is not None:
            self.queue.add_after(key, planned.look_again_seconds)
        await self._report(resource, state, observation, planned, done)
        await self._keep_children(resource, state, planned)

    async def _act(self, resource: Resource, state: FleetState) -> tuple[Resource, list[Action]]:
        """Carry out plans until nothing is left to do now; the resource as it then is."""
        key = resource.key
        resource, done = await self.autoscaler.round(
            resource, state, lambda of: self._observe(of, state)
        )
        done = [*state.early, *done]
        state.early = []
        for _ in range(PASSES):
            if resource.uid != state.uid:
                break
            observation, planned = self._plan(resource, state)
            wanted = self._loads_wanted(observation, planned, state)
            self._follow(resource, planned, wanted)
            if wanted or not planned.actions:
                break
            outcomes = await self._apply(resource, state, planned)
            if not outcomes:
                break
            done += [each.action for each in outcomes if each.error is None]
            resource = self.snapshots.fleets.get(key, resource)
            if not self._learn(resource, state, outcomes):
                break
        return resource, done

    async def _apply(self, resource: Resource, state: FleetState, planned: Plan) -> list[Outcome]:
        """Carry out a plan's actions, or the first of many; what became of those that ended."""
        marks = [each for each in planned.actions if isinstance(each, Mark)]
        if any(mark.busy for mark in marks):
            await self.child_resources.protect(resource, state)
        self.marks.want(resource, marks)
        others = [each for each in planned.actions if not isinstance(each, Mark)]
        outcomes = await self.applier.apply(resource, others[:ACTIONS_A_PASS])
        return outcomes + await self.marks.outcomes(resource.key)

    def _state(self, resource: Resource) -> FleetState:
        key = resource.key
        known = self._states.get(key)
        if known is None or known.uid != resource.uid:
            if known is not None:
                self._forget(key)
            known = self._states[key] = FleetState(resource.uid)
        return known

    async def _keep_children(self, resource: Resource, state: FleetState, planned: Plan) -> None:
        key = resource.key
        services = list(self.snapshots.services.get(key, {}).values())
        kept = await self.child_resources.keep(resource, state, planned, services)
        if kept.look_again_seconds is not None:
            self.queue.add_after(key, kept.look_again_seconds)
        if state.memory.unmade != kept.unmade:
            state.memory = failures.unmade(state.memory, kept.unmade)
            self.queue.add_after(key, NEXT_ROUND_SECONDS)

    def _too_early(self, resource: Resource, state: FleetState) -> Plan | None:
        """The plan, where it is to wait for the first loads of the pods.

        The first answers bring the key back; should none come, time does.
        """
        now = self.clock.monotonic()
        if state.met_at is None:
            state.met_at = now
        if now - state.met_at >= WAIT_SECONDS:
            return None
        _, planned = self._plan(resource, state)
        self._follow(resource, planned)
        return planned if unread(planned.roster, self.prober.histories) else None

    async def _make_missing(self, resource: Resource, state: FleetState, planned: Plan) -> None:
        """Make the pods that are missing: a load may ask for more of them, never for fewer."""
        creates = [each for each in planned.actions if isinstance(each, Create)]
        outcomes = await self.applier.apply(resource, creates[:ACTIONS_A_PASS])
        self._learn(resource, state, outcomes)
        made = [each.action for each in outcomes if each.error is None]
        state.early += [each for each in made if isinstance(each, Create)]

    def _loads_wanted(
        self, observation: Observation, planned: Plan, state: FleetState
    ) -> frozenset[str]:
        """Uids of the pods whose load a choice still waits for; each answer brings the key back.

        Should one not answer, the choice is made by what is known.
        """
        wanted = loads_wanted(observation, planned.roster, planned.actions)
        now = self.clock.monotonic()
        if not wanted:
            state.loads_wanted_since = None
            return wanted
        if state.loads_wanted_since is None:
            state.loads_wanted_since = now
        return wanted if now - state.loads_wanted_since < WAIT_SECONDS else frozenset()

    def _plan(self, resource: Resource, state: FleetState) -> tuple[Observation, Plan]:
        observation = self._observe(resource, state)
        return observation, plan(observation)

    def _observe(self, resource: Resource, state: FleetState) -> Observation:
        if state.template != resource.template_hash:
            state.template = resource.template_hash
            state.memory = failures.template_changed(state.memory)
        if state.problem is None or state.problem[0] != resource.generation:
            state.problem = (resource.generation, problem(resource, self.applier.product))
        observation = self.snapshots.observe(
            resource,
            state.problem[1],
            self.prober.histories,
            state.memory,
            self.clock.unix(),
        )
        unconfirmed = self.job_ends.of(resource) if self.job_ends else None
        return replace(
            observation,
            scaling=state.scaling,
            unconfirmed=unconfirmed,
            broker=self.job_ends.of_broker(resource) if self.job_ends else None,
            io_update_timeout=self.io_update_timeout,
        )

    async def _report(
        self,
        resource: Resource,
        state: FleetState,
        observation: Observation,
        planned: Plan,
        done: list[Action],
    ) -> None:
        """Status, Events and metrics, all from the snapshot after the actions."""
        key, spec = resource.key, resource.spec
        mode = spec.placement.mode.value if isinstance(spec, EgressFleetSpec) else None
        status = report(observation, planned, resource.status, mode=mode, ended=state.ended)
        self.counts.count(key, planned)
        self.counts.count_late_sessions(state, observation, planned)
        due = self.statuses.due(resource, state, status)
        # What the status newly says has its Event when the status is written, and so only once.
        said = resource.status if due and resource.status else status
        events = events_to_post(done, f"{key.name}-", resource.status, said, asked=asked(resource))
        events += restarts_to_post(observation.pods, state.restarts)
        state.restarts = {pod.uid: pod.restarts for pod in observation.pods}
        if due:
            self.queue.add_after(key, due)
        elif due is not None:
            answer = await self.statuses.write(resource, state, status)
            self.snapshots.put_fleet(digest.resource(answer, key.kind))
            state.ended = []
        await asyncio.gather(*(self.events.post(resource, state, each) for each in events))

    def _learn(self, resource: Resource, state: FleetState, outcomes: list[Outcome]) -> bool:
        """Take note of what became of the actions; whether to go on at once."""
        key, now = resource.key, self.clock.unix()
        kind = KIND_LABELS[key.kind].value
        memory = state.memory
        refusal: RefusedError | None = None
        go_on = True
        for outcome in outcomes:
            action, error = outcome.action, outcome.error
            if error is None:
                self.counts.count_drain(kind, action, now)
                if (drain := records.ended(action, now)) is not None:
                    state.ended.append(drain)
                note_idle(state, action)
                if isinstance(action, Create):
                    memory = failures.created(memory)
                continue
            self.counts.metrics.failed(kind, error.word)
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
        state.memory = memory
        return go_on

    def _follow(
        self, resource: Resource, planned: Plan, wanted: frozenset[str] = frozenset()
    ) -> None:
        roster = planned.roster
        if self.job_ends is not None:
            self.job_ends.follow(resource, draining=bool(roster.draining))
        # Deleted pods are still read: a session may have come after the last idle reading.
        pods = (*roster.current, *roster.outdated, *roster.draining, *roster.going)
        often = planned.probe_often | wanted | {pod.uid for pod in roster.going}
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
        self.counts.metrics.failed(KIND_LABELS[key.kind], word)
        self.queue.add_after(key, RETRY_SECONDS)

    def _forget(self, key: FleetKey) -> None:
        """The resource is gone, or another one of its name has come."""
        self._states.pop(key, None)
        self.prober.follow(key, {})
        self.marks.forget(key)
        if self.job_ends is not None:
            self.job_ends.poller.forget(key)
        self.autoscaler.forget(key)
        self.counts.forget(key)
