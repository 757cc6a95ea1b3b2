"""Gauges of the desk, made from its state at the moment somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mediafleet_common.api.names import PodState
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.capacity import account_of, capacity
from mediafleet_scheduler.core.egress.queue import of_fleet
from mediafleet_scheduler.core.egress.views import Fleet
from mediafleet_scheduler.egress.places.pods import label
from mediafleet_scheduler.egress.process.branch import EgressService


class DeskCollector(Collector):
    """Fleets, their pods, jobs and free CPUs."""

    def __init__(self, services: Callable[[], Iterable[EgressService]]) -> None:
        self._services = services

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
        fitting = GaugeMetricFamily(
            "mediafleet_fleet_free_jobs",
            "How many more jobs of a type fit now, each type by itself; absent while the CPUs of "
            "a pod are unknown.",
            labels=["fleet", "type"],
        )
        queue = GaugeMetricFamily(
            "mediafleet_queue_length",
            "Requests that wait for room, and refused ones whose place is kept for a retry.",
            labels=["fleet"],
        )
        workers = GaugeMetricFamily(
            "mediafleet_fleet_workers", "Pods by state.", labels=["fleet", "state"]
        )
        out = GaugeMetricFamily(
            "mediafleet_pods_quarantined",
            "Pods that get no jobs for a while, since they failed what they were given.",
            labels=["fleet"],
        )
        otherwise = GaugeMetricFamily(
            "mediafleet_pods_counting_otherwise",
            "Pods whose metrics show other limits than the desk counts with; the log says which.",
            labels=["fleet"],
        )
        own = GaugeMetricFamily(
            "mediafleet_pods_costs_differ",
            "Pods whose config counts jobs by other costs than spec.placement; the desk counts "
            "each as it counts itself.",
            labels=["fleet"],
        )
        learned = GaugeMetricFamily(
            "mediafleet_learned_cores",
            "CPUs that a job of a type uses on average, as learnt from the pods' load, once sure.",
            labels=["fleet", "type"],
        )
        shared = GaugeMetricFamily(
            "mediafleet_redis_shared_wrongly",
            "Ways in which other desks on the same Redis do not belong here; the log says which.",
            value=sum(len(each.announcements.complaints) for each in self._services()),
        )
        for service in self._services():
            waiting = Counter(
                job.fleet for job in service.ledger.jobs.values() if job.started_at is None
            )
            for fleet in service.pods.fleets:
                name, now = label(fleet), service.clock.unix()
                pending.add_metric([name], waiting[fleet.key])
                for kind, cost in service.pods.costs.learned(fleet).costs.items():
                    if cost.sure:
                        learned.add_metric([name, kind], cost.cores)
                line = of_fleet(service.ledger.waiting.values(), fleet.key, now)
                queue.add_metric([name], len(line))
                count, cores = _sums(fleet, service.ledger, now)
                jobs.add_metric([name], count)
                free.add_metric([name], cores)
                for kind, many in (capacity(fleet, service.ledger, now).free or {}).items():
                    fitting.add_metric([name, kind], many)
                uids = [worker.uid for worker in fleet.workers]
                out.add_metric([name], len(service.pods.quarantine.left_out(uids, ())))
                odd = sum(uid in service.pods.counting_otherwise for uid in uids)
                otherwise.add_metric([name], odd)
                own.add_metric([name], sum(each.counts is not None for each in fleet.workers))
                states = Counter(worker.state for worker in fleet.workers)
                for state in PodState:
                    workers.add_metric([name, state], states[state])
        return [pending, jobs, free, fitting, queue, workers, out, learned, shared, otherwise, own]


def _sums(fleet: Fleet, ledger: Ledger, now: float) -> tuple[int, float]:
    jobs, cores = 0, 0.0
    for worker in fleet.workers:
        account = account_of(fleet, worker, ledger, now)
        jobs += account.jobs
        if worker.state is PodState.READY:
            cores += max(0.0, account.free_cores or 0.0)
    return jobs, cores
