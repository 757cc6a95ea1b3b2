"""An AIWorkerPool whose tasks a stock worker does, on the node: a stand-in for it, unmodified pods.

Its stream is ended for good while its process goes on, as after `invalid secret`: Kubernetes starts
it again by our probe, and the pool works on. A new template drains its pod, and no task is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest
from tests.kit.cluster.ai_workers import BROKER, POOL, TASKS, make_secret, pool, say
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.fleets import manifests
from tests.kit.fleets.changes import NewTemplate

from mediafleet_common.api.names import Kind
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

SECONDS: Final = 120.0
STANDIN: Final = ("python", "-m", "mediafleet_testbed.standins.stock_ai_worker")

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    make_secret(workspace)
    with deployed(node, workspace, {"broker": BROKER}) as product:
        yield product


@pytest.fixture
async def scene(product: Product) -> AsyncIterator[Scene]:
    async with watched(product) as scene:
        yield scene


def with_stock_worker() -> dict[str, Any]:
    """One pod, whose stock worker counts as stopped after 5 s instead of minutes."""
    made = pool()
    spec = made["spec"]
    del spec["autoscaling"]
    spec |= {"replicas": 1, "stockWorker": {"image": manifests.IMAGE}}
    spec["template"]["spec"]["containers"] += [
        {"name": "worker", "env": [{"name": "MEDIAFLEET_WORKER_STOCK_AWAY", "value": "5"}]},
        {
            "name": "stock-worker",
            "command": list(STANDIN),
            "imagePullPolicy": "Never",
            "livenessProbe": {
                "initialDelaySeconds": 10,
                "periodSeconds": 2,
                "failureThreshold": 1,
            },
        },
    ]
    return made


async def test_a_stock_worker_does_tasks_is_started_again_once_it_has_stopped_and_is_drained(
    scene: Scene,
) -> None:
    await scene.create(with_stock_worker())
    url = f"http://{await scene.service_address('mediafleet-broker')}:8080"
    told = [f"task {number}" for number in range(TASKS)]
    assert await asyncio.gather(*(say(url, each) for each in told)) == told

    # Its process goes on without a stream, right after tasks that the last look still found: the
    # probe knows.
    stop = ("exec", f"{POOL}-0", "-c", "stock-worker", "--", "python", "-c")
    script = "import os, signal; os.kill(1, signal.SIGUSR1)"
    await asyncio.to_thread(scene.product.workspace.kubectl, *stop, script)
    await until(
        "the stock worker's container was started again, and the others were not",
        lambda: restarts(scene),
        lambda found: found == {"stock-worker": 1, "worker": 0, "runner": 0},
        seconds=SECONDS,
    )

    # A new template while it has tasks: the next pod comes, and this one finishes them.
    saying = [asyncio.create_task(say(url, each)) for each in told]
    _, others = await asyncio.wait(saying, return_when=asyncio.FIRST_COMPLETED)
    assert others
    await scene.change(Kind.AI_WORKER_POOL, POOL, NewTemplate(1))
    assert await asyncio.gather(*saying) == told
    await scene.until_wanted(POOL, 1, 1, SECONDS)
    assert await asyncio.gather(*(say(url, each) for each in told)) == told
    await until(
        "the status tells of the new pod's worker alone",
        lambda: scene.status(Kind.AI_WORKER_POOL, POOL),
        lambda found: found.get("workers") == 1,
        seconds=SECONDS,
    )


async def restarts(scene: Scene) -> dict[str, int]:
    """How often each container of the pool's pod was started again."""
    pod = await asyncio.to_thread(scene.product.workspace.get, f"pod/{POOL}-0")
    return {
        each["name"]: each["restartCount"] for each in pod["status"].get("containerStatuses", ())
    }
