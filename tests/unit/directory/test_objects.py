"""Objects of the API server as views."""

from __future__ import annotations

from typing import Any, Final

import pytest
from tests.kit.fleets.views import egress_view

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.api.egress.placement import Mode, Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.reading import UnreadableObjectError
from mediafleet_common.formats.quantities import quantity
from mediafleet_common.formats.reach import Reach, networks
from mediafleet_common.reports.merged_config import MergedConfig, to_text
from mediafleet_scheduler.core.advertise.demand import demand_of
from mediafleet_scheduler.core.advertise.views import PoolView, Reaches, Source
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.demand import egress_demand
from mediafleet_scheduler.core.workers.pools import Use, demand
from mediafleet_scheduler.directory.objects import (
    Bounds,
    PodFacts,
    PoolFacts,
    fleet_facts,
    pod_facts,
    pod_state,
    pool_facts,
    pool_view,
    worker_pool_facts,
    worker_pools,
)

READY = [{"type": "Ready", "status": "True"}]


def owned_by(uid: str, **more: Any) -> list[dict[str, Any]]:
    owner = {"apiVersion": "mediafleet.dev/v1alpha1", "kind": "OrchestratorPool", "name": "orch"}
    return [{**owner, "uid": uid, "controller": True, **more}]


def pod(name: str = "orch-0", state: str | None = "ready", **more: Any) -> dict[str, Any]:
    labels = {"mediafleet.dev/kind": "orchestrator", "mediafleet.dev/fleet": "orch"}
    if state is not None:
        labels["mediafleet.dev/state"] = state
    meta = {
        "name": name,
        "namespace": "ns",
        "uid": f"12345678-{name}",
        "resourceVersion": "7",
        "ownerReferences": owned_by("p"),
        "labels": labels,
        "annotations": {"mediafleet.dev/address": f"https://{name}:8935"},
        **more.get("metadata", {}),
    }
    status = {"podIP": "10.0.0.1", "conditions": READY, **more.get("status", {})}
    return {"metadata": meta, "spec": more.get("spec", {}), "status": status}


DELETED: dict[str, Any] = {"metadata": {"deletionTimestamp": "2026-11-22T05:00:00Z"}}
NOT_READY: dict[str, Any] = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}


START: Final = "2026-11-22T05:00:00Z"
NEVER_READY: Final[dict[str, Any]] = {
    "startTime": START,
    "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": START}],
}
WAS_READY: Final[dict[str, Any]] = {**NEVER_READY, "startTime": "2026-11-22T04:59:00Z"}


def unmarked(state: str = "pending", **more: Any) -> dict[str, Any]:
    """Of an operator that writes the label later."""
    raw = pod(state=state, **more)
    raw["metadata"]["annotations"]["mediafleet.dev/work-when-ready"] = "true"
    return raw


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        (pod(), PodState.READY),
        (unmarked(), PodState.READY),
        (unmarked(**NOT_READY), PodState.PENDING),
        (unmarked(state="draining"), PodState.DRAINING),
        (unmarked(state="nonsense"), PodState.PENDING),
        (pod(state="pending"), PodState.PENDING),
        (pod(state=None), PodState.PENDING),
        (pod(state="nonsense"), PodState.PENDING),
        (pod(**NOT_READY), PodState.PENDING),
        (pod(status={"conditions": None}), PodState.PENDING),
        (pod(state="draining"), PodState.DRAINING),
        (pod(state="draining", **NOT_READY), PodState.DRAINING),
        (pod(**DELETED), PodState.DRAINING),
        (pod(state="pending", **DELETED), PodState.DRAINING),
    ],
)
def test_a_pod_is_ready_only_when_operator_and_kubernetes_say_so(
    raw: dict[str, Any], state: PodState
) -> None:
    assert pod_state(raw) is state


@pytest.mark.parametrize(
    ("raw", "was"),
    [
        (pod(), True),
        (pod(**NOT_READY), True),
        (pod(state="pending", **NOT_READY), False),
        (pod(state=None, **NOT_READY), False),
        (unmarked(), True),
        (unmarked(status=WAS_READY), True),
        (unmarked(status=NEVER_READY), False),
        (pod(status={**NOT_READY["status"], "phase": "Failed"}), False),
    ],
)
def test_a_pod_that_once_was_ready_is_told_from_one_that_starts_or_has_ended(
    raw: dict[str, Any], was: bool
) -> None:
    assert pod_facts(raw).was_ready is was
    (node,) = a_view([raw], None, 0.0).nodes
    assert node.was_ready is was


