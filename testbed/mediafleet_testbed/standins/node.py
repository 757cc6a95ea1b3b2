"""A stand-in orchestrator node: `python -m mediafleet_testbed.standins.node -serviceAddr H:P …`.

Takes go-livepeer's flags, so that it can be the container's command where go-livepeer would be.
SIGTERM ends it at once whatever its sessions, as it ends go-livepeer within 10 s
(cmd/livepeer/livepeer.go, shutdownTimeout).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Final, Self

import aiohttp
import grpc
import grpc.aio
from aiohttp import web

from mediafleet_testbed.standins.node_flags import NodeFlags, parse_flags
from mediafleet_testbed.standins.node_http import cli_app, control_app
from mediafleet_testbed.standins.node_live_runners import (
    LiveRunner,
    discovery_app,
    shared_port,
    tls_context,
)
from mediafleet_testbed.standins.node_service import NodeService
from mediafleet_testbed.standins.node_sessions import Sessions

_OPTIONS: Final = (("grpc.so_reuseport", 0),)


@dataclass(slots=True)
class StandInNode:
    """A node in this process, as an async context manager; ports of 0 take free ones."""

    flags: NodeFlags
    sessions: Sessions = field(init=False)
    cli: web.Application = field(init=False)
    port: int = 0
    cli_port: int = 0
    control_port: int = 0
    crashed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where a go-livepeer process would have ended by itself."""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def __post_init__(self) -> None:
        self.sessions = Sessions(
            self.flags.max_sessions, self.flags.session_seconds, time.time, _tell
        )

    @property
    def url(self) -> str:
        """Where a gateway on this machine reaches it."""
        return f"{'https' if self.flags.tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        server = grpc.aio.server(options=_OPTIONS)
        if self.flags.live_runners is not None:
            inner = server.add_insecure_port("127.0.0.1:0")
            self.port = await self._beside_discovery(inner, self.flags.live_runners)
        elif self.flags.tls:
            self.port = server.add_secure_port(self.flags.listen, _credentials(self.flags))
        else:
            self.port = server.add_insecure_port(self.flags.listen)
        if self.flags.service_url.endswith(":0"):
            self.flags = replace(self.flags, service_url=self.url)
        server.add_generic_rpc_handlers(
            NodeService(self.flags, self.sessions, self.crashed.set).handlers()
        )
        await server.start()
        self._stack.push_async_callback(server.stop, 0)
        self.cli = cli_app(self.flags, self.sessions)
        self.cli_port = await self._http(self.cli, self.flags.cli)
        if self.flags.control:
            self.control_port = await self._http(control_app(self.sessions), self.flags.control)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.sessions.lose()
        await self._stack.aclose()

    async def _beside_discovery(self, grpc_port: int, runners: Sequence[LiveRunner]) -> int:
        told = discovery_app(lambda: self.flags.service_url, runners, self.sessions.ai)
        http_port = await self._http(told, "127.0.0.1:0")
        tls = tls_context(*_certificate(self.flags)) if self.flags.tls else None
        host, _, port = self.flags.listen.rpartition(":")
        both = shared_port(host or "0.0.0.0", int(port), grpc_port, http_port, tls)
        return await self._stack.enter_async_context(both)

    async def _http(self, app: web.Application, listen: str) -> int:
        host, _, port = listen.rpartition(":")
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, host or "0.0.0.0", int(port)).start()
        return int(runner.addresses[0][1])


def _tell(session_id: str, what: str) -> None:
    """A line in the log: what a watcher counts by, even when the node is gone."""
    print(f"{what} {session_id}", flush=True)


def _credentials(flags: NodeFlags) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([_certificate(flags)])


def _certificate(flags: NodeFlags) -> tuple[bytes, bytes]:
    """Key and certificate."""
    from mediafleet_testbed.standins.node_certificate import go_livepeer_certificate

    # With -serviceAddr none the host is empty, and so is the one name of the certificate.
    host = flags.service_url.split("://")[-1].rpartition(":")[0]
    return go_livepeer_certificate(host)


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(each.wait()) for each in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def runners_answer(flags: NodeFlags) -> bool:
    """Whether each external runner answers at /health in time; the node does not listen before."""
    async with aiohttp.ClientSession() as session:
        try:
            async with asyncio.timeout(flags.runner_seconds):
                while True:
                    urls = {each.url for each in flags.models if each.url}
                    if all([await _is_well(session, url) for url in urls]):
                        return True
                    await asyncio.sleep(min(1.0, flags.runner_seconds / 10))
        except TimeoutError:
            return False


async def _is_well(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url.rstrip('/')}/health") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


async def _main(flags: NodeFlags) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    answering = asyncio.create_task(runners_answer(flags))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((answering, stopping), return_when=asyncio.FIRST_COMPLETED)
    if stopping.done() or not answering.result():
        # With 0, as upstream: who looks at the exit code alone takes it for done.
        answering.cancel()
        return
    stopping.cancel()
    async with StandInNode(flags) as node:
        print(
            f"stand-in node ready: {node.flags.service_url or 'advertises only'}, "
            f"port {node.port}, cli {node.cli_port}, control {node.control_port or 'none'}",
            flush=True,
        )
        await _first(stop, node.crashed)
        if node.crashed.is_set():
            os._exit(2)


def main() -> None:
    """Run until a signal."""
    asyncio.run(_main(parse_flags(sys.argv[1:])))


if __name__ == "__main__":
    main()
