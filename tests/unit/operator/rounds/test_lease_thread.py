"""The Lease is kept while the process is busy, given back at the end, and its loss is told."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from mediafleet_common.kube.client import Api
from mediafleet_operator.kube.lease import Lease, LostLeaseError, Terms
from mediafleet_operator.kube.lease_thread import LeaseThread

TERMS = Terms(duration_seconds=30.0, deadline_seconds=20.0, retry_seconds=0.05)


class LeaseServer:
    """An API server with one Lease, in a thread of its own: a busy process does not stop it."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.writes = 0
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> LeaseServer:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._start())
        # Once it runs for good: a stop that came before that would be forgotten.
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())

    async def _start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    async def _answer(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            if self.lease is None:
                return web.json_response({"reason": "NotFound"}, status=404)
            return web.json_response(self.lease)
        self.writes += 1
        self.lease = json.loads(await request.text())
        self.lease["metadata"]["resourceVersion"] = str(self.writes)
        return web.json_response(self.lease)


@asynccontextmanager
async def holding(server: LeaseServer) -> AsyncIterator[LeaseThread]:
    async def login() -> Configuration:
        return Configuration(host=server.url)

    def make(api: Api) -> Lease:
        return Lease(api, "ops", "op", "me", TERMS)

    lease = LeaseThread(login, make)
    try:
        yield lease
    finally:
        await lease.stop()


async def test_a_busy_process_keeps_its_lease() -> None:
    with LeaseServer() as server:
        async with holding(server) as lease:
            async with asyncio.timeout(30):
                await lease.acquire()
            assert lease.held()
            before, until = server.writes, time.monotonic() + 60
            # The loop does nothing else meanwhile, as in a round that makes thousands of pods.
            while server.writes < before + 3 and time.monotonic() < until:
                sum(range(10_000))
            assert server.writes >= before + 3
            assert lease.held()


async def test_at_the_end_it_is_given_back() -> None:
    with LeaseServer() as server:
        async with holding(server) as lease:
            await lease.acquire()
        assert server.lease is not None
        assert server.lease["spec"]["holderIdentity"] == ""
        assert not lease.held()


async def test_the_loss_of_it_is_told() -> None:
    with LeaseServer() as server:
        async with holding(server) as lease:
            await lease.acquire()
            assert server.lease is not None
            stolen = {**server.lease["spec"], "holderIdentity": "another"}
            server.lease = {**server.lease, "spec": stolen}
            with pytest.raises(LostLeaseError, match="another one holds it"):
                async with asyncio.timeout(30):
                    await lease.keep()


async def test_one_that_never_gets_it_can_be_stopped() -> None:
    with LeaseServer() as server:
        metadata = {"name": "op", "resourceVersion": "1"}
        server.lease = {"metadata": metadata, "spec": {"holderIdentity": "another"}}
        async with holding(server) as lease:
            waiting = asyncio.create_task(lease.acquire())
            await asyncio.sleep(0)
        waiting.cancel()
        assert server.writes == 0
