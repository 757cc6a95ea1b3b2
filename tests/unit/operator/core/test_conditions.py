"""Conditions of a fleet in trouble: which trouble is told first, and when it no longer is."""

from __future__ import annotations

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
    pending,
    pod,
    readings,
)

from mediafleet_common.api.names import Condition, Kind, Reason
from mediafleet_common.api.scaling.autoscaling import Engine
from mediafleet_common.api.shared import ConditionStatus, FleetStatus
from mediafleet_common.reports.merged_config import MergedConfig
from mediafleet_operator.core.autoscaling.model import Past, Scaling
from mediafleet_operator.core.fleet import ailments
from mediafleet_operator.core.fleet.model import (
    AddressProblem,
    FleetKey,
    Memory,
    Observation,
    Reading,
    Refusal,
    Unconfirmed,
    Unmade,
)
from mediafleet_operator.core.plan import plan
from mediafleet_operator.core.status.conditions import conditions

POOL = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "rec")
TWO = [pod(0), pod(1)]
Said = tuple[str, str, str]


def told(seen: Observation, *before: ConditionStatus) -> dict[str, Said]:
    found = conditions(seen, plan(seen), FleetStatus(conditions=list(before)))
    return {each.type: (each.status, each.reason, each.message) for each in found}


def said(name: Condition, seen: Observation, *before: ConditionStatus) -> Said:
    return told(seen, *before)[name.value]


def known(name: Condition, reason: Reason, status: str = "True") -> ConditionStatus:
    return ConditionStatus.model_validate(
        {
            "type": name.value,
            "status": status,
            "reason": reason.value,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    )


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        ({"redis_problem": "not yours"}, "RedisNotDeclared"),
        ({"template_problem": "args"}, "TemplateInvalid"),
        ({"engine_conflict": "two engines"}, "EngineConflict"),
    ],
)
def test_what_keeps_pods_from_being_made_is_told_while_one_is_missing(
    problem: dict[str, str], reason: str
) -> None:
    (text,) = problem.values()
    short = told(observe(fleet(3, **problem), TWO))
    assert short["Degraded"] == ("True", reason, text)
    assert short["Ready"] == ("False", reason, f"2 of 3 pods Ready. {text}")
    full = told(observe(fleet(2, **problem), TWO))
    assert full["Degraded"][:2] == ("False", "AsWanted")


def test_a_template_is_not_valid_by_itself_beside_other_fleets_or_by_the_api_servers_word() -> None:
    def valid(**more: Any) -> Said:
        memory = more.pop("memory", Memory())
        return said(Condition.TEMPLATE_VALID, observe(fleet(2, **more), TWO[:1], memory=memory))

    assert valid() == ("True", "TemplateOk", "Pods can be made from the template.")
    conflict = valid(engine_conflict="two engines")
    assert conflict == ("False", "EngineConflict", "two engines")
    refused = Memory(Refusal(Reason.TEMPLATE_INVALID, "spec: wrong", 1, NOW))
    assert valid(memory=refused) == ("False", "TemplateInvalid", "spec: wrong")
    full = Memory(Refusal(Reason.QUOTA_EXCEEDED, "quota", 1, NOW))
    assert valid(memory=full)[:2] == ("True", "TemplateOk")
    assert valid(cpu_requested=0.1) == valid()
    status, _, message = valid(cpu_requested=0.02)
    assert (status, "request 0.02 CPUs" in message) == ("True", True)


def test_that_a_redis_is_not_declared_is_a_condition_only_while_it_is_so() -> None:
    fine = observe(fleet(2), TWO)
    assert "RedisNotAllowed" not in told(fine)
    found = said(Condition.REDIS_NOT_ALLOWED, observe(fleet(2, redis_problem="not yours"), TWO))
    assert found == ("True", "RedisNotDeclared", "not yours")


def test_what_the_desk_found_out_of_the_redis_stays_for_as_long_as_a_desk_looks_at_it() -> None:
    of_desk = known(Condition.REDIS_NOT_ALLOWED, Reason.REDIS_OF_OTHERS)
    assert "RedisNotAllowed" in told(observe(fleet(2), TWO), of_desk)
    assert "RedisNotAllowed" not in told(observe(fleet(2, native=True), TWO), of_desk)
    of_operator = known(Condition.REDIS_NOT_ALLOWED, Reason.REDIS_NOT_DECLARED)
    assert "RedisNotAllowed" not in told(observe(fleet(2), TWO), of_operator)
    both = told(observe(fleet(2, redis_problem="not yours"), TWO), of_desk)
    assert both["RedisNotAllowed"][1] == "RedisNotDeclared"


def test_what_a_desk_says_of_the_mode_is_kept_only_where_no_desk_says_it() -> None:
    ignored = known(Condition.MODE_UNSUPPORTED, Reason.MODE_IGNORED)
    assert "ModeUnsupported" in told(observe(fleet(2, native=True), TWO), ignored)
    assert "ModeUnsupported" not in told(observe(fleet(2), TWO), ignored)


