"""A pool's advertiser as a pod: what it finds is on the resource, beside what the operator says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.kit.fleets.manifests import orchestrator_pool
from tests.kit.node.operating import Operator, operating

from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_scheduler.directory.objects import PoolFacts, pod_facts, pool_view
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

pytestmark = pytest.mark.timeout(300)
POOL: Final = "opool/orch"
SECONDS: Final = 90.0


@pytest.fixture
def operator(node: Node, workspace: Workspace, tmp_path: Path) -> Iterator[Operator]:
    with operating(node, workspace, tmp_path / "operator.log") as running:
        yield running


def conditions(workspace: Workspace) -> dict[str, tuple[str, str]]:
    found = workspace.get(POOL).get("status", {}).get("conditions", [])
    return {each["type"]: (each["status"], each["reason"]) for each in found}


async def say(workspace: Workspace, **expected: tuple[str, str]) -> None:
    async def told() -> dict[str, tuple[str, str]]:
        return conditions(workspace)

    await until("conditions", told, lambda said: expected.items() <= said.items(), SECONDS)


def apply(workspace: Workspace, **advertise: Any) -> None:
    workspace.apply(orchestrator_pool("orch", 1, advertise={"replicas": 1, **advertise}))


async def test_what_the_advertiser_finds_is_on_the_resource_and_the_operator_leaves_it(
    operator: Operator, workspace: Workspace
) -> None:
    nowhere = "http://127.0.0.1:9/orchestrators"
    apply(
        workspace,
        sources=[{"name": "gone", "listUrl": nowhere}],
        head={"address": "127.0.0.1:9"},
        probe="pod",
    )
    await say(
        workspace,
        SourcesReady=("False", "SourceDropped"),
        HeadReady=("False", "HeadAway"),
        AddressVerified=("True", "AddressAnswers"),
        AddressReady=("True", "AddressKnown"),
        Ready=("True", "AsWanted"),
    )
    apply(workspace)
    await say(
        workspace,
        SourcesReady=("True", "NotUsed"),
        HeadReady=("True", "NotUsed"),
        Ready=("True", "AsWanted"),
    )


@pytest.fixture
def region(node: Node) -> Iterator[str]:
    """A region that the node is in."""
    label = "topology.kubernetes.io/region"
    node.kubectl("label", "node", "--all", f"{label}=here", "--overwrite")
    yield "here"
    node.kubectl("label", "node", "--all", f"{label}-")


async def test_kubernetes_copies_a_nodes_region_to_the_pods_where_we_read_it(
    region: str, operator: Operator, workspace: Workspace
) -> None:
    workspace.apply(orchestrator_pool("orch", 1, advertise={"replicas": 0}))

    async def scheduled() -> list[dict[str, Any]]:
        pods = workspace.pods("mediafleet.dev/fleet=orch")
        return [pod for pod in pods if pod["spec"].get("nodeName")]

    (pod,) = await until("a pod on the node", scheduled, lambda pods: len(pods) == 1, SECONDS)
    spec = OrchestratorPoolSpec()
    owner = pod["metadata"]["ownerReferences"][0]["uid"]
    facts = PoolFacts(workspace.name, "orch", owner, deleting=False, spec=spec)
    (seen,) = pool_view(workspace.name, "orch", facts, [pod_facts(pod)], None, 0.0).nodes
    assert seen.region == region
