"""Desks, Redis, the API server and KEDA fall out under load: nothing is scaled down for that.

In the same run what is right goes down, and soon. `MEDIAFLEET_OUTAGES` says how many; `make faults`
has fifty.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import pytest
from tests.kit.cluster.keda import (
    FLEET,
    PER_POD,
    POLL_SECONDS,
    SECONDS,
    Stage,
)
from tests.kit.cluster.kills import find, of_pod
from tests.kit.cluster.product import RELEASE
from tests.kit.figures import Show
from tests.kit.fleets.users import Begun
from tests.kit.watching.api import ApiRefusedError
from tests.kit.watching.causes import Outage, ScaleDown, scale_downs

from mediafleet_testbed.cluster.keda import ADAPTER, OPERATOR
from mediafleet_testbed.story.waiting import until

SEED: Final = int(os.environ.get("MEDIAFLEET_SEED") or 20260824)
OUTAGES: Final = int(os.environ.get("MEDIAFLEET_OUTAGES") or 5)
AWAY_SECONDS: Final = 8.0
CALM_SECONDS: Final = POLL_SECONDS + 3.0
"""What an outage has done shows by then: KEDA and the HPA have looked again."""
PODS: Final = 3

pytestmark = pytest.mark.timeout(300 + 150 * OUTAGES)


async def desks_away(stage: Stage) -> None:
    desk = f"deployment/{RELEASE}-egress"
    kubectl = stage.setting.product.workspace.kubectl
    await asyncio.to_thread(kubectl, "scale", desk, "--replicas=0")
    await asyncio.sleep(AWAY_SECONDS)
    await asyncio.to_thread(kubectl, "scale", desk, "--replicas=2")
    status = ("rollout", "status", desk, f"--timeout={SECONDS:.0f}s")
    await asyncio.to_thread(kubectl, *status, timeout_seconds=SECONDS + 10)


async def desk_killed_twice(stage: Stage) -> None:
    for _ in range(2):
        (await find(stage.scene, "egress")).kill()
        await asyncio.sleep(AWAY_SECONDS / 2)


async def redis_killed(stage: Stage) -> None:
    (await of_pod(stage.scene, "redis")).kill()
    await asyncio.sleep(AWAY_SECONDS)


async def api_server_away(stage: Stage) -> None:
    node = stage.setting.product.node
    node.stop("kube-apiserver")
    await asyncio.sleep(AWAY_SECONDS)
    node.start("kube-apiserver")

    async def answers() -> bool:
        try:
            await stage.scene.api.text("/readyz")
        except (ApiRefusedError, aiohttp.ClientError, TimeoutError):
            return False
        return True

    await until("the API server is back", answers, bool, seconds=SECONDS)


async def keda_away(stage: Stage) -> None:
    keda = stage.setting.keda
    for program in (OPERATOR, ADAPTER):
        keda.stop(program)
    await asyncio.sleep(AWAY_SECONDS)
    for program in (OPERATOR, ADAPTER):
        keda.start(program)
    await asyncio.to_thread(keda.wait_ready)


KINDS: Final[dict[str, Callable[[Stage], Awaitable[None]]]] = {
    "API server": api_server_away,
    "KEDA": keda_away,
    "Redis": redis_killed,
    "a desk, twice": desk_killed_twice,
    "both desks": desks_away,
}


def order() -> list[str]:
    """Which outages there are: each kind once before any comes again."""
    chance, kinds = random.Random(SEED), sorted(KINDS)
    drawn: list[str] = []
    while len(drawn) < OUTAGES:
        drawn += chance.sample(kinds, len(kinds))
    return drawn[:OUTAGES]


@dataclass(slots=True)
class Story:
    """Full pods, outages, and between them one pod's work that ends or comes."""

    stage: Stage
    began_at: float = field(default_factory=time.time)
    pods: int = 0
    right_seconds: list[float] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    _jobs: dict[str, Begun] = field(default_factory=dict)

    async def more(self, pods: int) -> None:
        """So many pods' work comes; the fleet grows by just that."""
        jobs = await asyncio.gather(*(self._begun() for _ in range(pods * PER_POD)))
        self._jobs |= {job.job_id: job for job in jobs}
        self.pods += pods
        await self.stage.replicas.until(FLEET, lambda count: count == self.pods, SECONDS)
        await self.stage.until_ready(self.pods)

    async def _begun(self) -> Begun:
        """A job that runs: an HPA that has missed a look takes longer than a client's attempts,
        whose user then asks again."""
        job = await self.stage.users.begin()
        async with asyncio.timeout(SECONDS):
            while not job.agreed:
                job = await self.stage.users.record(job.job_id)
        return job

    async def less(self) -> None:
        """All work of one pod ends; the fleet shrinks by it."""
        scene = self.stage.scene
        scene.logs.read()
        mine = scene.logs.running(scene.pods.serving(FLEET)[0].uid)
        await self.stage.end(*(self._jobs.pop(job.job_id) for job in mine))
        ended = time.time()
        self.pods = -(-len(self._jobs) // PER_POD)
        down = await self.stage.replicas.until(FLEET, lambda count: count == self.pods, SECONDS)
        self.right_seconds.append(down.at - ended)

    async def without(self, kind: str) -> None:
        """One outage, and the time in which what it did would show."""
        self.outages.append(Outage(kind, time.time()))
        await KINDS[kind](self.stage)
        await asyncio.sleep(CALM_SECONDS)

    async def end(self) -> None:
        """Everybody goes."""
        await self.stage.end(*self._jobs.values())
        self.stage.safe(self.began_at)

    def scale_downs(self) -> list[ScaleDown]:
        """All there were, each with its cause."""
        self.stage.scene.logs.read()
        told, jobs = self.stage.replicas.of(FLEET), self.stage.scene.logs.jobs
        return scale_downs(told, jobs, PER_POD, self.outages)


async def test_outages_take_nothing_away_and_what_is_right_goes_down(
    stage: Stage, show: Show
) -> None:
    story = Story(stage)
    await story.more(PODS)
    for kind in order():
        await story.without(kind)
        if story.pods == PODS:
            await story.less()
        else:
            await story.more(1)
    found = story.scale_downs()
    wrong = [str(each) for each in found if not each.right]
    kinds = ", ".join(outage.what for outage in story.outages)
    show(
        f"{OUTAGES} outages ({kinds}), seed {SEED}: {len(wrong)} scale-downs for them; "
        f"{len(found) - len(wrong)} right ones, "
        f"{max(story.right_seconds):.1f} s after the work at most"
    )
    assert wrong == []
    assert len(found) == len(story.right_seconds) >= OUTAGES / 2
    await story.end()
