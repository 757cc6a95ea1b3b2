"""Brokers as processes that share the JSON API's tasks in a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from tests.kit.workers.scene import AUTHORIZATION, SECRET

from mediafleet_common.serving.tls import self_signed
from mediafleet_scheduler.core.workers.pipelines import Pipeline
from mediafleet_testbed.real_servers import RedisServer

IMAGE = (Pipeline.TEXT_TO_IMAGE, "m/sd")
SETTINGS = """broker:
  shared: {beat_seconds: 0.1, lease_seconds: 1.0}
"""
_READY = re.compile(r"workers [^ ]*:(\d+) .*runner API [^ ]*:(\d+)")


@dataclass(slots=True)
class Process:
    """A broker of its own."""

    process: asyncio.subprocess.Process
    certificate: bytes
    session: aiohttp.ClientSession
    authority: str
    api: str

    async def submit(self, number: int) -> str:
        request = {"model_id": IMAGE[1], "prompt": f"picture {number}"}
        task = {"pipeline": IMAGE[0].value, "request": request}
        async with self.session.post(f"{self.api}/v1/tasks", json=task) as response:
            assert response.status == 202, await response.text()
            return str((await response.json())["id"])

    async def result(self, task: str, wait: float = 20) -> tuple[int, Any]:
        url = f"{self.api}/v1/tasks/{task}/result?wait={wait:g}"
        async with self.session.get(url) as response:
            return response.status, await response.json()

    async def post(self, attempt: int, body: object) -> None:
        """A worker's result."""
        part = json.dumps(body).encode()
        data = b"--b\r\nContent-Type: application/json\r\n\r\n" + part + b"\r\n--b--\r\n"
        headers = {
            "Authorization": AUTHORIZATION,
            "Credentials": SECRET,
            "TaskId": str(attempt),
            "Content-Type": "multipart/mixed; boundary=b",
        }
        url = f"https://{self.authority}/aiResults"
        async with self.session.post(url, data=data, headers=headers, ssl=False) as response:
            assert response.status == 200


@contextlib.asynccontextmanager
async def broker(
    folder: Path, redis: RedisServer, pair: tuple[bytes, bytes]
) -> AsyncIterator[Process]:
    """`mediafleet broker` with this key and certificate, until it ends or is killed."""
    key, certificate = pair
    for name, content in (("key", key), ("cert", certificate), ("secret", SECRET.encode())):
        (folder / name).write_bytes(content)
    models = [{"pipeline": p.value, "model": m} for p, m in (IMAGE,)]
    (folder / "models.yaml").write_text(json.dumps({"models": models}))
    (folder / "settings.yaml").write_text(SETTINGS)
    command = [sys.executable, "-m", "mediafleet.main", "broker", "--redis", redis.url]
    command += ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--spool", str(folder)]
    for option, name in (
        ("--secret-file", "secret"),
        ("--models", "models.yaml"),
        ("--settings", "settings.yaml"),
        ("--tls-cert", "cert"),
        ("--tls-key", "key"),
    ):
        command += [option, str(folder / name)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        ready = _READY.search((await process.stdout.readline()).decode())
        assert ready is not None
        async with aiohttp.ClientSession() as session:
            where = f"127.0.0.1:{ready[1]}"
            yield Process(process, certificate, session, where, f"http://127.0.0.1:{ready[2]}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def two(tmp_path: Path, redis: RedisServer) -> AsyncIterator[tuple[Process, Process]]:
    """Two brokers, in folders of their own, `a` and `b`, with one certificate: of two with one
    name a worker would find the first alone."""
    pair = self_signed(["127.0.0.1"])
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with broker(tmp_path / "a", redis, pair) as a, broker(tmp_path / "b", redis, pair) as b:
        yield a, b
