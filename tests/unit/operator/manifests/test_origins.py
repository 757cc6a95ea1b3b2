"""Where demand comes from: what the operator gives those who see gateways, and the reporter."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operator.manifests.test_pods import PRODUCT, container, pool

from mediafleet_common.api.community_metrics import CommunityMetricsSpec
from mediafleet_common.api.names import Kind
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.manifests.children import advertiser, reporter
from mediafleet_operator.manifests.pods.pod import make_pod
from mediafleet_operator.manifests.sharing import Sharing

REDIS = {"address": "origins.media.svc:6379", "db": 2}
SECRET = {"passwordSecret": {"name": "origins", "key": "word"}}
SECRET_VOLUME = {
    "name": "mediafleet-origins",
    "secret": {
        "secretName": "origins",
        "items": [{"key": "word", "path": "password", "mode": 0o440}],
    },
}


def given(args: list[str], option: str) -> str:
    return args[args.index(option) + 1]


def node(**origins: Any) -> dict[str, Any]:
    database = {"regionDatabase": {"claim": "geo", "file": "cities.mmdb"}}
    return make_pod(pool(drainProxy={}, advertise=database, origins=origins), 3, PRODUCT)


def test_a_node_tells_where_its_streams_come_from_by_its_door() -> None:
    pod = node(redis={**REDIS, "tls": True, **SECRET}, ownNetworks=["203.0.113.0/24"])
    agent = container(pod, "agent")
    args = agent["args"]
    assert given(args, "--origins-redis") == "rediss://origins.media.svc:6379/2"
    assert given(args, "--origins-redis-password-file") == "/mediafleet/origins/password"
    assert given(args, "--origins-from") == "door"
    assert given(args, "--own-network") == "203.0.113.0/24"
    assert given(args, "--region-database") == "/mediafleet/regions/cities.mmdb"
    folders = {each["mountPath"] for each in agent["volumeMounts"]}
    assert folders == {
        *("/mediafleet/pod", "/mediafleet/proxy", "/mediafleet/origins", "/mediafleet/regions")
    }
    assert SECRET_VOLUME in pod["spec"]["volumes"]
    assert "--origins" in container(pod, "proxy-config")["args"]
    assert "-metricsClientIP=true" not in container(pod, "node")["args"]


def test_a_node_that_names_its_clients_needs_no_door() -> None:
    pod = make_pod(pool(origins={"redis": REDIS, "source": "client-ip"}), 3, PRODUCT)
    flags = container(pod, "node")["args"]
    assert {"-metricsClientIP=true", "-metricsPerStream=true"} <= set(flags)
    agent = container(pod, "agent")
    assert given(agent["args"], "--origins-from") == "client-ip"
    assert "--origins-redis-password-file" not in agent["args"]
    assert "volumeMounts" not in agent


def test_without_origins_nothing_of_it_is_in_a_pod() -> None:
    pod = make_pod(pool(drainProxy={}), 3, PRODUCT)
    for each in ("agent", "proxy-config", "node"):
        args = container(pod, each)["args"]
        assert not any("origins" in word or "metricsClientIP" in word for word in args)


def test_the_door_needs_a_drain_proxy() -> None:
    with pytest.raises(ValueError, match="origins by the door need drainProxy"):
        pool(origins={"redis": REDIS})


def test_all_of_a_pool_call_it_by_one_name_in_the_same_redis() -> None:
    wanted = pool(drainProxy={}, origins={"redis": {**REDIS, **SECRET}})
    pod = make_pod(wanted, 3, PRODUCT)
    [deployment] = [
        each for each in advertiser.manifests(wanted, PRODUCT) if each["kind"] == "Deployment"
    ]
    advertising = deployment["spec"]["template"]["spec"]
    spec = CommunityMetricsSpec.model_validate(
        {"pool": wanted.key.name, "region": "eu", "originsRedis": {**REDIS, **SECRET}}
    )
    key = FleetKey(Kind.COMMUNITY_METRICS, wanted.key.namespace, "share")
    sharing = Sharing(key, "u", "1", 1, False, spec, None)
    [counting] = [
        each["spec"]["template"]["spec"]
        for each in reporter.manifests(sharing, PRODUCT)
        if each["kind"] == "Deployment"
    ]
    everybody = [
        container(pod, "agent")["args"],
        advertising["containers"][0]["args"],
        counting["containers"][0]["args"],
    ]
    for option in ("--origins-redis", "--origins-pool", "--origins-redis-password-file"):
        assert len({given(args, option) for args in everybody}) == 1
    assert given(everybody[0], "--origins-pool") == f"{wanted.key.namespace}/{wanted.key.name}"
    for volumes in (pod["spec"]["volumes"], advertising["volumes"], counting["volumes"]):
        assert SECRET_VOLUME in volumes
