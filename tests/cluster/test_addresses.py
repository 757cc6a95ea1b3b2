"""Every type of address on a real node: who is outside the pod network reaches every listed URL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.kit.fleets.manifests import orchestrator_pool
from tests.kit.node.operating import operating

from mediafleet_common.formats.node_url import parse_node_url
from mediafleet_common.probes.ping import Answer, NodeClient
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import NODE_IP
from mediafleet_testbed.story.waiting import until

pytestmark = pytest.mark.timeout(300)
BALANCER: Final = "203.0.113.7"
"""What the stand-in for a load balancer's controller gives; kube-proxy leads it to the pods."""
HOST_PORTS: Final = {"first": 20000, "last": 20009}
NODE_PORTS: Final = {"first": 31500, "last": 31509}
ADDRESSES: Final[dict[str, dict[str, Any]]] = {
    "by-pod": {},
    "by-host": {"type": "host_port", "portRange": HOST_PORTS, "nodeAddress": "internal"},
    "by-node": {"type": "node_port", "portRange": NODE_PORTS, "nodeAddress": "internal"},
    "by-balancer": {"type": "load_balancer", "allowPrivate": True},
    "by-template": {
        "type": "template",
        "template": f"https://{NODE_IP}:2010{{slot}}",
        "allowPrivate": True,
    },
}
URLS: Final = {
    "by-host": f"https://{NODE_IP}:20000",
    "by-node": f"https://{NODE_IP}:31500",
    "by-balancer": f"https://{BALANCER}:8935",
    "by-template": f"https://{NODE_IP}:20100",
}


@pytest.fixture
def pools(make_workspace: Any, node: Any, tmp_path: Path) -> Iterator[Workspace]:
    """A pool of one node for each type of address, in a namespace that admits host ports."""
    workspace = make_workspace("privileged")
    allowed = ("--allow-in-template", "host_ports")  # by-template opens one
    with operating(node, workspace, tmp_path / "operator.log", *allowed):
        for name, address in ADDRESSES.items():
            workspace.apply(a_pool(name, address))
        yield workspace


def a_pool(name: str, address: dict[str, Any]) -> dict[str, Any]:
    made = orchestrator_pool(name, 1, address=address, advertise={"replicas": 0})
    if name == "by-template":
        ports = [{"containerPort": 8935, "hostPort": 20100}]
        made["spec"]["template"]["spec"]["containers"][0]["ports"] = ports
    return made


def balance(workspace: Workspace) -> None:
    """What the controller of a cloud's load balancers does."""
    status = {"status": {"loadBalancer": {"ingress": [{"ip": BALANCER}]}}}
    workspace.kubectl(
        *("patch", "service", "by-balancer-slot-0", "--subresource=status", "--type=merge"),
        *("-p", json.dumps(status)),
    )


def condition(workspace: Workspace, pool: str, name: str) -> dict[str, Any]:
    conditions = workspace.get(f"opool/{pool}").get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == name), {})


def pod_of(workspace: Workspace, pool: str) -> dict[str, Any]:
    found: dict[str, Any] = workspace.pods(f"mediafleet.dev/fleet={pool}")[0]
    return found


async def eventually(what: str, check: Any, seconds: float = 60) -> None:
    async def ask() -> Any:
        return await asyncio.to_thread(check)

    await until(what, ask, bool, seconds, pause_seconds=0.3)


async def reach(url: str) -> str:
    """Ask a node as a gateway does; which URL it says it has."""
    async with NodeClient(parse_node_url(url)) as client:
        assert await client.ping(5) is Answer.ANSWERED
        info = await client.orchestrator_info(5)
    assert info is not None
    return OrchestratorInfo.FromString(info).transcoder


async def test_every_listed_url_is_reached_from_outside_the_pod_network(pools: Workspace) -> None:
    def without_balancer() -> bool:
        return "load balancer" in condition(pools, "by-balancer", "AddressReady").get("message", "")

    await eventually("the missing load balancer is told", without_balancer)
    balance(pools)
    for name in ADDRESSES:
        pools.wait("condition=AddressReady", f"opool/{name}", timeout_seconds=60)
        pools.wait("condition=Ready", f"opool/{name}", timeout_seconds=60)
    for name in ADDRESSES:
        meta = pod_of(pools, name)["metadata"]
        url = meta["annotations"]["mediafleet.dev/address"]
        assert url == URLS.get(name, url)
        assert await reach(url) == url, f"{name}: a node says the URL that is listed"

    # A slot with a Service is replaced in place, and keeps its address.
    before = pod_of(pools, "by-balancer")["metadata"]["uid"]
    service = pools.get("service/by-balancer-slot-0")["metadata"]["uid"]
    pools.kubectl("annotate", "pod", "by-balancer-0", "mediafleet.dev/cordoned=true")

    def replaced() -> bool:
        found = pools.pods("mediafleet.dev/fleet=by-balancer")
        ready = [each["metadata"]["labels"]["mediafleet.dev/state"] for each in found] == ["ready"]
        return ready and found[0]["metadata"]["uid"] != before

    await eventually("replaced in place", replaced, 90)
    assert pools.get("service/by-balancer-slot-0")["metadata"]["uid"] == service
    assert await reach(URLS["by-balancer"]) == URLS["by-balancer"]

    # A slot that is gone takes its Service with it.
    pools.kubectl("scale", "opool/by-node", "--replicas=0")

    def gone() -> bool:
        left = pools.get("services", "-l", "mediafleet.dev/fleet=by-node")["items"]
        return not left and not pools.pods("mediafleet.dev/fleet=by-node")

    await eventually("gone with its Service", gone)


async def test_a_namespace_that_refuses_host_ports_is_told_so(
    workspace: Workspace, node: Any, tmp_path: Path
) -> None:
    with operating(node, workspace, tmp_path / "operator.log"):
        workspace.apply(a_pool("by-host", ADDRESSES["by-host"]))

        def told() -> bool:
            found = condition(workspace, "by-host", "AddressReady")
            return found.get("reason") == "HostPortRefused"

        await eventually("told", told)
        message = condition(workspace, "by-host", "AddressReady")["message"]

    assert "pod-security.kubernetes.io/enforce: privileged" in message
