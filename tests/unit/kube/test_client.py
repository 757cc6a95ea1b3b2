"""Calls to an API server that answers, is slow, or talks nonsense."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from mediafleet_common.kube import client
from mediafleet_common.kube.client import Api
from mediafleet_common.kube.errors import ConflictError, UnreachableError
from mediafleet_common.kube.paths import Target

POD = Target("/api/v1/namespaces/media/pods/rec-0", "pods")
PODS = Target("/api/v1/namespaces/media/pods", "pods")


class Server:
    """Answers as told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.status = 200
        self.body = "{}"
        self.silent = False

    async def answer(self, request: web.Request) -> web.Response:
        text = await request.text()
        body = json.loads(text) if text else None
        query = {**request.query, "type": request.headers.get("Content-Type", "")}
        self.asked.append((request.method, request.path, query, body))
        if self.silent:
            await asyncio.sleep(60)
        return web.Response(status=self.status, text=self.body)


@asynccontextmanager
async def serving(server: Server, **more: Any) -> AsyncIterator[Api]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        async with Api(configuration, **more) as api:
            yield api
    finally:
        await runner.cleanup()


async def test_a_delete_is_conditional_on_what_was_seen() -> None:
    server = Server()
    async with serving(server) as api:
        await api.delete(POD, "uid-1", "7", grace_seconds=1)
    method, path, _, body = server.asked[0]

    assert (method, path) == ("DELETE", POD.path)
    assert body["preconditions"] == {"uid": "uid-1", "resourceVersion": "7"}
    assert body["gracePeriodSeconds"] == 1


async def test_an_apply_names_its_manager() -> None:
    server = Server()
    async with serving(server) as api:
        await api.apply(POD, {"kind": "Pod"}, "mediafleet")
    method, _, query, _ = server.asked[0]

    assert method == "PATCH"
    assert query["fieldManager"] == "mediafleet"
    assert query["type"] == "application/apply-patch+yaml"


async def test_a_long_list_comes_page_by_page() -> None:
    server = Server()
    server.body = '{"items": [{"a": 1}], "metadata": {"resourceVersion": "7", "continue": "more"}}'

    class Paged(Server):
        async def answer(self, request: web.Request) -> web.Response:
            last = '{"items": [{"a": 2}], "metadata": {"resourceVersion": "7"}}'
            done = "continue" in request.query
            self.body = last if done else server.body
            return await super().answer(request)

    paged = Paged()
    async with serving(paged) as api:
        items = await api.list_all(PODS, labelSelector="x")

    assert items == [{"a": 1}, {"a": 2}]
    assert [query["labelSelector"] for _, _, query, _ in paged.asked] == ["x", "x"]


async def test_writes_are_counted_with_what_they_came_to() -> None:
    server, counted = Server(), list[tuple[str, str, str]]()
    async with serving(server, on_write=lambda *what: counted.append(what)) as api:
        await api.patch(POD, {})
        server.status, server.body = 409, '{"reason": "Conflict"}'
        with pytest.raises(ConflictError):
            await api.patch(POD, {})
        await asyncio.sleep(0)

    assert counted == [("patch", "pods", "ok"), ("patch", "pods", "conflict")]


async def test_who_may_not_write_any_more_does_not() -> None:
    server = Server()
    async with serving(server, may_write=lambda: False) as api:
        with pytest.raises(UnreachableError, match="not the leader"):
            await api.create(PODS, {})
        await api.get(POD)

    assert [method for method, *_ in server.asked] == ["GET"]


async def test_an_api_server_that_does_not_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "DEADLINE_SECONDS", 0.05)
    server = Server()
    server.silent = True
    async with serving(server) as api:
        with pytest.raises(UnreachableError, match="no answer"):
            await api.get(POD)


async def test_one_that_talks_nonsense_is_as_good_as_away() -> None:
    server = Server()
    server.body = "<html>"
    async with serving(server) as api:
        with pytest.raises(UnreachableError, match="not JSON"):
            await api.get(POD)


async def test_one_that_is_not_there_is_away() -> None:
    async with Api(Configuration(host="http://127.0.0.1:1")) as api:
        with pytest.raises(UnreachableError):
            await api.get(POD)
