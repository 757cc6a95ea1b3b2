"""The watch thread against an API server on loopback: lists, watches, and what goes unseen."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import pytest
from kubernetes.aio.client import Configuration
from tests.kit.operator.watch_server import ApiServer, pod

from mediafleet_common.kube.paths import Collection
from mediafleet_common.kube.watch import Away, Changed, Hidden, Listed, News, follow

PODS: Final = Collection("", "v1", "pods", "mediafleet.dev/kind")
FLEETS: Final = Collection("mediafleet.dev", "v1alpha1", "egressfleets")
NODES: Final = Collection("", "v1", "nodes", namespaced=False, optional=True)
WAIT_SECONDS: Final = 20.0


class Delivered:
    """What was delivered, and waits for more."""

    def __init__(self) -> None:
        self.all: list[News] = []
        self._more = asyncio.Event()

    def take(self, news: News) -> None:
        self.all.append(news)
        self._more.set()

    async def until(self, *wanted: News | type[News]) -> None:
        """Until everything wanted was delivered, by value or by type."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not all(self._has(each) for each in wanted):
                self._more.clear()
                await self._more.wait()

    def _has(self, wanted: News | type[News]) -> bool:
        if isinstance(wanted, type):
            return any(isinstance(each, wanted) for each in self.all)
        return wanted in self.all


@asynccontextmanager
async def following(
    server: ApiServer, *collections: Collection, by_kopf: bool = True
) -> AsyncIterator[Delivered]:
    async with server.serving() as url:

        async def login() -> Configuration:
            return Configuration(host=url)

        news = Delivered()
        task = asyncio.create_task(
            follow(collections, ("media",), news.take, login=login, by_kopf=by_kopf)
        )
        try:
            yield news
        finally:
            server.events.put_nowait(None)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_a_list_comes_first_then_each_change_and_signals_stay_with_the_process() -> None:
    server = ApiServer([pod("a", 5)])
    before = signal.getsignal(signal.SIGTERM)
    async with following(server, PODS) as news:
        await news.until(Listed(PODS, 10, [pod("a", 5)]))
        for kind, version in (("MODIFIED", 11), ("DELETED", 12)):
            server.events.put_nowait({"type": kind, "object": pod("a", version)})
        await news.until(Changed(PODS, pod("a", 11)), Changed(PODS, pod("a", 12), deleted=True))
        assert signal.getsignal(signal.SIGTERM) is before
    assert server.selectors == {"mediafleet.dev/kind"}


async def test_a_watch_that_starts_over_brings_a_list_at_once() -> None:
    """Otherwise what was deleted meanwhile would stay until the next list, half a minute later."""
    server = ApiServer([pod("a", 5), pod("b", 6)])
    async with following(server, PODS) as news:
        await news.until(Listed(PODS, 10, [pod("a", 5), pod("b", 6)]))
        server.pods, server.version = [pod("b", 6)], 20
        gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
        server.events.put_nowait({"type": "ERROR", "object": gone})
        server.events.put_nowait(None)
        await news.until(Listed(PODS, 20, [pod("b", 6)]))


async def test_a_watch_of_pods_that_ends_is_taken_up_where_it_ended_without_a_list() -> None:
    server = ApiServer([pod("a", 5)])
    async with following(server, PODS) as news:
        await news.until(Listed(PODS, 10, [pod("a", 5)]))
        server.events.put_nowait({"type": "MODIFIED", "object": pod("a", 11)})
        bookmark = {"kind": "Pod", "metadata": {"resourceVersion": "15"}}
        server.events.put_nowait({"type": "BOOKMARK", "object": bookmark})
        server.events.put_nowait(None)
        server.events.put_nowait({"type": "DELETED", "object": pod("a", 16)})
        await news.until(Changed(PODS, pod("a", 16), deleted=True))
    assert server.since[:2] == ["10", "15"]
    assert server.lists == 1
    assert not any(isinstance(each, Away) for each in news.all)


async def test_a_desk_follows_what_there_are_few_of_as_it_does_pods() -> None:
    server = ApiServer(fleets=[pod("f", 5), pod("g", 6)], changing="egressfleets")
    async with following(server, FLEETS, PODS, by_kopf=False) as news:
        await news.until(Listed(FLEETS, 10, [pod("f", 5), pod("g", 6)]), Listed(PODS, 10, []))
        server.events.put_nowait({"type": "MODIFIED", "object": pod("f", 11)})
        await news.until(Changed(FLEETS, pod("f", 11)))
        server.fleets, server.version = [pod("f", 11)], 20
        gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
        server.events.put_nowait({"type": "ERROR", "object": gone})
        server.events.put_nowait(None)
        await news.until(Listed(FLEETS, 20, [pod("f", 11)]))


@pytest.mark.parametrize("nonsense", [{"type": "MODIFIED"}, {"type": "MODIFIED", "object": {}}, []])
async def test_a_watch_that_talks_nonsense_is_begun_anew(nonsense: Any) -> None:
    server = ApiServer([pod("a", 5)])
    async with following(server, PODS) as news:
        await news.until(Listed)
        server.events.put_nowait(nonsense)
        await news.until(Away)
        server.events.put_nowait(None)
        server.events.put_nowait({"type": "MODIFIED", "object": pod("a", 11)})
        await news.until(Changed(PODS, pod("a", 11)))


async def test_an_optional_kind_that_is_refused_is_reported_and_not_watched() -> None:
    server = ApiServer(refused=frozenset({"nodes"}))
    async with following(server, NODES, PODS) as news:
        await news.until(Hidden, Listed(PODS, 10, []))
        async with asyncio.timeout(WAIT_SECONDS):
            await server.watching.wait()
    assert set(server.watched) == {"pods"}
    assert not any(isinstance(each, Away) for each in news.all)


@pytest.mark.parametrize("status", [403, 500])
async def test_a_server_that_comes_back_is_followed_again(status: int) -> None:
    server = ApiServer([pod("a", 5)], status=status)
    async with following(server, PODS) as news:
        await news.until(Away)
        server.status = 200
        await news.until(Listed(PODS, 10, [pod("a", 5)]))
        server.events.put_nowait({"type": "MODIFIED", "object": pod("a", 11)})
        await news.until(Changed(PODS, pod("a", 11)))
