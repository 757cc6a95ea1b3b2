"""Processes that start while no API server answers: they wait, are not ready, and say why."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import yaml
from tests.kit.operator.watch_server import ApiServer

from mediafleet_testbed.real_servers import free_port

WAIT_SECONDS: Final = 90.0


def kubeconfig(folder: Path, url: str) -> Path:
    file = folder / "config"
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    file.write_text(yaml.safe_dump(config))
    return file


async def readiness(session: aiohttp.ClientSession, port: int) -> tuple[int, str]:
    try:
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return answer.status, await answer.text()
    except aiohttp.ClientError:
        return 0, ""


@pytest.mark.parametrize(
    "command",
    [
        ["operator", "--lease-namespace", "ops"],
        ["egress", "--kube", "--namespace", "media"],
        ["advertise", "--pool", "media/orch", "--listen", "127.0.0.1:0"],
    ],
    ids=lambda command: str(command[0]),
)
async def test_without_the_api_server_it_waits_is_not_ready_and_says_what_it_lacks(
    command: list[str], tmp_path: Path
) -> None:
    server, port = ApiServer(status=503), free_port()
    async with server.serving() as url, aiohttp.ClientSession() as session:
        program = str(Path(sys.executable).with_name("mediafleet"))
        process = await asyncio.create_subprocess_exec(
            *(program, *command, "--http", f"127.0.0.1:{port}"),
            env={**os.environ, "KUBECONFIG": str(kubeconfig(tmp_path, url))},
        )
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                told = (0, "")
                while not re.search("503|not answer", told[1]):
                    assert process.returncode is None
                    assert told[0] in (0, 503), told
                    await asyncio.sleep(0.1)
                    told = await readiness(session, port)
                assert told[0] == 503
                if "--lease-namespace" in command:
                    server.status = 200
                    while told[0] != 200:
                        await asyncio.sleep(0.1)
                        told = await readiness(session, port)
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
