"""What node autoscalers are told of a pod: by its annotations, at each change of its work."""

from __future__ import annotations

from typing import Any

from tests.kit.operator.fleet_builders import NOW, pod

from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.names import Kind, PodState
from mediafleet_operator.core.fleet.actions import Mark
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.kube import apply
from mediafleet_operator.manifests.pods import eviction
from mediafleet_operator.manifests.pods.pod import Product, make_pod
from mediafleet_operator.manifests.resource import Resource

PRODUCT = Product("ours:1", "Never")


def egress(**spec: Any) -> Resource:
    parsed = EgressFleetSpec.model_validate({"redis": {"address": "redis:6379"}, **spec})
    key = FleetKey(Kind.EGRESS_FLEET, "media", "rec")
    return Resource(key, "uid-1", "7", 1, False, parsed, None)


def told(fleet: Resource) -> dict[str, str]:
    """What a new pod says to others than mediafleet."""
    annotations = make_pod(fleet, 0, PRODUCT)["metadata"]["annotations"]
    return {key: each for key, each in annotations.items() if not key.startswith("mediafleet.dev/")}


def test_node_autoscalers_may_move_an_idle_pod_and_no_busy_one() -> None:
    one = egress()
    evict, disrupt = eviction.SAFE_TO_EVICT, eviction.DO_NOT_DISRUPT
    assert told(one) == {evict: "true"}

    works = apply.marks(Mark(pod(0), busy=True), NOW, one.spec)
    assert works["annotations"] == {evict: "false", disrupt: "true"}
    idle = apply.marks(Mark(pod(0), busy=False), NOW, one.spec)
    assert idle["annotations"] == {evict: "true", disrupt: None}
    assert "annotations" not in apply.marks(Mark(pod(0), PodState.READY), NOW, one.spec)


def test_what_the_template_says_to_a_node_autoscaler_is_left_alone() -> None:
    own = {eviction.SAFE_TO_EVICT: "false"}
    one = egress(template={"metadata": {"annotations": own}})
    assert told(one) == own

    idle = apply.marks(Mark(pod(0), busy=False), NOW, one.spec)
    assert idle["annotations"] == {eviction.DO_NOT_DISRUPT: None}
