"""Hostile input for as long as one likes: an advertiser and an egress desk stay as they were.

A few seconds by itself; `make soak` has it for 30 min.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import redis.asyncio as redis
from tests.kit.advertise.scene import entry, nodes, write
from tests.kit.counted import counted
from tests.kit.egress.desks import Desk, Desks, desks
from tests.kit.egress.scene import scene
from tests.kit.figures import Show
from tests.kit.soak import SECONDS, Growth, hold, noise, soak

from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.load import fuzzing
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import RedisServer, free_port

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


async def hurt(
    made: Desks, desk: Desk, advertiser: fuzzing.Target, processes: Sequence[Growth]
) -> None:
    """All that for as long as it is asked for."""
    good = made.file.read_bytes()
    commands = redis.Redis.from_url(made.redis, protocol=2)
    host, _, port = desk.http.removeprefix("http://").removesuffix("/metrics").rpartition(":")

    async def work(seed: int, chance: random.Random) -> None:
        made.file.write_bytes(chance.choice(NOISE) if seed % 2 else good)
        await spoil_bus(commands, chance)
        await noise(host, int(port), chance, MESSAGES // 5)
        await asyncio.to_thread(list, advertiser.rounds(seed * BATCH, BATCH))

    await soak(work, processes)
    made.file.write_bytes(good)
    await commands.aclose()


async def test_hostile_input_leaves_desk_and_advertiser_at_work_and_no_larger(
    commands: redis.Redis, redis_process: RedisServer, tmp_path: Path, show: Show
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
        made.tasks_file = tmp_path / "desk-tasks"
        desk = await made.start("desk")
        port, http = free_port(), free_port()
        listening = ("--listen", f"127.0.0.1:{port}", "--http", f"127.0.0.1:{http}")
        options = ("advertise", "--nodes", str(path), *listening, "--plaintext")
        tasks = tmp_path / "advertiser-tasks"
        member = await processes.python("advertiser", *counted(tasks), *options)
        await processes.says(member, "2 of 2 nodes listed")
        target = fuzzing.Target(port, http, member.process.pid)
        growth = [
            Growth("egress desk", desk.member.process.pid, made.tasks_file),
            Growth("advertiser", member.process.pid, tasks),
        ]
        await hurt(made, desk, target, growth)
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
        show(f"{bad:g} bad messages, {target}")
        hold(growth, show)
