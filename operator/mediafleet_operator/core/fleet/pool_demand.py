"""The demand of a pool from the loads of its nodes, for pools without an advertiser."""

from __future__ import annotations

from mediafleet_common.api.names import PodState
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.scaling.pool_demand import NodeSessions, Standing, pool_demand
from mediafleet_operator.core.fleet.model import Observation, PodView
from mediafleet_operator.core.fleet.roster import sort


def of_pool(observation: Observation, sessions_max: int | None) -> FleetDemand:
    """Demand from the probes; each node takes `sessions_max` sessions."""
    key, roster = observation.fleet.key, sort(observation)
    draining = {pod.uid for pod in roster.draining}
    nodes = [
        NodeSessions(pod.name, standing, observation.jobs(pod), sessions_max)
        for pod in roster.counted + roster.draining
        if (standing := _standing(pod, draining=pod.uid in draining)) is not None
    ]
    return pool_demand(key.namespace, key.name, nodes, sessions_max, observation.now)


def _standing(pod: PodView, *, draining: bool) -> Standing | None:
    if draining:
        return Standing.DRAINING
    if pod.serving:
        return Standing.READY
    away = pod.state is PodState.READY and not pod.ready and not pod.over
    return Standing.AWAY if away else None
