"""How fast the list follows the pods: a pool grows, shrinks, grows back and shrinks, over and over.

Times are between what the API server tells the watcher and the first answer of GetOrchestrator
that shows it, asked every 20 ms; the drain's start is the time that the pod's annotation says.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from rich.table import Table
from tests.kit.cluster.scene import Scene
from tests.kit.fleets.changes import Scale
from tests.kit.fleets.manifests import SETTLE_SECONDS, orchestrator_pool
from tests.kit.fleets.users import Gateway, end_for_certain
from tests.kit.watching.listing import Lister, ListWatch
from tests.kit.watching.pods import Pod

from mediafleet_common.api.names import Kind, Port
from mediafleet_testbed.load.bursts import quantile
from mediafleet_testbed.story.waiting import until

POOL: Final = "fresh"
LOW: Final = 2
HIGH: Final = 4
CHANGES_A_CYCLE: Final = 4 * (HIGH - LOW)
BUSY_EVERY: Final = 4
"""In every so manieth cycle the nodes that leave have a session each."""
SESSION_SECONDS: Final = SETTLE_SECONDS + 2
GOAL_LISTED_SECONDS: Final = 1.0
GOAL_UNLISTED_SECONDS: Final = 0.5
SKEW_SECONDS: Final = 0.1
"""By so much two streams that tell of one moment may differ in a busy process."""
_TURN_SECONDS: Final = 15.0
_SERVE_SECONDS: Final = 90.0


@dataclass(slots=True)
class Figures:
    """What was measured; one value for each node that came or went."""

    listed: list[float] = field(default_factory=list)
    """Seconds from a new pod's being Ready to its being listed."""
    relisted: list[float] = field(default_factory=list)
    """Seconds from the scale-up to a draining node's being listed again."""
    unlisted: list[float] = field(default_factory=list)
    """Seconds from the start of a drain to the node's being off the list."""
    too_early: list[str] = field(default_factory=list)
    """Nodes that were listed before they were Ready."""
    too_late: list[str] = field(default_factory=list)
    """Nodes that were still listed when their pod was deleted."""
    unanswered: int = 0
    """Calls of GetOrchestrator without an answer."""

    @property
    def changes(self) -> int:
        """How many times a node came on the list or went off it."""
        return len(self.listed) + len(self.relisted) + len(self.unlisted)


def table(figures: Figures) -> Table:
    """For people."""
    rows = Table(title=f"how fast the list follows the pods: {figures.changes} changes")
    rows.add_column("from … to …")
    for name in ("count", "p50", "p99", "worst", "goal p99"):
        rows.add_column(name, justify="right")
    for text, values, goal in (
        ("new pod Ready -> listed", figures.listed, GOAL_LISTED_SECONDS),
        ("scale-up -> draining node listed again", figures.relisted, GOAL_LISTED_SECONDS),
        ("drain starts -> unlisted", figures.unlisted, GOAL_UNLISTED_SECONDS),
    ):
        shown = (f"{(quantile(values, share) or 0) * 1000:.0f} ms" for share in (0.5, 0.99, 1.0))
        rows.add_row(text, str(len(values)), *shown, f"{goal * 1000:.0f} ms")
    return rows


async def measure(scene: Scene, cycles: int, seed: int) -> Figures:
    """Change a pool of its own so often; each cycle is `CHANGES_A_CYCLE` changes of the list."""
    await scene.create(orchestrator_pool(POOL, LOW))
    await scene.until_wanted(POOL, LOW, 0, _SERVE_SECONDS)
    address = await scene.service_address(POOL)
    gateway = await scene.gateway(POOL, random.Random(seed))
    began = time.time()
    async with AsyncExitStack() as stack:
        lister = Lister(f"https://{address}:{Port.ORCHESTRATOR}")
        await stack.enter_async_context(lister)
        await until("the entry answers", lister.ask, lambda seen: seen is not None)
        listing = await stack.enter_async_context(ListWatch(lister))
        run = _Run(scene, listing, gateway)
        for number in range(cycles):
            await run.cycle(busy=number % BUSY_EVERY == 0)
        run.check_order(began)
        return run.figures


