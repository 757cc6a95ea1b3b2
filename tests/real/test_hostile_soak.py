"""Hostile input for as long as one likes: an advertiser and an egress desk stay as they were.

A few seconds by itself; `make faults` has it for an hour (MEDIAFLEET_SOAK_SECONDS).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import redis.asyncio as redis
from tests.kit.advertise.scene import entry, nodes, write
from tests.kit.egress.desks import Desk, Desks, desks
from tests.kit.egress.scene import scene

from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.load import fuzzing
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import RedisServer, free_port

SECONDS: Final = float(os.environ.get("MEDIAFLEET_SOAK_SECONDS", "4"))
WARM_SECONDS: Final = min(SECONDS / 4, 120.0)
"""Until caches and pools have the size that they keep."""
GROWTH_MB: Final = 30.0
BATCH: Final = 500
MESSAGES: Final = 50
NOISE: Final = (b"\x00\xff" * 100, b"fleets: [", b"fleets: 7\nnodes: {}\n", b"")

pytestmark = pytest.mark.timeout(120 + 2 * SECONDS)


async def spoil_bus(commands: redis.Redis, chance: random.Random) -> None:
    """Noise where requests and grants go."""
    for _ in range(MESSAGES):
        channel = chance.choice((channels.request, channels.grant))
        await commands.publish(
            channel("EgressInternal", "StartEgress"), chance.randbytes(chance.randrange(2000))
        )


async def ask_desk(desk: Desk, chance: random.Random) -> None:
    """What is like HTTP, and what is not."""
    host, _, port = desk.http.removeprefix("http://").removesuffix("/metrics").rpartition(":")
    for _ in range(MESSAGES // 5):
        request, _ = fuzzing.http_request(chance)
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request)
            writer.write_eof()
            async with asyncio.timeout(20):
                while await reader.read(1 << 16):
                    pass
        except ConnectionError:
            pass  # as it should at noise
        finally:
            writer.close()


def memory_mb(pid: int) -> float:
    return fuzzing.Target(0, 0, pid).resident_mb()


async def hurt(made: Desks, desk: Desk, advertiser: fuzzing.Target, good: bytes) -> list[float]:
    """Megabytes that each has grown by since it was warm."""
    commands = redis.Redis.from_url(made.redis, protocol=2)
    began, warm = time.monotonic(), list[float]()
    pids = (desk.member.process.pid, advertiser.pid)
    for seed in itertools.count(1):
        chance = random.Random(seed)
        made.file.write_bytes(chance.choice(NOISE) if seed % 2 else good)
        await spoil_bus(commands, chance)
        await ask_desk(desk, chance)
        await asyncio.to_thread(list, advertiser.rounds(seed * BATCH, BATCH))
        age = time.monotonic() - began
        if not warm and age >= WARM_SECONDS:
            warm = [memory_mb(pid) for pid in pids]
        if warm and age >= SECONDS:
            break
    made.file.write_bytes(good)
    await commands.aclose()
    return [memory_mb(pid) - before for pid, before in zip(pids, warm, strict=True)]


async def test_hostile_input_leaves_desk_and_advertiser_at_work_and_no_larger(
    commands: redis.Redis, redis_process: RedisServer, tmp_path: Path
) -> None:
    path = tmp_path / "nodes.yaml"
    async with (
        RedisBus(commands) as bus,
        scene(bus, commands) as stage,
        desks(stage, redis_process.url, tmp_path, ("pod-0",), 4.0) as made,
        nodes(2) as two,
        Processes(tmp_path) as processes,
    ):
        write(path, *(entry(f"n{number}", node) for number, node in enumerate(two)))
        desk = await made.start("desk")
        port, http = free_port(), free_port()
        listening = ("--listen", f"127.0.0.1:{port}", "--http", f"127.0.0.1:{http}")
        options = ("advertise", "--nodes", str(path), *listening, "--plaintext")
        member = await processes.python("advertiser", "mediafleet.main", *options)
        await processes.says(member, "2 of 2 nodes listed")
        target = fuzzing.Target(port, http, member.process.pid)
        growth = await hurt(made, desk, target, made.file.read_bytes())
        assert max(growth) < GROWTH_MB, growth
        for each in (member, desk.member):
            assert each.process.returncode is None
            assert "Traceback" not in each.log.read_text(errors="replace")
        bad = await desk.counted("mediafleet_psrpc_bad_messages_total")
        assert bad >= MESSAGES
        ready = desk.http.replace("/metrics", "/readyz")
        async with aiohttp.ClientSession() as session:
            for url in (ready, f"http://127.0.0.1:{http}/readyz"):
                async with session.get(url) as answer:
                    assert answer.status == 200, await answer.text()
        print(f"soak: {SECONDS:g} s, grown by {growth} MB, {bad:g} bad messages, {target}")
