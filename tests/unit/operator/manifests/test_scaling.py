"""The ScaledObject and the HPA that a fleet's autoscaling comes to."""

from __future__ import annotations

from typing import Any, Final

import pytest

from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.names import Kind
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.scaling.autoscaling import Autoscaling
from mediafleet_operator.core.autoscaling.schedule import Bounds
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.manifests.children.scaling import (
    Keda,
    hpa,
    keep_trigger_name,
    quantity,
    scaled_object,
)
from mediafleet_operator.manifests.resource import Resource
from mediafleet_scheduler.core.scaling.trigger import parse

SECURE: Final = Keda("desk.mediafleet.svc:9090", ("ClusterTriggerAuthentication", "mediafleet"))
TWO_TO_30: Final = Bounds(2, 30)
EGRESS: Final = EgressFleetSpec.model_validate({"redis": {"address": "redis:6379"}})


def resource(spec: EgressFleetSpec | OrchestratorPoolSpec) -> Resource:
    kind = Kind.EGRESS_FLEET if isinstance(spec, EgressFleetSpec) else Kind.ORCHESTRATOR_POOL
    key = FleetKey(kind, "media", "rec")
    return Resource(key, "uid-1", "7", 1, False, spec, None)


def asked(engine: str, **more: Any) -> Autoscaling:
    return Autoscaling.model_validate({"engine": engine, "min": 2, "max": 30, **more})


def scaled(keda: Keda = SECURE, bounds: Bounds = TWO_TO_30, **more: Any) -> dict[str, Any]:
    spec: dict[str, Any] = scaled_object(resource(EGRESS), asked("keda", **more), bounds, keda)[
        "spec"
    ]
    return spec


def test_both_work_on_the_scale_subresource_and_go_with_their_fleet() -> None:
    for made in (
        hpa(resource(EGRESS), asked("hpa"), Bounds(2, 30)),
        scaled_object(resource(EGRESS), asked("keda"), Bounds(2, 30), SECURE),
    ):
        target = {"apiVersion": "mediafleet.dev/v1alpha1", "kind": "EgressFleet", "name": "rec"}
        assert made["spec"]["scaleTargetRef"] == target
        (owner,) = made["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == ("uid-1", True)
        assert "annotations" not in made["metadata"], "those that pause KEDA are other people's"


def test_a_fleet_and_a_pool_of_one_name_have_scalers_of_their_own() -> None:
    names = {
        hpa(resource(spec), asked("hpa"), Bounds(1, 2))["metadata"]["name"]
        for spec in (EGRESS, OrchestratorPoolSpec())
    }
    assert names == {"rec-egress", "rec-orchestrator"}


def test_one_sync_may_reach_the_maximum_and_no_tolerance_keeps_it_from_it() -> None:
    for behavior in (
        scaled()["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
        hpa(resource(EGRESS), asked("hpa"), Bounds(2, 30))["spec"]["behavior"],
    ):
        assert behavior["scaleUp"] == {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 30, "periodSeconds": 15}],
            "tolerance": "0",
        }
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 300
        assert behavior["scaleDown"]["tolerance"] == "0"


def test_an_older_cluster_gets_no_tolerance() -> None:
    made = hpa(resource(EGRESS), asked("hpa"), Bounds(2, 30), tolerance=False)
    assert "tolerance" not in made["spec"]["behavior"]["scaleUp"]


def test_the_pace_is_handed_on() -> None:
    pace = {"scaleDown": {"stabilization": "2h", "perMinute": 3}}
    made = hpa(resource(EGRESS), asked("hpa", behavior=pace), Bounds(2, 30))
    down = made["spec"]["behavior"]["scaleDown"]
    assert down["policies"] == [{"type": "Pods", "value": 3, "periodSeconds": 60}]
    assert down["stabilizationWindowSeconds"] == 3600, "the most that an HPA takes"


@pytest.mark.parametrize("bounds", [Bounds(0, 30), Bounds(2, 30)])
def test_keda_never_falls_back_to_nothing(bounds: Bounds) -> None:
    spec = scaled(bounds=bounds)
    assert spec["minReplicaCount"] == bounds.min
    fallback = spec["fallback"]
    assert fallback["behavior"] == "currentReplicasIfHigher"
    assert fallback["replicas"] == max(1, bounds.min)


def test_the_trigger_says_what_the_desks_scaler_reads() -> None:
    (trigger,) = scaled(buffer={"slots": 3, "type": "web"})["triggers"]
    assert trigger == {
        "type": "external-push",
        "name": "mediafleet",
        "metricType": "AverageValue",
        "metadata": {
            "scalerAddress": "desk.mediafleet.svc:9090",
            "fleet": "rec",
            "namespace": "media",
            "metric": "slots",
            "target": "3",
            "type": "web",
            "enableTLS": "true",
        },
        "authenticationRef": {"kind": "ClusterTriggerAuthentication", "name": "mediafleet"},
    }


