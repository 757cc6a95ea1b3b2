"""What jobs really use, by fleet: learnt from the readings of the pods, fitted once a minute.

Each desk learns by itself and begins anew when it starts; until a cost is sure, the table counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Use
from mediafleet_common.probes.load import Load
from mediafleet_common.reports.costs import FleetCosts, TypeCost
from mediafleet_scheduler.core.egress.accounting.learned_costs import (
    NOTHING_LEARNED,
    Learned,
    Window,
)
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.views import Fleet, Worker

FIT_EVERY_SECONDS: Final = 60.0
"""Costs are learned from hours of readings: a new fit changes little within a minute."""


@dataclass(slots=True)
class _OfFleet:
    window: Window
    learned: Learned = NOTHING_LEARNED
    fitted_at: float = 0.0


class Costs:
    """What was learnt of the fleets of one Redis."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._fleets: dict[str, _OfFleet] = {}

    def follow(self, fleets: Iterable[Fleet]) -> None:
        """These are the fleets, and their pods, from now on."""
        there = {each.key: each for each in fleets if _learns(each)}
        self._fleets = {key: known for key, known in self._fleets.items() if key in there}
        for key, known in self._fleets.items():
            known.window.keep_only({worker.uid for worker in there[key].workers})

    def read(self, fleet: Fleet, worker: Worker, load: Load, now: float) -> None:
        """A pod has told its load; `now` is Unix time."""
        if not _learns(fleet):
            return
        known = self._fleets.setdefault(fleet.key, _OfFleet(Window(), fitted_at=now))
        jobs = self._ledger.on(worker.uid)
        cores = None
        # With jobs that the ledger has not, or has no more, nobody knows whose load it is.
        if load.jobs == len(jobs) and load.cpu_load is not None and worker.cpu_cores is not None:
            cores = load.cpu_load * worker.cpu_cores
        known.window.read(worker.uid, jobs, cores, now)
        if now - known.fitted_at >= FIT_EVERY_SECONDS:
            known.learned, known.fitted_at = known.window.learned(now), now

    def learned(self, fleet: Fleet) -> Learned:
        """What was learnt of a fleet's jobs."""
        known = self._fleets.get(fleet.key)
        return known.learned if known else NOTHING_LEARNED

    def estimate(self, fleet: Fleet, kind: RequestType) -> float | None:
        """What a job is said to need instead of its cost by the table; `None`: nothing is said."""
        placement = fleet.placement
        return self.learned(fleet).estimate(kind, placement.cpu_cost, placement.learned_costs)

    def reported(self, fleets: Iterable[Fleet]) -> Iterator[FleetCosts]:
        """What was learnt, beside what is configured."""
        for fleet in fleets:
            learned, placement = self.learned(fleet), fleet.placement
            yield FleetCosts(
                namespace=fleet.namespace,
                name=fleet.name,
                use=placement.learned_costs.use,
                base_cpus=learned.base_cores,
                observations=learned.observations,
                types=[
                    TypeCost(
                        type=kind,
                        configured=placement.cpu_cost.of(kind),
                        learned=cost.cores,
                        error=None if cost.error == float("inf") else cost.error,
                        jobs=cost.jobs,
                        sure=cost.sure,
                        sent=self.estimate(fleet, kind),
                    )
                    for kind, cost in sorted(learned.costs.items())
                ],
            )


def _learns(fleet: Fleet) -> bool:
    return fleet.placement.learned_costs.use is not Use.NONE
