"""A pool without a process of ours in the path: go-livepeer's own flag tells of the nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.kit.fleets.manifests import IMAGE, orchestrator_pool
from tests.kit.node.operating import operating

from mediafleet_common.formats.node_url import parse_node_url
from mediafleet_common.probes.ping import NodeClient
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.story.waiting import until

pytestmark = pytest.mark.timeout(300)
STANDIN = ["python", "-m", "mediafleet_testbed.standins.node"]


@pytest.fixture
def pool(workspace: Workspace, node: Any, tmp_path: Path) -> Iterator[Workspace]:
    """Two nodes behind a managed head."""
    container = {"name": "node", "imagePullPolicy": "Never", "command": STANDIN}
    template = {"spec": {"containers": [container]}}
    advertise = {"mode": "flag", "flag": {"image": IMAGE, "template": template}}
    with operating(node, workspace, tmp_path / "operator.log"):
        workspace.apply(orchestrator_pool("orch", 2, advertise=advertise))
        yield workspace


async def test_a_head_of_go_livepeers_tells_of_the_nodes_and_takes_no_work(pool: Workspace) -> None:
    pool.wait("condition=Ready", "opool/orch", timeout_seconds=90)
    pool.kubectl("wait", "--for=create", "deployment/orch-head", "--timeout=60s")
    address = pool.get("service/orch")["spec"]["clusterIP"]
    info = OrchestratorInfo()

    async def ask() -> bool:
        async with NodeClient(parse_node_url(f"https://{address}:8935")) as client:
            answer = await client.orchestrator_info(5)
        if answer is None:
            return False
        info.ParseFromString(answer)
        return len(info.nodes) == 2

    await until("the head tells of both", ask, bool, 90, pause_seconds=0.5)

    def pods() -> list[dict[str, Any]]:
        return pool.pods("mediafleet.dev/fleet=orch")

    found = await asyncio.to_thread(pods)
    assert sorted(info.nodes) == sorted(
        each["metadata"]["annotations"]["mediafleet.dev/address"] for each in found
    )
    assert info.transcoder == ""
    assert not pool.get("deployments", "-l", "app.kubernetes.io/component=advertiser")["items"]
