"""The operator and the desks are killed in the middle of a short story, again and again.

Each job is started once, over all the pods that ever were, and in the end list and pods are right.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import pytest
from rich.table import Table
from tests.kit.cluster import kills
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.figures import Show
from tests.kit.fleets import changes, manifests
from tests.kit.fleets.changes import Change, NewTemplate
from tests.kit.fleets.users import Begun, Recorders, Users, comes_to_run, end_for_certain
from tests.kit.watching.listing import Lister
from tests.kit.watching.verdicts import judge

from mediafleet_common.api.names import Kind, Port
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until
from mediafleet_testbed.waiting import WaitedInVainError

SEED: Final = int(os.environ.get("MEDIAFLEET_SEED") or 20260823)
RUNS: Final = int(os.environ.get("MEDIAFLEET_FAULT_RUNS") or 3)
VICTIMS: Final = ("operator",) * 4 + ("egress",) * 4 + ("advertiser",) * 2
"""Ten kills a run, in an order of its own."""
PAUSE_SECONDS: Final = (0.3, 3.0)
BURST: Final = 3
"""Jobs begun just before a kill, so that it hits requests on their way."""
AFTER_BURST_SECONDS: Final = (0.0, 0.04)
JOB_SECONDS: Final = (1.0, 4.0)
JOB_EVERY_SECONDS: Final = 0.7
CHANGES: Final = 4
REPLICAS: Final = changes.Range(2, 5)
START: Final = 3
BEGUN_SECONDS: Final = 90.0
"""For so long a user asks for one job, again and again under the same id."""
RIGHT_SECONDS: Final = 90.0
FLEETS: Final = ((Kind.EGRESS_FLEET, "rec"), (Kind.ORCHESTRATOR_POOL, "orch"))

pytestmark = pytest.mark.timeout(180 + 120 * RUNS)


@dataclass(slots=True)
class Told:
    """What came of one run."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    jobs: list[str] = field(default_factory=list)
    """Every id that was ever asked for."""
    given_up: list[str] = field(default_factory=list)
    refused: int = 0
    """How often livekit-server would have given up on a job, and its user asked again."""
    replicas: dict[str, int] = field(default_factory=dict)
    story_seconds: float = 0.0
    right_seconds: float = 0.0


class Story:
    """One run: users come, fleets change, and processes die."""

    def __init__(self, scene: Scene, told: Told, revision: int) -> None:
        self._scene = scene
        self._told = told
        self._chance = random.Random(told.seed)
        self._revision = revision
        self._tasks: set[asyncio.Task[None]] = set()

    async def tell(self) -> None:
        """Until the last job has ended and everything is as it should be."""
        began = time.monotonic()
        self._recorders = self._scene.recorders("track", self._chance)
        self._gateway = await self._scene.gateway("orch", self._chance)
        feeding = asyncio.create_task(self._feed())
        changing = [asyncio.create_task(self._change(kind, name)) for kind, name in FLEETS]
        try:
            await self._kill()
            await asyncio.gather(*changing)
        finally:
            feeding.cancel()
        await asyncio.gather(*self._tasks)
        self._told.refused = len(self._recorders.refusals)
        self._told.story_seconds = time.monotonic() - began
        for _, name in FLEETS:
            wanted = self._told.replicas[name]
            await self._scene.until_wanted(name, wanted, self._revision, RIGHT_SECONDS)
            await self._scene.until_drained(name, wanted, RIGHT_SECONDS)
        await list_is_right(self._scene)
        self._told.right_seconds = time.monotonic() - began - self._told.story_seconds

    async def _kill(self) -> None:
        for name in self._chance.sample(VICTIMS, len(VICTIMS)):
            await asyncio.sleep(self._chance.uniform(*PAUSE_SECONDS))
            victim = await kills.find(self._scene, name)
            for _ in range(BURST):
                self._begin(self._recorders)
            await asyncio.sleep(self._chance.uniform(*AFTER_BURST_SECONDS))
            victim.kill()
            self._told.kills[name] += 1

    async def _change(self, kind: Kind, name: str) -> None:
        start = self._told.replicas[name]
        for change in changes.draw(self._told.seed, name, CHANGES, REPLICAS, start):
            await asyncio.sleep(self._chance.uniform(1.0, 5.0))
            made: Change = change
            if isinstance(change, NewTemplate):
                made = NewTemplate(self._revision)
            else:
                self._told.replicas[name] = change.replicas
            await self._scene.change(kind, name, made)

    async def _feed(self) -> None:
        while True:
            self._begin(self._recorders)
            self._begin(self._gateway)
            await asyncio.sleep(JOB_EVERY_SECONDS)

    def _begin(self, users: Users) -> None:
        task = asyncio.create_task(self._job(users))
        self._tasks.add(task)

    async def _job(self, users: Users) -> None:
        if isinstance(users, Recorders):
            begun: Begun | None = await self._recorded(users)
        else:
            begun = await users.begin()
        if begun is None or not await comes_to_run(begun, self._scene.logs):
            return
        await asyncio.sleep(self._chance.uniform(*JOB_SECONDS))
        try:
            await end_for_certain(begun, self._scene.logs)
        except WaitedInVainError as error:
            self._told.given_up.append(str(error))

    async def _recorded(self, users: Recorders) -> Begun:
        """A job whose user asks again and again, under the same id, until it is agreed to."""
        egress_id = users.fresh_id()
        self._told.jobs.append(egress_id)
        deadline = time.monotonic() + BEGUN_SECONDS
        while True:
            begun = await users.record(egress_id)
            if begun.agreed or time.monotonic() > deadline:
                return begun


