"""What is told of drains that ended, and of work that came too late."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from tests.kit.operator.fleet_builders import (
    NOW,
    TIMEOUT,
    draining,
    fleet,
    observe,
    pod,
    readings,
)

from mediafleet_common.api.names import DrainReason, Reason
from mediafleet_common.api.shared import DrainResult, DrainStatus, FleetStatus, OnTimeout
from mediafleet_operator.core.drain.records import MAX_DRAINS, ended, newest
from mediafleet_operator.core.fleet.actions import Create, Delete, Undrain
from mediafleet_operator.core.fleet.state import FleetState
from mediafleet_operator.core.plan import plan
from mediafleet_operator.core.status.events import events_to_post
from mediafleet_operator.rounds.counters import FleetCounts, note_idle
from mediafleet_operator.rounds.metrics import OperatorMetrics

LEAVING = draining(1, since=90, drain_reason=DrainReason.TEMPLATE)


def drain(pod_name: str) -> DrainStatus:
    return DrainStatus(pod=pod_name, since="a", ended="b", result=DrainResult.IDLE, left=0)


def test_a_drain_is_told_with_since_when_how_it_ended_and_what_was_left() -> None:
    seen = observe(fleet(0), [LEAVING], loads={1: readings(0, 0)})
    [delete] = plan(seen).actions
    told = ended(delete, NOW)

    assert told is not None
    assert told.model_dump() == {
        "pod": "rec-1",
        "reason": "template",
        "since": "1970-01-12T13:45:10Z",
        "ended": "1970-01-12T13:46:40Z",
        "result": DrainResult.IDLE,
        "left": 0,
    }
    [event] = events_to_post([delete], "rec-", None, FleetStatus())
    assert event.note == "Deleted rec-1 (drained 90 s): settled and idle."


def test_one_that_timed_out_says_how_many_were_left_or_that_nobody_knows() -> None:
    late = draining(1, since=TIMEOUT + 1, busy_label=True)
    notes = []
    for jobs in (2, None):
        spec = fleet(0, on_timeout=OnTimeout.KILL)
        [delete] = plan(observe(spec, [late], loads={1: readings(jobs, jobs)})).actions
        told = ended(delete, NOW)
        assert told is not None
        assert (told.result, told.left) == (DrainResult.TIMED_OUT, jobs)
        notes += [each.note for each in events_to_post([delete], "rec-", None, FleetStatus())]

    assert "rec-1 (drained 601 s, 2 left)" in notes[0]
    assert "rec-1 (drained 601 s, load unknown)" in notes[1]


def test_a_drain_that_is_taken_back_is_cancelled_and_other_actions_end_none() -> None:
    cancelled = ended(Undrain(LEAVING), NOW)

    assert cancelled is not None
    assert cancelled.result is DrainResult.CANCELLED
    assert ended(Create(0, Reason.SCALED_UP), NOW) is None
    assert ended(Delete(pod(0), Reason.SCALED_DOWN), NOW) is None


def test_the_last_few_are_kept_newest_first_and_each_once() -> None:
    first, second = drain("rec-1"), drain("rec-2")
    told = newest(None, [first, second])
    assert [each.pod for each in told] == ["rec-2", "rec-1"]
    # The status was written, and we did not learn that it was.
    assert newest(FleetStatus(drains=told), [first, second]) == told

    many = newest(FleetStatus(drains=told), [drain(f"pod-{i}") for i in range(MAX_DRAINS)])
    assert len(many) == MAX_DRAINS
    assert many[0].pod == f"pod-{MAX_DRAINS - 1}"


REGISTRY = CollectorRegistry()
COUNTS = FleetCounts(OperatorMetrics(REGISTRY))


def late() -> float:
    labels = {"kind": "egress"}
    return REGISTRY.get_sample_value("mediafleet_drain_late_sessions_total", labels) or 0.0


def test_a_pod_deleted_as_idle_that_has_work_after_all_is_counted_once() -> None:
    state, before = FleetState("uid"), late()
    going = draining(1, deleting=True)
    note_idle(state, Delete(going, Reason.DRAIN_FINISHED))

    def look(*jobs: int) -> None:
        seen = observe(fleet(0), [going], loads={1: readings(*jobs)})
        COUNTS.count_late_sessions(state, seen, plan(seen))

    look(0, 0)
    assert late() == before
    look(0, 1)
    look(1, 1)
    assert late() == before + 1


def test_a_pod_deleted_at_its_time_out_has_no_late_sessions() -> None:
    state, before = FleetState("uid"), late()
    going = draining(1, deleting=True)
    note_idle(state, Delete(going, Reason.DRAIN_TIMED_OUT))
    seen = observe(fleet(0), [going], loads={1: readings(1, 1)})
    COUNTS.count_late_sessions(state, seen, plan(seen))

    assert late() == before
