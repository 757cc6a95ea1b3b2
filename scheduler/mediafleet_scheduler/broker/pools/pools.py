"""Follows pools and their pods: draining pods get nothing, and each pool's demand is reported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.serving.logs import printable
from mediafleet_scheduler.broker.jobs import Jobs
from mediafleet_scheduler.core.workers.pools import WorkerPools, demand, held, unknown
from mediafleet_scheduler.core.workers.several.combined import Part, combined, part_of
from mediafleet_scheduler.core.workers.views import InPool, Worker
from mediafleet_scheduler.directory.directory import Directory

_SILENT: Final = "Redis does not tell what other brokers have"

_log: Final = logging.getLogger(__name__)


class Pools:
    """The pools of a directory, and the workers of a broker."""

    def __init__(
        self,
        jobs: Jobs,
        directory: Directory[WorkerPools],
        others: Callable[[], Mapping[str, Part] | None] = dict,
        clock: Clock = SYSTEM,
    ) -> None:
        """`others`: what other brokers have, by their names; `None`: that is not known now."""
        self._jobs = jobs
        self._others = others
        self._directory = directory
        self._clock = clock
        jobs.holds, jobs.pod_of = self._holds, self._pod_of
        directory.subscribe(self._follow)

    def read(self) -> list[FleetDemand] | None:
        """The demand of each pool; `None`: they are not known yet."""
        view = self._directory.view
        if view is None:
            return None
        now, others = self._clock.unix(), self._others()
        if others is None:
            return [unknown(pool, _SILENT, now) for pool in view.pools]
        targets = {target for pool in view.pools for target in pool.models}
        workers, use = combined({**others, "": part_of(self._jobs.dispatcher, targets)})
        return [demand(pool, workers, use, now) for pool in view.pools]

    def _holds(self, worker: Worker) -> bool:
        view = self._directory.view
        is_held = held(worker, view)
        if is_held and (view is None or view.pod_of(worker) is None):
            name = printable(worker.name or "")
            _log.info("%s says that it is pod %s, which is not seen yet", worker.id, name)
        return is_held

    def _pod_of(self, worker: Worker) -> InPool | None:
        view = self._directory.view
        return None if view is None else view.place_of(worker)

    def _follow(self, view: WorkerPools) -> None:
        for worker in self._jobs.dispatcher.workers:
            if worker.instance is None:
                continue
            if held(worker, view):
                self._jobs.drain(worker.id)
            else:
                self._jobs.undrain(worker.id)
