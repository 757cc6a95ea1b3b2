"""What an operator does seldom, with the chart's rights: it takes away what is no more wanted, and
writes numbers that nobody has written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.kit.fleets.manifests import IMAGE, egress_fleet, orchestrator_pool
from tests.kit.node.operating import Operator, operating

from mediafleet_common.api.names import API_VERSION, Kind
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

SECONDS: Final = 60.0
WORKERS: Final = {
    "apiVersion": API_VERSION,
    "kind": Kind.AI_WORKER_POOL.value,
    "metadata": {"name": "speech"},
    "spec": {
        "models": [{"pipeline": "text-to-speech", "model": "m"}],
        "secret": {"name": "none", "key": "none"},
        "broker": {"address": "nowhere.svc:8936"},
    },
}

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def operator(node: Node, workspace: Workspace, tmp_path: Path) -> Iterator[Operator]:
    with operating(node, workspace, tmp_path / "operator.log") as running:
        yield running


async def there(workspace: Workspace, kind: str, name: str, *, is_there: bool = True) -> None:
    """Wait until an object is there, or is not."""

    async def names() -> list[str]:
        return [each["metadata"]["name"] for each in workspace.get(kind)["items"]]

    await until(f"{kind} {name}", names, lambda found: (name in found) is is_there, SECONDS)


async def replicas(workspace: Workspace, name: str, count: int) -> None:
    """Wait until a resource asks for so many pods."""

    async def asked() -> Any:
        return workspace.get(name)["spec"].get("replicas")

    await until(f"replicas of {name}", asked, lambda found: found == count, SECONDS)


def change(workspace: Workspace, name: str, spec: dict[str, Any]) -> None:
    workspace.kubectl("patch", name, "--type=merge", "-p", json.dumps({"spec": spec}))


async def test_what_is_no_more_wanted_is_taken_away_and_absent_numbers_are_written(
    operator: Operator, workspace: Workspace
) -> None:
    del operator
    by_hpa = {"engine": "hpa", "min": 1, "max": 2}
    workspace.apply(
        egress_fleet("rec", "redis:6379", 1, autoscaling=by_hpa),
        orchestrator_pool("orch", 1, autoscaling={"min": 2, "max": 3}),
        WORKERS,
    )
    await replicas(workspace, "opool/orch", 2)
    await replicas(workspace, "awpool/speech", 1)
    await there(workspace, "hpa", "rec-egress")
    await there(workspace, "deployments", "orch-advertiser")

    change(workspace, "efleet/rec", {"autoscaling": {"engine": "builtin"}})
    change(workspace, "opool/orch", {"advertise": {"mode": "flag", "flag": {"image": IMAGE}}})
    await there(workspace, "hpa", "rec-egress", is_there=False)
    await there(workspace, "deployments", "orch-advertiser", is_there=False)
