"""Whole rounds against an API server in memory: killed, refused or unheard at any write."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final, cast

import pytest
from tests.kit.fleets.manifests import egress_fleet
from tests.kit.operator.cluster import FLEET, KEY, PODS, Cluster, KilledError, running

from mediafleet_common.api.names import Kind, Label, Reason
from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    GoneError,
    KubeError,
    RefusedError,
    UnreachableError,
    of_answer,
)
from mediafleet_common.kube.paths import Target
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.kube import digest
from mediafleet_operator.kube.report import StatusWriter


async def story(cluster: Cluster) -> None:
    """Up, another template, down while one is busy, down for good."""
    await cluster.settle(6)
    cluster.server.put(FLEET, {"spec": {"args": ["-v=6"]}})
    await cluster.settle(15)
    busy = sorted(cluster.pods)[0]
    cluster.jobs = {busy: 1}
    cluster.server.put(FLEET, {"spec": {"replicas": 0}})
    await cluster.settle(8)
    assert list(cluster.pods) == [busy], "the busy pod, and only that, is waited for"
    cluster.jobs = {}
    cluster.server.put(FLEET, {"spec": {"replicas": 1}})
    await cluster.settle(7)


def end(cluster: Cluster) -> dict[str, Any]:
    """What must come out whatever happened on the way."""
    fleet = cluster.server.objects[FLEET]
    templates = {pod["metadata"]["labels"][Label.TEMPLATE] for pod in cluster.pods.values()}
    return {
        "states": list(cluster.states.values()),
        "templates": templates,
        "status": {key: fleet["status"][key] for key in ("replicas", "readyReplicas", "draining")},
        "conditions": {each["type"]: each["status"] for each in fleet["status"]["conditions"]},
        "children": sorted(
            each["kind"] for each in cluster.server.objects.values() if each.get("kind") in CHILDREN
        ),
    }


CHILDREN: Final = {"Deployment", "Service", "Role", "RoleBinding", "PodDisruptionBudget"}


def at(count: int, error: Callable[[], BaseException]) -> Callable[[str, Target], None]:
    """A hook that fails the write of that number, once."""
    left = count

    def hook(verb: str, target: Target) -> None:
        nonlocal left
        del verb, target
        left -= 1
        if left == -1:
            raise error()

    return hook


def reference() -> Cluster:
    cluster = Cluster()
    asyncio.run(story(cluster))
    return cluster


async def test_the_story_without_any_trouble() -> None:
    cluster = Cluster()
    await story(cluster)

    assert end(cluster)["states"] == ["ready"]
    assert end(cluster)["status"] == {"replicas": 1, "readyReplicas": 1, "draining": 0}
    # Two, two of the new template, and in the end the draining one is taken back.
    assert cluster.server.writes.count("create pods") == 4


TROUBLES: Final[dict[str, Callable[[], BaseException]]] = {
    "killed": KilledError,
    "unreachable": lambda: UnreachableError("gone for a moment"),
    "conflict": lambda: ConflictError("somebody was quicker"),
}


@pytest.mark.parametrize(
    ("trouble", "when"),
    [("killed", "before"), ("killed", "after"), ("unreachable", "after"), ("conflict", "before")],
)
def test_trouble_at_any_write_changes_nothing_of_the_end(trouble: str, when: str) -> None:
    undisturbed = reference()
    for write in range(len(undisturbed.server.writes)):
        cluster = Cluster()
        hook = at(write, TROUBLES[trouble])
        if when == "before":
            cluster.server.before_write = hook
        else:
            cluster.server.after_write = hook
        asyncio.run(story(cluster))

        assert end(cluster) == end(undisturbed), f"{trouble} {when} write {write}"
        assert cluster.lives == (2 if trouble == "killed" else 1)


async def test_just_started_it_waits_for_the_first_word_of_load_before_it_chooses() -> None:
    cluster = Cluster(replicas=3)
    await cluster.settle(6)
    cluster.jobs = {"orch-1": 1, "orch-2": 1}
    cluster.server.put(FLEET, {"spec": {"replicas": 2}})
    cluster.prober.histories.clear()
    cluster.start()
    await cluster._round()
    assert set(cluster.states.values()) == {"ready"}, "nobody is chosen in the dark"
    await cluster.settle(1)

    assert cluster.states == {"orch-0": "draining", "orch-1": "ready", "orch-2": "ready"}
    cluster.queue.close()


async def test_just_started_it_makes_what_is_missing_before_any_load_is_read() -> None:
    cluster = Cluster(replicas=3)
    await cluster.settle(6)
    cluster.server.put(FLEET, {"spec": {"replicas": 4}})
    cluster.prober.histories.clear()
    cluster.start()
    await cluster._round()
    assert len(cluster.states) == 4, "no load asks for fewer"
    await cluster.settle(6)
    assert set(cluster.states.values()) == {"ready"}
    events = [each for path, each in cluster.server.objects.items() if "/events/" in path]
    assert sum("orch-3" in each["note"] for each in events) == 1, "it is told once"


async def test_who_leaves_is_not_chosen_by_loads_of_a_while_ago() -> None:
    cluster = Cluster(replicas=3)
    await cluster.settle(6)
    cluster.jobs = {"orch-1": 1, "orch-2": 1}
    cluster.now += 10
    cluster.server.put(FLEET, {"spec": {"replicas": 2}})
    await cluster._round()
    assert set(cluster.states.values()) == {"ready"}, "what was read says that all are idle"
    await cluster.settle(1)

    assert cluster.states == {"orch-0": "draining", "orch-1": "ready", "orch-2": "ready"}
    cluster.queue.close()


async def test_pods_that_never_answer_do_not_hold_it_up_for_long() -> None:
    cluster = Cluster(replicas=2)
    await cluster.settle(6)
    cluster.server.put(FLEET, {"spec": {"replicas": 1}})
    cluster._probe = cluster.prober.histories.clear  # type: ignore[method-assign]
    cluster.start()
    await cluster.settle(5)

    assert sorted(cluster.states.values()) == ["draining", "ready"]


async def test_a_settled_fleet_is_not_written_to() -> None:
    cluster = Cluster()
    await cluster.settle(20)
    before = len(cluster.server.writes)
    await cluster.settle(30)

    assert cluster.server.writes[before:] == []


async def test_a_child_that_somebody_changed_is_put_right() -> None:
    cluster = Cluster()
    await cluster.settle()
    path = "/apis/apps/v1/namespaces/media/deployments/orch-advertiser"
    cluster.server.put(path, {"spec": {"replicas": 7}})
    cluster.start()  # As the look that is taken every few minutes.
    await cluster.settle()

    assert cluster.server.objects[path]["spec"]["replicas"] == 2


async def test_a_name_that_somebody_elses_pod_has_is_left_alone() -> None:
    cluster = Cluster(replicas=1)
    meta = {"name": "orch-0", "namespace": "media", "labels": {Label.KIND.value: "orchestrator"}}
    stranger = {"kind": "Pod", "metadata": {**meta, "labels": {"app": "other"}}}
    cluster.server.put(f"{PODS}/orch-0", stranger)
    cluster._kubelet = cluster._probe = cluster._hear = lambda: None  # type: ignore[method-assign]
    resource = digest.resource(cluster.server.objects[FLEET], KEY.kind)
    cluster.snapshots.put_fleet(resource)
    await cluster.settle(3)

    assert "orch-1" in cluster.pods


async def test_a_refused_pod_is_tried_again_ever_more_slowly() -> None:
    cluster = Cluster(replicas=1)
    tries: list[float] = []

    def refuse(verb: str, target: Target) -> None:
        if verb == "create" and target.resource == "pods":
            tries.append(cluster.now)
            raise RefusedError(Reason.QUOTA_EXCEEDED, "exceeded quota: few")

    cluster.server.before_write = refuse
    await cluster.settle(120)
    pauses = [round(later - earlier) for earlier, later in pairwise(tries)]

    assert pauses[:4] == sorted(pauses[:4])
    assert len(tries) < 12
    conditions = cluster.server.objects[FLEET]["status"]["conditions"]
    assert any(each["reason"] == "QuotaExceeded" for each in conditions)


async def test_a_part_that_is_refused_is_told_and_keeps_no_other_from_being_made() -> None:
    cluster = Cluster(replicas=1)
    cluster.server.put(FLEET, {"spec": {"address": {"type": "load_balancer"}}})
    forbidden = True

    def refuse(verb: str, target: Target) -> None:
        if forbidden and verb == "apply" and target.resource == "services":
            raise RefusedError(Reason.QUOTA_EXCEEDED, "exceeded quota: services.loadbalancers")

    cluster.server.before_write = refuse
    await cluster.settle(3)

    def degraded() -> Json:
        conditions = cluster.server.objects[FLEET]["status"]["conditions"]
        found: Json = next(each for each in conditions if each["type"] == "Degraded")
        return found

    assert degraded()["reason"] == "PartRefused"
    assert "Service orch-slot-0: exceeded quota" in degraded()["message"]
    assert "/apis/apps/v1/namespaces/media/deployments/orch-advertiser" in cluster.server.objects
    forbidden = False
    await cluster.settle(3)

    assert degraded()["status"] == "False"
    assert "/api/v1/namespaces/media/services/orch-slot-0" in cluster.server.objects


def test_errors_of_the_api_server_are_told_apart() -> None:
    def status(reason: str, message: str = "") -> bytes:
        return f'{{"kind":"Status","reason":"{reason}","message":"{message}"}}'.encode()

    assert isinstance(of_answer(404, b""), GoneError)
    assert isinstance(of_answer(409, status("AlreadyExists")), AlreadyExistsError)
    assert isinstance(of_answer(409, status("Conflict")), ConflictError)
    assert isinstance(of_answer(429, b"slow down"), UnreachableError)
    assert isinstance(of_answer(503, b"<html>"), UnreachableError)
    quota = of_answer(403, status("Forbidden", "pods is forbidden: exceeded quota: few"))
    assert isinstance(quota, RefusedError)
    assert quota.reason.value == "QuotaExceeded"
    level = of_answer(403, status("Forbidden", "violates PodSecurity"))
    assert isinstance(level, RefusedError)
    assert level.reason.value == "AdmissionRefused"
    invalid = of_answer(422, status("Invalid", "spec.containers[0].image: Required value"))
    assert isinstance(invalid, RefusedError)
    assert invalid.reason.value == "TemplateInvalid"
    hook = of_answer(500, status("InternalError", "failed calling webhook x"))
    assert isinstance(hook, RefusedError)
    assert type(of_answer(405, b"[]")) is KubeError


async def test_a_fleet_that_is_made_again_between_two_rounds_knows_nothing_of_the_one_before() -> (
    None
):
    cluster = Cluster(replicas=2)
    await cluster.settle()

    def refuse(verb: str, target: Target) -> None:
        del verb
        if target.resource == "orchestratorpools/status":
            raise UnreachableError("busy")

    # A drain ends and no status says so yet.
    cluster.server.before_write = refuse
    cluster.server.put(FLEET, {"spec": {"replicas": 1}})
    await cluster.settle()
    assert len(cluster.pods) == 1
    cluster.server.before_write = lambda verb, target: None
    again = {key: cluster.server.objects[FLEET][key] for key in ("apiVersion", "kind", "spec")}
    for path in [FLEET, *(f"{PODS}/{name}" for name in cluster.pods)]:
        cluster.server.remove(path)
    cluster.server.put(FLEET, {**again, "metadata": {"name": "orch", "namespace": "media"}})
    await cluster.settle()

    status = cluster.server.objects[FLEET]["status"]
    assert status["readyReplicas"] == 1
    assert status.get("drains", []) == []


@pytest.mark.parametrize("owners", [[], [{"uid": "other", "controller": True}], "an owner more"])
async def test_an_object_that_somebody_else_made_is_not_taken_over(owners: Any) -> None:
    """A pool that is called as a Service of the namespace would else send its clients to us."""
    cluster = Cluster(replicas=1)
    uid = cluster.server.objects[FLEET]["metadata"]["uid"]
    if isinstance(owners, str):
        owners = [{"uid": uid}, {"uid": "other", "controller": True}]
    path = "/api/v1/namespaces/media/services/orch"
    meta = {"name": "orch", "labels": {"app": "postgres"}, "ownerReferences": owners}
    spec = {"selector": {"app": "postgres"}, "ports": [{"port": 5432}]}
    theirs = cluster.server.put(path, {"kind": "Service", "metadata": meta, "spec": spec})
    before = copy.deepcopy(theirs)
    await cluster.settle()

    assert cluster.server.objects[path] == before
    assert list(cluster.states.values()) == ["ready"]
    conditions = {
        each["type"]: each for each in cluster.server.objects[FLEET]["status"]["conditions"]
    }
    assert conditions["Degraded"]["reason"] == "ChildNotOurs"
    assert "Service orch" in conditions["Degraded"]["message"]
    assert set(end(cluster)["children"]) >= {"Deployment", "Role", "RoleBinding"}
    cluster.server.remove(path)
    await cluster.settle(15)

    assert cluster.server.objects[path]["metadata"]["ownerReferences"][0]["uid"] == uid
    conditions = {
        each["type"]: each for each in cluster.server.objects[FLEET]["status"]["conditions"]
    }
    assert conditions["Degraded"]["status"] == "False"


async def test_a_container_that_kubelet_started_anew_is_one_event() -> None:
    cluster = Cluster(replicas=1)
    await cluster.settle(4)
    (container,) = running("orch-0")["containerStatuses"]
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    again = {**container, "restartCount": 1, "lastState": killed}
    status = {**running("orch-0"), "containerStatuses": [again]}
    cluster.server.put(f"{PODS}/orch-0", {"status": status})
    await cluster.settle(4)
    events = cluster.server.within("/apis/events.k8s.io/v1/namespaces/media/events")
    told = [each["note"] for each in events if each["reason"] == "ContainerRestarted"]
    ended = "container node ended with exit code 137 (OOMKilled)"
    assert told == [f"orch-0: {ended}; kubelet started it anew, restart 1."]


async def test_a_new_fleet_of_one_pod_is_three_writes_and_its_first_job_three_more() -> None:
    key = FleetKey(Kind.EGRESS_FLEET, "media", "rec")
    cluster = Cluster(key=key, **egress_fleet("rec", "redis:6379", 1)["spec"])
    clock, api = cluster.worker.clock, cast("Api", cluster.server)
    cluster.worker.statuses = StatusWriter(api, clock, 5, 1, 5)
    await cluster.settle(30)

    assert cluster.server.objects[cluster.path]["status"]["readyReplicas"] == 1
    assert Counter(each.partition(" ")[0] for each in cluster.server.writes) == {
        "create": 1,  # the pod
        "patch": 2,  # its label, and the status
    }
    cluster.server.writes.clear()
    cluster.jobs = {"rec-0": 1}
    await cluster.settle(30)
    # No pod is marked busy before its eviction is refused.
    written = [each.split()[1] for each in cluster.server.writes]
    assert written == ["rec-busy", "rec-0", "status"]
