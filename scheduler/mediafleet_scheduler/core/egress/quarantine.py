"""Which pods are left out for a while, because they fail what they are given. Pure.

Three faults in a row, and a pod gets nothing for its back-off. Then it comes back by itself, on
trial: one job at a time until one has started, which clears it; a fault sends it away at once, for
twice as long. A pod that is full is not at fault. A pod of which the ledger said that it had room
to spare, and which bids for nothing or refuses, is.

    well --fault, fault, fault--> out --back-off over--> on trial --start--> well
                                   ^---------- fault ----------'

At most half of a fleet is out at a time: when all fail, it is not the pods, and a fleet of one has
nobody else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

_SHARE: Final = 2
"""One in so many may be out."""


class Fault(StrEnum):
    """What a pod did wrong."""

    NO_BID = "no_bid"
    """It did not bid, with room to spare."""
    REFUSED = "refused"
    """It bid, and refused at the start, with room to spare."""
    FAILED = "failed"
    """The start failed there."""
    NO_ANSWER = "no_answer"
    """It was granted a start and never answered."""


class Standing(StrEnum):
    """What a pod may be given."""

    WELL = "well"
    OUT = "out"
    """Nothing."""
    ON_TRIAL = "on_trial"
    """One job at a time."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When a pod is left out, and for how long."""

    faults: int = 3
    """A pod that fails so often in a row gets no jobs for its back-off."""
    first_back_off_seconds: float = 15.0
    """The first time; twice as long each further time."""
    max_back_off_seconds: float = 600.0
    """No back-off is longer."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is held against a pod."""

    faults: int
    """In a row."""
    fault: Fault
    """The last one."""
    times: int = 0
    """How often it was sent away since it last started a job."""
    until: float = 0.0
    """When its back-off ends; 0: it has none yet."""

    def standing(self, now: float) -> Standing:
        """What the pod may be given."""
        if self.times == 0:
            return Standing.WELL
        return Standing.OUT if now < self.until else Standing.ON_TRIAL


def after(case: Case | None, fault: Fault, now: float, rules: Rules) -> Case:
    """A pod's case after another fault."""
    if case is None:
        case = Case(0, fault)
    if case.standing(now) is Standing.OUT:
        # Of a start that was under way when it was sent away.
        return replace(case, fault=fault)
    faults = case.faults + 1
    if faults < rules.faults and case.times == 0:
        return replace(case, faults=faults, fault=fault)
    back_off = min(rules.first_back_off_seconds * 2**case.times, rules.max_back_off_seconds)
    return Case(faults, fault, case.times + 1, now + back_off)


def after_late_bid(case: Case) -> Case | None:
    """A pod's case when it bids after all; `None`: nothing is held against it.

    Not to bid in time was a question, and this is the answer; other faults stay.
    """
    if case.fault is not Fault.NO_BID:
        return case
    if case.times > 0 or case.faults <= 1:
        return None
    return replace(case, faults=case.faults - 1)


def left_out(
    cases: Mapping[str, Case], pods: Collection[str], busy: Collection[str], now: float
) -> frozenset[str]:
    """Which of a fleet's pods, by uid, are given nothing now.

    `busy` are those that have not yet answered for a job they were given.
    """
    standings = {uid: cases[uid].standing(now) for uid in pods if uid in cases}
    out = [uid for uid, standing in standings.items() if standing is Standing.OUT]
    out.sort(key=lambda uid: (-cases[uid].until, uid))
    trial = [uid for uid, standing in standings.items() if standing is Standing.ON_TRIAL]
    return frozenset(out[: len(pods) // _SHARE]) | {uid for uid in trial if uid in busy}


def room_to_spare(other_jobs: int, free_cores: float | None, cores: float, known: bool) -> bool:
    """Whether a pod that was given a job of so many CPUs had room to spare, by the ledger.

    Takes the jobs it has beside this one, and the CPUs that it would have left with it. A pod that
    runs what the ledger may not know of, or whose CPUs are unknown, has the benefit of the doubt.
    """
    if not known:
        return False
    return other_jobs == 0 or (free_cores is not None and free_cores >= cores)
