"""Objects of the API server as the engine's facts, and what becomes of old news."""

from __future__ import annotations

from typing import Any

import pytest

from mediafleet_common.api.names import DrainReason, Kind, PodState, Reason
from mediafleet_common.api.reading import UnreadableObjectError
from mediafleet_common.reports.merged_config import MergedConfig, to_text
from mediafleet_operator.core.fleet.ailments import diagnose
from mediafleet_operator.core.fleet.model import FleetKey, Memory
from mediafleet_operator.kube import digest
from mediafleet_operator.kube.snapshots import Snapshots

KEY = FleetKey(Kind.EGRESS_FLEET, "media", "rec")


def raw_pod(version: int = 5, uid: str = "u0", **more: Any) -> dict[str, Any]:
    meta = {
        "name": "rec-3",
        "namespace": "media",
        "uid": uid,
        "resourceVersion": str(version),
        "creationTimestamp": "2026-08-01T00:00:00Z",
        "labels": {
            "mediafleet.dev/kind": "egress",
            "mediafleet.dev/fleet": "rec",
            "mediafleet.dev/slot": "3",
            "mediafleet.dev/template": "abc",
            "mediafleet.dev/state": "ready",
            **more.pop("labels", {}),
        },
        "annotations": more.pop("annotations", {}),
        "ownerReferences": [{"controller": True, "uid": "fleet-uid"}],
        **more.pop("meta", {}),
    }
    status = {"phase": "Running", "podIP": "10.0.0.9", **more.pop("status", {})}
    spec = {"nodeName": "n1", **more.pop("spec", {})}
    return {"metadata": meta, "spec": spec, "status": status}


def view(**more: Any) -> Any:
    pod = digest.pod(raw_pod(**more))
    assert pod is not None
    return pod.view


def container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "egress", "state": state, **more}]}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return container({"waiting": {"reason": reason, "message": message}})


def test_a_pod_is_digested() -> None:
    ready = [{"type": "Ready", "status": "True"}]
    marks = {
        "mediafleet.dev/drain-started": "2026-08-01T00:00:01.500Z",
        "mediafleet.dev/drain-reason": "template",
        "mediafleet.dev/cordoned": "true",
        "mediafleet.dev/address": "https://a:1",
    }
    labels = {"mediafleet.dev/state": "draining", "mediafleet.dev/busy": "true"}
    status = {"conditions": ready, **container({"running": {}})}
    one = view(annotations=marks, labels=labels, status=status)

    assert (one.slot, one.template, one.state) == (3, "abc", PodState.DRAINING)
    assert one.drain_started - one.created_at == 1.5
    assert one.drain_reason is DrainReason.TEMPLATE
    assert (one.ready, one.cordoned, one.busy_label, one.work_running) == (True,) * 4
    assert (one.address, one.ip, one.node) == ("https://a:1", "10.0.0.9", "n1")


@pytest.mark.parametrize(
    ("status", "over", "trouble", "running"),
    [
        (container({"running": {}}), None, None, True),
        (waiting("ContainerCreating"), None, None, False),
        (waiting("ImagePullBackOff"), None, Reason.IMAGE_PULL, False),
        (waiting("CreateContainerConfigError"), None, Reason.CONTAINER_CONFIG, False),
        (waiting("CrashLoopBackOff"), None, Reason.CRASH_LOOP, False),
        (container({"running": {}}, restartCount=3), None, Reason.CRASH_LOOP, True),
        (container({}), None, None, None),
        ({}, None, None, None),
        ({"phase": "Failed"}, Reason.POD_FAILED, None, False),
        ({"phase": "Failed", "reason": "Evicted"}, Reason.POD_EVICTED, None, False),
        ({"phase": "Succeeded"}, Reason.POD_FAILED, None, False),
    ],
)
def test_phases_and_containers(
    status: dict[str, Any], over: Reason | None, trouble: Reason | None, running: bool | None
) -> None:
    one = view(status=status)

    assert (one.over, one.trouble, one.work_running) == (over, trouble, running)


