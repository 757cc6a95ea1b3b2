"""Autoscaling in one round of a fleet: the demand, the decision, and at most one write."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mediafleet_common.api.ai_worker_pool import AIWorkerPoolSpec
from mediafleet_common.api.names import KIND_LABELS, Kind, Port, Reason
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.scaling.autoscaling import Autoscaling, Engine
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.kube.errors import KubeError
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.autoscaling import history, pace
from mediafleet_operator.core.autoscaling.decision import decide
from mediafleet_operator.core.autoscaling.model import (
    Ahead,
    Found,
    Past,
    Scaling,
    Situation,
    Verdict,
    policy,
)
from mediafleet_operator.core.fleet import pool_demand
from mediafleet_operator.core.fleet.actions import Action, Rescale
from mediafleet_operator.core.fleet.model import FleetKey, Observation
from mediafleet_operator.core.fleet.roster import sort
from mediafleet_operator.core.fleet.state import FleetState
from mediafleet_operator.kube.apply import Applier
from mediafleet_operator.kube.scalers import Scalers
from mediafleet_operator.manifests.children.scaling import KINDS
from mediafleet_operator.manifests.resource import Resource
from mediafleet_operator.rounds.counters import ScaleCounts
from mediafleet_operator.rounds.desks.certificates import Certificates
from mediafleet_operator.rounds.desks.demand import DemandPoller, Silence
from mediafleet_operator.rounds.queue import KeyedQueue
from mediafleet_operator.settings import DemandTimes

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """What one look came to."""

    scaling: Scaling
    rescale: Rescale | None
    look_again_seconds: float


@dataclass(slots=True)
class Autoscaler:
    """Decides for fleets that are scaled automatically, by any engine."""

    queue: KeyedQueue[FleetKey]
    applier: Applier
    poller: DemandPoller
    scalers: Scalers
    counts: ScaleCounts
    egress_desk: str | None = None
    """URL of the egress desk's HTTP port; `None`: egress demand is unknown."""
    clock: Clock = SYSTEM
    times: DemandTimes = field(default_factory=DemandTimes)
    """How often desks are asked."""
    broker: str | None = None
    """URL of the broker's HTTP port; `None`: the demand of AI workers is unknown."""
    certificates: Certificates | None = None
    """Which certificates KEDA meets; `None`: nobody asks."""

    async def round(
        self,
        resource: Resource,
        state: FleetState,
        observe: Callable[[Resource], Observation],
    ) -> tuple[Resource, list[Action]]:
        """Set `spec.replicas` before the plan, which is then made for the count that demand wants.

        Returns the resource as it then is, and what was done.
        """
        key = resource.key
        if not self._concerns(resource, state):
            self._leave(key, state)
            return resource, []
        step = await self.look(resource, state, observe(resource))
        if step is None:
            return resource, []
        state.scaling = step.scaling
        self.queue.add_after(key, step.look_again_seconds)
        if step.rescale is None:
            return resource, []
        (outcome,) = await self.applier.apply(resource, [step.rescale])
        done: list[Action] = []
        if outcome.error is None:
            self.counts.changed(key, step.rescale)
            done.append(step.rescale)
        else:
            _log.info("%s: spec.replicas is not written: %s", key, outcome.error)
            self.counts.metrics.failed(KIND_LABELS[key.kind], outcome.error.word)
        return self.applier.snapshots.fleets.get(key, resource), done

    async def look(
        self, resource: Resource, state: FleetState, observation: Observation
    ) -> Step | None:
        """What is wanted of a fleet now; `None`: it is not scaled automatically.

        The condition says what KEDA or an HPA cannot be given; the pods go on.
        """
        asked = resource.spec.autoscaling
        replicas = resource.spec.replicas
        if resource.deleting or replicas is None:
            return None
        engine = Engine.NONE if asked is None else asked.engine
        if engine is not Engine.KEDA and self.certificates is not None:
            self.certificates.forget(resource.key)
        for was in self._before(resource, state, engine):
            # The engine that wrote replicas has to be gone before another one does.
            try:
                await self.scalers.remove(resource, state, was)
            except KubeError as error:
                return self._stuck(resource, state, was, replicas, observation.now, error)
        if asked is None or engine is Engine.NONE:
            self._leave(resource.key, state)
            return None
        others = not asked.by_operator
        if others:
            self.poller.forget(resource.key)
            step = await self._left_to_others(resource, state, asked, replicas)
        else:
            verdict = self._decide(resource, state, asked, replicas, observation)
            step = (
                self._own(replicas, verdict, policy(asked).ahead)
                if engine is Engine.BUILTIN
                else await self._left_to_others(resource, state, asked, replicas, verdict)
            )
        state.past = step.scaling.past
        ready = sum(pod.serving for pod in sort(observation).counted)
        target = None if others else asked.target or 1.0
        self.counts.count(resource.key, state, step.scaling, target, ready)
        return step

    def forget(self, key: FleetKey) -> None:
        """The fleet is gone, or is not scaled automatically any more."""
        self.counts.forget(key)
        self._ask_no_more(key)

    def _leave(self, key: FleetKey, state: FleetState) -> None:
        """The fleet is not scaled automatically any more."""
        if state.past is not None:
            self.counts.forget(key)
        self._ask_no_more(key)
        state.past = state.scaling = state.scaler = state.short_since = None

    def _ask_no_more(self, key: FleetKey) -> None:
        self.poller.forget(key)
        if self.certificates is not None:
            self.certificates.forget(key)

    @staticmethod
    def _concerns(resource: Resource, state: FleetState) -> bool:
        """Whether a fleet is scaled, or was and what did so may still be there."""
        said = resource.status.autoscaling if resource.status else None
        return any(each is not None for each in (resource.spec.autoscaling, said, state.scaling))

    def _before(self, resource: Resource, state: FleetState, engine: Engine) -> list[Engine]:
        """Engines that may have worked before this one, by the status and by what this process did,
        which a status tells seconds later.

        A process that was killed may have made something that no status names, so each process
        looks once.
        """
        said = resource.status.autoscaling if resource.status else None
        was = {history.engine_of(said), state.scaling.engine if state.scaling else Engine.NONE}
        if engine is Engine.BUILTIN and state.past is None:
            was |= KINDS.keys()
        return sorted(was - {engine})

    def _own(self, replicas: int, verdict: Verdict, ahead: Ahead | None) -> Step:
        scaling = Scaling(
            Engine.BUILTIN,
            verdict.active,
            verdict.reason,
            verdict.why,
            verdict.past,
            verdict.wanted,
            verdict.forecast,
            ahead,
        )
        rescale = None
        if verdict.replicas != replicas:
            rescale = Rescale(replicas, verdict.replicas, verdict.why)
        return Step(scaling, rescale, self._again(busy=verdict.busy))

    async def _left_to_others(
        self,
        resource: Resource,
        state: FleetState,
        asked: Autoscaling,
        replicas: int,
        verdict: Verdict | None = None,
    ) -> Step:
        """KEDA or an HPA writes the number; `verdict` is what our metric gives an HPA."""
        try:
            certificate = await self._certificate(resource, asked.engine)
            found = await self.scalers.keep(resource, state, asked, certificate)
        except KubeError as error:
            found = Found(False, Reason.SCALER_NOT_READY, f"It could not be applied: {error}")
        now = self.clock.unix()
        past = pace.looked(verdict.past if verdict else _past(resource, state), replicas, now)
        active, reason, why = found.active, found.reason, found.why
        if verdict is not None and not verdict.active:
            reason = verdict.reason if active else reason
            active, why = False, f"{verdict.why} {'' if active else why}".strip()
        # Of what goes by other numbers than ours the count that it wrote is all that is known.
        wanted = verdict.wanted if verdict else replicas if found.active else None
        scaling = Scaling(
            asked.engine,
            active,
            reason,
            why,
            past,
            wanted,
            verdict.forecast if verdict else None,
            policy(asked).ahead if verdict else None,
        )
        return Step(scaling, None, self._again(busy=verdict is not None and verdict.busy))

    async def _certificate(self, resource: Resource, engine: Engine) -> str | None:
        """Which one KEDA meets at the fleet's desk; `None`: not known, or no matter."""
        url = self._url(resource) if engine is Engine.KEDA else None
        if self.certificates is None or self.scalers.keda.authentication is None or url is None:
            return None
        every_seconds = self._every(resource, busy=False)
        return await self.certificates.of(resource.key, url, every_seconds)

    def _stuck(
        self,
        resource: Resource,
        state: FleetState,
        engine: Engine,
        replicas: int,
        now: float,
        error: KubeError,
    ) -> Step:
        """The engine before cannot be taken away yet: two must not write the same number."""
        past = pace.looked(_past(resource, state), replicas, now)
        why = f"What engine {engine.value} worked by is not gone yet: {error}"
        scaling = Scaling(engine, False, Reason.SCALER_NOT_READY, why, past)
        return Step(scaling, None, self._again(busy=True))

    def _decide(
        self,
        resource: Resource,
        state: FleetState,
        asked: Autoscaling,
        replicas: int,
        observation: Observation,
    ) -> Verdict:
        said = self._demand(resource, observation)
        situation = Situation(
            policy=policy(asked),
            replicas=replicas,
            demand=None if isinstance(said, Silence) else said,
            past=_past(resource, state),
            now=observation.now,
            paused=resource.spec.paused,
            silence=said.why if isinstance(said, Silence) else "",
            silence_reason=said.reason if isinstance(said, Silence) else Reason.DEMAND_UNKNOWN,
        )
        verdict = decide(situation)
        url = self._url(resource)
        if url is not None:
            self.poller.follow(resource.key, url, self._every(resource, busy=verdict.busy))
        return verdict

    def _demand(self, resource: Resource, observation: Observation) -> FleetDemand | Silence:
        url = self._url(resource)
        spec = resource.spec
        if url is not None:
            return self.poller.heard(resource.key)
        if isinstance(spec, OrchestratorPoolSpec):
            return pool_demand.of_pool(observation, spec.sessions.max)
        ai = isinstance(spec, AIWorkerPoolSpec)
        desk, option = ("broker", "--broker") if ai else ("egress desk", "--egress-desk")
        why = f"the operator does not know where the {desk} is: option {option}"
        return Silence(Reason.DESK_UNREACHABLE, why)

    def _url(self, resource: Resource) -> str | None:
        """Where the demand of a fleet is asked for."""
        spec, key = resource.spec, resource.key
        if not isinstance(spec, OrchestratorPoolSpec):
            desk = self.broker if isinstance(spec, AIWorkerPoolSpec) else self.egress_desk
            return f"{desk.rstrip('/')}/demand" if desk else None
        if spec.advertise.replicas == 0:
            return None
        return f"http://{key.name}.{key.namespace}.svc:{Port.DESK_HTTP}/demand"

    def _again(self, *, busy: bool) -> float:
        """Until a fleet is looked at again."""
        return self.times.often_seconds if busy else self.times.review_seconds

    def _every(self, resource: Resource, *, busy: bool) -> float:
        """How often a fleet's desk is asked."""
        if busy:
            return self.times.often_seconds
        shared = resource.key.kind is not Kind.ORCHESTRATOR_POOL
        return self.times.shared_seconds if shared else self.times.own_seconds


def _past(resource: Resource, state: FleetState) -> Past:
    said = resource.status.autoscaling if resource.status else None
    return history.past_of(said) if state.past is None else history.agreed(state.past, said)
