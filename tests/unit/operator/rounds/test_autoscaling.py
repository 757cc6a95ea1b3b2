"""Autoscaling in whole rounds against an API server in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, cast

import pytest
from tests.kit.operator.cluster import FLEET, SILENT, Cluster, KilledError

from mediafleet_common.api.names import Kind, Reason
from mediafleet_common.formats.times import rfc3339
from mediafleet_common.kube.client import Json
from mediafleet_common.kube.errors import RefusedError, UnreachableError
from mediafleet_common.kube.paths import Target
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.autoscaling.record import (
    EMPTY,
    QUARTER_SECONDS,
    WEEK,
    packed,
    recorded,
)
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.rounds.desks.certificates import Certificates

CALM: Final = {
    "max": 10,
    "behavior": {"scaleUp": {"stabilization": "0s"}, "scaleDown": {"stabilization": "3s"}},
}
HPA: Final = "/apis/autoscaling/v2/namespaces/media/horizontalpodautoscalers/orch-orchestrator"
SCALED: Final = "/apis/keda.sh/v1alpha1/namespaces/media/scaledobjects/orch-orchestrator"
KEDA: Final = "/apis/keda.sh/v1alpha1"


def demand(ready: int, work: int, each: int = 4, **more: Any) -> FleetDemand:
    return FleetDemand.model_validate(
        {
            "kind": Kind.ORCHESTRATOR_POOL,
            "namespace": "media",
            "name": "orch",
            "known": True,
            "at": 0.0,
            "ready": ready,
            "busy": min(ready, -(-work // each)),
            "work": work,
            "free": {"session": ready * each - work},
            "each": {"session": each},
            **more,
        }
    )


def replicas(cluster: Cluster) -> int:
    count: int = cluster.server.objects[FLEET]["spec"]["replicas"]
    return count


def status(cluster: Cluster) -> Json:
    found: Json = cluster.server.objects[FLEET]["status"]
    return found


def wanted(cluster: Cluster) -> float | None:
    labels = {"kind": "orchestrator", "fleet": "media/orch"}
    return cluster.registry.get_sample_value("mediafleet_autoscaling_wanted", labels)


def active(cluster: Cluster) -> tuple[str, str, str]:
    conditions = {each["type"]: each for each in status(cluster)["conditions"]}
    found = conditions["ScalingActive"]
    return found["status"], found["reason"], found["message"]


def events(cluster: Cluster) -> list[str]:
    path = "/apis/events.k8s.io/v1/namespaces/media/events"
    return [f"{each['reason']}: {each['note']}" for each in cluster.server.within(path)]


async def test_a_fleet_without_the_block_is_scaled_by_nobody() -> None:
    cluster = Cluster(2)
    cluster.poller.demand = demand(2, 8)
    await cluster.settle(4)
    assert replicas(cluster) == 2
    assert "autoscaling" not in status(cluster)
    assert "ScalingActive" not in {each["type"] for each in status(cluster)["conditions"]}
    assert cluster.poller.url is None


async def test_demand_writes_the_count_and_says_why() -> None:
    cluster = Cluster(2, autoscaling=CALM)
    cluster.poller.demand = demand(2, 8)
    await cluster.settle(3)
    assert replicas(cluster) == 3
    assert len(cluster.pods) == 3
    assert cluster.poller.url == "http://orch.media.svc:8080/demand"
    assert cluster.poller.every_seconds == 1.0, "while something scales"
    said = status(cluster)["autoscaling"]
    assert (said["engine"], said["wanted"], said["replicas"]) == ("builtin", 3, 3)
    assert "lastScaleTime" in said
    assert active(cluster)[:2] == ("True", "Autoscaling")
    words = "ScaledUp: spec.replicas 2 -> 3: 8 running"
    assert any(each.startswith(words) for each in events(cluster))


async def test_a_scale_down_is_a_drain_and_waits_for_its_window() -> None:
    cluster = Cluster(3, autoscaling=CALM)
    await cluster.settle(2)
    cluster.jobs = {"orch-0": 3}
    cluster.poller.demand = demand(3, 3)
    await cluster.settle(2)
    assert replicas(cluster) == 3
    await cluster.settle(3)
    assert replicas(cluster) == 1
    assert sorted(cluster.states.values()) == ["draining", "draining", "ready"]
    assert cluster.states["orch-0"] == "ready"


async def test_unknown_demand_keeps_the_count_and_says_so() -> None:
    cluster = Cluster(3, autoscaling={**CALM, "min": 2})
    cluster.poller.demand = demand(3, 0)
    await cluster.settle(2)
    cluster.poller.demand = SILENT
    await cluster.settle(20)
    assert replicas(cluster) == 3
    state, reason, message = active(cluster)
    assert (state, reason) == ("False", "DemandUnknown")
    assert "nobody was asked" in message
    assert "wanted" not in status(cluster)["autoscaling"]
    assert any(each.startswith("DemandUnknown") for each in events(cluster))


async def test_a_pool_without_advertiser_is_scaled_by_what_its_nodes_say() -> None:
    cluster = Cluster(2, autoscaling=CALM, sessions={"max": 4}, advertise={"replicas": 0})
    await cluster.settle(2)
    cluster.jobs = {"orch-0": 4, "orch-1": 4}
    await cluster.settle(4)
    assert cluster.poller.url is None
    assert replicas(cluster) == 3


async def test_a_pool_whose_nodes_have_no_known_size_stays_as_it_is() -> None:
    cluster = Cluster(2, autoscaling=CALM, advertise={"replicas": 0})
    await cluster.settle(5)
    assert replicas(cluster) == 2
    assert "spec.sessions.max" in active(cluster)[2]


async def test_a_paused_fleet_is_not_scaled() -> None:
    cluster = Cluster(2, autoscaling=CALM, paused=True)
    cluster.poller.demand = demand(2, 8)
    await cluster.settle(4)
    assert replicas(cluster) == 2
    assert active(cluster)[:2] == ("False", "Paused")
    assert not any("ScalingActive" in each or each.startswith("Paused") for each in events(cluster))


async def test_an_absent_count_becomes_the_minimum_and_is_scaled_from_there() -> None:
    cluster = Cluster(2, autoscaling={**CALM, "min": 3})
    del cluster.server.objects[FLEET]["spec"]["replicas"]
    cluster.poller.demand = demand(0, 0)
    await cluster.settle(3)
    assert replicas(cluster) == 3


async def test_somebody_else_who_was_quicker_is_not_overwritten() -> None:
    cluster = Cluster(2, autoscaling=CALM)
    await cluster.settle(2)
    cluster.poller.demand = demand(2, 8)

    def quicker(verb: str, target: Target) -> None:
        if target.resource.endswith("/scale"):
            cluster.server.before_write = lambda verb, target: None
            cluster.server.put(FLEET, {"spec": {"replicas": 7}})

    cluster.server.before_write = quicker
    await cluster.settle(1)
    assert replicas(cluster) == 7


REFUSALS: Final = [RefusedError(Reason.ADMISSION_REFUSED, "no"), UnreachableError("away")]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: error.word)
async def test_a_count_that_cannot_be_written_holds_up_nothing_else(error: Exception) -> None:
    cluster = Cluster(2, autoscaling=CALM)
    cluster.poller.demand = demand(2, 8)

    def refuse(verb: str, target: Target) -> None:
        if target.resource.endswith("/scale"):
            raise error

    cluster.server.before_write = refuse
    await cluster.settle(3)
    assert replicas(cluster) == 2
    assert len(cluster.pods) == 2
    assert set(cluster.states.values()) == {"ready"}


@pytest.mark.parametrize("nth", range(3))
async def test_an_operator_killed_at_any_write_keeps_the_pace(nth: int) -> None:
    slow = {**CALM, "behavior": {"scaleUp": {"perMinute": 2}}}
    cluster = Cluster(2, autoscaling=slow)
    await cluster.settle(2)
    cluster.poller.demand = demand(2, 30)
    writes = iter(range(100))

    def kill(verb: str, target: Target) -> None:
        if "orchestratorpools" in target.resource and next(writes) == nth:
            raise KilledError

    cluster.server.after_write = kill
    await cluster.settle(30)
    assert cluster.lives == 2
    assert replicas(cluster) == 4


async def test_an_hpa_is_made_kept_and_taken_away_with_its_engine() -> None:
    cluster = Cluster(2, autoscaling={"engine": "hpa", "min": 2, "max": 9})
    cluster.poller.demand = demand(2, 8)
    await cluster.settle(2)
    made = cluster.server.objects[HPA]
    assert made["spec"]["minReplicas"] == 2
    assert made["spec"]["scaleTargetRef"]["name"] == "orch"
    assert made["metadata"]["ownerReferences"][0]["name"] == "orch"
    assert active(cluster)[:2] == ("False", "ScalerNotReady")
    assert replicas(cluster) == 2, "the HPA writes the count, nobody else"
    condition = {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}
    cluster.server.put(HPA, {"status": {"conditions": [condition]}})
    cluster.server.writes.clear()
    await cluster.settle(16)
    assert active(cluster)[:2] == ("True", "Autoscaling")
    assert not any("orch-orchestrator" in each for each in cluster.server.writes), "nothing differs"
    cluster.server.put(HPA, {"spec": {"maxReplicas": 1}})
    await cluster.settle(16)
    assert cluster.server.objects[HPA]["spec"]["maxReplicas"] == 9
    cluster.server.put(FLEET, {"spec": {"autoscaling": {"engine": "builtin"}}})
    await cluster.settle(3)
    assert HPA not in cluster.server.objects
    assert status(cluster)["autoscaling"]["engine"] == "builtin"
    assert replicas(cluster) == 3


async def test_an_hpa_that_a_killed_operator_did_not_tell_of_is_taken_away_too() -> None:
    cluster = Cluster(2, autoscaling={"engine": "hpa", "max": 9})

    def kill(verb: str, target: Target) -> None:
        if verb == "apply" and target.resource.startswith("horizontal"):
            cluster.server.after_write = lambda verb, target: None
            builtin = {"autoscaling": {**CALM, "engine": "builtin"}}
            cluster.server.put(FLEET, {"spec": builtin})
            raise KilledError

    cluster.server.after_write = kill
    await cluster.settle(4)
    assert cluster.lives == 2
    assert HPA not in cluster.server.objects


@pytest.mark.parametrize("after", [{**CALM, "engine": "builtin"}, {"engine": "none"}, None])
async def test_an_hpa_whose_engine_no_status_tells_yet_is_taken_away_too(
    after: Json | None,
) -> None:
    cluster = Cluster(2, autoscaling={"engine": "hpa", "max": 9})
    await cluster.settle(2)
    assert HPA in cluster.server.objects
    told_later: Json = {"spec": {"autoscaling": after}, "status": {"autoscaling": None}}
    cluster.server.put(FLEET, told_later)
    await cluster.settle(3)
    assert HPA not in cluster.server.objects


async def test_an_hpa_on_another_metric_needs_no_desk() -> None:
    other = {"engine": "hpa", "max": 9, "hpa": {"name": "sessions_per_gpu"}}
    cluster = Cluster(2, autoscaling=other)
    await cluster.settle(2)
    condition = {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}
    cluster.server.put(HPA, {"status": {"conditions": [condition]}})
    await cluster.settle(16)
    assert active(cluster)[:2] == ("True", "Autoscaling")
    assert cluster.poller.url is None
    assert wanted(cluster) == 2, "what the HPA wrote is what it wants"
    cluster.server.put(HPA, {"status": {"conditions": [{**condition, "status": "False"}]}})
    await cluster.settle(16)
    assert wanted(cluster) is None


async def test_an_hpa_that_is_not_ours_is_left_alone() -> None:
    cluster = Cluster(2, autoscaling={"engine": "hpa", "max": 9})
    await cluster.settle(2)
    cluster.server.objects[HPA]["metadata"]["ownerReferences"] = []
    cluster.server.put(FLEET, {"spec": {"autoscaling": {"engine": "none"}}})
    await cluster.settle(3)
    assert HPA in cluster.server.objects


@pytest.mark.parametrize(
    ("engine", "path", "named"),
    [
        ("hpa", HPA, "HorizontalPodAutoscaler media/orch-orchestrator"),
        ("keda", SCALED, "ScaledObject media/orch-orchestrator"),
    ],
)
@pytest.mark.parametrize("owners", [None, [{"kind": "Deployment", "name": "x", "uid": "other"}]])
async def test_a_scaler_of_our_name_that_somebody_else_made_is_not_overwritten(
    engine: str, path: str, named: str, owners: list[Json] | None
) -> None:
    cluster = Cluster(2, autoscaling={"engine": engine, "max": 9})
    cluster.server.objects[KEDA] = {"resources": [{"name": "scaledobjects"}], "metadata": {}}
    theirs = {"metadata": {"uid": "theirs", "ownerReferences": owners}, "spec": {"of": "others"}}
    cluster.server.put(path, theirs)
    cluster.server.writes.clear()
    await cluster.settle(2)
    assert cluster.server.objects[path]["spec"] == {"of": "others"}
    said = active(cluster)
    assert said[:2] == ("False", "ScalerNotOurs")
    assert named in said[2]
    assert "spec.autoscaling.engine to none" in said[2]
    cluster.server.remove(path)
    await cluster.settle(16)
    assert cluster.server.objects[path]["metadata"]["ownerReferences"][0]["name"] == "orch"


async def test_while_keda_still_has_its_finalizer_nobody_else_writes_the_count() -> None:
    cluster = Cluster(2, autoscaling={"engine": "keda", "max": 9})
    cluster.server.objects[KEDA] = {"resources": [{"name": "scaledobjects"}], "metadata": {}}
    await cluster.settle(2)
    cluster.server.put(SCALED, {"metadata": {"finalizers": ["finalizer.keda.sh"]}})
    cluster.poller.demand = demand(2, 8)
    cluster.server.put(FLEET, {"spec": {"autoscaling": {**CALM, "engine": "builtin"}}})
    await cluster.settle(5)
    assert replicas(cluster) == 2
    assert "finalizer.keda.sh" in active(cluster)[2]
    cluster.server.remove(SCALED)
    await cluster.settle(3)
    assert replicas(cluster) == 3


async def test_without_keda_the_replicas_stay_and_the_condition_says_so() -> None:
    cluster = Cluster(2, autoscaling={"engine": "keda", "max": 9})
    await cluster.settle(3)
    assert active(cluster)[:2] == ("False", "KedaMissing")
    assert replicas(cluster) == 2
    cluster.server.objects[KEDA] = {"resources": [{"name": "scaledobjects"}], "metadata": {}}
    await cluster.settle(31)
    assert SCALED in cluster.server.objects


async def test_keda_gets_a_scaled_object_and_its_pause_is_honoured() -> None:
    cluster = Cluster(2, autoscaling={"engine": "keda", "min": 1, "max": 9})
    cluster.server.objects[KEDA] = {"resources": [{"name": "scaledobjects"}], "metadata": {}}
    await cluster.settle(2)
    pause = {"autoscaling.keda.sh/paused": "true"}
    said = [{"type": "Ready", "status": "True"}, {"type": "Paused", "status": "True"}]
    cluster.server.put(SCALED, {"metadata": {"annotations": pause}, "status": {"conditions": said}})
    cluster.server.put(FLEET, {"spec": {"autoscaling": {"max": 12}}})
    await cluster.settle(16)
    there = cluster.server.objects[SCALED]
    assert there["spec"]["maxReplicaCount"] == 12
    assert there["metadata"]["annotations"] == pause
    assert active(cluster)[:2] == ("False", "Paused")


class ShownCertificates:
    """Says of the certificate that KEDA meets what the test says."""

    def __init__(self) -> None:
        self.newest: str | None = "20261129T210000Z-0a1b2c3d"
        self.url: str | None = None

    async def of(self, key: FleetKey, url: str, every_seconds: float) -> str | None:
        del key, every_seconds
        self.url = url
        return self.newest

    def forget(self, key: FleetKey) -> None:
        del key
        self.url = None


async def test_keda_is_made_to_read_its_certificate_anew_when_the_desk_has_another() -> None:
    def name() -> str:
        spec: Json = cluster.server.objects[SCALED]["spec"]
        return str(spec["triggers"][0]["name"])

    def writes() -> int:
        return sum(each.endswith(" orch-orchestrator") for each in cluster.server.writes)

    cluster = Cluster(2, autoscaling={"engine": "keda", "min": 1, "max": 9})
    cluster.server.objects[KEDA] = {"resources": [{"name": "scaledobjects"}], "metadata": {}}
    shown = start(cluster)
    await cluster.settle(20)
    assert shown.url == "http://orch.media.svc:8080/demand"
    assert (name(), writes()) == ("mediafleet-0a1b2c3d", 1)
    shown.newest = "20271129T210000Z-ffffffff"
    await cluster.settle(20)
    assert (name(), writes()) == ("mediafleet-ffffffff", 2)

    # An operator that starts anew does not know it at first: KEDA is left in peace.
    cluster.start()
    shown = start(cluster)
    shown.newest = None
    await cluster.settle(20)
    shown.newest = "20271129T210000Z-ffffffff"
    await cluster.settle(20)
    assert (name(), writes()) == ("mediafleet-ffffffff", 2)
    cluster.server.put(FLEET, {"spec": {"autoscaling": {**CALM, "engine": "builtin"}}})
    await cluster.settle(3)
    assert shown.url is None, "nobody asks for it any more"


def start(cluster: Cluster) -> ShownCertificates:
    """An operator whose KEDA uses mutual TLS."""
    shown, autoscaler = ShownCertificates(), cluster.worker.autoscaler
    autoscaler.certificates = cast("Certificates", shown)
    authentication = ("TriggerAuthentication", "mediafleet")
    autoscaler.scalers.keda = replace(autoscaler.scalers.keda, authentication=authentication)
    return shown


async def test_a_pause_of_keda_on_the_resource_is_passed_on_and_taken_back() -> None:
    cluster = Cluster(2, autoscaling={"engine": "keda", "min": 1, "max": 9})
    cluster.server.objects[KEDA] = {"resources": [{"name": "scaledobjects"}], "metadata": {}}
    theirs = {"autoscaling.keda.sh/paused-scale-in": "true"}
    ours = {"autoscaling.keda.sh/paused": "true", "autoscaling.keda.sh/paused-replicas": "4"}
    cluster.server.put(FLEET, {"metadata": {"annotations": {**ours, "example.com/owner": "me"}}})
    await cluster.settle(2)
    assert cluster.server.objects[SCALED]["metadata"]["annotations"] == ours
    # Somebody has written one on the ScaledObject itself: that one stays.
    cluster.server.put(SCALED, {"metadata": {"annotations": theirs}})
    cluster.server.put(FLEET, {"metadata": {"annotations": dict.fromkeys(ours)}})
    await cluster.settle(16)
    assert cluster.server.objects[SCALED]["metadata"]["annotations"] == theirs


async def test_a_scaler_that_is_refused_holds_up_no_pod() -> None:
    cluster = Cluster(2, autoscaling={"engine": "hpa", "max": 9})

    def refuse(verb: str, target: Target) -> None:
        if target.resource.startswith("horizontal"):
            raise RefusedError(Reason.ADMISSION_REFUSED, "no HPA here")

    cluster.server.before_write = refuse
    await cluster.settle(3)
    assert len(cluster.pods) == 2
    assert active(cluster)[1] == "ScalerNotReady"
    assert "no HPA here" in active(cluster)[2]


async def test_a_cluster_that_knows_no_tolerance_gets_an_hpa_without() -> None:
    cluster = Cluster(2, autoscaling={"engine": "hpa", "max": 9})
    tries: list[str] = []

    def refuse(verb: str, target: Target) -> None:
        if target.resource.startswith("horizontal"):
            tries.append(verb)
            if len(tries) == 1:
                raise UnreachableError("HTTP 500: scaleUp.tolerance: field not declared")

    cluster.server.before_write = refuse
    await cluster.settle(3)
    assert "tolerance" not in cluster.server.objects[HPA]["spec"]["behavior"]["scaleUp"]
    await cluster.settle(20)
    assert len(tries) == 2, "and it is not tried again and again"


async def test_an_engine_that_cannot_be_taken_away_keeps_the_next_one_waiting() -> None:
    cluster = Cluster(2, autoscaling={"engine": "hpa", "max": 9})
    await cluster.settle(2)
    cluster.poller.demand = demand(2, 8)

    def refuse(verb: str, target: Target) -> None:
        if verb == "delete" and target.resource.startswith("horizontal"):
            raise UnreachableError("away")

    cluster.server.before_write = refuse
    cluster.server.put(FLEET, {"spec": {"autoscaling": {**CALM, "engine": "builtin"}}})
    await cluster.settle(3)
    assert replicas(cluster) == 2
    assert status(cluster)["autoscaling"]["engine"] == "hpa"
    cluster.server.before_write = lambda verb, target: None
    await cluster.settle(3)
    assert replicas(cluster) == 3


async def test_a_forecast_rests_on_what_an_operator_before_wrote_into_the_status() -> None:
    cluster = Cluster(2, autoscaling={**CALM, "forecast": {"use": "apply"}})
    cluster.poller.demand = demand(2, 2)
    quarter = int(cluster.now // QUARTER_SECONDS)
    record = EMPTY
    for weeks in (2, 1):
        for each in range(-1, 2):
            record = recorded(record, quarter - weeks * WEEK + each, 5)
    said = {
        "forecast": {"end": rfc3339(record.end * QUARTER_SECONDS), "record": packed(record.peaks)}
    }
    cluster.server.objects[FLEET]["status"] = {"autoscaling": said}
    await cluster.settle(3)
    assert replicas(cluster) == 5
    found = status(cluster)["autoscaling"]
    assert "raised to 5 by spec.autoscaling.forecast" in found["why"]
    assert found["forecast"] == {**said["forecast"], "wanted": 5, "knownHours": 1}
