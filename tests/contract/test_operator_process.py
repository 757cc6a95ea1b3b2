"""The operator's process against an API server on loopback: ready, and gone at a signal with its
Lease given back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml
from tests.kit.operator.watch_server import ApiServer

WAIT_SECONDS: Final = 60.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_operator_although_kopf_watches_and_frees_its_lease(
    tmp_path: Path, number: signal.Signals
) -> None:
    server = ApiServer()
    async with server.serving() as url:
        config = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        process = await asyncio.create_subprocess_exec(
            *(
                str(Path(sys.executable).with_name("mediafleet")),
                "operator",
                *("--lease-namespace", "ops"),
            ),
            *("--http", "127.0.0.1:0"),
            env={**os.environ, "KUBECONFIG": str(tmp_path / "config")},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                line = await process.stdout.readline()
                assert line.startswith(b"mediafleet operator ready: 0 egress fleets")
                await server.watching.wait()
                assert server.lease is not None
                assert server.lease["spec"]["holderIdentity"]
                process.send_signal(number)
                assert await process.wait() == 0
            assert server.lease["spec"]["holderIdentity"] == ""
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