def pool(**more: Any) -> dict[str, Any]:
    meta = {"name": "orch", "namespace": "ns", "uid": "p", "resourceVersion": "1", **more}
    return {"metadata": meta, "spec": {"advertise": {"maxNodes": 3}}}


def a_view(pods: list[dict[str, Any]], previous: PoolView | None, now: float) -> PoolView:
    facts = [pod_facts(raw) for raw in pods]
    return pool_view("ns", "orch", pool_facts(pool()), facts, previous, now)


def test_a_pool_is_its_pods_by_name() -> None:
    view = a_view([pod("orch-1"), pod("orch-0")], None, 0.0)
    assert [(n.name, n.url, n.metrics_url) for n in view.nodes] == [
        ("orch-0", "https://orch-0:8935", "http://10.0.0.1:7936/metrics"),
        ("orch-1", "https://orch-1:8935", "http://10.0.0.1:7936/metrics"),
    ]
    assert view.advertise.max_nodes == 3


def test_what_a_pool_says_of_load_order_and_sources() -> None:
    spec = {
        "load": "docker-ai",
        "sessions": {"max": 4},
        "advertise": {
            "order": "by_gateway",
            "sources": [
                {"name": "us", "listUrl": "http://us/orchestrators", "staleAfter": "30s"},
                {"name": "eu", "urls": ["https://h:1"], "weight": 2},
            ],
        },
    }
    view = pool_view("ns", "orch", pool_facts({**pool(), "spec": spec}), [], None, 0.0)
    assert (view.load, view.sessions_max) == ("docker-ai", 4)
    assert view.advertise.order == "by_gateway"
    assert view.sources == (
        Source("eu", ("https://h:1",), None, 2.0, 300.0, None, None),
        Source("us", (), "http://us/orchestrators", 1.0, 30.0, None, None),
    )


def test_a_nodes_region_is_its_pods_label_and_else_the_pools() -> None:
    def regions(**advertise: str) -> list[str | None]:
        spec = OrchestratorPoolSpec.model_validate({"advertise": advertise})
        facts = PoolFacts("ns", "orch", "p", False, spec)
        raws = [pod("a"), pod("b")]
        raws[0]["metadata"]["labels"]["topology.kubernetes.io/region"] = "eu"
        raws[0]["metadata"]["labels"]["where"] = "north"
        view = pool_view("ns", "orch", facts, map(pod_facts, raws), None, 0.0)
        return [node.region for node in view.nodes]

    assert regions() == ["eu", None]
    assert regions(region="us") == ["eu", "us"]
    assert regions(region="us", regionLabel="where") == ["north", "us"]


def test_a_sources_secrets_are_files_where_the_operator_mounts_them() -> None:
    secret = {"name": "s", "key": "k"}
    told = {"name": "eu", "listUrl": "https://h/l", "tokenSecret": secret, "caSecret": secret}
    spec = OrchestratorPoolSpec.model_validate({"advertise": {"sources": [told]}})
    view = pool_view("ns", "orch", PoolFacts("ns", "orch", "u", False, spec), [], None, 0.0)
    (source,) = view.sources
    assert source.token_file == "/mediafleet/sources/eu/token"
    assert source.ca_file == "/mediafleet/sources/eu/ca"


@pytest.mark.parametrize(
    "meta",
    [
        {"namespace": "other"},
        {"ownerReferences": None},
        {"ownerReferences": owned_by("another pool of that name, since deleted")},
        {"ownerReferences": owned_by("p", controller=False)},
        {"ownerReferences": owned_by("p", apiVersion="apps/v1", kind="ReplicaSet")},
    ],
    ids=["another namespace", "nobody's", "an earlier pool's", "not controlled", "a ReplicaSet's"],
)
def test_labels_and_address_of_a_pod_that_is_not_ours_are_not_believed(meta: Any) -> None:
    assert a_view([pod("a", metadata=meta)], None, 0.0).nodes == ()


def test_a_forged_pod_gets_no_recording() -> None:
    forged = forged_pod("egress", "rec", {"containers": [{"name": "egress"}]})
    view = egress_view([fleet_facts(fleet())], [pod_facts(forged), egress_pod("rec-0")])
    assert [worker.name for worker in view.fleets[0].workers] == ["rec-0"]


