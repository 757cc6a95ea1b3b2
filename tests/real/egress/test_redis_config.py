"""A Redis that is there, and a `redis` block that does not fit it: one sentence, and the end."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from mediafleet_testbed.real_servers import RedisServer

WORKERS = "fleets:\n- {name: a, workers: [{name: w, cluster_id: w, cpu: 4}]}\n"


async def command(folder: Path, *options: str) -> tuple[int | None, str]:
    """Exit status and output of a desk that should not start."""
    workers = folder / "workers.yaml"
    workers.write_text(WORKERS)
    words = ["egress", "--workers", str(workers), "--http", "127.0.0.1:0", *options]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mediafleet.main", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, said.decode()


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("db: 500", "no database 500: choose a smaller db"),
        ("db: 5000", "db: write a number from 0 to 1024"),
        ("tls: {enabled: yes}", "does not speak TLS"),
        ("password: 123456", "refuses user and password"),
    ],
)
async def test_a_start_that_ends_says_why_once_and_never_ready(
    redis_process: RedisServer, tmp_path: Path, block: str, words: str
) -> None:
    file = tmp_path / "redis.yaml"
    file.write_text(f"redis:\n  address: :{redis_process.port}\n  {block}\n")
    status, said = await command(tmp_path, "--redis-config", str(file))
    assert (status, said.count(words)) == (1, 1), said
    for never in ("trying again", "ready", "Traceback", "123456"):
        assert never not in said


async def test_a_url_with_a_secret_that_is_not_encoded_is_refused_without_it(
    tmp_path: Path,
) -> None:
    status, said = await command(tmp_path, "--redis", "redis://:TOP/SECRET@127.0.0.1:6379")
    assert status == 1
    assert "percent-encode" in said
    assert "TOP" not in said
    assert "SECRET" not in said
