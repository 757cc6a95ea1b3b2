"""A drain proxy before a node, and a gateway and nodes on Go's own libraries, as processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mediafleet_common.agent.drain_proxy import DrainProxy
from mediafleet_common.agent.proxy_config import ProxyFiles, render
from mediafleet_common.serving.tls import self_signed
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.story.waiting import until
from mediafleet_testbed.tools.recipes import STOCK_HTTP
from mediafleet_testbed.tools.toolchain import ensure


@dataclass(slots=True)
class Going:
    """A process of Go's, and what it says."""

    process: asyncio.subprocess.Process

    async def says(self, event: str, seconds: float = 60) -> dict[str, Any]:
        """The next line about this."""
        assert self.process.stdout is not None
        async with asyncio.timeout(seconds):
            while line := await self.process.stdout.readline():
                told: dict[str, Any] = json.loads(line)
                if told["event"] == event:
                    return told
        raise AssertionError(f"it ended without {event!r}")

    async def result(self, seconds: float = 60) -> dict[str, Any]:
        """Send no more requests; what became of those that were sent."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return await self.says("ended", seconds)


@contextlib.asynccontextmanager
async def going(*options: str) -> AsyncIterator[Going]:
    """A node (`-serve`), a gateway (`-nodes`) or a call, until left."""
    pipe = asyncio.subprocess.PIPE
    program = str(ensure(STOCK_HTTP)[STOCK_HTTP])
    process = await asyncio.create_subprocess_exec(
        program, *options, stdin=pipe, stdout=pipe, limit=2**22
    )
    try:
        yield Going(process)
    finally:
        await _end(process)


@contextlib.asynccontextmanager
async def a_node() -> AsyncIterator[str]:
    """A node; its HOST:PORT."""
    async with going("-serve", "127.0.0.1:0") as node:
        yield (await node.says("serving"))["address"]


@dataclass(slots=True)
class Proxied:
    """A node's drain proxy, and the agent's part beside it."""

    folder: Path
    node: str
    address: str
    proxy: DrainProxy

    def told(self, text: str) -> None:
        """As kubelet writes the pod's annotation."""
        self.proxy.refuse_from.write_text(text)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """HAProxy, until left."""
        files = self.proxy.files
        haproxy = shutil.which("haproxy", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin")
        assert haproxy, "apt-get install haproxy"
        command = (haproxy, "-W", "-S", f"{files.socket},mode,600", "-f", str(files.config))
        with (self.folder / "haproxy.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        try:
            await self.eventually(lambda sight: sight.refusing is not None)
            yield
        finally:
            await _end(process)

    async def eventually(self, check: Any, seconds: float = 30) -> float:
        """Seconds until what the proxy says passes."""
        began = time.monotonic()
        await until("the proxy", self.proxy.look, check, seconds, pause_seconds=0.05)
        return time.monotonic() - began


def before(node: str, folder: Path) -> Proxied:
    """The proxy of a node, with its files."""
    files = ProxyFiles(folder)
    address = f"127.0.0.1:{free_port()}"
    key, certificate = self_signed(["drain-proxy"])
    files.certificate.write_bytes(key + certificate)
    files.refusing.touch()
    files.config.write_text(render(files, address, node))
    return Proxied(folder, node, address, DrainProxy(files, folder / "refuse-from"))


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()
