"""The demand of a pool as its nodes tell it, for pools that have no advertiser to ask."""

from __future__ import annotations

from mediafleet_common.api.names import PodState
from mediafleet_common.reports.demand import SESSION, FleetDemand
from mediafleet_operator.core.fleet.model import Observation, PodView
from mediafleet_operator.core.fleet.roster import sort


def of_pool(observation: Observation, sessions_max: int | None) -> FleetDemand:
    """Demand from the probes; unknown as soon as a ready node's load or the size of a node is.

    A node that was Ready and is not now counts with what it tells, or as full. Nothing waits
    for a pool: gateways go elsewhere.
    """
    key = observation.fleet.key
    roster = sort(observation)
    serving = [pod for pod in roster.counted if pod.serving]
    loads = [observation.jobs(pod) for pod in serving]
    known = [load for load in loads if load is not None]
    away = [
        pod
        for pod in roster.current + roster.outdated
        if pod.state is PodState.READY and not pod.ready
    ]
    silent = sorted(pod.name for pod, load in zip(serving, loads, strict=True) if load is None)
    reason = None
    if sessions_max is None:
        reason = "spec.sessions.max does not say how many sessions a node takes"
    elif silent:
        reason = f"{silent[0]} does not tell its sessions"
    if reason is not None or sessions_max is None:
        return FleetDemand(
            kind=key.kind,
            namespace=key.namespace,
            name=key.name,
            known=False,
            reason=reason,
            at=observation.now,
        )
    told = [_sessions(pod, observation, sessions_max) for pod in away]
    unready = [sessions for sessions in told if sessions]
    work = sum(known) + sum(unready)
    return FleetDemand(
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        known=True,
        at=observation.now,
        ready=len(serving),
        busy=sum(load > 0 for load in known) + len(unready),
        away=len(unready),
        work=work,
        used=float(work),
        size=float(sessions_max),
        free={SESSION: sum(max(sessions_max - load, 0) for load in known)},
        each={SESSION: sessions_max},
        # One at least while nobody can tell, so that none is idle.
        leaving=sum(_sessions(pod, observation, 1) for pod in roster.draining),
    )


def _sessions(pod: PodView, observation: Observation, otherwise: int) -> int:
    """Sessions of a node that takes none; `otherwise` while nobody can tell."""
    load = observation.jobs(pod)
    return otherwise if load is None else load