ENDED_WELL = {"terminated": {"exitCode": 0, "reason": "Completed"}}


@pytest.mark.parametrize(
    "state",
    [
        {"state": ENDED_WELL},
        {"state": {"running": {}}, "lastState": ENDED_WELL, "restartCount": 1},
        {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ENDED_WELL},
    ],
)
@pytest.mark.parametrize("name", ["node", "stock-worker"])
def test_go_livepeer_that_ended_with_0_is_not_done(name: str, state: dict[str, Any]) -> None:
    """As it does when the URL of a runner has been away for two minutes."""
    status = {"containerStatuses": [{"name": name, **state}]}
    one = view(status=status)
    assert (one.over, one.trouble) == (None, Reason.NODE_ENDED)
    assert diagnose(one, one.created_at) is Reason.NODE_ENDED
    again = view(status={**status, "conditions": [{"type": "Ready", "status": "True"}]})
    assert again.trouble is not Reason.NODE_ENDED
    assert view(status=container(**state)).trouble is not Reason.NODE_ENDED


def test_how_often_containers_were_started_anew_and_how_the_last_one_ended_is_a_fact() -> None:
    def ended(at: str, **how: Any) -> dict[str, Any]:
        return {"terminated": {"finishedAt": at, **how}}

    killed = ended("2026-08-01T00:02:00Z", exitCode=137, reason="OOMKilled")
    early = ended("2026-08-01T00:01:00Z", exitCode=1)
    init = {"name": "config", "restartCount": 1, "lastState": early}
    both = container({"running": {}}, restartCount=2, lastState=killed)
    one = view(status={**both, "initContainerStatuses": [init]})
    assert one.restarts == 3
    assert one.last_end == "container egress ended with exit code 137 (OOMKilled)"
    plain = view(status=container({"running": {}}, restartCount=1, lastState=early))
    assert plain.last_end == "container egress ended with exit code 1"
    assert view(status=container({"running": {}}, restartCount=1)).last_end == "a container ended"
    assert view(status=container({"running": {}})).restarts == 0


def test_an_init_containers_last_words_are_the_complaint() -> None:
    crashed = {
        "name": "config",
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        "lastState": {"terminated": {"message": "egress-config: not YAML in line 3\n"}},
    }
    one = view(status={"initContainerStatuses": [crashed]})

    assert one.complaint == "egress-config: not YAML in line 3"


def test_what_the_init_container_tells_of_its_config_is_a_fact_of_the_pod() -> None:
    told = MergedConfig(45.0, {"track_cpu_cost": 0.5})
    ended = {"terminated": {"exitCode": 0, "message": to_text(told)}}
    status = {"initContainerStatuses": [{"name": "config", "state": ended}]}
    assert view(status=status).config == told


START = "2026-08-01T00:00:02Z"
ALLOWED = {"mediafleet.dev/work-when-ready": "true"}


def ready_since(at: str, status: str = "False") -> dict[str, Any]:
    condition = {"type": "Ready", "status": status, "lastTransitionTime": at}
    return {"startTime": START, "conditions": [condition]}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, PodState.PENDING),
        (ready_since(START), PodState.PENDING),
        (ready_since(START, "True"), PodState.READY),
        (ready_since("2026-08-01T00:01:00Z"), PodState.READY),
    ],
)
def test_a_pod_that_may_have_work_before_its_label_says_so_is_no_pod_that_starts(
    status: dict[str, Any], state: PodState
) -> None:
    pending = {"mediafleet.dev/state": "pending"}
    one = view(labels=pending, annotations=ALLOWED, status=status)
    assert (one.state, one.unmarked) == (state, state is PodState.READY)
    assert view(labels=pending, status=status).state is PodState.PENDING, "of an older operator"
    marked = view(annotations=ALLOWED, status=status)
    assert (marked.state, marked.unmarked) == (PodState.READY, False)


