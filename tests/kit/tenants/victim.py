"""The tenant that works: recordings and a list, and what they cost its users."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Final

from tests.kit.cluster.scene import Scene
from tests.kit.fleets.users import Begun, Recorders, end_for_certain
from tests.kit.watching.listing import Lister

from mediafleet_common.api.names import Port
from mediafleet_testbed.load.bursts import quantile

FLEET: Final = "rec"
POOL: Final = "orch"
JOB_EVERY_SECONDS: Final = 0.2
JOB_SECONDS: Final = 1.0
LIST_EVERY_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 10.0
"""For a list: late is a figure, and never is a loss."""


@dataclass(slots=True)
class Figures:
    """What users had for some time."""

    placing: list[float] = field(default_factory=list)
    """Seconds of each StartEgress."""
    listing: list[float] = field(default_factory=list)
    """Seconds of each GetOrchestrator."""
    refusals: list[str] = field(default_factory=list)
    unanswered: int = 0
    strange: set[str] = field(default_factory=set)
    """Nodes on the list that are none of the pool's pods."""
    jobs: list[str] = field(default_factory=list)

    def p99(self) -> tuple[float, float]:
        """Of a placement and of the list, in seconds."""
        return quantile(self.placing, 0.99) or 0.0, quantile(self.listing, 0.99) or 0.0


async def use(scene: Scene, seconds: float, seed: int) -> Figures:
    """Users of both for so long; all their jobs have ended after."""
    figures, until = Figures(), time.monotonic() + seconds
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_record(scene, figures, until, random.Random(seed)))
        tasks.create_task(_list(scene, figures, until))
    return figures


async def _record(scene: Scene, figures: Figures, until: float, chance: random.Random) -> None:
    users = scene.recorders("track", chance)
    async with asyncio.TaskGroup() as jobs:
        while time.monotonic() < until:
            jobs.create_task(_one(scene, users, figures))
            await asyncio.sleep(JOB_EVERY_SECONDS)
    figures.placing, figures.refusals = users.calls_seconds, users.refusals


async def _one(scene: Scene, users: Recorders, figures: Figures) -> None:
    job: Begun = await users.begin()
    figures.jobs.append(job.job_id)
    if job.agreed:
        await asyncio.sleep(JOB_SECONDS)
        await end_for_certain(job, scene.logs)


async def _list(scene: Scene, figures: Figures, until: float) -> None:
    address = await scene.service_address(POOL)
    own = {f"https://{pod.ip}:{Port.ORCHESTRATOR}" for pod in scene.pods.of(POOL)}
    async with Lister(f"https://{address}:{Port.ORCHESTRATOR}", PATIENCE_SECONDS) as lister:
        while time.monotonic() < until:
            began = time.monotonic()
            nodes = await lister.ask()
            if nodes is None:
                figures.unanswered += 1
            else:
                figures.listing.append(time.monotonic() - began)
                figures.strange |= nodes - own
            await asyncio.sleep(LIST_EVERY_SECONDS)
