"""SIGKILL of one of two desks while the API server is away: it comes back with what it knew."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from tests.cluster.test_bad_input import LOGGED_SECONDS, SERVE_SECONDS
from tests.kit.cluster import kills
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.fleets import manifests
from tests.kit.fleets.users import Begun, Recorders
from tests.kit.watching import api
from tests.kit.watching.pods import Pod

from mediafleet_common.api.names import PodState
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

SEED: Final = int(os.environ.get("MEDIAFLEET_SEED") or 11)
KILLS: Final = int(os.environ.get("MEDIAFLEET_KILLS_WITHOUT_API") or 2)
EVERY_SECONDS: Final = 0.4
"""A new job counts for 15 s with 0.5 CPUs: they fill half of the fleet, however long it takes."""
BACK_SECONDS: Final = 330.0
"""Of one container that died often kubelet waits up to 300 s before it starts it again."""
API: Final = "kube-apiserver"

pytestmark = [pytest.mark.timeout(300 + 330 * KILLS), pytest.mark.alone]


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    with deployed(node, workspace, {"egress": {"replicas": 2}}) as product:
        yield product


@asynccontextmanager
async def api_away(scene: Scene) -> AsyncIterator[None]:
    """The API server is stopped meanwhile."""
    node = scene.product.node
    node.stop(API)
    try:
        yield
    finally:
        node.start(API)
        await until("the API server is back", lambda: answers(scene), bool, seconds=SERVE_SECONDS)
        node.end_back_offs()


async def answers(scene: Scene) -> bool:
    """Whether the API server does."""
    try:
        return bool(await scene.api.text("/readyz"))
    except (aiohttp.ClientError, TimeoutError, OSError, api.ApiRefusedError):
        return False


@asynccontextmanager
async def asking(users: Recorders) -> AsyncIterator[list[asyncio.Task[Begun]]]:
    """One recording after the other is asked for."""
    asked: list[asyncio.Task[Begun]] = []

    async def ask() -> None:
        while True:
            asked.append(asyncio.create_task(users.begin()))
            await asyncio.sleep(EVERY_SECONDS)

    load = asyncio.create_task(ask())
    try:
        yield asked
    finally:
        load.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def ready(scene: Scene, desk: Pod) -> bool:
    """Whether a desk says so itself."""
    try:
        async with scene.http.get(f"http://{desk.ip}:8080/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def remembers(scene: Scene, desk: Pod, ready_pods: int) -> bool:
    """Whether the file that a desk would be started with tells of so many ready pods."""
    running = kills.desk_of(scene, desk.uid)
    if running is None:
        return False
    try:
        kept = Path(f"/proc/{running.pids[0]}/root/tmp/fleets.json").read_text()
    except OSError:
        return False
    workers = [worker for fleet in json.loads(kept)["fleets"] for worker in fleet["workers"]]
    ready = [worker for worker in workers if worker["state"] == PodState.READY]
    return len(ready) == ready_pods


async def killed(scene: Scene, desk: Pod) -> None:
    """Kill a desk; it is back when kubelet has started it again and it says that it serves."""

    async def found() -> kills.Victim | None:
        return kills.desk_of(scene, desk.uid)

    victim = await until(f"{desk.name} runs", found, bool)
    assert victim is not None
    victim.kill()

    async def back() -> bool:
        now = kills.desk_of(scene, desk.uid)
        return now is not None and now.pids != victim.pids and await ready(scene, desk)

    await until(f"{desk.name} is back", back, bool, seconds=BACK_SECONDS)


async def test_desks_are_killed_while_the_api_server_is_away_and_all_is_recorded(
    product: Product,
) -> None:
    async with watched(product) as scene:
        env = {"STANDIN_JOB_SECONDS": "4"}
        await scene.create(manifests.egress_fleet("rec", product.redis, 3, env=env))
        await scene.until_wanted("rec", 3, 0, SERVE_SECONDS)
        users = scene.recorders("track", random.Random(SEED))
        before = await users.begin()
        assert before.agreed
        desks = scene.pods.component("egress")
        assert len(desks) == 2

        async def kept() -> bool:
            return all(remembers(scene, desk, 3) for desk in desks)

        await until("both desks remember the pods", kept, bool)
        async with api_away(scene), asking(users) as asked:
            # In turn, so that in the end no desk is left that has heard the API server itself.
            for kill in range(KILLS):
                await killed(scene, desks[kill % 2])
            alone = await users.begin()
        jobs = [before, alone, *(task.result() for task in asked)]
        assert users.refusals == []
        slow = sum(seconds > 1 for seconds in users.calls_seconds)
        print(
            f"{len(jobs)} recordings, {KILLS} desks killed without the API server, "
            f"{slow} answers after more than 1 s"
        )
        async with asyncio.timeout(LOGGED_SECONDS):
            await asyncio.gather(*(scene.logs.seen(job.job_id).wait() for job in jobs))
        scene.logs.read()
        assert {scene.logs.starts[job.job_id] for job in jobs} == {1}
        await scene.until_wanted("rec", 3, 0, SERVE_SECONDS)
