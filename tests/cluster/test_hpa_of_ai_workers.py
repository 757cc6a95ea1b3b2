"""A real HPA that scales an AIWorkerPool: up by its metric, down without undoing a drain.

The pods are kwok's: Ready at once, and of a load that nobody can read, so that one that drains
goes on draining. The broker that they would register at is not there, and is not asked: with engine
hpa the metrics adapter is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.kit.fleets.manifests import IMAGE
from tests.kit.node.operating import Operator, operating

from mediafleet_common.api.names import API_VERSION, Kind
from mediafleet_common.api.scaling.autoscaling import OUR_METRIC
from mediafleet_testbed.cluster.kwok import ON_IT, crowded
from mediafleet_testbed.cluster.metrics_adapter import MetricsAdapter
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

FEW: Final = 2
MANY: Final = 6
FEWER: Final = 4
SYNCS: Final = 3
"""So often the HPA has looked, and changed nothing."""
SECONDS: Final = 120.0
POOL: Final = "speech"

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


def pool() -> dict[str, Any]:
    """By an HPA between 2 and 10."""
    runner = {
        "name": "runner",
        "image": IMAGE,
        # As the namespace's Pod Security level demands of the user's own container.
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": API_VERSION,
        "kind": Kind.AI_WORKER_POOL.value,
        "metadata": {"name": POOL},
        "spec": {
            "replicas": FEW,
            "models": [{"pipeline": "text-to-speech", "model": "standin"}],
            "secret": {"name": "broker", "key": "secret"},
            "broker": {"address": "broker.example.com:8935"},
            "template": {"spec": {"containers": [runner], **ON_IT}},
            "autoscaling": {
                "engine": "hpa",
                "min": FEW,
                "max": 10,
                "behavior": {"scaleDown": {"stabilization": "0s"}},
            },
        },
    }


async def seen(workspace: Workspace, what: str, check: Any) -> None:
    """Wait until the pool is as wanted."""
    await until(
        what,
        lambda: asyncio.to_thread(workspace.get, f"awpool/{POOL}"),
        check,
        seconds=SECONDS,
        pause_seconds=0.5,
    )


def counts(it: dict[str, Any]) -> tuple[int, int | None, int | None]:
    """Pods that are asked for, that the status counts, and that drain."""
    status = it.get("status", {})
    return it["spec"]["replicas"], status.get("replicas"), status.get("draining")


async def counts_over(workspace: Workspace, adapter: MetricsAdapter) -> set[Any]:
    """The counts until the HPA has looked SYNCS times."""
    found: set[Any] = set()
    until_asked = adapter.asked.get(OUR_METRIC, 0) + SYNCS
    deadline = time.monotonic() + SECONDS
    while adapter.asked.get(OUR_METRIC, 0) < until_asked:
        assert time.monotonic() < deadline, "the HPA does not look"
        found.add(counts(await asyncio.to_thread(workspace.get, f"awpool/{POOL}")))
        await asyncio.sleep(0.5)
    return found


async def test_an_hpa_scales_a_pool_of_ai_workers_and_undoes_no_drain(
    operator: Operator, adapter: MetricsAdapter, workspace: Workspace
) -> None:
    del operator
    adapter.values[OUR_METRIC] = float(MANY)
    workspace.apply(pool())
    await seen(
        workspace,
        f"the HPA asks for {MANY}, and they are Ready",
        lambda it: (
            it["spec"]["replicas"] == MANY and it.get("status", {}).get("readyReplicas") == MANY
        ),
    )
    adapter.values[OUR_METRIC] = float(FEWER)
    still = (FEWER, FEWER, MANY - FEWER)
    await seen(workspace, f"{FEWER} counted, the others drain", lambda it: counts(it) == still)
    assert await counts_over(workspace, adapter) == {still}

    # One more is wanted: a draining pod comes back, and none is made.
    adapter.values[OUR_METRIC] = FEWER + 1.0
    taken_back = (FEWER + 1, FEWER + 1, MANY - FEWER - 1)
    await seen(workspace, "one is taken back", lambda it: counts(it) == taken_back)
    hpa = workspace.get(f"hpa/{POOL}-ai-worker")
    (metric,) = hpa["spec"]["metrics"]
    labels = metric["external"]["metric"]["selector"]["matchLabels"]
    assert (labels["kind"], labels["fleet_name"]) == ("ai-worker", POOL)
    conditions = hpa["status"]["conditions"]
    assert {each["type"]: each["status"] for each in conditions}["ScalingActive"] == "True"
