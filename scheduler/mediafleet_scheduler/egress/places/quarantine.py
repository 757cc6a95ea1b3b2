"""Holds against pods what they did wrong, and lets them off again; the rules are in core."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Final

from mediafleet_scheduler.core.egress.quarantine import (
    Case,
    Fault,
    Rules,
    Standing,
    after,
    after_late_bid,
    left_out,
)
from mediafleet_scheduler.egress.base.metrics import EgressMetrics

_log: Final = logging.getLogger(__name__)


class Quarantine:
    """Pods that failed lately, by uid. Each desk learns by itself."""

    def __init__(self, metrics: EgressMetrics, rules: Rules) -> None:
        self._metrics = metrics
        self._rules = rules
        self._cases: dict[str, Case] = {}
        self._shunned: dict[str, float] = {}

    @property
    def cases(self) -> Mapping[str, Case]:
        """What is held against each; times are the event loop's."""
        return self._cases

    def standing(self, uid: str) -> Standing:
        """What a pod may be given, were its fleet large enough."""
        case = self._cases.get(uid)
        return case.standing(_now()) if case else Standing.WELL

    def shunned(self, uid: str) -> bool:
        """Whether a pod is asked last: it has just turned something down."""
        return bool(self._shunned) and self._shunned.get(uid, 0.0) > _now()

    def left_out(self, pods: Collection[str], busy: Collection[str]) -> frozenset[str]:
        """Which pods of a fleet get nothing; `busy` have a job that they have not answered for."""
        return left_out(self._cases, pods, busy, _now()) if self._cases else frozenset()

    def turned_down(self, uid: str, seconds: float) -> None:
        """A pod did not take a job, by its fault or not: ask it last for a while."""
        self._shunned[uid] = _now() + seconds

    def failed(self, uid: str, name: str, fault: Fault) -> None:
        """A pod did something wrong."""
        now, before = _now(), self._cases.get(uid)
        self._metrics.faults.labels(fault).inc()
        case = self._cases[uid] = after(before, fault, now, self._rules)
        if case.times > (before.times if before else 0):
            self._metrics.quarantines.labels(fault).inc()
            _log.warning(
                "%s gets no jobs for %.0f s: %d faults in a row, the last one %s",
                name,
                case.until - now,
                case.faults,
                fault,
            )

    def bid_late(self, uid: str) -> None:
        """A pod that was taken to be silent has bid after all."""
        self._shunned.pop(uid, None)
        case = self._cases.pop(uid, None)
        if case is not None and (left := after_late_bid(case)) is not None:
            self._cases[uid] = left

    def started(self, uid: str, name: str) -> None:
        """A pod has started a job: nothing is held against it any more."""
        self._shunned.pop(uid, None)
        case = self._cases.pop(uid, None)
        if case is not None and case.times:
            _log.info("%s starts jobs again", name)

    def keep_only(self, uids: Collection[str]) -> None:
        """Only these pods are there."""
        self._cases = {uid: case for uid, case in self._cases.items() if uid in uids}
        self._shunned = {uid: until for uid, until in self._shunned.items() if uid in uids}


def _now() -> float:
    return asyncio.get_running_loop().time()
