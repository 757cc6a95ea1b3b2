"""What the desk's gauges tell of fleets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.clock import SYSTEM
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.views import EgressView, Fleet, Worker
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.places.pods import Pods
from mediafleet_scheduler.egress.places.quarantine import Quarantine
from mediafleet_scheduler.egress.process.gauges import DeskCollector


def gauges(*workers: Worker) -> CollectorRegistry:
    registry, ledger = CollectorRegistry(), Ledger()
    pods = Pods(ledger, Quarantine(EgressMetrics(registry), Settings().quarantine))
    fleet = Fleet("ns", "rec", Placement(), frozenset(RequestType), None, workers)
    pods.follow(EgressView((fleet,)))
    others = SimpleNamespace(complaints=())
    service: Any = SimpleNamespace(ledger=ledger, pods=pods, clock=SYSTEM, announcements=others)
    registry.register(DeskCollector(lambda: [service]))
    return registry


def worker(name: str, counts: Placement | None = None) -> Worker:
    return Worker(name, f"u-{name}", name, None, 4.0, None, PodState.READY, counts=counts)


def test_pods_that_count_by_other_costs_are_counted_and_free_by_their_own() -> None:
    before = Placement(cpu_cost=CpuCost(track=2.0))
    told = gauges(worker("old", before), worker("new"))
    fleet = {"fleet": "ns/rec"}
    assert told.get_sample_value("mediafleet_pods_costs_differ", fleet) == 1
    # One of two CPUs takes all that a busy pod of four may take beside it.
    tracks = told.get_sample_value("mediafleet_fleet_free_jobs", {**fleet, "type": "track"})
    assert tracks == 1 + 6
    assert gauges(worker("new")).get_sample_value("mediafleet_pods_costs_differ", fleet) == 0


def test_a_scrape_does_not_grow_with_pods() -> None:
    """Goal: 300 kB at 500 pods."""
    few = generate_latest(gauges(worker("pod-1")))
    many = generate_latest(gauges(*(worker(f"pod-{number}") for number in range(500))))
    assert many.count(b"\n") == few.count(b"\n")
    assert len(many) < 20_000