def named(certificate: str | None) -> dict[str, Any]:
    made = (resource(EGRESS), asked("keda"), TWO_TO_30, SECURE)
    return scaled_object(*made, certificate=certificate)


def test_another_certificate_is_another_spec_that_old_desks_and_operators_understand() -> None:
    first, second = named("20261129T210000Z-0a1b2c3d"), named("20271129T210000Z-ffffffff")
    assert first["spec"] != second["spec"]
    (old,), (new,) = first["spec"]["triggers"], second["spec"]["triggers"]
    assert (old["name"], new["name"]) == ("mediafleet-0a1b2c3d", "mediafleet-ffffffff")
    assert old["metadata"] == new["metadata"], "the desk's scaler reads the same"


@pytest.mark.parametrize("names", [["mediafleet-0a1b2c3d"], ["mediafleet"], ["theirs"], []])
def test_while_the_certificate_is_not_known_the_trigger_keeps_its_name(names: list[str]) -> None:
    made, known = named(None), named("20261129T210000Z-ffffffff")
    live = {"spec": {"triggers": [{"name": name} for name in names]}}
    ours = names == ["mediafleet-0a1b2c3d"]
    (kept,) = keep_trigger_name(made, live)["spec"]["triggers"]
    assert kept["name"] == (names[0] if ours else "mediafleet")
    assert {**kept, "name": "mediafleet"} == made["spec"]["triggers"][0]
    assert keep_trigger_name(known, live) == known


@pytest.mark.parametrize(
    ("more", "target"),
    [
        ({"metric": "utilization"}, None),
        ({"metric": "utilization", "target": 0.85}, "0.85"),
        ({"metric": "sessions", "target": 2}, "2"),
        ({"metric": "slots", "buffer": {"slots": 0}}, "1"),
        ({"metric": "queue"}, None),
    ],
)
def test_a_target_is_a_string_and_left_to_the_scaler_where_it_has_a_default(
    more: dict[str, Any], target: str | None
) -> None:
    (trigger,) = scaled(**more)["triggers"]
    assert trigger["metadata"].get("target") == target


def test_a_type_goes_only_with_metrics_that_look_at_one() -> None:
    (trigger,) = scaled(metric="utilization", buffer={"type": "web"})["triggers"]
    assert "type" not in trigger["metadata"]


@pytest.mark.parametrize(
    "more",
    [
        {"metric": "utilization", "target": 0.85},
        {"metric": "sessions", "target": 2},
        {"metric": "slots", "buffer": {"slots": 3, "type": "web"}},
        {"metric": "queue", "buffer": {"type": "track"}},
    ],
    ids=lambda more: str(more["metric"]),
)
def test_the_desks_scaler_understands_what_the_operator_writes(more: dict[str, Any]) -> None:
    (trigger,) = scaled(**more)["triggers"]
    read = parse(trigger["metadata"], trigger["metadata"]["namespace"])
    assert (read.namespace, read.fleet, read.metric.value) == ("media", "rec", more["metric"])
    assert read.target == more.get("target", {"slots": 3.0, "queue": 1.0}.get(more["metric"]))
    assert read.type == more.get("buffer", {}).get("type")


def test_plaintext_is_what_remains_when_there_is_no_certificate() -> None:
    (trigger,) = scaled(Keda("desk:9090"))["triggers"]
    assert "enableTLS" not in trigger["metadata"]
    assert "authenticationRef" not in trigger


def test_a_pool_is_scaled_by_its_own_advertiser() -> None:
    made = scaled_object(
        resource(OrchestratorPoolSpec()), asked("keda"), Bounds(1, 2), Keda("desk:9090")
    )
    address = made["spec"]["triggers"][0]["metadata"]["scalerAddress"]
    assert address == "rec.media.svc:9090"


def test_an_hpa_reads_our_own_metric_of_the_fleet_unless_told_otherwise() -> None:
    def metric(**more: Any) -> Any:
        return hpa(resource(EGRESS), asked("hpa", **more), Bounds(2, 30))["spec"]["metrics"]

    assert metric() == [
        {
            "type": "External",
            "external": {
                "metric": {
                    "name": "mediafleet_autoscaling_demand",
                    "selector": {
                        "matchLabels": {
                            "kind": "egress",
                            "fleet_namespace": "media",
                            "fleet_name": "rec",
                        }
                    },
                },
                "target": {"type": "AverageValue", "averageValue": "1"},
            },
        }
    ]
    assert metric(hpa={"type": "pods", "name": "cpu_in_use"}, target=2.5) == [
        {
            "type": "Pods",
            "pods": {
                "metric": {"name": "cpu_in_use"},
                "target": {"type": "AverageValue", "averageValue": "2500m"},
            },
        }
    ]


@pytest.mark.parametrize(
    ("number", "text"), [(1.0, "1"), (0.5, "500m"), (2.25, "2250m"), (100.0, "100"), (0.1, "100m")]
)
def test_a_quantity_is_written_as_the_api_server_writes_it(number: float, text: str) -> None:
    assert quantity(number) == text