def test_a_forged_node_is_not_listed() -> None:
    forged = forged_pod("orchestrator", "orch", {"containers": [{"name": "node"}]})
    forged["metadata"]["annotations"] = {
        "mediafleet.dev/address": "https://attacker.example.com:8935"
    }
    nodes = a_view([forged, pod("orch-1")], None, 0.0).nodes
    assert [node.name for node in nodes] == ["orch-1"]


def forged_pod(kind: str, fleet_name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """As somebody makes it who may create pods, and whom the operator never heard of."""
    labels = {"kind": kind, "fleet": fleet_name, "slot": "0", "state": "ready"}
    meta = {
        "name": "leech",
        "namespace": "ns",
        "uid": "forged",
        "labels": {f"mediafleet.dev/{key}": value for key, value in labels.items()},
    }
    return {
        "metadata": meta,
        "spec": spec,
        "status": {"podIP": "10.6.6.6", "conditions": READY},
    }


def test_a_pod_without_an_address_yet_has_an_empty_url() -> None:
    raw = pod(metadata={"annotations": None}, status={"podIP": ""})
    (node,) = a_view([raw], None, 0.0).nodes
    assert (node.url, node.metrics_url) == ("", None)


def test_a_pool_that_is_gone_or_going_has_no_nodes_to_tell_of() -> None:
    facts = [pod_facts(pod())]
    going = pool_facts(pool(deletionTimestamp="2026-11-22T05:00:00Z"))
    assert pool_view("ns", "orch", going, facts, None, 0.0).nodes == ()
    assert pool_view("ns", "orch", None, facts, None, 0.0).nodes == ()


def test_the_time_of_a_change_is_when_it_was_seen_or_the_drain_was_marked() -> None:
    first = a_view([pod("a", "pending"), pod("b")], None, 100.0)
    assert [node.changed_at for node in first.nodes] == [None, None]
    second = a_view([pod("a"), pod("b"), pod("c")], first, 200.0)
    assert [node.changed_at for node in second.nodes] == [200.0, None, 200.0]
    drained = {"mediafleet.dev/drain-started": "1970-01-01T00:04:59.500Z"}
    third = a_view([pod("a"), pod("b", "draining", metadata={"annotations": drained})], second, 300)
    assert [node.changed_at for node in third.nodes] == [200.0, 299.5]


def egress_pod(name: str, **limits: str) -> PodFacts:
    labels = {"mediafleet.dev/fleet": "rec", "mediafleet.dev/state": "ready"}
    spec = {
        "containers": [
            {"name": "sidecar", "resources": {"limits": {"cpu": "9"}}},
            {"name": "egress", "resources": {"limits": limits}},
        ]
    }
    meta = {"labels": labels, "ownerReferences": owned_by("f", kind="EgressFleet")}
    return pod_facts(pod(name, metadata=meta, spec=spec))


def fleet(**spec: Any) -> dict[str, Any]:
    meta = {"name": "rec", "namespace": "ns", "uid": "f", "resourceVersion": "1"}
    return {"metadata": meta, "spec": {"redis": {"address": "r:6379"}, **spec}}


def test_an_egress_worker_is_what_its_pod_and_fleet_say() -> None:
    raw = fleet(placement={"mode": "spread"}, accepts=["track"])
    view = egress_view([fleet_facts(raw)], [egress_pod("rec-0", cpu="4500m", memory="4Gi")])
    (found,) = view.fleets
    (worker,) = found.workers
    assert (found.key, found.placement.mode) == ("ns/rec", Mode.SPREAD)
    assert found.accepts == {RequestType.TRACK}
    assert found.redis is not None
    assert found.redis.address == "r:6379"
    assert worker.cluster_id == "ns.rec-0.12345678"
    assert (worker.cpu_cores, worker.memory_bytes) == (4.5, 4 * 1024**3)
    assert worker.metrics_url == "http://10.0.0.1:9091/metrics"


@pytest.mark.parametrize(
    ("status", "pods"),
    [
        ({"autoscaling": {"forecast": {"wanted": 7}}}, 7),
        ({"autoscaling": {"forecast": {"knownHours": 3}}}, None),
        ({"autoscaling": {"engine": "builtin"}}, None),
        ({}, None),
    ],
)
def test_the_forecast_of_a_fleet_is_what_its_status_says(
    status: dict[str, Any], pods: int | None
) -> None:
    (found,) = egress_view([fleet_facts({**fleet(), "status": status})], []).fleets
    assert found.forecast == pods
    assert egress_demand(found, Ledger(), complete=True, now=0.0).forecast == pods


@pytest.mark.parametrize("pods", [7, None])
def test_the_forecast_of_a_pool_is_on_the_page_of_its_desk(pods: int | None) -> None:
    status = {"autoscaling": {"forecast": {"wanted": pods, "knownHours": 3}}}
    facts = pool_facts({**pool(), "status": status})
    view = pool_view("ns", "orch", facts, [], None, 0.0)
    assert demand_of(view, {}, 0.0).forecast == pods
    spec = {"secret": {"name": "b", "key": "k"}, "models": [{"pipeline": "llm", "model": "a"}]}
    raw = {**pool(), "spec": spec, "status": status}
    (ai,) = worker_pools([worker_pool_facts(raw)], []).pools
    nothing = Use(lambda *_: 0, lambda _: 0, lambda _: 0)
    assert demand(ai, [], nothing, 0.0).forecast == pods


def test_the_cpus_that_the_fleet_declares_come_first_and_unknown_stays_unknown() -> None:
    declared = fleet_facts(fleet(placement={"cpu": 2}))
    (worker,) = egress_view([declared], [egress_pod("rec-0", cpu="8")]).fleets[0].workers
    assert worker.cpu_cores == 2
    (worker,) = egress_view([fleet_facts(fleet())], [egress_pod("rec-0")]).fleets[0].workers
    assert (worker.cpu_cores, worker.memory_bytes) == (None, None)


def test_a_fleet_without_pods_knows_how_large_they_would_be() -> None:
    container = {"name": "egress", "resources": {"limits": {"cpu": "6"}}}
    made = fleet(template={"spec": {"containers": [container]}})
    (found,) = egress_view([fleet_facts(made)], []).fleets
    assert found.pod_cores == 6.0
    (found,) = egress_view([fleet_facts(fleet())], []).fleets
    assert found.pod_cores is None


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": ["x"]},
        {"containers": "x"},
        {"containers": {"name": "egress"}},
        {"containers": [None, {"name": 7}, {"name": "egress", "resources": []}]},
        {"containers": [{"name": "egress", "resources": {"limits": ["4"]}}]},
        {"containers": [{"name": "egress", "resources": {"limits": {"cpu": {"a": 1}}}}]},
    ],
    ids=str,
)
def test_a_template_of_any_content_keeps_no_other_fleet_off_the_view(spec: dict[str, Any]) -> None:
    boom = fleet(template={"spec": spec})
    boom["metadata"] = {"namespace": "evil", "name": "boom", "uid": "b"}
    view = egress_view([fleet_facts(boom), fleet_facts(fleet())], [egress_pod("rec-0")])
    assert {each.name: each.pod_cores for each in view.fleets} == {"boom": None, "rec": None}