def test_addresses_that_answer_leave_address_ready_as_it_is() -> None:
    seen = observe(fleet(1, key=POOL), [pod(0, address="https://a:1")])
    for status, wanted in (("True", "True"), ("Unknown", "True"), ("False", "Unknown")):
        verified = known(Condition.ADDRESS_VERIFIED, Reason.ADDRESS_ANSWERS, status)
        assert said(Condition.ADDRESS_READY, seen, verified)[0] == wanted


def test_a_pod_with_a_problem_of_its_address_is_named_and_the_gravest_is_told() -> None:
    unknown = AddressProblem(Reason.ADDRESS_UNKNOWN, "no node address")
    refused = AddressProblem(Reason.ADDRESS_REFUSED, "it is private")
    pods = [pod(0, address_problem=unknown), pod(1, address_problem=refused), pod(2, address="a")]
    seen = observe(fleet(3, key=POOL), pods)
    assert said(Condition.ADDRESS_READY, seen) == (
        "False",
        "AddressRefused",
        "Not listed: rec-0, rec-1; it is private.",
    )
    known_addresses = observe(fleet(1, key=POOL), [pods[2], pending(3)])
    assert said(Condition.ADDRESS_READY, known_addresses)[:2] == ("True", "AddressKnown")
    missing = observe(fleet(2, key=POOL), [pods[2], pod(3)])
    assert said(Condition.ADDRESS_READY, missing)[2] == (
        "No address is known of rec-3, so they are not listed."
    )
    assert "AddressReady" not in told(observe(fleet(1), [pods[2]]))


def test_a_namespace_that_refuses_host_ports_is_told_as_that_and_nothing_else_is() -> None:
    def address(message: str) -> Said:
        memory = Memory(Refusal(Reason.ADMISSION_REFUSED, message, 1, NOW))
        return said(Condition.ADDRESS_READY, observe(fleet(1, key=POOL), [], memory=memory))

    assert address("violates baseline: hostPort 8935")[:2] == ("False", "HostPortRefused")
    assert address("violates baseline: privileged")[:2] == ("True", "AddressKnown")


@pytest.mark.parametrize(
    ("active", "status", "words"),
    [
        (True, "True", "The number of pods follows demand, by engine keda."),
        (False, "False", "the desk is silent"),
    ],
)
def test_whether_demand_is_followed_is_told_of_a_fleet_that_scales(
    active: bool, status: str, words: str
) -> None:
    scaling = Scaling(Engine.KEDA, active, Reason.AUTOSCALING, "the desk is silent", Past())
    seen = replace(observe(fleet(2), TWO), scaling=scaling)
    assert said(Condition.SCALING_ACTIVE, seen) == (status, "Autoscaling", words)
    assert "ScalingActive" not in told(observe(fleet(2), TWO))


def test_trouble_is_told_once_it_lasts_and_the_one_that_most_pods_have_first() -> None:
    late = {"unschedulable_since": NOW - 60}
    pods = [
        pending(0, trouble=Reason.CRASH_LOOP),
        pending(1, **late),
        pending(2, **late, complaint="no node"),
    ]
    assert said(Condition.DEGRADED, observe(fleet(3), pods)) == (
        "True",
        "Unschedulable",
        "Unschedulable: rec-1, rec-2 (no node). Add nodes, or ask for less in spec.template.",
    )
    just = [replace(each, unschedulable_since=NOW - 59) for each in pods[1:]]
    assert said(Condition.DEGRADED, observe(fleet(3), [pods[0], *just]))[1] == "CrashLoop"
    lost = pod(1, node_lost_since=NOW - 30)
    assert said(Condition.DEGRADED, observe(fleet(1), [pod(0), lost]))[1] == "PodLost"


def test_of_all_that_is_wrong_with_pods_that_run_the_gravest_is_told() -> None:
    def degraded(reading: Reading, **memory: Any) -> str:
        seen = observe(fleet(2), TWO, loads={1: (reading,)}, memory=Memory(**memory))
        return said(Condition.DEGRADED, seen)[1]

    at = NOW - 1
    unmade = Unmade(Reason.PART_REFUSED, "the Service is refused")
    everything = Reading(at, 1, cli_exposed=True, uncounted=True, disabled=True)
    assert degraded(everything, unmade=unmade) == "CliExposed"
    assert degraded(replace(everything, cli_exposed=None), unmade=unmade) == "WorkUncounted"
    assert degraded(Reading(at, 1, disabled=True), unmade=unmade) == "PodDisabled"
    assert degraded(Reading(at, 1), unmade=unmade) == "PartRefused"
    assert degraded(Reading(at, 1)) == "AsWanted"
    assert degraded(Reading(NOW - 61, 1, disabled=True)) == "AsWanted", "it says nothing of now"


def test_what_could_not_be_made_beside_the_pods_is_named() -> None:
    memory = Memory(unmade=Unmade(Reason.CHILD_NOT_OURS, "Service rec-0 is another's"))
    assert said(Condition.DEGRADED, observe(fleet(2), TWO, memory=memory)) == (
        "True",
        "ChildNotOurs",
        "ChildNotOurs: Service rec-0 is another's",
    )


