"""Idle is not finished: an egress pod stays until livekit-server has the ends of its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.kit.operator.fleet_builders import (
    NOW,
    SETTLE,
    TIMEOUT,
    draining,
    fleet,
    observe,
    pod,
    words,
)

from mediafleet_common.api.names import Condition, Kind
from mediafleet_common.api.shared import OnTimeout
from mediafleet_common.reports.merged_config import UPDATE_SECONDS, MergedConfig
from mediafleet_operator.core.fleet.model import (
    FleetKey,
    History,
    Observation,
    PodView,
    Reading,
    Unconfirmed,
)
from mediafleet_operator.core.plan import plan
from mediafleet_operator.core.status.status import report

DELETE = ["delete 0 DrainFinished"]


def idle(busy_ago: float | None = None, finished: int = 1) -> History:
    """Two idle readings of a pod that has had jobs, the last of them so long ago."""
    busy_at = None if busy_ago is None else NOW - busy_ago
    return tuple(Reading(NOW - ago, 0, finished=finished, busy_at=busy_at) for ago in (1.5, 0.5))


def seen(
    loads: History, said: Mapping[str, int | None] | None, leaver: PodView, **more: Any
) -> Observation:
    spec = fleet(0, **more)
    observation = observe(spec, [leaver], loads={0: loads})
    unconfirmed = None if said is None else Unconfirmed(NOW - 0.5, said)
    return replace(observation, unconfirmed=unconfirmed)


def steps(*arguments: Any, **more: Any) -> list[str]:
    return [each for each in words(plan(seen(*arguments, **more)).actions) if "mark" not in each]


LEAVER = draining(0, since=20.0)


@pytest.mark.parametrize(
    ("claim", "loads", "said", "leaves"),
    [
        ("the desk says that one is not confirmed", idle(10.0), {"rec-0": 1}, False),
        ("it says that all are", idle(10.0), {"rec-0": 0}, True),
        ("livekit-server is silent, and it was busy lately", idle(10.0), {"rec-0": None}, False),
        ("the desk is silent, and it was busy lately", idle(10.0), None, False),
        ("both are, and it was busy long ago", idle(UPDATE_SECONDS), None, True),
        ("the desk does not know the pod yet", idle(10.0), {}, False),
        ("it never had a job", idle(None, finished=0), None, True),
        ("it never had a job, but the desk knows of one", idle(None, 0), {"rec-0": 1}, False),
    ],
)
def test_a_drained_pod_that_is_idle(
    claim: str, loads: History, said: Mapping[str, int | None] | None, leaves: bool
) -> None:
    assert steps(loads, said, LEAVER) == (DELETE if leaves else []), claim


def test_a_word_from_before_it_had_settled_does_not_count() -> None:
    observation = seen(idle(10.0), {"rec-0": 0}, draining(0, since=SETTLE + 2))
    old = replace(observation, unconfirmed=Unconfirmed(NOW - 3.0, {"rec-0": 0}))
    assert [each for each in words(plan(old).actions) if "delete" in each] == []


def test_the_time_is_kept_on_the_pod_so_that_another_operator_knows_it() -> None:
    fresh = (Reading(NOW - 1.5, 0, finished=1), Reading(NOW - 0.5, 0, finished=1))
    lately = replace(LEAVER, busy_at=NOW - 30.0)
    assert steps(fresh, None, lately) == []
    long_ago = replace(LEAVER, busy_at=NOW - UPDATE_SECONDS)
    assert steps(fresh, None, long_ago) == DELETE
    assert steps(fresh, None, LEAVER) == [], "it had jobs, nobody knows when: from the drain on"
    assert steps(fresh, None, draining(0, since=UPDATE_SECONDS)) == DELETE


def test_how_long_an_update_may_take_is_said_by_the_pods_own_config() -> None:
    quick = replace(LEAVER, config=MergedConfig(2.0))
    assert steps(idle(8.0), None, quick) == []
    assert steps(idle(9.0), None, quick) == DELETE
    chosen = replace(seen(idle(5.0), None, quick), io_update_timeout=0.0)
    assert words(plan(chosen).actions) == DELETE, "the operator was told another"


def test_the_time_of_its_last_work_is_written_when_it_turns_idle() -> None:
    observation = observe(fleet(1), [pod(0, busy_label=True)], loads={0: idle(3.0)})
    (mark,) = plan(observation).actions
    assert getattr(mark, "busy_at", None) == NOW - 3.0
    written = pod(0, busy_at=NOW - 3.0)
    assert plan(observe(fleet(1), [written], loads={0: idle(3.0)})).actions == ()


def test_it_is_not_deleted_before_that_is_written() -> None:
    (mark,) = plan(seen(idle(None), None, replace(LEAVER, busy_label=True))).actions
    assert getattr(mark, "busy_at", None) == NOW


def test_it_waits_no_longer_than_a_drain_may_take() -> None:
    late = draining(0, since=TIMEOUT)
    assert steps(idle(10.0), {"rec-0": 1}, late, on_timeout=OnTimeout.WAIT) == DELETE
    assert steps(idle(10.0), None, late) == DELETE


def test_the_plan_looks_again_when_the_wait_is_over() -> None:
    planned = plan(seen(idle(10.0), None, LEAVER))
    assert planned.look_again_seconds == pytest.approx(UPDATE_SECONDS - 10.0)


def test_a_container_that_does_not_run_has_nothing_to_tell() -> None:
    assert steps(idle(10.0), {"rec-0": 1}, replace(LEAVER, work_running=False)) == DELETE


def test_nodes_of_pools_know_no_livekit_server() -> None:
    key = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "rec")
    assert steps(idle(10.0), None, LEAVER, key=key) == DELETE


def test_people_are_told_what_is_waited_for() -> None:
    observation = seen(idle(10.0), {"rec-0": 1}, LEAVER)
    status = report(observation, plan(observation), None, mode="spread")
    (said,) = [each for each in status.conditions if each.type == Condition.DRAINING.value]
    assert said.reason == "WaitingForLivekit"
    assert "rec-0" in said.message
