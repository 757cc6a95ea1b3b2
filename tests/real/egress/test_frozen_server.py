"""livekit-server loses records and stands still: two desks as processes of their own.

What desks hold in memory they share with nobody here but over Redis. The same show, larger and with
a pod that drains, is on a virtual clock in tests/contract/egress/test_frozen_server.py.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import redis.asyncio as redis
from livekit.protocol import egress as livekit
from tests.kit.egress.records import Freezable, Records, answering
from tests.kit.egress.scene import eventually, scene, track

from mediafleet_scheduler.egress.peers.job_info import CREATES
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import RedisServer, free_port

JOBS: Final = 40
DESKS: Final = 2
EVERY_SECONDS: Final = 0.05
JOB_SECONDS: Final = 11.0
"""Longer than a record may take to be made, so that an attempt which is aborted records nothing."""
FREEZE_AFTER_SECONDS: Final = 1.0
FROZEN_SECONDS: Final = 17.0
LOST: Final = 0.2
WITHIN_SECONDS: Final = 100.0
FILE: Final = """
fleets:
  - name: rec
    placement: {{mode: spread}}
    workers:
      - {{name: pod-0, cluster_id: pod-0, metrics: "http://127.0.0.1:{0}/metrics", cpu: 24}}
      - {{name: pod-1, cluster_id: pod-1, metrics: "http://127.0.0.1:{1}/metrics", cpu: 24}}
"""

pytestmark = pytest.mark.timeout(300)


@dataclass(slots=True)
class Outside:
    """The workers and desks, as somebody sees them who trusts nobody."""

    http: aiohttp.ClientSession
    workers: tuple[int, ...]
    desks: list[str] = field(default_factory=list)

    async def started(self) -> Counter[str]:
        """How often each id was started, anywhere."""
        found: Counter[str] = Counter()
        for port in self.workers:
            async with self.http.get(f"http://127.0.0.1:{port}/jobs") as answer:
                found.update(json.loads(await answer.text())["started"])
        return found

    async def known_jobs(self) -> list[float]:
        """How many jobs each desk counts."""
        return [await self._jobs(desk) for desk in self.desks]

    async def _jobs(self, desk: str) -> float:
        async with self.http.get(f"{desk}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        (line,) = [each for each in lines if each.startswith("mediafleet_fleet_jobs{")]
        return float(line.rpartition(" ")[2])


@asynccontextmanager
async def outside(server: RedisServer, folder: Path) -> AsyncIterator[Outside]:
    """Two workers and two desks, all of them processes."""
    ports = (free_port(), free_port())
    file = folder / "workers.yaml"
    file.write_text(FILE.format(*ports))
    async with Processes(folder) as processes, aiohttp.ClientSession() as http:
        for number, port in enumerate(ports):
            worker = await processes.python(
                f"pod-{number}",
                "mediafleet_testbed.standins.egress",
                *("--redis", server.url, "--cluster-id", f"pod-{number}", "--cpus", "24"),
                *("--metrics", f"127.0.0.1:{port}", "--io", "server"),
                *("--start-seconds", "0.3", "--job-seconds", str(JOB_SECONDS)),
            )
            await processes.says(worker, "ready")
        seen = Outside(http, ports)
        options = ("--redis", server.url, "--workers", str(file), "--http", "127.0.0.1:0")
        for number in range(DESKS):
            desk = await processes.python(f"desk-{number}", "mediafleet.main", "egress", *options)
            line = await processes.says(desk, "mediafleet egress ready")
            seen.desks.append("http://" + line.rpartition("http ")[2].strip())
        yield seen


async def test_two_desk_processes_tell_nobody_ok_for_what_does_not_run(
    redis_process: RedisServer, commands: redis.Redis, tmp_path: Path
) -> None:
    chance, records = random.Random(1), Records()
    lost = 0

    def loses(channel: str) -> bool:
        nonlocal lost
        lost += (gone := channel == CREATES and chance.random() < LOST)
        return gone

    async with (
        RedisBus(commands) as bus,
        scene(bus, commands) as stage,
        outside(redis_process, tmp_path) as seen,
    ):
        server = Freezable(bus, loses)
        async with answering(server, records):
            false_words = []

            async def client(number: int) -> str | None:
                await asyncio.sleep(number * EVERY_SECONDS)
                egress_id = f"EG_{number}"
                if await stage.call(track(egress_id)) is not None:
                    return None
                if egress_id not in await seen.started():
                    false_words.append(egress_id)
                return egress_id

            async def freeze() -> None:
                await asyncio.sleep(FREEZE_AFTER_SECONDS)
                await server.freeze(FROZEN_SECONDS)

            *told, _ = await asyncio.gather(*map(client, range(JOBS)), freeze())
            accepted = {each for each in told if each is not None}

            async def ended() -> bool:
                ran = await seen.started()
                return all(_status(records, each) == _COMPLETE for each in ran)

            await eventually(ended, WITHIN_SECONDS)

            async def forgotten() -> bool:
                return await seen.known_jobs() == [0.0] * DESKS

            await eventually(forgotten, WITHIN_SECONDS)
            ran = await seen.started()
    print(f"{len(accepted)} of {JOBS} accepted, {len(ran)} ran, {lost} CreateEgress lost")
    assert lost > 0
    assert not false_words, "a client was told OK for nothing"
    assert len(accepted) >= 0.9 * JOBS
    assert set(ran.values()) == {1}, "a job ran twice"
    assert accepted <= ran.keys()


_COMPLETE: Final = livekit.EgressStatus.EGRESS_COMPLETE


def _status(records: Records, egress_id: str) -> int | None:
    info = records.infos.get(egress_id)
    return None if info is None else int(livekit.EgressInfo.FromString(info).status)
