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
    """Pods that failed lately, by uid. Each desk learns by itself.

    With its PulseAudio dead a pod bids for no job that needs Chrome, and for all others (seen on
    livekit/egress 1.14.1): such a silence keeps only jobs with Chrome away.
    """

    def __init__(self, metrics: EgressMetrics, rules: Rules) -> None:
        self._metrics = metrics
        self._rules = rules
        self._cases: dict[str, Case] = {}
        self._chrome_cases: dict[str, Case] = {}
        self._refused_lately: dict[str, float] = {}

    @property
    def cases(self) -> Mapping[str, Case]:
        """What is held against each for all jobs; times are the event loop's."""
        return self._cases

    @property
    def any(self) -> bool:
        """Whether something is held against some pod."""
        return bool(self._cases or self._chrome_cases)

    def standing(self, uid: str, chrome: bool = False) -> Standing:
        """What a pod may be given, were its fleet large enough; `chrome`: of jobs with Chrome."""
        case = self._cases.get(uid) or (self._chrome_cases.get(uid) if chrome else None)
        return case.standing(_now()) if case else Standing.WELL

    def refused_lately(self, uid: str) -> bool:
        """Whether a pod is asked last: it has just turned something down."""
        return bool(self._refused_lately) and self._refused_lately.get(uid, 0.0) > _now()

    def refusing(self) -> Collection[str]:
        """Uids of the pods that are asked last."""
        if not self._refused_lately:
            return ()
        now = _now()
        return {uid for uid, until in self._refused_lately.items() if until > now}

    def left_out(
        self, pods: Collection[str], busy: Collection[str], chrome: bool = False
    ) -> frozenset[str]:
        """Which pods of a fleet get nothing, or no job with Chrome; `busy` have a job that they
        have not answered for."""
        cases = {**self._chrome_cases, **self._cases} if chrome else self._cases
        return left_out(cases, pods, busy, _now()) if cases else frozenset()

    def turned_down(self, uid: str, seconds: float) -> None:
        """A pod did not take a job, by its fault or not: ask it last for a while."""
        self._refused_lately[uid] = _now() + seconds

    def failed(self, uid: str, name: str, fault: Fault, chrome: bool = False) -> None:
        """A pod did something wrong with a job, perhaps one with Chrome."""
        only_chrome = chrome and fault is Fault.NO_BID
        cases = self._chrome_cases if only_chrome else self._cases
        now, before = _now(), cases.get(uid)
        self._metrics.faults.labels(fault).inc()
        case = cases[uid] = after(before, fault, now, self._rules)
        if case.times > (before.times if before else 0):
            self._metrics.quarantines.labels(fault).inc()
            _log.warning(
                "%s gets no %s for %.0f s: %d faults in a row, the last one %s",
                name,
                "jobs with Chrome" if only_chrome else "jobs",
                case.until - now,
                case.faults,
                fault,
            )

    def bid_late(self, uid: str, chrome: bool = False) -> None:
        """A pod that was taken to be silent has bid after all."""
        self._refused_lately.pop(uid, None)
        cases = self._chrome_cases if chrome else self._cases
        case = cases.pop(uid, None)
        if case is not None and (left := after_late_bid(case)) is not None:
            cases[uid] = left

    def started(self, uid: str, name: str, chrome: bool = False) -> None:
        """A pod has started a job: nothing is held against it any more, for jobs of that kind."""
        self._refused_lately.pop(uid, None)
        for cases in (self._cases, self._chrome_cases) if chrome else (self._cases,):
            case = cases.pop(uid, None)
            if case is not None and case.times:
                _log.info("%s starts jobs again", name)

    def keep_only(self, uids: Collection[str]) -> None:
        """Only these pods are there."""
        for cases in (self._cases, self._chrome_cases):
            for uid in [uid for uid in cases if uid not in uids]:
                del cases[uid]
        self._refused_lately = {
            uid: until for uid, until in self._refused_lately.items() if uid in uids
        }


def _now() -> float:
    return asyncio.get_running_loop().time()