def test_a_pod_that_was_once_seen_ready_is_not_taken_for_a_new_one_by_any_kubelets_times() -> None:
    pending = {"mediafleet.dev/state": "pending"}
    ready, odd = ready_since(START, "True"), ready_since(START)
    pods = [
        raw_pod(version, labels=pending, annotations=ALLOWED, status=status)
        for version, status in enumerate((ready, odd, odd), start=5)
    ]
    (one,) = seen(snapshots(*pods))
    assert (one.state, one.unmarked, one.ready) == (PodState.READY, True, False)


def test_an_unreadable_state_is_taken_for_ready_since_that_promises_nothing() -> None:
    assert view(labels={"mediafleet.dev/state": "gone"}).state is PodState.READY


def test_a_pod_without_a_slot_label_has_the_slot_of_its_name() -> None:
    assert view(labels={"mediafleet.dev/slot": ""}).slot == 3


def test_a_pod_that_names_no_fleet_is_none_of_ours() -> None:
    assert digest.pod(raw_pod(labels={"mediafleet.dev/kind": "other"})) is None
    assert digest.pod(raw_pod(labels={"mediafleet.dev/fleet": ""})) is None


def test_a_value_of_another_version_is_unreadable_and_its_field_is_named() -> None:
    raw = raw_fleet(spec={"redis": {"address": "a:1"}, "placement": {"mode": "best"}})

    with pytest.raises(UnreadableObjectError, match=r"spec\.placement\.mode"):
        digest.resource(raw, Kind.EGRESS_FLEET)


def test_what_only_a_newer_crd_knows_stops_nobody() -> None:
    newer = {"redis": {"address": "a:1", "colour": "red"}, "wishes": 3}
    raw = raw_fleet(spec=newer, status={"replicas": 2, "moods": 3})

    read = digest.resource(raw, Kind.EGRESS_FLEET)

    assert read.status is not None
    assert read.status.replicas == 2


def test_a_status_of_another_version_is_written_anew() -> None:
    raw = raw_fleet(spec={"redis": {"address": "a:1"}}, status={"replicas": "some"})

    assert digest.resource(raw, Kind.EGRESS_FLEET).status is None


def raw_fleet(spec: dict[str, Any], status: dict[str, Any] | None = None) -> dict[str, Any]:
    meta = {
        "name": "rec",
        "namespace": "media",
        "uid": "fleet-uid",
        "resourceVersion": "9",
        "generation": 2,
    }
    return {"metadata": meta, "spec": spec, "status": status or {}}


def snapshots(*pods: dict[str, Any]) -> Snapshots:
    filled = Snapshots()
    filled.put_fleet(digest.resource(raw_fleet({"redis": {"address": "a:1"}}), Kind.EGRESS_FLEET))
    for raw in pods:
        pod = digest.pod(raw)
        assert pod is not None
        filled.put_pod(pod)
    return filled


def seen(filled: Snapshots, now: float = 100.0) -> Any:
    return filled.observe(filled.fleets[KEY], None, {}, Memory(), now).pods


def node(
    name: str, *, cordoned: bool = False, ready: bool = True, taint: str | None = None
) -> digest.Node:
    conditions = [
        {"type": "Ready", "status": str(ready), "lastTransitionTime": "1970-01-01T00:01:00Z"}
    ]
    raw = {
        "metadata": {"name": name},
        "spec": {
            "unschedulable": cordoned,
            "taints": [{"key": taint, "effect": "NoSchedule"}] if taint else None,
        },
        "status": {"conditions": conditions},
    }
    return digest.node(raw)


def test_an_older_word_never_replaces_a_newer_one() -> None:
    filled = snapshots(raw_pod(version=9, labels={"mediafleet.dev/state": "draining"}))
    late = digest.pod(raw_pod(version=10_000))
    early = digest.pod(raw_pod(version=8))
    assert late is not None
    assert early is not None

    assert not filled.put_pod(early)
    assert seen(filled)[0].state is PodState.DRAINING
    assert filled.put_pod(late)
    assert not filled.put_pod(late)
    assert seen(filled)[0].state is PodState.READY