async def list_is_right(scene: Scene) -> None:
    """GetOrchestrator names just the nodes that serve."""
    wanted = {f"https://{pod.ip}:{Port.ORCHESTRATOR}" for pod in scene.pods.serving("orch")}
    address = await scene.service_address("orch")
    async with Lister(f"https://{address}:{Port.ORCHESTRATOR}") as lister:
        await until("the list is right", lister.ask, lambda seen: seen == wanted, seconds=15)


def report(told: list[Told], scene: Scene) -> Table:
    """A table for people."""
    table = Table(title=f"seeds {SEED} to {SEED + RUNS - 1}: SIGKILL in the middle of the story")
    for name in (
        "seed",
        "kills",
        "jobs",
        "started once",
        "asked again",
        "story",
        "then right after",
    ):
        table.add_column(name, justify="right")
    for run in told:
        once = sum(scene.logs.starts[each] == 1 for each in run.jobs)
        table.add_row(
            str(run.seed),
            " ".join(f"{name} {count}" for name, count in sorted(run.kills.items())),
            str(len(run.jobs)),
            str(once),
            str(run.refused),
            f"{run.story_seconds:.0f} s",
            f"{run.right_seconds:.0f} s",
        )
    return table


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    with deployed(node, workspace) as product:
        yield product


async def test_each_job_starts_once_whoever_is_killed(product: Product, show: Show) -> None:
    async with watched(product) as scene:
        update = {"maxSurge": 2}
        await scene.create(manifests.egress_fleet("rec", product.redis, START, update=update))
        await scene.create(manifests.orchestrator_pool("orch", START, update=update))
        replicas = {}
        for _, name in FLEETS:
            await scene.until_wanted(name, START, 0, RIGHT_SECONDS)
            replicas[name] = START
        await list_is_right(scene)
        told: list[Told] = []
        try:
            for number in range(RUNS):
                told.append(Told(SEED + number, replicas=replicas))
                await one_run(scene, told[-1], revision=number + 1)
                replicas = dict(told[-1].replicas)
        finally:
            show(report(told, scene))
        restarts = sum(pod.restarts for name in set(VICTIMS) for pod in scene.pods.component(name))
        assert restarts == RUNS * len(VICTIMS)


async def one_run(scene: Scene, told: Told, revision: int) -> None:
    """Tell the story once and say what did not hold."""
    began = time.time()
    await Story(scene, told, revision).tell()
    scene.logs.read()
    assert {each: scene.logs.starts[each] for each in told.jobs} == dict.fromkeys(told.jobs, 1)
    assert told.given_up == []
    deletions = scene.deletions(began)
    assert judge(deletions, scene.logs.jobs, manifests.DRAIN_TIMEOUT_SECONDS) == []
    assert [pod for _, name in FLEETS for pod in scene.pods.of(name) if pod.restarts] == []
    assert sum(told.kills.values()) == len(VICTIMS)