def test_requests_wait_where_the_fleet_autoscales_or_says_so() -> None:
    def wait(**spec: Any) -> float:
        (found,) = egress_view([fleet_facts(fleet(**spec))], []).fleets
        return found.queue.max_wait_seconds

    assert wait() == 0.0
    assert wait(autoscaling={"max": 3}) == 5.0
    assert wait(autoscaling={"engine": "none"}) == 0.0
    assert wait(autoscaling={"max": 3}, placement={"queue": {"maxWait": "0s"}}) == 0.0
    assert wait(placement={"queue": {"maxWait": "2s"}}) == 2.0


@pytest.mark.parametrize(("wanted", "counts"), [(1_000_000, 100), (100, 100), (7, 7), (-9, -9)])
def test_a_priority_counts_up_to_the_bound_of_the_administrator(wanted: int, counts: int) -> None:
    made = fleet_facts(fleet(priority=wanted))
    assert egress_view([made], []).fleets[0].priority == counts
    assert egress_view([made], [], Bounds(5)).fleets[0].priority == min(counts, 5)


def test_a_fleet_takes_the_rooms_that_it_names_in_its_rank() -> None:
    raw = fleet(rooms=["vip-*", "!vip-test"], priority=7)
    (found,) = egress_view([fleet_facts(raw)], []).fleets
    assert found.takes(RequestType.TRACK, "vip-1")
    assert not found.takes(RequestType.TRACK, "vip-test")
    assert found.rank == (-7, "rec", "ns")


def test_no_accepts_means_all_types_and_a_fleet_being_deleted_is_no_fleet() -> None:
    (found,) = egress_view([fleet_facts(fleet())], []).fleets
    assert found.accepts == set(RequestType)
    going = fleet()
    going["metadata"]["deletionTimestamp"] = "2026-11-22T05:00:00Z"
    assert egress_view([fleet_facts(going)], []).fleets == ()


