"""What a fleet's status, conditions and Events say."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kit.operator.fleet_builders import (
    NOW,
    TIMEOUT,
    draining,
    fleet,
    observe,
    pending,
    pod,
)

from mediafleet_common.api.egress.fleet import EgressFleetStatus
from mediafleet_common.api.names import Condition, DrainReason, Kind, Reason
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolStatus
from mediafleet_common.api.shared import ConditionStatus, FleetStatus, OnTimeout
from mediafleet_common.reports.merged_config import MergedConfig
from mediafleet_operator.core.fleet.actions import Action, Create, Delete, Drain, Undrain
from mediafleet_operator.core.fleet.model import (
    FleetKey,
    Memory,
    Observation,
    PodView,
    Reading,
    Refusal,
)
from mediafleet_operator.core.plan import plan
from mediafleet_operator.core.status.conditions import NAMED_PODS, names_of
from mediafleet_operator.core.status.events import events_to_post, restarts_to_post
from mediafleet_operator.core.status.status import MAX_PODS, report

POOL = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "rec")


def status_of(observation: Observation, previous: FleetStatus | None = None) -> FleetStatus:
    return report(observation, plan(observation), previous, mode="spread")


def condition(status: FleetStatus, name: Condition) -> ConditionStatus:
    return next(each for each in status.conditions if each.type == name.value)


def said(name: Condition, *pods: PodView, **more: Any) -> tuple[str, str, str]:
    memory = more.pop("memory", Memory())
    jobs = more.pop("jobs", None)
    loads = more.pop("loads", None)
    replicas = more.pop("replicas", len(pods))
    seen = observe(fleet(replicas, **more), pods, jobs, memory=memory, loads=loads)
    found = condition(status_of(seen), name)
    return found.status, found.reason, found.message


def test_counts_leave_draining_pods_out_else_an_autoscaler_writes_them_back() -> None:
    status = status_of(observe(fleet(2), [pod(0), pending(1), draining(2), draining(3)]))

    assert (status.replicas, status.ready_replicas, status.draining) == (2, 1, 2)
    assert status.selector == (
        "mediafleet.dev/kind=egress,mediafleet.dev/fleet=rec,"
        "mediafleet.dev/state in (pending,ready)"
    )


def test_a_rollouts_extra_pods_do_not_count_as_replicas() -> None:
    old = [pod(0, template="old"), pod(1, template="old")]
    status = status_of(observe(fleet(2), [*old, pod(2)]))

    assert (status.replicas, status.updated_replicas) == (2, 1)


def test_the_jobs_of_a_fleet_are_unknown_as_soon_as_those_of_one_pod_are() -> None:
    known = status_of(observe(fleet(2), [pod(0), pod(1)], {0: 2, 1: 1}))
    unknown = status_of(observe(fleet(2), [pod(0), pod(1)], {0: 2, 1: None}))

    assert isinstance(known, EgressFleetStatus)
    assert isinstance(unknown, EgressFleetStatus)
    assert (known.jobs, unknown.jobs) == (3, None)


def test_a_pool_says_how_many_may_be_listed_and_when_the_list_changes() -> None:
    one = [pod(0, address="https://a:1"), pod(1, address=None), pod(2, address="https://b:1")]
    two = [one[0], one[1], draining(2, address="https://b:1")]
    first = status_of(observe(fleet(3, key=POOL), one))
    second = status_of(observe(fleet(2, key=POOL), two))

    assert isinstance(first, OrchestratorPoolStatus)
    assert isinstance(second, OrchestratorPoolStatus)
    assert (first.listed, second.listed) == (2, 1)
    assert first.list_hash != second.list_hash


def test_addresses_that_the_advertiser_finds_silent_make_address_ready_unknown() -> None:
    told = ConditionStatus(
        type="AddressVerified",
        status="False",
        last_transition_time="2026-01-01T00:00:00Z",
        reason="AddressUnverified",
        message="The pod of rec-0 answers and its address does not.",
    )
    addressed = observe(fleet(1, key=POOL), [pod(0, address="https://a:1")])
    found = condition(status_of(addressed, FleetStatus(conditions=[told])), Condition.ADDRESS_READY)
    assert (found.status, found.reason, found.message) == ("Unknown", told.reason, told.message)
    nameless = observe(fleet(1, key=POOL), [pod(0, address=None)])
    status = status_of(nameless, FleetStatus(conditions=[told]))
    assert condition(status, Condition.ADDRESS_READY).status == "False"


def test_the_room_of_a_pool_is_what_its_ready_nodes_say_and_unknown_as_soon_as_one_does_not() -> (
    None
):
    def room(*capacities: int | None) -> int | None:
        spec = fleet(len(capacities), key=POOL)
        history = {slot: (Reading(NOW, 1, each),) for slot, each in enumerate(capacities)}
        status = status_of(observe(spec, [pod(slot) for slot in history], loads=history))
        assert isinstance(status, OrchestratorPoolStatus)
        return status.max_sessions

    assert room(10, 20) == 30
    assert room(10, None) is None
    assert room() == 0


def test_a_money_port_that_can_be_reached_is_graver_than_any_pod_that_fails() -> None:
    broken = pending(1, trouble=Reason.IMAGE_PULL)
    found = said(
        Condition.DEGRADED, pod(0), broken, loads={0: (Reading(NOW, 0, None, True),)}, key=POOL
    )

    assert found[:2] == ("True", "CliExposed")
    assert "rec-0" in found[2]
    assert "LP_CLIADDR" in found[2]


def test_nodes_whose_work_is_not_counted_are_named_with_the_fix() -> None:
    unread = Reading(NOW, None, uncounted=True)
    found = said(Condition.DEGRADED, pod(0), pod(1), loads={1: (unread,)}, key=POOL)
    assert found[:2] == ("True", "WorkUncounted")
    assert "rec-1 do" in found[2]
    assert "load: requests" in found[2]
    quiet = said(Condition.DEGRADED, pod(0), loads={0: (Reading(NOW, 0),)}, key=POOL)
    assert quiet[:2] == ("False", "AsWanted")


def test_a_status_stays_small() -> None:
    pods = [pod(slot) for slot in range(MAX_PODS + 50)]

    assert len(status_of(observe(fleet(len(pods)), pods)).pods) == MAX_PODS


def test_a_pods_line_says_why_and_since_when_it_drains() -> None:
    leaving = draining(0, drain_reason=DrainReason.TEMPLATE)
    line = status_of(observe(fleet(0), [leaving], {0: 2})).pods[0]

    assert (line.state, line.load, line.reason) == ("draining", 2, "template")
    assert line.since == "1970-01-12T13:45:40Z"


@pytest.mark.parametrize(
    ("got", "wanted"),
    [
        (said(Condition.READY, pod(0)), ("True", "AsWanted", "1 of 1 pods Ready.")),
        (
            said(Condition.READY, pod(0), pending(1)),
            ("False", "WaitingForPods", "1 of 2 pods Ready: waiting for rec-1 to start."),
        ),
        (said(Condition.READY, replicas=0), ("True", "AsWanted", "0 of 0 pods Ready.")),
        (
            said(
                Condition.READY,
                pending(0, trouble=Reason.IMAGE_PULL, complaint="not found"),
            ),
            (
                "False",
                "ImagePull",
                (
                    "0 of 1 pods Ready. ImagePull: rec-0 (not found). Correct spec.image, or "
                    "add an imagePullSecret."
                ),
            ),
        ),
        (
            said(
                Condition.DEGRADED,
                replicas=2,
                memory=Memory(Refusal(Reason.QUOTA_EXCEEDED, "exceeded quota: few", 1, NOW)),
            ),
            ("True", "QuotaExceeded", "exceeded quota: few"),
        ),
        (said(Condition.DEGRADED, pod(0)), ("False", "AsWanted", "No pod is in trouble.")),
        (
            said(Condition.DEGRADED, pending(0, created_at=NOW - 5, unschedulable_since=NOW - 5)),
            ("False", "AsWanted", "No pod is in trouble."),
        ),
        (
            said(Condition.PROGRESSING, pod(0, template="old"), pod(1)),
            ("True", "RollingOut", "1 of 2 pods are still to be replaced."),
        ),
        (
            said(Condition.PROGRESSING, pending(0)),
            ("True", "ScalingUp", "1 more pod has to become Ready."),
        ),
        (
            said(
                Condition.PROGRESSING,
                pod(0, template="old"),
                pending(1, trouble=Reason.CRASH_LOOP),
                replicas=1,
                max_failures=1,
            ),
            (
                "False",
                "RolloutStopped",
                (
                    "The rollout stopped at 1 of 1 pods, since new ones fail. Correct spec.image "
                    "or spec.template; the change starts it again."
                ),
            ),
        ),
        (said(Condition.DRAINING, pod(0)), ("False", "NoPodsDrain", "No pod drains.")),
        (
            said(Condition.DRAINING, draining(0), replicas=0, jobs={0: 1}),
            ("True", "WaitingForIdle", "Waiting until idle: rec-0."),
        ),
        (
            said(Condition.DRAINING, draining(0), replicas=0, jobs={0: None}),
            (
                "True",
                "LoadUnknown",
                (
                    "The load of rec-0 cannot be read, so they are not deleted. See whether their "
                    "metrics answer."
                ),
            ),
        ),
        (
            said(
                Condition.DRAINING,
                draining(0, since=TIMEOUT),
                replicas=0,
                jobs={0: 1},
                on_timeout=OnTimeout.WAIT,
            ),
            (
                "True",
                "DrainTimedOut",
                (
                    "Past spec.drain.timeout: rec-0. They are waited for as spec.drain.onTimeout: "
                    "wait says; delete a pod to end the wait."
                ),
            ),
        ),
        (
            said(Condition.PAUSED, paused=True),
            ("True", "Paused", "Pods are left as they are. Set spec.paused to false to go on."),
        ),
        (
            said(Condition.TEMPLATE_VALID, template_problem="spec.args[0] is wrong"),
            ("False", "TemplateInvalid", "spec.args[0] is wrong"),
        ),
        (
            said(Condition.CPU_UNKNOWN, cpu_declared=True)[:2],
            ("False", "CpuDeclared"),
        ),
        (
            said(Condition.CPU_UNKNOWN, cpu_declared=False)[:2],
            ("True", "CpuNotDeclared"),
        ),
        (
            said(Condition.GRACE_SHORT, grace_seconds=360, drain_timeout_seconds=3600.0)[:2],
            ("True", "GraceBelowDrainTimeout"),
        ),
        (
            said(Condition.ADDRESS_READY, pod(0), key=POOL)[:2],
            ("False", "AddressUnknown"),
        ),
    ],
)
def test_a_condition_says_what_is_and_what_to_do(
    got: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    assert got == wanted


def test_a_grace_period_that_covers_a_drain_is_nothing_to_tell_of() -> None:
    for grace in (None, 3600, 7200):
        seen = observe(fleet(0, grace_seconds=grace, drain_timeout_seconds=3600.0), [])
        assert Condition.GRACE_SHORT not in [each.type for each in status_of(seen).conditions]


def test_pods_that_count_with_other_costs_than_the_desk_are_named_with_the_fix() -> None:
    alike = {"track_cpu_cost": 0.5}
    odd = pod(1, config=MergedConfig(30.0, {"track_cpu_cost": 1.0}))
    silent, same = pod(0), pod(2, config=MergedConfig(30.0, alike))
    seen = observe(fleet(3, costs=alike), [silent, odd, same])
    (told,) = [e for e in status_of(seen).conditions if e.type == Condition.COSTS_DIFFER.value]
    assert (told.status, told.reason) == ("True", "CountedOtherwise")
    assert "cpu_cost.track_cpu_cost is 1 in rec-1 and 0.5 there" in told.message
    for costs, pods in ((alike, [silent, same]), (None, [odd])):
        seen = observe(fleet(3, costs=costs), pods)
        types = [each.type for each in status_of(seen).conditions]
        assert Condition.COSTS_DIFFER.value not in types


def test_a_transition_time_moves_only_with_the_status() -> None:
    first = status_of(observe(fleet(2), [pod(0), pending(1)]))
    again = status_of(observe(fleet(3), [pod(0), pending(1)], now=NOW + 50), first)
    ready = status_of(observe(fleet(1), [pod(0)], now=NOW + 99), again)

    times = [condition(each, Condition.READY).last_transition_time for each in (first, again)]
    assert times[0] == times[1]
    assert condition(first, Condition.READY).message != condition(again, Condition.READY).message
    assert condition(ready, Condition.READY).last_transition_time == "1970-01-12T13:48:19Z"


def test_conditions_of_others_are_kept() -> None:
    other = ConditionStatus(
        type="example.com/Billed",
        status="True",
        last_transition_time="2026-01-01T00:00:00Z",
        reason="Theirs",
    )
    previous = FleetStatus(conditions=[other])

    assert other in status_of(observe(fleet(1), [pod(0)]), previous).conditions


def test_only_the_first_names_are_said() -> None:
    names = [f"rec-{slot}" for slot in range(NAMED_PODS + 2)]

    assert names_of(names).endswith("rec-4 and 2 more")


def test_events_say_a_whole_step_each() -> None:
    done: list[Action] = [
        Create(3, Reason.SCALED_UP),
        Create(4, Reason.SCALED_UP),
        Drain(pod(0, busy_label=True), DrainReason.TEMPLATE),
        Undrain(draining(5)),
        Delete(draining(1), Reason.DRAIN_FINISHED),
        Delete(draining(2), Reason.DRAIN_TIMED_OUT),
    ]
    quiet = FleetStatus()

    assert [
        (each.type, each.reason.value, each.note)
        for each in events_to_post(done, "rec-", None, quiet)
    ] == [
        ("Normal", "ScaledUp", "Created rec-3, rec-4."),
        ("Normal", "DrainCancelled", "Took back rec-5."),
        ("Normal", "DrainStarted", "Draining rec-0 (template): no new work, deleted once idle."),
        ("Normal", "DrainFinished", "Deleted rec-1: settled and idle."),
        (
            "Warning",
            "DrainTimedOut",
            "Deleted rec-2: still busy at the end of spec.drain.timeout.",
        ),
    ]


def test_trouble_is_told_once_while_it_lasts() -> None:
    broken = observe(fleet(1), [pending(0, trouble=Reason.CRASH_LOOP)])
    first = status_of(broken)
    second = status_of(broken, first)

    assert [each.reason for each in events_to_post([], "rec-", None, first)] == [Reason.CRASH_LOOP]
    assert events_to_post([], "rec-", first, second) == []


def test_a_pod_that_has_disabled_itself_shows_in_status_condition_and_events() -> None:
    loads = {0: (Reading(NOW - 0.5, 1, disabled=True),)}
    status = status_of(observe(fleet(1), [pod(0)], loads=loads))
    assert status.pods[0].reason == Reason.POD_DISABLED.value
    degraded = condition(status, Condition.DEGRADED)
    assert (degraded.status, degraded.reason) == ("True", Reason.POD_DISABLED.value)
    assert "rec-0" in degraded.message
    (told,) = events_to_post([Drain(pod(0), DrainReason.DISABLED)], "rec-", status, status)
    assert "livekit_egress_is_disabled" in told.note


def test_a_container_that_was_started_anew_is_told_once_and_only_by_who_saw_it_before() -> None:
    ended = "container egress ended with exit code 137 (OOMKilled)"
    pods = [pod(1, restarts=2, last_end=ended), pod(0, restarts=1, last_end=ended)]
    theirs = pod(2, restarts=3, ours=False)
    assert restarts_to_post([*pods, theirs], {}) == []
    told = restarts_to_post([*pods, theirs], {"uid-0": 0, "uid-1": 2, "uid-2": 0})
    assert [(each.type, each.reason) for each in told] == [("Warning", Reason.CONTAINER_RESTARTED)]
    assert told[0].note == f"rec-0: {ended}; kubelet started it anew, restart 1."
    both = restarts_to_post(pods, {"uid-0": 0, "uid-1": 0})
    assert [each.note[:5] for each in both] == ["rec-0", "rec-1"]
    assert restarts_to_post(pods, {"uid-0": 1, "uid-1": 2}) == []
