"""The AI half of the story: a pool of workers goes from zero to what waits, and back."""

from __future__ import annotations

import asyncio
import base64
import time

import aiohttp
from rich.console import Console

from mediafleet_common.api.names import Kind
from mediafleet_testbed.errors import TestbedError
from mediafleet_testbed.story.claims import Claims
from mediafleet_testbed.story.cluster import Cluster
from mediafleet_testbed.story.waiting import until

MODEL = "standin"
TASKS = 6
"""Two fit on a pod, so that three pods are wanted."""
SECONDS = 120.0
POLL_SECONDS = 0.2


class WorkersStory:
    """Gives tasks to the broker as a caller of its JSON API would."""

    def __init__(self, cluster: Cluster, pool: str, url: str, token: str, console: Console) -> None:
        self._cluster = cluster
        self._pool = pool
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._console = console
        self._began = time.monotonic()
        self._counts: list[int] = []

    async def tell(self, claims: Claims) -> None:
        """Six tasks while there is no pod."""
        watching = asyncio.create_task(self._watch())
        try:
            await until("the pool has its status", self._replicas, lambda count: count == 0)
            texts = [f"sentence {number}" for number in range(TASKS)]
            async with aiohttp.ClientSession(headers=self._headers) as session:
                self._say(f"{TASKS} tasks of text-to-speech, and no worker")
                said = await asyncio.gather(*(self._said(session, text) for text in texts))
            self._say(f"{TASKS} results")
            claims.holds(f"AI: all {TASKS} tasks that waited are done", said == texts)
            await until(
                "all workers are gone",
                lambda: self._cluster.pods(self._pool),
                lambda pods: not pods,
                seconds=SECONDS,
            )
            self._say("no pod is left")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        counts = ", ".join(map(str, self._counts))
        right = self._counts[:1] == [0] and max(self._counts) == 3 and self._counts[-1] == 0
        claims.holds("AI: the pool goes from 0 to 3 pods and back", right, f"replicas {counts}")

    async def _said(self, session: aiohttp.ClientSession, text: str) -> str:
        request = {"model_id": MODEL, "text": text}
        task = {"pipeline": "text-to-speech", "request": request}
        async with session.post(f"{self._url}/v1/tasks", json=task) as response:
            if response.status != 202:
                raise TestbedError(f"the broker takes no task: {await response.text()}")
            name = (await response.json())["id"]
        url = f"{self._url}/v1/tasks/{name}/result?wait=60"
        async with session.get(url) as response:
            if response.status != 200:
                raise TestbedError(f"a task has no result: {await response.text()}")
            sound = (await response.json())["audio"]["url"]
        return base64.b64decode(sound.partition(",")[2]).decode()

    async def _replicas(self) -> int | None:
        status = await self._cluster.status(Kind.AI_WORKER_POOL, self._pool)
        count = status.get("replicas")
        return None if count is None else int(count)

    async def _watch(self) -> None:
        while True:
            count = await self._replicas()
            if count is not None and self._counts[-1:] != [count]:
                self._counts.append(count)
                self._say(f"awpool/{self._pool} has {count} pods")
            await asyncio.sleep(POLL_SECONDS)

    def _say(self, text: str) -> None:
        self._console.print(f"  +{time.monotonic() - self._began:5.1f} s  {text}", highlight=False)
