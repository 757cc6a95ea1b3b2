"""Break-glass on a node: recordings start without a desk once a stock pod is Ready; and back."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import pytest
from tests.cluster.test_bad_input import LOGGED_SECONDS, SERVE_SECONDS, end, nothing_lost
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.fleets import manifests
from tests.kit.fleets.users import Begun, Recorders

from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node

SEED: Final = 7
GONE_SECONDS: Final = 60.0
pytestmark = pytest.mark.timeout(480)


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    with deployed(node, workspace) as product:
        yield product


async def break_glass(scene: Scene, *more: str) -> str:
    """The command, as a person runs it."""
    instance = scene.product.node.instance
    where = ("-n", scene.namespace, "--kubeconfig", str(instance.kubeconfig))
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "mediafleet.main", "break-glass", "rec", *where, *more],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def stock(scene: Scene, old: set[str]) -> list[str]:
    """The stock pods that are Ready, by uid."""
    return [pod.uid for pod in scene.pods.of("rec") if pod.ready and pod.uid not in old]


async def first_start(scene: Scene, users: Recorders, seconds: float) -> Begun:
    """Ask again and again, as people do; the first recording that starts."""
    async with asyncio.timeout(seconds):
        while True:
            begun = await users.begin()
            if begun is not None and begun.agreed:
                await scene.logs.seen(begun.job_id).wait()
                return begun


async def test_recordings_start_without_a_desk_and_none_is_lost(product: Product) -> None:
    since = time.time()
    async with watched(product) as scene:
        await scene.create(manifests.egress_fleet("rec", product.redis, 2))
        await scene.until_wanted("rec", 2, 0, SERVE_SECONDS)
        old = {pod.uid for pod in scene.pods.of("rec")}
        users = scene.recorders("track", random.Random(SEED))
        before = await first_start(scene, users, LOGGED_SECONDS + 30)
        desk = ("deployment", "mediafleet-egress")
        product.node.kubectl("-n", scene.namespace, "scale", "/".join(desk), "--replicas=0")
        await scene.pods.until(
            "the desk is gone", lambda: not scene.pods.component("egress"), GONE_SECONDS
        )

        assert "rec has engine native" in await break_glass(scene)
        await scene.pods.until(
            "a stock pod is Ready", lambda: bool(stock(scene, old)), SERVE_SECONDS
        )
        ready_at = time.monotonic()
        after = await first_start(scene, users, SERVE_SECONDS)
        print(f"first start {time.monotonic() - ready_at:.1f} s after a stock pod was Ready")
        assert any(scene.logs.running(uid) for uid in old), "what was being recorded goes on"

        await end(scene, [before])
        await scene.until_wanted("rec", 2, 0, SERVE_SECONDS)
        await scene.until_drained("rec", 2, GONE_SECONDS + manifests.DRAIN_TIMEOUT_SECONDS / 10)
        assert not old & {pod.uid for pod in scene.pods.of("rec")}

        await back_to_the_desk(scene, [before, after], since)


async def back_to_the_desk(scene: Scene, jobs: list[Begun], since: float) -> None:
    """Undo it once the desk is well; `jobs` are all so far, the last one runs on a stock pod."""
    namespace, desk = ("-n", scene.namespace), "deployment/mediafleet-egress"
    users = scene.recorders("track", random.Random(SEED + 1))
    scene.product.node.kubectl(*namespace, "scale", desk, "--replicas=1")
    await scene.pods.until(
        "the desk is back",
        lambda: any(pod.ready for pod in scene.pods.component("egress")),
        SERVE_SECONDS,
    )
    stock_pods = {pod.uid for pod in scene.pods.of("rec")}
    assert "rec has engine scheduler" in await break_glass(scene, "--undo")
    await scene.pods.until(
        "two pods of the desk serve",
        lambda: len({pod.uid for pod in scene.pods.serving("rec")} - stock_pods) == 2,
        2 * SERVE_SECONDS,
    )
    # Of a stock pod that is leaving, and of the desk, either may take it.
    meanwhile = await first_start(scene, users, SERVE_SECONDS)
    assert any(scene.logs.running(uid) for uid in stock_pods), "what a stock pod records goes on"
    await end(scene, [jobs[-1], meanwhile])
    await scene.until_drained("rec", 2, 2 * GONE_SECONDS)
    placed = await first_start(scene, users, SERVE_SECONDS)
    assert {job.pod_uid for job in scene.logs.jobs if job.job_id == placed.job_id} <= {
        pod.uid for pod in scene.pods.of("rec")
    } - stock_pods
    await end(scene, [placed])
    nothing_lost(scene, [*jobs, meanwhile, placed], since)
