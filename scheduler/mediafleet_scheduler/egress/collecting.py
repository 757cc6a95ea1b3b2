"""Gauges of the desk, made from its state at the moment somebody asks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.ledger import Ledger
from mediafleet_scheduler.directory.views import Fleet
from mediafleet_scheduler.egress.pods import Pods, label, pod_of

_STATES: Final = tuple(PodState)


class DeskCollector(Collector):
    """Fleets, their pods, jobs and free CPUs."""

    def __init__(self, pods: Pods, ledger: Ledger) -> None:
        self._pods = pods
        self._ledger = ledger

    def collect(self) -> Iterable[Metric]:
        """One sample a fleet."""
        pending = GaugeMetricFamily(
            "mediafleet_claims_pending",
            "Places claimed that no pod has confirmed.",
            labels=["fleet"],
        )
        jobs = GaugeMetricFamily(
            "mediafleet_fleet_jobs", "Jobs on the pods, claims included.", labels=["fleet"]
        )
        free = GaugeMetricFamily(
            "mediafleet_fleet_free_cores", "CPUs that jobs may still take.", labels=["fleet"]
        )
        workers = GaugeMetricFamily(
            "mediafleet_fleet_workers", "Pods by state.", labels=["fleet", "state"]
        )
        waiting = Counter(job.fleet for job in self._ledger.jobs.values() if job.started_at is None)
        for fleet in self._pods.fleets:
            name = label(fleet)
            pending.add_metric([name], waiting[fleet.key])
            count, cores = self._sums(fleet)
            jobs.add_metric([name], count)
            free.add_metric([name], cores)
            states = Counter(worker.state for worker in fleet.workers)
            for state in _STATES:
                workers.add_metric([name, state], states[state])
        return [pending, jobs, free, workers]

    def _sums(self, fleet: Fleet) -> tuple[int, float]:
        now, jobs, cores = time.time(), 0, 0.0
        for worker in fleet.workers:
            account = self._ledger.account(pod_of(worker), fleet.placement.max_cpu_utilization, now)
            jobs += account.jobs
            if worker.state is PodState.READY:
                cores += max(0.0, account.free_cores or 0.0)
        return jobs, cores