def test_a_spec_of_another_version_is_refused_by_field() -> None:
    with pytest.raises(UnreadableObjectError, match=r"spec\.placement\.mode"):
        fleet_facts(fleet(placement={"mode": "best"}))
    with pytest.raises(UnreadableObjectError, match=r"spec\.advertise\.order"):
        pool_facts({**pool(), "spec": {"advertise": {"order": "best"}}})


def test_what_only_a_newer_crd_knows_stops_nobody() -> None:
    assert fleet_facts(fleet(wishes=3)).spec == fleet_facts(fleet()).spec
    newer = {**pool()["spec"], "wishes": 3}
    assert pool_facts({**pool(), "spec": newer}).spec == pool_facts(pool()).spec


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", 0.5),
        ("2", 2.0),
        (2, 2.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("100u", 1e-4),
        ("4Gi", 4 * 1024**3),
        ("512M", 512e6),
        ("64Ki", 65536.0),
        ("1e3", 1000.0),
        ("1E2", 100.0),
        ("1E", 1e18),
        ("1Ei", 1024.0**6),
        ("9Ex", None),
        ("1e999", None),
        ("", None),
        ("x", None),
        ("4GB", None),
        ("1 Gi", None),
        (True, None),
    ],
)
def test_quantities(text: object, number: float | None) -> None:
    assert quantity(text) == (None if number is None else pytest.approx(number))


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ({}, True),
        ({"type": "node_port"}, True),
        ({"type": "template", "template": "https://redis.other.svc:6379"}, False),
    ],
)
def test_a_pool_reaches_private_addresses_at_the_operators_word_and_not_at_its_own(
    address: dict[str, Any], private: bool
) -> None:
    facts = pool_facts({**pool(), "spec": {"address": address}})
    view = pool_view("ns", "orch", facts, [pod_facts(pod())], None, 0.0, networks(["10.9.0.0/16"]))
    (node,) = view.nodes
    assert (node.reach.refusal("10.0.0.1") is None) is private
    for reach in (node.reach, *astuple_of(view.reaches)):
        assert reach.refusal("10.9.0.1") is None
        assert reach.refusal("127.0.0.1") is not None
        assert reach.refusal("169.254.169.254") is not None
    assert view.reaches.own.refusal("10.0.0.1", "head.ns.svc") is None
    assert view.reaches.foreign.refusal("10.0.0.1", "head.ns.svc") is not None


def astuple_of(reaches: Reaches) -> tuple[Reach, ...]:
    return reaches.own, reaches.pods, reaches.foreign


def counting(message: str) -> Placement | None:
    merged = {"name": "config", "state": {"terminated": {"message": message}}}
    raw = pod("rec-0", metadata={"ownerReferences": owned_by("f")})
    raw["status"]["initContainerStatuses"] = [merged]
    facts = pod_facts(raw)
    placement = {"cpuCost": {"track": 1.0}}
    made = fleet(placement=placement)
    made["metadata"]["uid"] = "f"
    (worker,) = egress_view([fleet_facts(made)], [facts]).fleets[0].workers
    return worker.counts


def test_what_a_pod_counts_by_is_what_its_config_was_merged_to() -> None:
    today = Placement(cpu_cost=CpuCost(track=1.0))
    then = Placement(cpu_cost=CpuCost(track=2.0), max_pulse_clients=30)
    counted = counting(to_text(MergedConfig(30.0, then.egress_costs())))
    assert counted is not None
    assert counted.egress_costs() == then.egress_costs()
    assert counting(to_text(MergedConfig(30.0, today.egress_costs()))) is None
    for odd in ("", "panic", '{"cpu_cost":{"track_cpu_cost":1e9}}'):
        assert counting(odd) is None, "the fleet's own costs count"


def test_a_pod_of_another_namespace_is_no_pod_of_a_worker_pool_whatever_owner_it_names() -> None:
    spec = {"secret": {"name": "b", "key": "k"}, "models": [{"pipeline": "llm", "model": "a"}]}
    meta = {"namespace": "ns", "name": "speech", "uid": "p"}
    pool = worker_pool_facts({"metadata": meta, "spec": spec})
    pods = [pod("ours"), pod("forged", metadata={"namespace": "evil"})]
    (seen,) = worker_pools([pool], map(pod_facts, pods)).pools
    assert [each.name for each in seen.pods] == ["ours"]
