"""What it costs to follow thousands of pods: our reflector beside kopf, like for like.

`python -m bench.watching [PODS] [CHANGES]`; 5,000 and 1,000 if not said otherwise. A small server
plays the API server with pods as kubelet and managers leave them; each follower is a process of its
own that does nothing with what it hears. The one lists in pages and then watches, the other lets
kopf do both.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import os
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web
from kubernetes.aio.client import Configuration
from rich.console import Console
from rich.table import Table
from tests.kit.web import serving

from mediafleet_common.kube import kopf_watch
from mediafleet_common.kube.client import Json
from mediafleet_common.kube.paths import Collection
from mediafleet_common.kube.watch import Changed, Listed, News, Watcher

PODS: Final = 5000
CHANGES: Final = 1000
A_SECOND: Final = 100
PODS_KIND: Final = Collection("", "v1", "pods")
NAMESPACE: Final = "bench"
_KNOWN: Final = {
    "name": "pods",
    "singularName": "pod",
    "namespaced": True,
    "kind": "Pod",
    "verbs": ["get", "list", "watch", "patch"],
}
_NAMESPACES: Final = {"name": "namespaces", "singularName": "", "namespaced": False}


def pod(number: int, version: int) -> Json:
    """About 5 kB, of which half says who wrote which field."""
    fields: Json = {f"f:field-{each}": {".": {}, "f:value": {}} for each in range(60)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"pod-{number}",
            "namespace": NAMESPACE,
            "uid": f"uid-{number}",
            "resourceVersion": str(version),
            "labels": {"mediafleet.dev/kind": "egress", "mediafleet.dev/slot": str(number)},
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": fields}}],
        },
        "spec": {
            "nodeName": f"node-{number % 50}",
            "containers": [
                {
                    "name": "egress",
                    "image": "livekit/egress:v1.9",
                    "env": [{"name": f"V{each}", "value": "x" * 20} for each in range(30)],
                }
            ],
        },
        "status": {
            "phase": "Running",
            "podIP": f"10.0.{number // 250}.{number % 250}",
            "conditions": [
                {"type": each, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
                for each in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
        },
    }


class Server:
    """The pods, for one follower."""

    def __init__(self, count: int) -> None:
        self._items = [json.dumps(pod(number, number + 1)) for number in range(count)]
        self._queues: set[asyncio.Queue[bytes]] = set()
        self._versions = itertools.count(count + 1)
        self.watched: Final = asyncio.Event()
        """Somebody hears of changes."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/api", _answer({"kind": "APIVersions", "versions": ["v1"]}))
        app.router.add_get("/apis", _answer({"kind": "APIGroupList", "groups": []}))
        app.router.add_get("/api/v1", _answer({"resources": [_KNOWN, {**_KNOWN, **_NAMESPACES}]}))
        app.router.add_get("/api/v1/pods", self._pods)
        async with serving(app) as url:
            try:
                yield url
            finally:
                for queue in self._queues:
                    queue.put_nowait(b"")

    def change(self, number: int) -> None:
        """One pod is another one."""
        raw = pod(number % len(self._items), next(self._versions))
        line = json.dumps({"type": "MODIFIED", "object": raw}).encode() + b"\n"
        for queue in self._queues:
            queue.put_nowait(line)

    async def _pods(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") in ("1", "true"):
            return await self._watch(request)
        begin = int(request.query.get("continue") or 0)
        end = min(begin + int(request.query.get("limit") or len(self._items)), len(self._items))
        meta = {"resourceVersion": str(len(self._items))}
        if end < len(self._items):
            meta |= {"continue": str(end)}
        head = json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": meta})[:-1]
        text = f'{head}, "items": [{",".join(self._items[begin:end])}]}}'
        return web.Response(text=text, content_type="application/json")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._queues.add(queue)
        self.watched.set()
        try:
            while line := await queue.get():
                await stream.write(line)
        finally:
            self._queues.discard(queue)
        return stream


def _answer(body: Any) -> Any:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body)

    return answer


