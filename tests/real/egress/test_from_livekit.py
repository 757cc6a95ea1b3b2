"""`mediafleet simulate --from-livekit` asks an unmodified livekit-server for its egresses."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis.asyncio as redis
from livekit.protocol import egress as wire
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet_testbed.real_servers import (
    LIVEKIT_KEY,
    LIVEKIT_SECRET,
    LivekitServer,
    RedisServer,
    livekit_server,
    redis_server,
)

NANOSECONDS = 1_000_000_000
HOUR = 3600
PAIR = {"LIVEKIT_API_KEY": LIVEKIT_KEY, "LIVEKIT_API_SECRET": LIVEKIT_SECRET, "COLUMNS": "60"}
STORE = "egress"
"""The hash in which livekit-server keeps its egresses (pkg/service/redisstore.go, EgressKey)."""


@pytest.fixture(scope="module")
def redis_process() -> Iterator[RedisServer]:
    """A Redis for these tests alone: on the one of all others this livekit-server would note what
    those tests have noted by a server of their own."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def livekit(redis_process: RedisServer) -> Iterator[LivekitServer]:
    with livekit_server(f"127.0.0.1:{redis_process.port}") as server:
        yield server


def told(number: int, began: float, seconds: float) -> wire.EgressInfo:
    """A job as livekit-server notes it."""
    info = wire.EgressInfo(egress_id=f"EG_{number}", room_name="standup")
    info.started_at = int(began * NANOSECONDS)
    info.ended_at = int((began + seconds) * NANOSECONDS) if seconds else 0
    if number % 2:
        info.track.room_name = "standup"
    else:
        info.room_composite.layout = "grid"
    return info


async def note(commands: redis.Redis, infos: list[wire.EgressInfo]) -> None:
    await commands.delete(STORE)
    for info in infos:
        await commands.hset(STORE, info.egress_id, info.SerializeToString())


async def test_the_jobs_of_a_servers_last_days_are_the_trace(
    commands: redis.Redis, livekit: LivekitServer
) -> None:
    now = time.time()
    hours = [170, 30, 20, 10, 1]
    jobs = [told(n, now - ago * HOUR, 1800) for n, ago in enumerate(hours)]
    running = told(len(hours), now - 60, 0)
    await note(commands, [*jobs, running])
    arguments = ["simulate", "--from-livekit", livekit.url, "--mode", "pack"]
    for days, wanted in ((7, 5), (1, 4)):
        told_in = [*arguments, "--days", str(days), "-o", "json"]
        result = CliRunner().invoke(app, told_in, env=PAIR)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["modes"]["pack"]["jobs"] == wanted
    await commands.delete(STORE)


async def test_a_day_of_thousands_of_jobs_comes_in_one_answer(
    commands: redis.Redis, livekit: LivekitServer
) -> None:
    now = time.time()
    await note(commands, [told(n, now - 80_000 + 10 * n, 600) for n in range(5000)])
    arguments = ["simulate", "--from-livekit", livekit.url, "--mode", "pack", "--pods", "50"]
    result = CliRunner().invoke(app, arguments, env=PAIR)
    await commands.delete(STORE)
    assert result.exit_code == 0, result.output
    assert f"{livekit.url}: 5000 jobs, 50 pods of 16 CPUs" in result.stdout
    assert "5000 jobs of the last 0.9 days" in result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 60


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"LIVEKIT_API_SECRET": "another-secret-of-more-than-32-letters"}, "says 401"),
        ({"LIVEKIT_API_KEY": "stranger"}, "are a pair that this server knows"),
        ({}, "tells of no egress that began in the last 7 days"),
    ],
    ids=["wrong secret", "unknown key", "nothing yet"],
)
async def test_what_goes_wrong_says_what_to_correct_and_never_the_secret(
    commands: redis.Redis, livekit: LivekitServer, change: dict[str, str], wanted: str
) -> None:
    await commands.delete(STORE)
    pair = PAIR | change
    arguments = ["simulate", "--from-livekit", livekit.url]
    result = CliRunner().invoke(app, arguments, env=pair)
    assert result.exit_code == 1
    assert wanted in result.stderr
    assert pair["LIVEKIT_API_SECRET"] not in result.output


async def test_a_secret_comes_from_a_file_too(
    commands: redis.Redis, livekit: LivekitServer, tmp_path: Path
) -> None:
    await note(commands, [told(1, time.time() - 60, 30)])
    file = tmp_path / "secret"
    file.write_text(LIVEKIT_SECRET + "\n")
    key = ["--api-key", LIVEKIT_KEY, "--api-secret-file", str(file)]
    socket = livekit.url.replace("http://", "ws://")
    arguments = ["simulate", "--from-livekit", socket, "--mode", "pack", *key]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "60"})
    await commands.delete(STORE)
    assert result.exit_code == 0, result.output
    assert "1 jobs, 10 pods" in result.stdout