def test_an_idle_pod_whose_last_end_livekit_has_not_taken_is_told_as_waiting_for_it() -> None:
    leaving = draining(0, since=60)
    seen = observe(fleet(0), [leaving], loads={0: readings(0, 0)})
    waits = replace(seen, unconfirmed=Unconfirmed(NOW, {"rec-0": 1}))
    assert said(Condition.DRAINING, waits)[:2] == ("True", "WaitingForLivekit")
    taken = replace(seen, unconfirmed=Unconfirmed(NOW, {"rec-0": 0}))
    assert said(Condition.DRAINING, taken)[:2] == ("True", "WaitingForIdle")
    busy = observe(fleet(0), [leaving], loads={0: readings(1, 1)})
    busy = replace(busy, unconfirmed=Unconfirmed(NOW, {"rec-0": 1}))
    assert said(Condition.DRAINING, busy)[1] == "WaitingForIdle"
    fresh = observe(fleet(0), [draining(0, since=SETTLE - 1)], loads={0: readings(0, 0)})
    fresh = replace(fresh, unconfirmed=Unconfirmed(NOW, {"rec-0": 1}))
    assert said(Condition.DRAINING, fresh)[1] == "WaitingForIdle"


def test_a_drain_is_late_from_its_timeout_on_and_one_of_unknown_start_is_not() -> None:
    def reason(since: float | None) -> str:
        started = None if since is None else NOW - since
        leaving = draining(0, drain_started=started)
        return said(Condition.DRAINING, observe(fleet(0), [leaving], {0: 1}))[1]

    assert reason(TIMEOUT) == "DrainTimedOut"
    assert reason(TIMEOUT - 1) == "WaitingForIdle"
    assert reason(None) == "WaitingForIdle"


def test_a_pod_that_starts_is_progress_and_a_paused_fleet_makes_none() -> None:
    starting = [pod(0), pending(1), pending(2)]
    found = said(Condition.PROGRESSING, observe(fleet(3), starting))
    assert found == ("True", "ScalingUp", "2 more pods have to become Ready.")
    for wanted in (observe(fleet(3, paused=True), starting), observe(fleet(1), [pod(0)])):
        found = said(Condition.PROGRESSING, wanted)
        assert found == ("False", "AsWanted", "There are as many pods as wanted.")


def test_a_fleet_that_waits_for_nothing_it_has_says_no_names() -> None:
    missing = said(Condition.READY, observe(fleet(3), TWO))
    assert missing == ("False", "WaitingForPods", "2 of 3 pods Ready.")


@pytest.mark.parametrize(
    ("of_pod", "wanted", "words"),
    [
        ({"web_cpu_cost": 3.0}, {}, "cpu_cost.web_cpu_cost is 3 in rec-0 and 0 there"),
        ({}, {"web_cpu_cost": 0.5}, "cpu_cost.web_cpu_cost is 0 in rec-0 and 0.5 there"),
    ],
)
def test_a_cost_that_only_one_side_has_counts_as_none_on_the_other(
    of_pod: dict[str, float], wanted: dict[str, float], words: str
) -> None:
    seen = observe(fleet(1, costs=wanted), [pod(0, config=MergedConfig(30.0, of_pod))])
    assert words in said(Condition.COSTS_DIFFER, seen)[2]


def test_each_condition_tells_the_generation_that_it_speaks_of() -> None:
    seen = observe(fleet(2, generation=7, template_problem="x" * 2000), TWO)
    found = conditions(seen, plan(seen), None)
    assert {each.observed_generation for each in found} == {7}
    assert max(len(each.message) for each in found) == 1000


def test_looked_after_and_paused_are_told_apart() -> None:
    assert said(Condition.PAUSED, observe(fleet(2), TWO))[:2] == ("False", "NotPaused")
    assert "CpuUnknown" not in told(observe(fleet(2), TWO)), "it does not matter"


@pytest.mark.parametrize(
    ("trouble", "seconds"),
    [(Reason.IMAGE_PULL, 10), (Reason.CONTAINER_CONFIG, 5), (Reason.CRASH_LOOP, 0)],
)
def test_a_pod_is_given_time_before_its_trouble_is_told(trouble: Reason, seconds: int) -> None:
    for age, told_of in ((seconds - 0.1, False), (seconds, True)):
        young = pending(0, trouble=trouble, created_at=NOW - age)
        assert (said(Condition.DEGRADED, observe(fleet(1), [young]))[0] == "True") is told_of


def test_the_words_in_which_kubelet_says_that_a_container_waits_are_known() -> None:
    """Words of kubernetes pkg/kubelet/images/types.go and container/sync_result.go."""
    words = {
        Reason.IMAGE_PULL: (
            *("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"),
            *("ImageInspectError", "RegistryUnavailable"),
        ),
        Reason.CONTAINER_CONFIG: (
            "CreateContainerConfigError",
            "CreateContainerError",
            "RunContainerError",
        ),
        Reason.CRASH_LOOP: ("CrashLoopBackOff",),
    }
    for reason, said_so in words.items():
        assert [ailments.of_waiting(word) for word in said_so] == [reason] * len(said_so)
    assert ailments.of_waiting("ContainerCreating") is None, "it just starts"
