"""An API server on loopback that has lists and watches, as far as kopf and our client use them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer

_CORE: Final = (
    ("pods", "Pod", True),
    ("services", "Service", True),
    ("nodes", "Node", False),
    ("namespaces", "Namespace", False),
)
_OURS: Final = (
    ("egressfleets", "EgressFleet", True),
    ("orchestratorpools", "OrchestratorPool", True),
    ("aiworkerpools", "AIWorkerPool", True),
)


def pod(name: str, version: int) -> dict[str, Any]:
    meta = {"name": name, "namespace": "media", "uid": name, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta}


@dataclass
class ApiServer:
    """Lists and watches of pods; a test says what is there and what happens."""

    pods: list[dict[str, Any]] = field(default_factory=list)
    fleets: list[dict[str, Any]] = field(default_factory=list)
    changing: str = "pods"
    """What `events` are of."""
    version: int = 10
    status: int = 200
    refused: frozenset[str] = frozenset()
    watched: list[str] = field(default_factory=list)
    since: list[str] = field(default_factory=list)
    """The resourceVersion of each watch of pods."""
    lists: int = 0
    """How often pods were listed."""
    watching: asyncio.Event = field(default_factory=asyncio.Event)
    selectors: set[str] = field(default_factory=set)
    events: asyncio.Queue[dict[str, Any] | None] = field(default_factory=asyncio.Queue)
    lease: dict[str, Any] | None = None
    """The one Lease there is, as last written."""

    async def resources(self, request: web.Request) -> web.Response:
        verbs = ["get", "list", "patch", "watch"]
        found = [
            {"name": name, "singularName": "", "kind": kind, "namespaced": inside, "verbs": verbs}
            for name, kind, inside in (_CORE if request.path == "/api/v1" else _OURS)
        ]
        return web.json_response({"kind": "APIResourceList", "resources": found})

    async def versions(self, request: web.Request) -> web.Response:
        if request.path == "/api":
            return web.json_response({"versions": ["v1"]})
        version = {"version": "v1alpha1"}
        group = {"name": "mediafleet.dev", "versions": [version], "preferredVersion": version}
        return web.json_response({"groups": [group]})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        plural = request.path.rpartition("/")[2]
        if self.status != 200 or plural in self.refused:
            return web.json_response({"message": "no"}, status=max(self.status, 403))
        if request.query.get("watch") == "true":
            return await self._watch(request, plural)
        if plural == "pods":
            self.selectors.add(request.query.get("labelSelector", ""))
            self.lists += 1
        items = {"pods": self.pods, "egressfleets": self.fleets}.get(plural, [])
        meta = {"resourceVersion": str(self.version)}
        return web.json_response({"kind": "List", "items": items, "metadata": meta})

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        self.watched.append(plural)
        if plural == "pods":
            self.since.append(request.query.get("resourceVersion", ""))
        self.watching.set()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while plural == self.changing and (event := await self.events.get()) is not None:
            try:
                await response.write(json.dumps(event).encode() + b"\n")
            finally:
                self.events.task_done()
        return response

    async def until_heard(self) -> None:
        """Until all events were sent to somebody who watches."""
        await self.events.join()

    async def read_lease(self, request: web.Request) -> web.Response:
        del request
        if self.status != 200 or self.lease is None:
            return web.json_response({"message": "no"}, status=max(self.status, 404))
        return web.json_response(self.lease)

    async def write_lease(self, request: web.Request) -> web.Response:
        self.lease = await request.json()
        assert self.lease is not None
        self.version += 1
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return web.json_response(self.lease)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve on loopback; its URL."""
        app = web.Application()
        app.router.add_get("/{root:apis?}", self.versions)
        app.router.add_get("/api/v1", self.resources)
        app.router.add_get("/apis/mediafleet.dev/v1alpha1", self.resources)
        leases = "/apis/coordination.k8s.io/v1/namespaces/ops/leases"
        app.router.add_post(leases, self.write_lease)
        app.router.add_get(leases + "/{name}", self.read_lease)
        app.router.add_put(leases + "/{name}", self.write_lease)
        app.router.add_get("/{path:.*}", self.answer)
        async with TestServer(app) as running:
            try:
                yield str(running.make_url("/")).rstrip("/")
            finally:
                self.events.put_nowait(None)
