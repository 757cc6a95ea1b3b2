"""An AIWorkerPool on a real node, with two brokers of the chart: no task is lost, whatever happens.

0 -> 3 -> 0 by queue, a new template under load, and a broker that is killed with tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Final

import aiohttp
import pytest
from tests.kit.cluster import kills
from tests.kit.cluster.ai_workers import (
    BROKER,
    HEADERS,
    TASKS,
    keep_saying,
    make_secret,
    pool,
    result,
    say,
    submit,
)
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.fleets.changes import NewTemplate

from mediafleet_common.api.names import Kind
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

SECONDS: Final = 120.0
VALUES: Final = {"broker": {**BROKER, "replicas": 2, "redis": {"url": "redis://redis:6379"}}}

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    make_secret(workspace)
    with deployed(node, workspace, VALUES) as product:
        yield product


@pytest.fixture
async def scene(product: Product) -> AsyncIterator[Scene]:
    async with watched(product) as scene:
        yield scene


async def test_a_pool_goes_from_zero_to_what_waits_changes_its_template_and_goes_back(
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

    # A new template under load: callers that come one after the other, until all pods are of it.
    changed = asyncio.Event()
    calling = [asyncio.create_task(keep_saying(url, number, changed)) for number in range(TASKS)]
    await scene.change(Kind.AI_WORKER_POOL, "speech", NewTemplate(1))
    await scene.until_wanted("speech", 3, 1, SECONDS)
    changed.set()
    assert all(await asyncio.gather(*calling))

    # A broker dies with tasks that came to it: the other one has them done, each once.
    dying, staying = scene.pods.component("broker")
    async with aiohttp.ClientSession(headers=HEADERS) as session:
        urls = [f"http://{each.ip}:8080" for each in (dying, staying)]
        left = {await submit(session, urls[0], f"left {n}"): f"left {n}" for n in range(TASKS)}
        (await kills.of_pod(scene, dying.name)).kill()
        said = await asyncio.gather(*(result(session, urls[1], task) for task in left))
    assert said == list(left.values())

    await scene.until_drained("speech", 0, SECONDS)
    status = await until(
        "the status tells that all are gone",
        lambda: scene.status(Kind.AI_WORKER_POOL, "speech"),
        lambda found: found.get("workers") == 0 and found.get("replicas") == 0,
        seconds=SECONDS,
    )
    assert (status["waiting"], status["missed"], status["inUse"]) == (0, 0, 0)
