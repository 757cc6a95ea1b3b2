"""Real stores of time series on loopback: VictoriaMetrics and Prometheus (Debian's)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import aiohttp

PROGRAMS: Final = {
    "vmagent": "victoria-metrics",
    "vmauth": "victoria-metrics",
    "victoria-metrics": "victoria-metrics",
    "prometheus": "prometheus",
}
SECONDS: Final = 90.0


@asynccontextmanager
async def started(log: Path, port: int, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that listens on a port, until left."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + SECONDS
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            assert process.returncode is None, f"{command[0]}: see {log}"
            assert time.monotonic() < deadline, command[0]
            await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(url: str) -> None:
    """Prometheus listens before it takes anything."""
    deadline = time.monotonic() + SECONDS
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(url) as answer:
                if answer.status == 200:
                    return
            assert time.monotonic() < deadline, url
            await asyncio.sleep(0.05)


@asynccontextmanager
async def victoria_metrics(folder: Path, port: int) -> AsyncIterator[str]:
    """A single VictoriaMetrics with what lies in a folder; its URL."""
    command = (
        *("victoria-metrics", f"-httpListenAddr=127.0.0.1:{port}", "-memory.allowedBytes=64MB"),
        *(f"-storageDataPath={folder}/victoria", "-retentionPeriod=56d"),
        "-search.latencyOffset=0",
    )
    async with started(folder / "victoria.log", port, *command):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def prometheus(folder: Path, port: int, window: str | None = "48h") -> AsyncIterator[str]:
    """A Prometheus that receives; `window`: how old a sample may be that comes late."""
    config = folder / "prometheus.yaml"
    late = "" if window is None else f"storage: {{tsdb: {{out_of_order_time_window: {window}}}}}\n"
    config.write_text(f"global: {{}}\n{late}")
    command = (
        *("prometheus", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}"),
        *(f"--storage.tsdb.path={folder}/prometheus", "--web.enable-remote-write-receiver"),
        "--web.enable-admin-api",
    )
    async with started(folder / "prometheus.log", port, *command):
        url = f"http://127.0.0.1:{port}"
        await _ready(f"{url}/-/ready")
        yield url
