"""Metrics of the broker."""

from __future__ import annotations

import functools

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from mediafleet_scheduler.core.workers.steps import Ending
from mediafleet_scheduler.core.workers.views import Target


class BrokerMetrics:
    """All of them, on one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.workers = Gauge(
            "mediafleet_broker_workers", "Workers that are connected", registry=registry
        )
        self.refused = Counter(
            "mediafleet_broker_registrations_refused_total",
            "Registrations that were refused",
            ["reason"],
            registry=registry,
        )
        self.tasks = Counter(
            "mediafleet_broker_tasks_total",
            "Tasks by how they ended",
            ["pipeline", "model", "ending"],
            registry=registry,
        )
        self.attempts = Counter(
            "mediafleet_broker_attempts_total",
            "Tasks given to a worker, by model",
            ["pipeline", "model"],
            registry=registry,
        )
        self.worker_tasks = Counter(
            "mediafleet_broker_worker_tasks_total",
            "Tasks that a worker has done, by its pod or the host that it connects from",
            ["worker", "pipeline", "model"],
            registry=registry,
        )
        self.worker_seconds = Counter(
            "mediafleet_broker_worker_seconds_total",
            "Seconds from when a worker was given those tasks to their answers",
            ["worker", "pipeline", "model"],
            registry=registry,
        )
        self.worker_units = Counter(
            "mediafleet_broker_worker_units_total",
            "What those tasks asked for, where it is said: pixels of text-to-image, tokens at most "
            "of llm, characters of text-to-speech, seconds of audio-to-text",
            ["worker", "pipeline", "model"],
            registry=registry,
        )
        self.results = Counter(
            "mediafleet_broker_results_total",
            "Results by what became of them: wanted, late, unknown, foreign (of "
            "another worker), unreadable, unauthorized",
            ["verdict"],
            registry=registry,
        )
        self.waiting = Gauge(
            "mediafleet_broker_waiting",
            "Tasks that wait for a worker",
            ["pipeline", "model"],
            registry=registry,
        )
        self.in_use = Gauge(
            "mediafleet_broker_capacity_in_use",
            "Tasks that take up capacity of workers",
            ["pipeline", "model"],
            registry=registry,
        )
        self.in_flight = Gauge(
            "mediafleet_broker_tasks_in_flight",
            "Tasks that have come and have no answer yet; as loadUrl.metric, the load of a node "
            "whose runner the broker is",
            registry=registry,
        )
        self.capacity = Gauge(
            "mediafleet_broker_capacity",
            "Tasks that live workers take at a time",
            ["pipeline", "model"],
            registry=registry,
        )
        self.registered = Gauge(
            "mediafleet_broker_registered",
            "1: a model is registered at an orchestrator; by door: byoc, live-runner",
            ["orchestrator", "door", "model"],
            registry=registry,
        )
        self.calls = Counter(
            "mediafleet_broker_orchestrator_calls_total",
            "Calls to orchestrators by what became of them: ok, refused, unreachable",
            ["orchestrator", "result"],
            registry=registry,
        )
        self.seconds = Histogram(
            "mediafleet_broker_task_seconds",
            "From a task's coming to its answer",
            ["pipeline", "model"],
            buckets=(0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 900),
            registry=registry,
        )
        # A look-up by labels costs more than the count.
        self._attempts = functools.cache(self.attempts.labels)
        self._tasks = functools.cache(self.tasks.labels)
        self._seconds = functools.cache(self.seconds.labels)

    def attempted(self, target: Target) -> None:
        """A task is given to a worker."""
        self._attempts(*target).inc()

    def ended(self, target: Target, ending: Ending, seconds: float) -> None:
        """A task has its answer."""
        self._tasks(*target, ending.value).inc()
        self._seconds(*target).observe(seconds)