class _Run:
    def __init__(self, scene: Scene, listing: ListWatch, gateway: Gateway) -> None:
        self.figures = Figures()
        self._scene = scene
        self._listing = listing
        self._gateway = gateway

    async def cycle(self, *, busy: bool) -> None:
        """Grow, shrink, grow back before the drained are gone, shrink for good."""
        before = {pod.uid for pod in self._scene.pods.of(POOL)}
        await self._scale(HIGH)
        await self._scene.until_wanted(POOL, HIGH, 0, _SERVE_SECONDS)
        for pod in self._scene.pods.serving(POOL):
            if pod.uid not in before and pod.ready_at is not None:
                listed_at = await self._turn(pod, listed=True, since=pod.ready_at - 1)
                self.figures.listed.append(max(listed_at - pod.ready_at, 0.0))
        leaving = await self._shrink()
        asked = await self._scale(HIGH)
        for pod in leaving:
            listed_at = await self._turn(pod, listed=True, since=asked)
            self.figures.relisted.append(listed_at - asked)
        sessions = []
        if busy:
            sessions = [await self._gateway.begin() for _ in range(HIGH)]
        await self._shrink()
        if busy:
            await asyncio.sleep(SESSION_SECONDS)
            await asyncio.gather(
                *(end_for_certain(each, self._scene.logs) for each in sessions if each)
            )
        await self._scene.until_drained(POOL, LOW, _SERVE_SECONDS)

    async def _scale(self, replicas: int) -> float:
        asked = time.time()
        await self._scene.change(Kind.ORCHESTRATOR_POOL, POOL, Scale(replicas))
        return asked

    async def _shrink(self) -> list[Pod]:
        """Scale down; the pods that leave, once they are off the list."""
        asked = await self._scale(LOW)

        def leaving() -> list[Pod]:
            pods = self._scene.pods.of(POOL)
            return [pod for pod in pods if pod.draining_at and pod.drain_started]

        await self._scene.pods.until(
            "the drains have begun", lambda: len(leaving()) == HIGH - LOW, _TURN_SECONDS
        )
        for pod in leaving():
            unlisted_at = await self._turn(pod, listed=False, since=asked)
            self.figures.unlisted.append(unlisted_at - (pod.drain_started or asked))
        return leaving()

    async def _turn(self, pod: Pod, *, listed: bool, since: float) -> float:
        url = _url(pod)
        deadline = time.monotonic() + _TURN_SECONDS
        while (at := self._listing.first(url, listed=listed, since=since)) is None:
            what = "listed" if listed else "off the list"
            assert time.monotonic() < deadline, f"{pod.name} is not {what} in {_TURN_SECONDS:g} s"
            await asyncio.sleep(0.02)
        return at

    def check_order(self, began: float) -> None:
        """Note who was listed too early, or for too long."""
        self.figures.unanswered = self._listing.unanswered
        pods = {_url(pod): pod for pod in self._scene.pods.pods.values() if pod.fleet == POOL}
        for turn in self._listing.turns:
            pod = pods[turn.url]
            ready = pod.ready_at is not None and turn.at >= pod.ready_at - SKEW_SECONDS
            if turn.listed and not ready:
                self.figures.too_early.append(pod.name)
        by_uid = {pod.uid: url for url, pod in pods.items()}
        for deletion in self._scene.deletions(began):
            turns = [each for each in self._listing.turns if each.url == by_uid[deletion.pod_uid]]
            if turns and (turns[-1].listed or turns[-1].at > deletion.at):
                self.figures.too_late.append(deletion.pod)


def _url(pod: Pod) -> str:
    return f"https://{pod.ip}:{Port.ORCHESTRATOR}"
