"""A long run of plans may be stopped at any time: what it has found stays."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tests.kit.faults.kept import Kept, Progress, known
from tests.kit.faults.lives import End, Verdict
from tests.kit.faults.plans import Course, Fault, Plan, some
from tests.kit.faults.workloads import WORKLOADS
from tests.kit.faults.world import twice

from mediafleet_common.api.names import Label

SLOT = Label.SLOT.value
COURSES = {"EgressFleet up_and_down": Course(20, {"pods": 30, "egressfleets": 12})}
FIRST = Plan("EgressFleet up_and_down", Fault.CONFLICT, 3)
SECOND = Plan("EgressFleet up_and_down", Fault.STALE, 1)
THIRD = Plan("EgressFleet up_and_down", Fault.SLOW, 9)


def end(verdict: Verdict, said: str = "") -> End:
    return End(verdict, said, Course(21, {"pods": 30}), struck=True, seconds=40.5)


def test_a_run_that_was_killed_in_a_line_goes_on_with_all_the_others(tmp_path: Path) -> None:
    file = tmp_path / "build" / "plans.jsonl"
    kept = Kept.read(file)
    kept.learn(COURSES)
    kept.note(FIRST, end(Verdict.CONVERGED))
    kept.note(SECOND, end(Verdict.UNSAFE, "busy pod rec-0 is deleted"))
    with file.open("a") as lines:
        lines.write('\n{"plan": "EgressFleet up_and_down: slow at 7", "en')
    Kept.read(file).note(THIRD, end(Verdict.CONVERGED))

    again = Kept.read(file)
    assert again.courses == COURSES
    assert again.ends == {**kept.ends, str(THIRD): end(Verdict.CONVERGED)}
    assert again.failures() == {str(SECOND): "unsafe: busy pod rec-0 is deleted"}


def test_the_few_plans_of_ci_strike_each_workload_and_have_each_fault_twice() -> None:
    courses = known()
    assert courses.keys() == WORKLOADS.keys()
    plans = some(courses, 40, seed=1)
    assert len({str(plan) for plan in plans}) == 40
    assert {plan.workload for plan in plans} == WORKLOADS.keys()
    assert min(Counter(plan.fault for plan in plans).values()) == 40 // len(Fault) == 2


def pod(owner: str, slot: str) -> dict[str, Any]:
    return {"metadata": {"labels": {SLOT: slot}, "ownerReferences": [{"uid": owner}]}}


def test_two_pods_of_one_owner_in_one_slot_are_told_and_those_of_two_owners_are_none() -> None:
    stranger = {"metadata": {"labels": {SLOT: "0"}}}
    assert twice([pod("a", "0"), pod("b", "0"), pod("a", "1"), stranger]) == []
    assert twice([pod("a", "0"), pod("a", "1"), pod("a", "0")]) == ["slot 0 is there 2 times"]


def test_progress_says_how_many_are_done_and_how_long_the_rest_takes() -> None:
    kept = Kept(ends={"of an earlier run": end(Verdict.CONVERGED)})
    progress = Progress(kept, planned=4, began=0.0)
    kept.note(FIRST, end(Verdict.LATE, "not within 90 s"))
    progress.step()

    assert progress.line(60.0) == "2 of 4 plans: 1 converged, 1 late; 2 min to go"
