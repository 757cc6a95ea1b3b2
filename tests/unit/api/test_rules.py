"""What the rules between fields let through, up to their bounds, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from mediafleet_common.api.ai_worker_pool import AIWorkerPoolSpec
from mediafleet_common.api.base import Model
from mediafleet_common.api.community import Community
from mediafleet_common.api.community_metrics import CommunityMetricsSpec
from mediafleet_common.api.egress.fleet import EgressConfig, EgressFleetSpec
from mediafleet_common.api.pool.address import Address, AddressType
from mediafleet_common.api.pool.advertise import Advertise
from mediafleet_common.api.pool.on_chain import OnChain
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.reading import UnreadableObjectError, read_spec
from mediafleet_common.api.scaling.autoscaling import Autoscaling, first_replicas
from mediafleet_common.api.scaling.schedule import Window

KEY = {"name": "s", "key": "k"}
KEDA: dict[str, Any] = {"engine": "keda", "max": 9}
OPEN: dict[str, Any] = {"start": "0 8 * * *", "end": "0 9 * * *", "min": 2}
PAID: dict[str, Any] = {
    "ethOrchAddr": "0x" + "a" * 40,
    "keySecret": KEY,
    "passwordSecret": KEY,
    "rpcUrlSecret": KEY,
    "volume": {},
}
SERVED: dict[str, Any] = {"models": [{"pipeline": "llm", "model": "m"}], "secret": KEY}
RECIPIENT: dict[str, Any] = {"name": "a", "url": "https://a.example/w", "operator": "me"}
HEAD: dict[str, Any] = {"address": "head.livepeer.svc:8935"}


def listening(port: int) -> dict[str, Any]:
    return {**SERVED, "models": [{**SERVED["models"][0], "port": port}]}


def source(**more: Any) -> dict[str, Any]:
    return {"sources": [{"name": "eu", **more}]}


GOOD: list[tuple[type[Model], dict[str, Any]]] = [
    (Autoscaling, {"max": 5, "min": 5}),
    (Autoscaling, {"engine": "none"}),
    (Autoscaling, {"engine": "hpa", "max": 5, "min": 1}),
    (Autoscaling, {**KEDA, "min": 0, "buffer": {"percent": 0}}),
    (Autoscaling, {"max": 5, "buffer": {"percent": 20}}),
    (Autoscaling, {**KEDA, "metric": "sessions", "target": 3}),
    (Autoscaling, {**KEDA, "metric": "utilization"}),
    (Autoscaling, {**KEDA, "metric": "utilization", "target": 0.01}),
    (Autoscaling, {**KEDA, "metric": "utilization", "target": 1.0}),
    (Autoscaling, {**KEDA, "metric": "slots", "target": 1.0}),
    (Autoscaling, {**KEDA, "metric": "queue", "target": 0.5}),
    (Autoscaling, {"max": 5, "metric": "slots", "target": 0.5}),
    (Autoscaling, {"max": 5, "metric": "sessions"}),
    (Autoscaling, {"max": 2, "min": 1, "schedule": [OPEN]}),
    (Autoscaling, {"max": 2, "min": 1, "schedule": [{**OPEN, "min": 9, "max": 9}]}),
    (Autoscaling, {"max": 5, "min": 2, "schedule": [{**OPEN, "max": 2}]}),
    (Window, {**OPEN, "max": 2}),
    (Window, {**OPEN, "timeZone": "America/Argentina/Buenos_Aires"}),
    (EgressConfig, {"secret": KEY}),
    (EgressConfig, {"configMap": {"name": "c"}}),
    (EgressFleetSpec, {"accepts": ["web"], "autoscaling": {"max": 5, "buffer": {"type": "web"}}}),
    (EgressFleetSpec, {"accepts": ["web"], "autoscaling": {"max": 5}}),
    (EgressFleetSpec, {"accepts": [], "autoscaling": {"max": 5, "buffer": {"type": "web"}}}),
    (Address, {"type": "template", "template": "https://{slot}.example.com:8935"}),
    (Address, {"type": "host_port", "portRange": {"first": 20000, "last": 20000}}),
    (Address, {"type": "node_port"}),
    (Advertise, {"head": HEAD}),
    (Advertise, {"mode": "flag", **source(urls=["https://a:1"])}),
    (Advertise, source(listUrl="http://a/list")),
    (Advertise, source(listUrl="https://a/list", tokenSecret=KEY)),
    (Advertise, {"regions": [{"name": "a"}, {"name": "b"}]}),
    (OnChain, PAID),
    (OnChain, {**PAID, "redeemerAddr": "redeemer:8935"}),
    (OrchestratorPoolSpec, {"onChain": {**PAID, "rewards": "slot_0"}}),
    (OrchestratorPoolSpec, {"onChain": {**PAID, "rewards": "head"}, "advertise": {"mode": "flag"}}),
    (OrchestratorPoolSpec, {"communityMetrics": "share", "advertise": {"mode": "live"}}),
    (OrchestratorPoolSpec, {"load": "url", "loadUrl": {"url": "http://127.0.0.1:9000/"}}),
    (OrchestratorPoolSpec, {"load": "requests", "drainProxy": {}}),
    (OrchestratorPoolSpec, {"drainProxy": {}, "address": {"scheme": "https"}}),
    (OrchestratorPoolSpec, {"address": {"scheme": "http"}}),
    (OrchestratorPoolSpec, {"autoscaling": {"max": 5, "min": 1}}),
    (OrchestratorPoolSpec, {"autoscaling": {"max": 5, "min": 0, "schedule": [OPEN]}}),
    (OrchestratorPoolSpec, {"autoscaling": {"engine": "none", "min": 0}}),
    (OrchestratorPoolSpec, {"autoscaling": {"max": 5, "buffer": {"type": "session"}}}),
    (OrchestratorPoolSpec, {"autoscaling": {"max": 5, "metric": "queue"}}),
    (OrchestratorPoolSpec, {"autoscaling": KEDA}),
    (OrchestratorPoolSpec, {"args": ["-cliAddress", "-orchSecret=/run/secret", "x-cliAddr"]}),
    (
        OrchestratorPoolSpec,
        {"replicas": 2, "address": {"type": "node_port", "portRange": {"first": 1, "last": 2}}},
    ),
    (
        OrchestratorPoolSpec,
        {"replicas": 9, "address": {"type": "host_port", "portRange": {"first": 1, "last": 2}}},
    ),
    (AIWorkerPoolSpec, {**SERVED, "autoscaling": {"max": 5}}),
    (AIWorkerPoolSpec, listening(7940)),
    (AIWorkerPoolSpec, {**listening(7942), "stockWorker": {}}),
    (Community, {"region": "eu-west", "k": 3}),
]
BAD: list[tuple[type[Model], dict[str, Any], str]] = [
    (Autoscaling, {}, "autoscaling.max is needed"),
    (Autoscaling, {"max": 5, "min": 6}, "min is above autoscaling.max"),
    (Autoscaling, {"engine": "hpa", "max": 5, "min": 0}, "an HPA cannot scale to zero"),
    (Autoscaling, {**KEDA, "buffer": {"percent": 1}}, "percent is not for engine keda"),
    (Autoscaling, {**KEDA, "metric": "sessions"}, "sessions needs autoscaling.target"),
    (Autoscaling, {**KEDA, "metric": "utilization", "target": 0.009}, "from 0.01 to 1"),
    (Autoscaling, {**KEDA, "metric": "utilization", "target": 1.1}, "from 0.01 to 1"),
    (Autoscaling, {**KEDA, "metric": "slots", "target": 0.9}, "at least 1"),
    (Autoscaling, {"max": 1, "min": 1, "schedule": [OPEN]}, "each window needs"),
    (Autoscaling, {"max": 5, "min": 3, "schedule": [{**OPEN, "max": 2}]}, "each window needs"),
    (Window, {**OPEN, "end": OPEN["start"]}, "so it never ends"),
    (Window, {**OPEN, "max": 1}, "min is above max"),
    (Window, {**OPEN, "start": "0 8 * *"}, "write five fields"),
    (Window, {**OPEN, "start": "0 8 * * 1" + ",1" * 46}, "write five fields"),
    (Window, {**OPEN, "timeZone": "/etc"}, "write an IANA name"),
    (Window, {**OPEN, "timeZone": "A" * 65}, "write an IANA name"),
    (EgressConfig, {}, "either a secret or a configMap"),
    (EgressConfig, {"secret": KEY, "configMap": {"name": "c"}}, "either a secret or a configMap"),
    (
        EgressFleetSpec,
        {"accepts": ["track"], "autoscaling": {"max": 5, "buffer": {"type": "web"}}},
        "must be one of accepts",
    ),
    (
        EgressFleetSpec,
        {"autoscaling": {"max": 5, "buffer": {"type": "session"}}},
        "session is for an OrchestratorPool",
    ),
    (Address, {"type": "template"}, "needs address.template"),
    (Address, {"type": "host_port"}, "needs address.portRange"),
    (Address, {"portRange": {"first": 2, "last": 1}}, "must not be above"),
    (Advertise, {"mode": "flag", "head": HEAD}, "head needs mode live"),
    (Advertise, {"mode": "flag", **source(listUrl="https://a/l")}, "urls alone"),
    (Advertise, source(), "give urls, or list_url"),
    (Advertise, source(urls=["https://a:1"], tokenSecret=KEY), "over https only"),
    (Advertise, {"regions": [{"name": "a"}, {"name": "a"}]}, "two entries have name a"),
    (
        Advertise,
        {"sources": [{"name": "a", "urls": ["https://a:1"]}] * 2},
        "two entries have name a",
    ),
    (OnChain, {k: v for k, v in PAID.items() if k != "volume"}, "redeemerAddr or volume"),
    (OrchestratorPoolSpec, {"onChain": {**PAID, "rewards": "head"}}, "needs advertise.mode flag"),
    (
        OrchestratorPoolSpec,
        {"communityMetrics": "share", "advertise": {"mode": "flag"}},
        "needs advertise.mode live",
    ),
    (OrchestratorPoolSpec, {"load": "url"}, "needs loadUrl"),
    (OrchestratorPoolSpec, {"load": "requests"}, "needs drainProxy"),
    (OrchestratorPoolSpec, {"drainProxy": {}, "address": {"scheme": "http"}}, "speaks TLS"),
    (OrchestratorPoolSpec, {"autoscaling": {"max": 5, "min": 0}}, "min 0 needs a schedule"),
    (
        OrchestratorPoolSpec,
        {"autoscaling": {"max": 5, "buffer": {"type": "web"}}},
        "is session, or left out",
    ),
    (OrchestratorPoolSpec, {"autoscaling": {**KEDA, "metric": "queue"}}, "nothing waits"),
    (OrchestratorPoolSpec, {"args": ["-v", "-cliAddr"]}, "leave -cliAddr out"),
    (OrchestratorPoolSpec, {"args": ["--cliAddr=0.0.0.0:7935"]}, "leave -cliAddr out"),
    (OrchestratorPoolSpec, {"args": ["-orchSecret"]}, "leave -orchSecret out"),
    (OrchestratorPoolSpec, {"args": ["-orchSecret=word"]}, "leave -orchSecret out"),
    (
        OrchestratorPoolSpec,
        {"replicas": 3, "address": {"type": "node_port", "portRange": {"first": 1, "last": 2}}},
        "make the range longer",
    ),
    (
        AIWorkerPoolSpec,
        {**SERVED, "autoscaling": {"max": 5, "buffer": {"type": "web"}}},
        "is not for an AIWorkerPool",
    ),
    (AIWorkerPoolSpec, {**SERVED, "models": SERVED["models"] * 2}, "pipeline llm, model m"),
    (AIWorkerPoolSpec, listening(7936), "have the runner listen on another"),
    (AIWorkerPoolSpec, {**listening(7940), "stockWorker": {}}, "7940 and 7941"),
    (AIWorkerPoolSpec, {**listening(7941), "stockWorker": {}}, "7940 and 7941"),
    (
        CommunityMetricsSpec,
        {"pool": "nodes", "region": "eu", "recipients": [RECIPIENT, RECIPIENT]},
        "two entries have name a",
    ),
    (Community, {"region": "eu-west", "k": 2}, "greater than or equal to 3"),
]


@pytest.mark.parametrize(("model", "spec"), GOOD, ids=str)
def test_what_is_right_up_to_the_bounds_is_read(model: type[Model], spec: dict[str, Any]) -> None:
    assert isinstance(read_spec(model, spec), model)


@pytest.mark.parametrize(("model", "spec", "words"), BAD, ids=str)
def test_what_breaks_a_rule_is_refused_in_its_words(
    model: type[Model], spec: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnreadableObjectError, match=words):
        read_spec(model, spec)


def test_what_cannot_be_read_is_told_by_the_path_of_the_field() -> None:
    with pytest.raises(UnreadableObjectError, match=r"^spec\.address\.port: .*less than or equal"):
        read_spec(OrchestratorPoolSpec, {"address": {"port": 65536}})


def test_absent_replicas_are_one_or_what_autoscaling_has_at_least() -> None:
    assert first_replicas(None) == 1
    for engine, least, count in (("builtin", 4, 4), ("builtin", 0, 1), ("none", 4, 1)):
        asked = read_spec(Autoscaling, {"engine": engine, "min": least, "max": 9})
        assert first_replicas(asked) == count


@pytest.mark.parametrize(
    ("address", "late", "private"),
    [
        ({}, False, True),
        ({"type": "host_port", "portRange": {"first": 1, "last": 2}}, True, False),
        ({"type": "node_port"}, True, False),
        ({"type": "node_port", "nodeAddress": "internal"}, True, True),
        ({"type": "load_balancer"}, True, False),
        ({"type": "load_balancer", "nodeAddress": "internal"}, True, False),
        ({"type": "load_balancer", "allowPrivate": True}, True, True),
        ({"type": "template", "template": "https://{slot}.example.com:1"}, False, False),
        ({"type": "template", "template": "https://{nodeExternalIP}:1"}, True, False),
    ],
)
def test_an_address_is_late_where_the_node_or_a_service_decides_it(
    address: dict[str, Any], late: bool, private: bool
) -> None:
    found = read_spec(Address, address)
    assert (found.late, found.private_is_meant) == (late, private)


def test_a_port_range_holds_both_its_ends() -> None:
    found = read_spec(Address, {"portRange": {"first": 20000, "last": 20099}})
    assert found.port_range is not None
    assert found.port_range.size == 100
    assert found.type is AddressType.POD_IP


def test_a_hpa_reads_our_metric_only_under_its_name_and_as_an_external_one() -> None:
    def ours(**hpa: str) -> bool:
        return read_spec(Autoscaling, {"engine": "hpa", "max": 5, "hpa": hpa}).hpa.ours

    assert ours()
    assert ours(name="mediafleet_autoscaling_demand")
    assert not ours(name="another")
    assert not ours(type="pods")


def test_a_drain_settles_for_as_long_as_the_kind_of_work_needs() -> None:
    def settles(model: type[EgressFleetSpec | AIWorkerPoolSpec], **spec: Any) -> float:
        return read_spec(model, spec).settle_seconds

    assert settles(EgressFleetSpec) == 5.0
    assert settles(EgressFleetSpec, drain={"settle": "9s"}) == 9.0
    assert settles(AIWorkerPoolSpec, **SERVED) == 5.0
    assert settles(AIWorkerPoolSpec, **SERVED, drain={"settle": "9s"}) == 9.0
    assert read_spec(OrchestratorPoolSpec, {"drainProxy": {}}).settle_seconds == 60.0
