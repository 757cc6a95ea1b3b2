"""An AIWorkerPool on a real node, with the chart's broker: 0 -> 3 -> 0 by queue, no task lost."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import aiohttp
import pytest
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.fleets import manifests

from mediafleet_common.api.names import API_VERSION, Kind
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

SECONDS: Final = 120.0
TASKS: Final = 6
"""Each takes a worker for 3 s; two fit on a pod, so that three pods are wanted."""
MODEL: Final = {"pipeline": "text-to-speech", "model": "standin"}
VALUES: Final = {
    "broker": {
        "enabled": True,
        "models": [{**MODEL, "wait_seconds": 300}],
        "secret": {"name": "broker", "key": "secret"},
        "runnerToken": {"name": "broker", "key": "token"},
    },
}

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    literals = ("--from-literal=secret=of-workers", "--from-literal=token=of-callers")
    workspace.kubectl("create", "secret", "generic", "broker", *literals)
    with deployed(node, workspace, VALUES) as product:
        yield product


@pytest.fixture
async def scene(product: Product) -> AsyncIterator[Scene]:
    async with watched(product) as scene:
        yield scene


def pool() -> dict[str, Any]:
    runner = {
        "name": "runner",
        "image": manifests.IMAGE,
        "imagePullPolicy": "Never",
        "command": ["python", "-m", "mediafleet_testbed.standins.ai_runner", "--seconds", "3"],
        "resources": {"requests": {"cpu": "20m"}},
        # As the namespace's Pod Security level demands of the user's own container.
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": API_VERSION,
        "kind": Kind.AI_WORKER_POOL.value,
        "metadata": {"name": "speech"},
        "spec": {
            "replicas": 0,
            "models": [{**MODEL, "capacity": 2}],
            "secret": {"name": "broker", "key": "secret"},
            "ca": {"name": "mediafleet-broker-tls", "key": "tls.crt"},
            "template": {"spec": {"containers": [runner]}},
            "drain": {"settle": "2s"},
            "autoscaling": {
                "min": 0,
                "max": 3,
                "buffer": {"slots": 0},
                "coolDown": "3s",
                "behavior": {"scaleDown": {"stabilization": "1s"}},
            },
        },
    }


async def say(url: str, text: str) -> str:
    """A task, from its submission to its result."""
    headers = {"Authorization": "Bearer of-callers"}
    body = {"model_id": MODEL["model"], "text": text}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{url}/text-to-speech", json=body) as response,
    ):
        answer = await response.json()
        assert response.status == 200, answer
        return base64.b64decode(answer["audio"]["url"].partition(",")[2]).decode()


async def test_a_pool_goes_from_zero_to_what_waits_and_back_and_no_task_is_lost(
    scene: Scene,
) -> None:
    await scene.create(pool())
    url = f"http://{await scene.service_address('mediafleet-broker')}:8080"
    told = [f"task {number}" for number in range(TASKS)]
    saying = [asyncio.create_task(say(url, each)) for each in told]
    await until(
        "all of them wait, three pods are wanted, and the status tells it",
        lambda: scene.status(Kind.AI_WORKER_POOL, "speech"),
        lambda status: status.get("replicas") == 3,
        seconds=SECONDS,
    )
    assert await asyncio.gather(*saying) == told
    # While pods leave, more tasks come: each is done, by one that stays or comes.
    late = [f"late {number}" for number in range(TASKS)]
    assert await asyncio.gather(*(say(url, each) for each in late)) == late
    await scene.until_drained("speech", 0, SECONDS)
    status = await until(
        "the status tells that all are gone",
        lambda: scene.status(Kind.AI_WORKER_POOL, "speech"),
        lambda found: found.get("workers") == 0 and found.get("replicas") == 0,
        seconds=SECONDS,
    )
    assert (status["waiting"], status["missed"], status["inUse"]) == (0, 0, 0)
