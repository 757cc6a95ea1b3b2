"""The orchestrator half of the story: a pool grows and shrinks while sessions run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import aiohttp
from rich.console import Console

from mediafleet_common.api.names import Kind, Port
from mediafleet_common.formats.node_url import parse_node_url
from mediafleet_common.probes.ping import NodeClient
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo
from mediafleet_testbed.story.claims import Claims
from mediafleet_testbed.story.cluster import Cluster
from mediafleet_testbed.story.timeline import Timeline
from mediafleet_testbed.story.waiting import until

GOAL_LISTED_SECONDS = 1.0
GOAL_UNLISTED_SECONDS = 0.5
POLL_SECONDS = 0.05
"""How often the list is asked for: what is told of times is no finer than this."""
CONTROL_PORT = 7940
"""The stand-in nodes' own HTTP control (demo's pool.yaml)."""
BUSY_NODES = 6
WAIT_SECONDS = 8.0
"""How long the busy leaving nodes are watched before their sessions end; settle is 3 s."""


class PoolStory:
    """Scales a pool as a user would and watches from outside what gateways see."""

    def __init__(self, cluster: Cluster, pool: str, console: Console) -> None:
        self._cluster = cluster
        self._pool = pool
        self._console = console
        self._timeline = Timeline()

    async def tell(self, claims: Claims) -> None:
        """3 nodes, then 8, then 4 while sessions run on six of them."""
        watching = [
            asyncio.create_task(self._watch_list()),
            asyncio.create_task(self._watch_pods()),
        ]
        try:
            await self._grow(claims)
            await self._shrink(claims)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _grow(self, claims: Claims) -> None:
        await self._listed(3)
        began = await self._scale(8)
        await self._listed(8)
        self._say(f"all 8 listed, {self._timeline.now() - began:.1f} s after the scale")
        await asyncio.sleep(2 * POLL_SECONDS)
        claims.within(
            "pool: slowest node, from Ready to listed",
            self._timeline.slowest(self._timeline.ready, self._timeline.listed),
            GOAL_LISTED_SECONDS,
            "s",
        )

    async def _shrink(self, claims: Claims) -> None:
        pods = await self._cluster.pods(self._pool)
        busy = {pod.name: pod.ip for pod in pods[:BUSY_NODES]}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
            for name, ip in busy.items():
                await session.put(f"http://{ip}:{CONTROL_PORT}/sessions/{name}")
            self._say(f"a session each on {self._slots(busy)}")
            began = await self._scale(4)
            await self._listed(4)
            leaving = self._timeline.left_the_list()
            waited_for = leaving & busy.keys()
            self._say(
                f"off the list: {self._slots(leaving)}; with a session, so waited for: "
                f"{self._slots(waited_for)}"
            )
            await asyncio.sleep(WAIT_SECONDS)
            here = {pod.name for pod in await self._cluster.pods(self._pool) if not pod.deleting}
            claims.holds(
                "pool: idle nodes leave first, and busy ones are waited for",
                len(waited_for) == 2 and waited_for <= here and not (leaving - waited_for) & here,
                f"still there after {WAIT_SECONDS:g} s: {self._slots(leaving & here)}",
            )
            for name, ip in busy.items():
                if name in here:
                    await session.delete(f"http://{ip}:{CONTROL_PORT}/sessions/{name}")
        ended = self._timeline.now()
        self._say("the sessions end")
        await until(
            "the leaving nodes are gone",
            lambda: self._cluster.pods(self._pool),
            lambda pods: len(pods) == 4,
        )
        await asyncio.sleep(4 * POLL_SECONDS)
        self._say(f"4 nodes left, {self._timeline.now() - began:.1f} s after the scale")
        for name in sorted(leaving):
            self._say(
                f"node {self._slots([name])}: draining +{self._timeline.draining[name]:.1f} s, "
                f"unlisted +{self._timeline.unlisted[name]:.1f} s, "
                f"deleted +{self._timeline.gone[name]:.1f} s"
                + (" (its session ended first)" if name in waited_for else "")
            )
        self._judge(leaving, waited_for, ended, claims)

    def _judge(self, leaving: set[str], waited_for: set[str], ended: float, claims: Claims) -> None:
        line = self._timeline
        claims.holds(
            "pool: every leaving node was off the list before it was deleted",
            len(leaving) == 4
            and all(line.unlisted[name] < line.gone.get(name, 0) for name in leaving),
        )
        claims.holds(
            "pool: no node with a session was deleted before its session ended",
            all(line.gone.get(name, 0) > ended for name in waited_for),
        )
        claims.within(
            "pool: slowest node, from drain to unlisted",
            line.slowest({name: line.draining.get(name, 0.0) for name in leaving}, line.unlisted),
            GOAL_UNLISTED_SECONDS,
            "s",
        )

    async def _scale(self, replicas: int) -> float:
        began = self._timeline.now()
        self._say(f"kubectl scale opool/{self._pool} --replicas={replicas}")
        await self._cluster.scale(Kind.ORCHESTRATOR_POOL, self._pool, replicas)
        return began

    async def _listed(self, count: int) -> None:
        async def listed() -> int:
            return len(self._timeline.lists[-1][1]) if self._timeline.lists else 0

        await until(f"{count} nodes are listed", listed, lambda now: now == count, seconds=90)

    async def _watch_list(self) -> None:
        """Ask GetOrchestrator as a gateway does, again and again."""
        url = f"https://{self._pool}.{self._cluster.namespace}.svc:{Port.ORCHESTRATOR}"
        async with NodeClient(parse_node_url(url)) as client:
            while True:
                answer = await client.orchestrator_info(timeout_seconds=1.0)
                if answer is not None:
                    nodes = tuple(OrchestratorInfo.FromString(answer).nodes)
                    if self._timeline.note_list(nodes):
                        names = [self._timeline.names.get(url, url) for url in nodes]
                        self._say(f"GetOrchestrator lists {len(nodes)}: {self._slots(names)}")
                await asyncio.sleep(POLL_SECONDS)

    async def _watch_pods(self) -> None:
        while True:
            self._timeline.note_pods(await self._cluster.pods(self._pool))
            await asyncio.sleep(POLL_SECONDS)

    def _slots(self, names: Iterable[str]) -> str:
        """Nodes by their slots: `transcoders-3` and `transcoders-4` as `3 4`."""
        return " ".join(sorted(name.removeprefix(f"{self._pool}-") for name in names)) or "none"

    def _say(self, text: str) -> None:
        self._console.print(f"  +{self._timeline.now():5.1f} s  {text}", highlight=False)
