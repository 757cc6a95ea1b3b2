"""Which steps and troubles of a fleet are worth an Event."""

from __future__ import annotations

import pytest
from tests.kit.operator.fleet_builders import draining, pod

from mediafleet_common.api.names import Condition, DrainReason, Reason
from mediafleet_common.api.shared import ConditionStatus, FleetStatus
from mediafleet_operator.core.fleet.actions import (
    Action,
    Create,
    Delete,
    Drain,
    Rescale,
    SetReplicas,
)
from mediafleet_operator.core.status.events import events_to_post


def notes(*done: Action) -> list[tuple[str, str, str]]:
    posted = events_to_post(done, "rec-", None, FleetStatus())
    return [(each.type, each.reason.value, each.note) for each in posted]


def test_a_changed_count_is_told_with_its_direction_and_why() -> None:
    assert notes(SetReplicas(2), Rescale(2, 5, "5 run."), Rescale(5, 1, "idle.")) == [
        ("Normal", "ScaledUp", "spec.replicas was absent; set to 2."),
        ("Normal", "ScaledUp", "spec.replicas 2 -> 5: 5 run."),
        ("Normal", "ScaledDown", "spec.replicas 5 -> 1: idle."),
    ]


def test_pods_that_somebody_asked_for_are_told_by_the_status_alone_and_what_was_set_is_told() -> (
    None
):
    done: list[Action] = [SetReplicas(2), *(Create(slot, Reason.SCALED_UP) for slot in (0, 1))]

    def told(*, asked: bool) -> list[str]:
        posted = events_to_post(done, "rec-", FleetStatus(), FleetStatus(), asked=asked)
        return [each.note for each in posted]

    assert told(asked=True) == ["spec.replicas was absent; set to 2."]
    assert told(asked=False) == [*told(asked=True), "Created rec-0, rec-1."]


@pytest.mark.parametrize("reason", DrainReason)
def test_an_idle_pod_that_leaves_at_once_since_the_fleet_was_changed_has_no_event(
    reason: DrainReason,
) -> None:
    by_change = reason in {DrainReason.SCALE_DOWN, DrainReason.TEMPLATE}
    leaving = draining(0, drain_reason=reason)

    assert bool(notes(Drain(pod(0), reason))) is not by_change
    assert bool(notes(Delete(leaving, Reason.DRAIN_FINISHED, None, 0, 8.0))) is not by_change
    # Whoever waits for work is told of, and whatever ends otherwise than it was to.
    assert notes(Drain(pod(0, busy_label=True), reason))
    assert notes(Delete(leaving, Reason.DRAIN_FINISHED, None, 0, 60.0))
    assert notes(Delete(leaving, Reason.DRAIN_TIMED_OUT, None, 1, 8.0))


def test_pods_of_one_reason_share_an_event_and_those_of_another_have_their_own() -> None:
    made = [Create(1, Reason.SCALED_UP), Create(2, Reason.ROLLING_OUT), Create(3, Reason.SCALED_UP)]
    assert notes(*made) == [
        ("Normal", "ScaledUp", "Created rec-1, rec-3."),
        ("Normal", "RollingOut", "Created rec-2."),
    ]
    drained = [Drain(pod(0), DrainReason.NODE), Drain(pod(1), DrainReason.CORDONED)]
    assert [note for _, _, note in notes(*drained)] == [
        "Draining rec-0 (node): no new work, deleted once idle.",
        "Draining rec-1 (cordoned): no new work, deleted once idle.",
    ]


@pytest.mark.parametrize(
    ("reason", "kind", "note"),
    [
        (Reason.DRAIN_FINISHED, "Normal", "Deleted rec-0: settled and idle."),
        (Reason.SCALED_DOWN, "Normal", "Deleted rec-0: never was Ready."),
        (Reason.ROLLING_OUT, "Normal", "Deleted rec-0: never was Ready, and outdated."),
        (Reason.POD_FAILED, "Warning", "Deleted rec-0, which had failed."),
        (Reason.POD_EVICTED, "Warning", "Deleted rec-0, which had been evicted."),
        (Reason.NODE_ENDED, "Normal", "Deleted rec-0."),
    ],
)
def test_a_deletion_says_how_it_came_to_it(reason: Reason, kind: str, note: str) -> None:
    assert notes(Delete(pod(0), reason)) == [(kind, reason.value, note)]


@pytest.mark.parametrize(("jobs", "tail"), [(0, ""), (2, ", 2 left"), (None, ", load unknown")])
def test_a_drain_that_ended_says_how_long_it_took_and_what_was_left(
    jobs: int | None, tail: str
) -> None:
    late = Delete(draining(0), Reason.DRAIN_TIMED_OUT, None, jobs, 61.4)
    ((_, _, note),) = notes(late)
    assert note == (
        f"Deleted rec-0 (drained 61 s{tail}): still busy at the end of spec.drain.timeout."
    )


def status(name: str, state: str, reason: Reason) -> FleetStatus:
    told = {"type": name, "status": state, "reason": reason.value, "message": "so it is"}
    told["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    return FleetStatus(conditions=[ConditionStatus.model_validate(told)])


@pytest.mark.parametrize(
    ("name", "state", "reason", "warned"),
    [
        (Condition.DEGRADED, "True", Reason.POD_LOST, True),
        (Condition.DEGRADED, "False", Reason.AS_WANTED, False),
        (Condition.TEMPLATE_VALID, "False", Reason.TEMPLATE_INVALID, True),
        (Condition.CPU_UNKNOWN, "True", Reason.CPU_NOT_DECLARED, True),
        (Condition.REDIS_NOT_ALLOWED, "True", Reason.REDIS_NOT_DECLARED, True),
        (Condition.SCALING_ACTIVE, "False", Reason.DEMAND_UNKNOWN, True),
        (Condition.SCALING_ACTIVE, "False", Reason.PAUSED, False),
        (Condition.PROGRESSING, "False", Reason.ROLLOUT_STOPPED, True),
        (Condition.DRAINING, "True", Reason.DRAIN_TIMED_OUT, True),
        (Condition.DRAINING, "True", Reason.WAITING_FOR_IDLE, False),
        (Condition.READY, "False", Reason.WAITING_FOR_PODS, False),
    ],
)
def test_a_warning_comes_with_what_a_person_has_to_see_to_and_once(
    name: Condition, state: str, reason: Reason, warned: bool
) -> None:
    now = status(name.value, state, reason)
    posted = [(each.type, each.reason, each.note) for each in events_to_post([], "rec-", None, now)]
    assert posted == ([("Warning", reason, "so it is")] if warned else [])
    assert events_to_post([], "rec-", now, now) == []
    if warned:
        other = status(name.value, state, Reason.POD_EVICTED)
        assert len(events_to_post([], "rec-", other, now)) == 1, "it is another trouble now"
        assert len(events_to_post([], "rec-", status(name.value, "Unknown", reason), now)) == 1
