"""A long run of plans may be stopped at any time: what it has found stays."""

from __future__ import annotations

from pathlib import Path

from tests.kit.faults.kept import Kept, Progress
from tests.kit.faults.lives import End, Verdict
from tests.kit.faults.plans import Course, Fault, Plan

COURSES = {"EgressFleet up_and_down": Course(20, 30)}
FIRST = Plan("EgressFleet up_and_down", Fault.CONFLICT, 3)
SECOND = Plan("EgressFleet up_and_down", Fault.STALE, 1)
THIRD = Plan("EgressFleet up_and_down", Fault.SLOW, 9)


def end(verdict: Verdict, said: str = "") -> End:
    return End(verdict, said, Course(21, 30), struck=True, seconds=40.5)


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


def test_progress_says_how_many_are_done_and_how_long_the_rest_takes() -> None:
    kept = Kept(ends={"of an earlier run": end(Verdict.CONVERGED)})
    progress = Progress(kept, planned=4, began=0.0)
    kept.note(FIRST, end(Verdict.LATE, "not within 90 s"))
    progress.step()

    assert progress.line(60.0) == "2 of 4 plans: 1 converged, 1 late; 2 min to go"
