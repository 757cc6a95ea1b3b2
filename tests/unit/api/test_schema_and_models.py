"""Models refuse what the schema refuses; `tests/cluster/test_admission.py` asks the API server."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cluster.test_operator_refusals import BAD, GOOD_AUTOSCALING, REDIS

from mediafleet_common.api.ai_worker_pool import AIWorkerPoolSpec
from mediafleet_common.api.base import Model
from mediafleet_common.api.community_metrics import CommunityMetricsSpec
from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.names import Kind
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.reading import UnreadableObjectError, read_spec
from mediafleet_common.formats.ip_addresses import is_network

SPECS: dict[str, type[Model]] = {
    Kind.EGRESS_FLEET.value: EgressFleetSpec,
    Kind.ORCHESTRATOR_POOL.value: OrchestratorPoolSpec,
    Kind.AI_WORKER_POOL.value: AIWorkerPoolSpec,
    Kind.COMMUNITY_METRICS.value: CommunityMetricsSpec,
}
KNOWN = [(kind, spec) for kind, spec, _ in BAD if "drian" not in spec]
"""What only a newer schema may know is left out, not refused."""


def region(cidr: str) -> dict[str, Any]:
    return {"advertise": {"regions": [{"name": "eu", "cidrs": [cidr]}]}}


@pytest.mark.parametrize(("kind", "spec"), KNOWN, ids=str)
def test_what_the_api_server_refuses_a_model_refuses(kind: str, spec: dict[str, Any]) -> None:
    with pytest.raises(UnreadableObjectError):
        read_spec(SPECS[kind], spec)


@pytest.mark.parametrize("autoscaling", GOOD_AUTOSCALING, ids=str)
def test_what_the_api_server_takes_a_model_takes(autoscaling: dict[str, Any]) -> None:
    assert read_spec(EgressFleetSpec, {**REDIS, "autoscaling": autoscaling}).autoscaling


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("EgressFleet", {"replicas": "3"}),
        ("EgressFleet", {"paused": 1}),
        ("EgressFleet", {"redis": {"ref": "a", "address": "b:1"}}),
        ("EgressFleet", {"redis": {"address": ":6379"}}),
        ("EgressFleet", {"redis": {"address": "[fe80::1%eth0]:1"}}),
        ("EgressFleet", {"redis": {"address": "a\u00a0b"}}),
        ("EgressFleet", {"template": {"metadata": {"name": {"a": "b"}}}}),
        ("OrchestratorPool", {"advertise": {"regions": [{"name": "a"}, {"name": "a"}]}}),
        ("OrchestratorPool", {"args": ["-orchSecret="]}),
        ("OrchestratorPool", region("10.0.0.1/8")),
        ("OrchestratorPool", {"loadUrl": {"url": "http://a\u00a0b"}}),
    ],
    ids=str,
)
def test_types_and_texts_are_as_strict_as_in_the_schema(kind: str, spec: dict[str, Any]) -> None:
    with pytest.raises(UnreadableObjectError):
        read_spec(SPECS[kind], spec)


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("203.0.113.0/24", True),
        ("203.0.113.7", True),
        ("2001:db8::/32", True),
        ("::/0", True),
        ("203.0.113.7/24", False),
        ("10.0.0.0/08", False),
        ("10.0.0.0/255.0.0.0", False),
        ("10.0.0.0/", False),
        ("10.0.0/8", False),
        ("fe80::1%eth0", False),
        ("::ffff:10.0.0.0/104", False),
        ("", False),
    ],
)
def test_a_network_is_what_the_api_server_calls_one(text: str, fine: bool) -> None:
    assert is_network(text) is fine
