"""A real HPA beside draining pods: it undoes no drain, at 10 % and without a tolerance.

The pods are kwok's: Ready at once, and of a load that nobody can read, so that one that drains
goes on draining. 22 become 20; had the status counted the draining two, an HPA within its tolerance
would write 22 back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.kit.fleets.manifests import egress_fleet
from tests.kit.node.operating import Operator, operating

from mediafleet_common.api.scaling.autoscaling import OUR_METRIC
from mediafleet_testbed.cluster.kwok import ON_IT, crowded
from mediafleet_testbed.cluster.metrics_adapter import MetricsAdapter
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

MANY: Final = 22
FEWER: Final = 20
SYNCS: Final = 3
"""So often the HPA has looked, and changed nothing."""
SECONDS: Final = 120.0
OURS, THEIRS = "ours", "theirs"
METRICS: Final = {OURS: OUR_METRIC, THEIRS: "demand_of_theirs"}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def adapter(node: Node, tmp_path: Path) -> AsyncIterator[MetricsAdapter]:
    with crowded(node, tmp_path):
        async with MetricsAdapter(node, tmp_path) as adapter:
            yield adapter


@pytest.fixture
async def operator(
    adapter: MetricsAdapter, node: Node, workspace: Workspace, tmp_path: Path
) -> AsyncIterator[Operator]:
    del adapter
    with operating(node, workspace, tmp_path / "operator.log") as running:
        yield running


def fleet(name: str, **spec: Any) -> dict[str, Any]:
    made = egress_fleet(name, "redis:6379", MANY, **spec)
    made["spec"]["template"]["spec"] |= ON_IT
    return made


def own_hpa() -> dict[str, Any]:
    """An HPA as a user writes one: with the tolerance of the cluster, 10 %."""
    target = {"apiVersion": "mediafleet.dev/v1alpha1", "kind": "EgressFleet", "name": THEIRS}
    metric = {"metric": {"name": METRICS[THEIRS]}, "target": {"type": "AverageValue"}}
    metric["target"]["averageValue"] = "1"
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": THEIRS},
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": 2,
            "maxReplicas": 40,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
            "metrics": [{"type": "External", "external": metric}],
        },
    }


async def seen(workspace: Workspace, name: str, what: str, check: Any) -> dict[str, Any]:
    """The fleet, once it is as wanted."""
    return dict(
        await until(
            f"{name}: {what}",
            lambda: asyncio.to_thread(workspace.get, f"efleet/{name}"),
            check,
            seconds=SECONDS,
            pause_seconds=0.5,
        )
    )


async def settled(workspace: Workspace, name: str) -> None:
    """The fleet asks for FEWER pods, has them, and two drain beside them."""
    await seen(
        workspace,
        name,
        f"{FEWER} counted and {MANY - FEWER} draining",
        lambda it: (
            it["spec"]["replicas"] == FEWER
            and it.get("status", {}).get("replicas") == FEWER
            and it["status"].get("draining") == MANY - FEWER
        ),
    )


async def counts_over(
    workspace: Workspace, adapter: MetricsAdapter, name: str
) -> set[tuple[int, int]]:
    """What the fleet asks for and how many drain, until the HPA has looked SYNCS times."""
    found: set[tuple[int, int]] = set()
    until_asked = adapter.asked.get(METRICS[name], 0) + SYNCS
    deadline = time.monotonic() + SECONDS
    while adapter.asked.get(METRICS[name], 0) < until_asked:
        assert time.monotonic() < deadline, f"the HPA of {name} does not look"
        it = await asyncio.to_thread(workspace.get, f"efleet/{name}")
        found.add((it["spec"]["replicas"], it["status"]["draining"]))
        await asyncio.sleep(0.5)
    return found


async def test_no_drain_is_undone_by_an_hpa(
    operator: Operator, adapter: MetricsAdapter, workspace: Workspace
) -> None:
    del operator
    adapter.values |= {METRICS[OURS]: float(MANY), METRICS[THEIRS]: float(FEWER)}
    autoscaling = {
        "engine": "hpa",
        "min": 2,
        "max": 40,
        "behavior": {"scaleDown": {"stabilization": "0s"}},
    }
    workspace.apply(fleet(OURS, autoscaling=autoscaling), fleet(THEIRS))
    for name in (OURS, THEIRS):
        await seen(
            workspace,
            name,
            f"{MANY} Ready",
            lambda it: it.get("status", {}).get("readyReplicas") == MANY,
        )
    adapter.values[METRICS[OURS]] = float(FEWER)
    workspace.kubectl("scale", f"efleet/{THEIRS}", f"--replicas={FEWER}")
    for name in (OURS, THEIRS):
        await settled(workspace, name)
    workspace.apply(own_hpa())

    still = {(FEWER, MANY - FEWER)}
    looks = await asyncio.gather(
        *(counts_over(workspace, adapter, name) for name in (OURS, THEIRS))
    )
    assert looks == [still, still]

    # One more is wanted. Without a tolerance a draining pod comes back; with 10 % nothing happens.
    adapter.values |= {METRICS[OURS]: FEWER + 1.0, METRICS[THEIRS]: FEWER + 1.0}
    await seen(
        workspace,
        OURS,
        "one is taken back",
        lambda it: (it["spec"]["replicas"], it["status"]["draining"]) == (FEWER + 1, 1),
    )
    assert await counts_over(workspace, adapter, THEIRS) == still
    ours = workspace.get("hpa/ours-egress")
    (metric,) = ours["spec"]["metrics"]
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "1"}
    conditions = ours["status"]["conditions"]
    assert {each["type"]: each["status"] for each in conditions}["ScalingActive"] == "True"