def used() -> float:
    """CPU seconds of this process."""
    here = resource.getrusage(resource.RUSAGE_SELF)
    return here.ru_utime + here.ru_stime


class Follower:
    """Counts what it hears, and says when all pods were listed and when all changes have come."""

    def __init__(self, url: str, pods: int, changes: int) -> None:
        self._url, self._pods, self._changes = url, pods, changes
        self._listed, self._heard = 0, 0
        self._before = used()
        self._loop = asyncio.get_running_loop()
        self._all_heard = asyncio.Event()

    async def login(self) -> Configuration:
        """To the server, which asks for nothing."""
        return Configuration(host=self._url)

    def take(self, news: News) -> None:
        """From the reflector's thread."""
        if isinstance(news, Listed):
            self._say(len(news.raws))
        elif isinstance(news, Changed):
            self.seen(PODS_KIND, news.raw, news.deleted)

    def seen(self, _: Collection, raw: Json, deleted: bool) -> None:
        """One object; those of the list have small versions."""
        del deleted
        if int(raw["metadata"]["resourceVersion"]) <= self._pods:
            self._say(1)
        else:
            self._heard += 1
            if self._heard == self._changes:
                self._loop.call_soon_threadsafe(self._all_heard.set)

    def _say(self, more: int) -> None:
        before, self._listed = self._listed, self._listed + more
        if before < self._pods <= self._listed:
            print(json.dumps({"before": self._before, "cpu": used()}), flush=True)

    async def by_reflector(self) -> None:
        """The product's way."""
        watcher = Watcher([PODS_KIND], [], self.take, login=self.login, list_seconds=3600)
        watcher.start()
        await self._all_heard.wait()
        await watcher.stop()

    async def by_kopf(self) -> None:
        """kopf's."""
        kopf_watch.silence()
        logging.getLogger("kopf.objects").setLevel(logging.WARNING)
        stop = self._all_heard
        await kopf_watch.watch([PODS_KIND], [], self.login, stop, self.seen, lambda: None)


async def follow(who: str, url: str, pods: int, changes: int) -> None:
    """Follow until so many changes have come; print what it took."""
    follower = Follower(url, pods, changes)
    await (follower.by_kopf() if who == "kopf" else follower.by_reflector())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"cpu": used(), "mb": peak}), flush=True)


async def measured(who: str, pods: int, changes: int) -> tuple[float, float, float]:
    """CPU seconds of the list, of a change, and the most megabytes, of one follower."""
    server = Server(pods)
    async with server.serving() as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.watching", str(pods), str(changes), "--follow"),
            *(who, url),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        listed = json.loads(await process.stdout.readline())
        await server.watched.wait()
        for number in range(changes):
            server.change(number)
            await asyncio.sleep(1 / A_SECOND)
        ended = json.loads(await process.stdout.readline())
        await process.wait()
    to_know = listed["cpu"] - listed["before"]
    return to_know, (ended["cpu"] - listed["cpu"]) / changes, ended["mb"]


async def main(pods: int, changes: int) -> None:
    """Print the table as it grows."""
    table = Table(title=f"following {pods} pods, and {changes} changes of them")
    for head in ("by", "CPU until all are known, s", "CPU of a change, ms", "at most, MB"):
        table.add_column(head, justify="right")
    for who in ("reflector", "kopf"):
        listed, change, mb = await measured(who, pods, changes)
        table.add_row(who, f"{listed:.1f}", f"{change * 1000:.2f}", f"{mb:.0f}")
        Console(width=120).print(table, f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--follow", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("pods", nargs="?", type=int, default=PODS)
    parser.add_argument("changes", nargs="?", type=int, default=CHANGES)
    asked = parser.parse_args()
    if asked.follow:
        by, server = asked.follow
        asyncio.run(follow(by, server, asked.pods, asked.changes))
    else:
        asyncio.run(main(asked.pods, asked.changes))