def test_a_full_list_drops_what_is_gone() -> None:
    filled = snapshots(raw_pod(uid="a"), raw_pod(uid="b"))

    assert filled.keep_only_pods(10_000, {"a"}) == {KEY}
    assert [each.uid for each in seen(filled)] == ["a"]
    filled.drop_pod(KEY, "a", "10001")
    assert seen(filled) == ()


def test_a_pod_of_another_owner_is_not_ours() -> None:
    other = {"ownerReferences": [{"controller": True, "uid": "earlier"}]}

    assert [each.ours for each in seen(snapshots(raw_pod(), raw_pod(uid="x", meta=other)))] == [
        True,
        False,
    ]


def test_cordoned_and_silent_nodes_are_facts_of_their_pods() -> None:
    filled = snapshots(raw_pod(status=container({"running": {}})))
    filled.put_node(node("n1", cordoned=True))
    assert seen(filled)[0].node_empties

    filled.put_node(node("n1", ready=False))
    assert not seen(filled)[0].node_empties
    assert seen(filled)[0].node_lost_since == 60.0
    assert seen(filled)[0].work_running is None


def test_a_pod_of_which_nothing_is_new_has_the_same_view_and_another_as_soon_as_something_is() -> (
    None
):
    pod = raw_pod(5)
    pod["spec"]["nodeName"] = "n1"
    filled = snapshots(pod)
    filled.put_node(node("n1"))
    first = seen(filled)[0]
    assert seen(filled, now=200.0)[0] is first
    filled.put_node(node("n1", cordoned=True))
    assert seen(filled)[0].node_empties
    filled.put_node(node("n1"))
    assert seen(filled)[0] == first
    newer = raw_pod(6)
    newer["spec"]["nodeName"] = "n2"
    parsed = digest.pod(newer)
    assert parsed is not None
    filled.put_pod(parsed)
    view = seen(filled, now=300.0)[0]
    assert (view.node, view.node_lost_since) == ("n2", 300.0)


def test_a_pod_that_tolerates_cordoned_nodes_may_stay() -> None:
    tolerations = [{"operator": "Exists"}]
    filled = snapshots(raw_pod(spec={"tolerations": tolerations}))
    filled.put_node(node("n1", cordoned=True))

    assert not seen(filled)[0].node_empties


@pytest.mark.parametrize(
    "taint",
    [
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
        "node.cloudprovider.kubernetes.io/shutdown",
        "cloud.google.com/impending-node-termination",
        "aws-node-termination-handler/spot-itn",
    ],
)
def test_a_node_with_notice_is_emptied_whatever_its_pods_tolerate(taint: str) -> None:
    filled = snapshots(raw_pod(spec={"tolerations": [{"operator": "Exists"}]}))
    filled.put_node(node("n1", taint=taint))
    assert seen(filled)[0].node_empties

    filled.put_node(node("n1"))
    assert not seen(filled)[0].node_empties


def test_a_taint_that_only_chooses_pods_empties_no_node() -> None:
    filled = snapshots(raw_pod())
    for taint in ("nvidia.com/gpu", "DeletionCandidateOfClusterAutoscaler"):
        filled.put_node(node("n1", taint=taint))
        assert not seen(filled)[0].node_empties, taint


def test_a_node_nobody_told_of_counts_as_silent_from_when_it_was_missed() -> None:
    filled = snapshots(raw_pod())

    assert seen(filled, now=100)[0].node_lost_since == 100
    assert seen(filled, now=120)[0].node_lost_since == 100
    filled.put_node(node("n1"))
    assert seen(filled, now=130)[0].node_lost_since is None
    filled.drop_node("n1")
    assert seen(filled, now=140)[0].node_lost_since == 140


def test_without_the_right_to_see_nodes_none_is_ever_silent() -> None:
    filled = snapshots(raw_pod())
    filled.nodes_known = False

    assert seen(filled)[0].node_lost_since is None
