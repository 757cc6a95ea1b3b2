"""What of autoscaling outlives the process: it is read from the status as it was written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mediafleet_common.api.names import Reason
from mediafleet_common.api.scaling.autoscaling import Engine
from mediafleet_common.api.scaling.status import AutoscalingStatus, ScaleChange
from mediafleet_operator.core.autoscaling.history import agreed, engine_of, past_of, status_of
from mediafleet_operator.core.autoscaling.model import Change, Past, Scaling

AT = 1_767_323_045.678
PAST = Past(5, (Change(AT - 9, 2, 0), Change(AT, 0, 1)), last_change=AT)


def scaling(past: Past, why: str = "5 run") -> Scaling:
    return Scaling(Engine.KEDA, True, Reason.AUTOSCALING, why, past, wanted=4)


def test_a_status_says_who_wants_how_many_and_why_and_what_has_changed() -> None:
    assert status_of(scaling(PAST)) == AutoscalingStatus(
        engine="keda",
        wanted=4,
        why="5 run",
        replicas=5,
        last_scale_time="2026-01-02T03:04:05.678Z",
        changes=[
            ScaleChange(time="2026-01-02T03:03:56.678Z", added=2),
            ScaleChange(time="2026-01-02T03:04:05.678Z", removed=1),
        ],
    )


def test_the_next_process_knows_what_the_last_one_wrote() -> None:
    assert past_of(status_of(scaling(PAST))) == PAST
    assert past_of(status_of(scaling(Past()))) == Past()
    assert past_of(None) == Past()


def test_two_operators_that_saw_one_change_at_two_moments_come_to_write_the_same() -> None:
    # Of a count that changed, one process knows a later time than the other.
    later = Past(5, (Change(AT + 0.3, 2, 1),), last_change=AT + 0.3, idle_since=AT)
    for own, other in ((PAST, later), (later, PAST)):
        one, two = agreed(own, status_of(scaling(other))), agreed(other, status_of(scaling(own)))
        assert status_of(scaling(one)) == status_of(scaling(two)) == status_of(scaling(later))
    assert agreed(later, None) == agreed(later, AutoscalingStatus(replicas=5)) == later
    of_another_count = replace(PAST, replicas=4, last_change=AT + 9)
    assert agreed(later, status_of(scaling(of_another_count))) == later


def test_a_change_at_no_time_is_left_out() -> None:
    status = AutoscalingStatus(replicas=3, changes=[ScaleChange(time="yesterday", added=1)])
    assert past_of(status) == Past(3)


def test_a_long_reckoning_is_cut_to_what_the_schema_takes() -> None:
    assert status_of(scaling(PAST, "x" * 2000)).why == "x" * 1000


@pytest.mark.parametrize(
    ("status", "engine"),
    [
        (None, Engine.NONE),
        (AutoscalingStatus(), Engine.NONE),
        (AutoscalingStatus(engine="of-a-later-release"), Engine.NONE),
        (AutoscalingStatus(engine="hpa"), Engine.HPA),
    ],
)
def test_who_was_in_charge_is_nobody_where_the_status_does_not_say(
    status: AutoscalingStatus | None, engine: Engine
) -> None:
    assert engine_of(status) is engine
