"""What a fleet's status says, from the same observation that the plan was made from.

Counts speak of the moment before the plan's actions: what they do is seen in the next one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from mediafleet_common.api.ai_worker_pool import AIWorkerPoolStatus
from mediafleet_common.api.egress.fleet import EgressFleetStatus
from mediafleet_common.api.names import KIND_LABELS, Kind, Label, PodState, Reason
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolStatus
from mediafleet_common.api.shared import DrainStatus, FleetStatus, PodStatus
from mediafleet_common.formats.times import rfc3339
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.autoscaling.history import status_of
from mediafleet_operator.core.drain import records
from mediafleet_operator.core.fleet import ailments
from mediafleet_operator.core.fleet.model import FleetKey, Observation, PodView
from mediafleet_operator.core.fleet.roster import by_slot
from mediafleet_operator.core.plan import Plan
from mediafleet_operator.core.status import conditions

MAX_PODS: Final = 100
"""So many pods are named in a status; an object has to stay small."""


def report(
    observation: Observation,
    plan: Plan,
    previous: FleetStatus | None,
    *,
    mode: str | None = None,
    ended: Sequence[DrainStatus] = (),
) -> FleetStatus:
    """The status to write. `mode` is an egress fleet's placement mode; `ended` are drains, oldest
    first, which the previous status may not have yet."""
    fleet, roster = observation.fleet, plan.roster
    # While a rollout goes on there are more pods than wanted. An autoscaler inside its tolerance
    # writes this number back as the wanted one, so it must not see them.
    counted = len(roster.counted)
    common = FleetStatus(
        observed_generation=fleet.generation,
        replicas=min(counted, plan.wanted) if roster.outdated else counted,
        ready_replicas=sum(pod.serving for pod in roster.counted),
        draining=len(roster.draining),
        updated_replicas=sum(pod.template == fleet.template_hash for pod in roster.counted),
        selector=selector(fleet.key),
        autoscaling=status_of(observation.scaling) if observation.scaling else None,
        pods=_pods(observation, plan),
        drains=records.newest(previous, ended),
        conditions=conditions.conditions(observation, plan, previous),
    )
    fields = common.model_dump()
    jobs = total_jobs(observation, plan)
    if fleet.key.kind is Kind.EGRESS_FLEET:
        return EgressFleetStatus.model_validate({**fields, "mode": mode, "jobs": jobs})
    if fleet.key.kind is Kind.AI_WORKER_POOL:
        reported = _of_broker(observation.broker)
        return AIWorkerPoolStatus.model_validate({**fields, **reported, "in_use": jobs})
    urls = listed(plan)
    digest = hashlib.sha256("\n".join(urls).encode()).hexdigest()[:10]
    return OrchestratorPoolStatus.model_validate(
        {
            **fields,
            "listed": len(urls),
            "list_hash": digest,
            "sessions": jobs,
            "max_sessions": capacity(observation, plan),
        }
    )


def _of_broker(said: FleetDemand | None) -> dict[str, Any]:
    if said is None or not said.known or said.models is None:
        return {}
    models = sorted(said.models.items())
    return {
        "workers": said.workers,
        "waiting": sum(each.waiting for _, each in models),
        "missed": sum(each.missed for _, each in models),
        "models": [{"name": name, **each.model_dump()} for name, each in models],
    }


def listed(plan: Plan) -> list[str]:
    """The URLs that gateways may receive, sorted."""
    return sorted(pod.address for pod in plan.roster.counted if pod.serving and pod.address)


def selector(key: FleetKey) -> str:
    """The pods that count, for autoscalers: draining ones left out."""
    states = f"{PodState.PENDING.value},{PodState.READY.value}"
    return (
        f"{Label.KIND.value}={KIND_LABELS[key.kind].value},"
        f"{Label.FLEET.value}={key.name},{Label.STATE.value} in ({states})"
    )


def total_jobs(observation: Observation, plan: Plan) -> int | None:
    """Jobs on all pods that may have some; unknown as soon as that of one pod is."""
    roster = plan.roster
    working = (pod for pod in roster.counted + roster.draining if pod.state is not PodState.PENDING)
    loads = [observation.jobs(pod) for pod in working]
    known = [load for load in loads if load is not None]
    return sum(known) if len(known) == len(loads) else None


def capacity(observation: Observation, plan: Plan) -> int | None:
    """Sessions that the serving pods take at most, by their own word; unknown as soon as that of
    one is. What the resource asks for is not proof of what a node does."""
    latest = [observation.latest(pod) for pod in plan.roster.counted if pod.serving]
    known = [each.capacity for each in latest if each and each.capacity is not None]
    return sum(known) if len(known) == len(latest) else None


def _pods(observation: Observation, plan: Plan) -> list[PodStatus]:
    roster = plan.roster
    shown = roster.counted + roster.draining + roster.lost
    return [_pod(pod, observation) for pod in by_slot(shown)[:MAX_PODS]]


def _pod(pod: PodView, observation: Observation) -> PodStatus:
    ailment = ailments.diagnose(pod, observation.now)
    reason = ailment.value if ailment else None
    if reason is None and observation.disabled(pod):
        reason = Reason.POD_DISABLED.value
    if pod.state is PodState.DRAINING and pod.drain_reason:
        reason = pod.drain_reason.value
    return PodStatus(
        name=pod.name,
        state=pod.state.value,
        load=None if pod.state is PodState.PENDING else observation.jobs(pod),
        since=rfc3339(pod.drain_started) if pod.drain_started is not None else None,
        reason=reason,
    )
