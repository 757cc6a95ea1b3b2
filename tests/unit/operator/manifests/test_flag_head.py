"""Pools whose nodes are told by go-livepeer's own flag: the managed head, in whole rounds."""

from __future__ import annotations

from typing import Any

import pytest
from tests.kit.operator.cluster import FLEET, Cluster
from tests.unit.operator.manifests.test_on_chain import REDEEMED
from tests.unit.operator.manifests.test_pods import PRODUCT, pool

from mediafleet_common.kube.client import Json
from mediafleet_common.probes.http_client import Failure, NoLoad
from mediafleet_common.probes.load import Load
from mediafleet_operator.core.flag_head import EVERY_SECONDS, Head
from mediafleet_operator.manifests.children.flag_head import manifests
from mediafleet_operator.manifests.overlay import InvalidTemplateError

DEPLOYMENTS = "/apis/apps/v1/namespaces/media/deployments"
HEAD = f"{DEPLOYMENTS}/orch-head"
ADVERTISER = f"{DEPLOYMENTS}/orch-advertiser"


def head_of(advertise: dict[str, Any], nodes: tuple[str, ...], **spec: Any) -> tuple[Json, Json]:
    one = pool(advertise={"mode": "flag", **advertise}, **spec)
    service, deployment = manifests(one, PRODUCT, Head(nodes, 0.0), "then")
    return service, deployment


def node_of(deployment: Json) -> Json:
    found: Json = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


def test_the_head_takes_no_work_and_tells_of_the_nodes() -> None:
    service, deployment = head_of({"flag": {"args": ["-v=6"]}}, ("https://a:1", "https://b:1"))

    assert node_of(deployment)["args"] == [
        "-orchestrator",
        "-serviceAddr=none",
        "-nodes=https://a:1,https://b:1",
        "-httpAddr=0.0.0.0:8935",
        "-cliAddr=127.0.0.1:7935",
        "-monitor=true",
        "-orchSecret=/mediafleet/orch-secret/secret",
        "-v=6",
    ]
    assert deployment["spec"]["replicas"] == 1
    assert service["metadata"]["name"] == "orch"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert "mediafleet.dev/kind" not in labels, "it is no node of the pool"


def test_without_nodes_it_does_not_run_since_the_flag_must_not_be_empty() -> None:
    assert head_of({}, ())[1]["spec"]["replicas"] == 0


def test_a_paid_head_calls_reward_when_it_is_asked_to() -> None:
    elsewhere = head_of({}, ("https://a:1",), onChain=REDEEMED)[1]
    asked = head_of({}, ("https://a:1",), onChain=REDEEMED | {"rewards": "head"})[1]

    assert "-reward=false" in node_of(elsewhere)["args"]
    assert "-reward=true" in node_of(asked)["args"]
    assert "-ethPassword=/mediafleet/eth-password" in node_of(asked)["args"]


@pytest.mark.parametrize(
    "flag",
    [
        {"args": ["-nodes=https://x:1"]},
        {"args": ["-serviceAddr=me"]},
        {"template": {"spec": {"containers": [{"name": "node", "args": ["-cliAddr=:1"]}]}}},
    ],
)
def test_flags_of_ours_are_refused(flag: dict[str, Any]) -> None:
    with pytest.raises(InvalidTemplateError, match=r"spec\.advertise\.flag|moves money"):
        head_of({"flag": flag}, ("https://a:1",))


@pytest.mark.parametrize("flag", ["-reward=true", "-ethPassword=x", "-initializeRound=true"])
def test_what_on_chain_says_is_said_there_alone(flag: str) -> None:
    with pytest.raises(InvalidTemplateError, match=r"spec\.onChain\."):
        head_of({"flag": {"args": [flag]}}, ("https://a:1",), onChain=REDEEMED)
    assert flag in node_of(head_of({"flag": {"args": [flag]}}, ("https://a:1",))[1])["args"]


# In rounds


def flagged(replicas: int = 2) -> Cluster:
    cluster = Cluster(replicas)
    cluster.server.put(FLEET, {"spec": {"advertise": {"mode": "flag"}}})
    return cluster


def told(cluster: Cluster) -> str:
    found: str = cluster.server.objects[HEAD]["metadata"]["annotations"]["mediafleet.dev/nodes"]
    return found


async def test_a_head_comes_up_with_its_nodes_and_no_advertiser_beside_it() -> None:
    cluster = flagged()
    await cluster.settle(12)

    assert told(cluster) == "https://10.0.0.0:8935,https://10.0.0.1:8935"
    assert cluster.server.objects[HEAD]["spec"]["replicas"] == 1
    assert ADVERTISER not in cluster.server.objects


async def test_it_is_told_once_a_minute_at_most_also_by_an_operator_that_has_just_started() -> None:
    cluster = flagged()
    await cluster.settle(12)
    first = cluster.now
    cluster.server.put(FLEET, {"spec": {"replicas": 3}})
    await cluster.settle(20)
    assert told(cluster).count(",") == 1
    cluster.start()
    await cluster.settle(20)
    assert told(cluster).count(",") == 1, "the time stands on the Deployment"
    while told(cluster).count(",") == 1:
        await cluster.settle(1)

    assert EVERY_SECONDS - 12 <= cluster.now - first <= EVERY_SECONDS + 10


async def test_it_is_not_told_while_it_has_sessions_or_nobody_knows() -> None:
    cluster = flagged()
    await cluster.settle(12)
    cluster.server.put(FLEET, {"spec": {"replicas": 3}})
    for load in (Load(jobs=1), Load(), NoLoad(Failure.UNREACHABLE, "refused")):
        cluster.head_load = load
        await cluster.settle(80)
        assert told(cluster).count(",") == 1, load
    cluster.head_load = Load(jobs=0)
    await cluster.settle(10)
    assert told(cluster).count(",") == 2


async def test_another_mode_takes_what_the_first_has_made() -> None:
    cluster = flagged()
    await cluster.settle(12)
    cluster.server.put(FLEET, {"spec": {"advertise": {"mode": "live"}}})
    await cluster.settle(3)

    assert HEAD not in cluster.server.objects
    assert ADVERTISER in cluster.server.objects


async def test_a_head_that_cannot_be_made_is_told_in_a_condition() -> None:
    cluster = flagged()
    cluster.server.put(FLEET, {"spec": {"advertise": {"flag": {"args": ["-nodes=x"]}}}})
    await cluster.settle(4)
    conditions = cluster.server.objects[FLEET]["status"]["conditions"]
    [degraded] = [each for each in conditions if each["type"] == "Degraded"]

    assert degraded["reason"] == "PartRefused"
    assert "spec.advertise.flag.args[0]" in degraded["message"]
