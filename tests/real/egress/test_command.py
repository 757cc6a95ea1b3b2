"""`mediafleet egress` as people run it: from a file, with stand-in workers as processes."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import redis.asyncio as redis
from livekit.protocol import egress as livekit
from tests.kit.egress.scene import eventually, track
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.reports.demand import Demand
from mediafleet_common.reports.explanation import Explanation
from mediafleet_scheduler.core.psrpc.selection import UPSTREAM_START_EGRESS
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.errors import Code
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.processes import Member, Processes
from mediafleet_testbed.real_servers import RedisServer, free_port

FILE = """
fleets:
  - name: rec
    placement: {{mode: spread}}
    accepts: [track]
    workers:
      - {{name: pod-0, cluster_id: pod-0, metrics: "http://127.0.0.1:{0}/metrics", cpu: 12}}
      - {{name: pod-1, cluster_id: pod-1, metrics: "http://127.0.0.1:{1}/metrics", cpu: 12{2}}}
"""


@dataclass
class Running:
    """A desk and two workers."""

    processes: Processes
    desk: Member
    url: str
    file: Path
    ports: tuple[int, int]
    client: Client
    http: aiohttp.ClientSession

    async def get(self, path: str) -> tuple[int, str]:
        async with self.http.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def active(self, worker: int) -> int:
        async with self.http.get(f"http://127.0.0.1:{self.ports[worker]}/jobs") as answer:
            return len((await answer.json(content_type=None))["active"])

    async def start(self) -> Code | None:
        payload = track(f"EG_{uuid.uuid4().hex[:8]}").SerializeToString()
        answer = await self.client.request(
            "StartEgress", payload, timeout_seconds=10, selection=UPSTREAM_START_EGRESS
        )
        return answer.error.code if answer.error else None


@pytest.fixture
async def running(
    redis_process: RedisServer, commands: redis.Redis, tmp_path: Path
) -> AsyncIterator[Running]:
    ports = (free_port(), free_port())
    file = tmp_path / "workers.yaml"
    file.write_text(FILE.format(*ports, ""))
    async with (
        Processes(tmp_path) as processes,
        RedisBus(commands) as bus,
        Client(bus, "EgressInternal") as client,
        aiohttp.ClientSession() as http,
    ):
        for number, port in enumerate(ports):
            name = f"pod-{number}"
            arguments = ("--redis", redis_process.url, "--cluster-id", name, "--cpus", "12")
            worker = await processes.python(
                name,
                "mediafleet_testbed.standins.egress",
                *(*arguments, "--metrics", f"127.0.0.1:{port}", "--io", "publish"),
            )
            await processes.says(worker, "ready")
        options = ("--redis", redis_process.url, "--workers", str(file), "--http", "127.0.0.1:0")
        desk = await processes.python("desk", "mediafleet.main", "egress", *options)
        line = await processes.says(
            desk, "mediafleet egress ready: 1 fleet, 2 workers, redis 127.0.0.1:"
        )
        url = "http://" + line.rpartition("http ")[2].strip()
        yield Running(processes, desk, url, file, ports, client, http)


async def test_the_command_places_follows_its_file_and_stops(running: Running) -> None:
    assert await running.get("/healthz") == (200, "ok")
    assert await running.get("/readyz") == (200, "ok")
    codes = await asyncio.gather(*(running.start() for _ in range(6)))
    assert codes == [None] * 6
    assert [await running.active(worker) for worker in (0, 1)] == [3, 3]

    running.file.write_text(FILE.format(*running.ports, ", state: draining"))

    async def followed() -> bool:
        _, text = await running.get("/metrics")
        return 'mediafleet_fleet_workers{fleet="rec",state="draining"} 1.0' in text

    await eventually(followed)
    assert await running.start() is None
    assert [await running.active(worker) for worker in (0, 1)] == [4, 3]

    running.file.write_text("fleets: [{name: rec, workers: {")
    await eventually(lambda: "the last good one stays" in running.desk.log_tail())
    assert await running.start() is None

    _, text = await running.get("/metrics")
    assert 'mediafleet_placements_total{fleet="rec",mode="spread",type="track"} 8.0' in text
    assert 'mediafleet_scrapes_total{outcome="ok"}' in text

    running.desk.signal(signal.SIGTERM)
    assert await asyncio.wait_for(running.desk.process.wait(), 10) == 0


async def test_a_desk_that_is_killed_is_followed_by_one_that_knows(running: Running) -> None:
    assert await running.start() is None
    running.desk.signal(signal.SIGKILL)
    await running.desk.process.wait()
    options = ("--workers", str(running.file), "--http", "127.0.0.1:0")
    url = running.desk.log.read_text().partition("redis 127.0.0.1:")[2].partition(",")[0]
    redis_url = f"redis://127.0.0.1:{url}"
    second = await running.processes.python(
        "second", "mediafleet.main", "egress", "--redis", redis_url, *options
    )
    await running.processes.says(second, "ready")
    for _ in range(5):
        assert await running.start() is None
    assert [await running.active(worker) for worker in (0, 1)] == [3, 3]


async def test_a_running_desk_explains_where_the_next_job_would_go(running: Running) -> None:
    assert await running.start() is None
    status, text = await running.get("/explain?type=track")
    told = Explanation.model_validate_json(text)
    assert status == 200
    (fleet,) = told.fleets
    (spread,) = [each for each in fleet.modes if each.in_force]
    before = [await running.active(0), await running.active(1)]
    assert await running.start() is None
    after = [await running.active(0), await running.active(1)]
    assert spread.order[0].name == f"pod-{next(n for n in (0, 1) if after[n] > before[n])}"
    assert await running.get("/explain?type=film") == (
        400,
        f"type: one of {', '.join(RequestType)}\n",
    )
    shown = await asyncio.to_thread(CliRunner().invoke, app, ["explain", running.url])
    assert "rec  a track needs 0.5 CPUs" in shown.output
    assert "spread (in force): goes to pod-" in shown.output
    costs = await asyncio.to_thread(CliRunner().invoke, app, ["status", "--desk", running.url])
    assert costs.output.startswith("rec  2 of 2 workers ready, 2 jobs, 0 wait for room")
    assert "rec  cpuCost counts" in costs.output
    status, text = await running.get("/explain?type=web&mode=pack")
    assert Explanation.model_validate_json(text).fleets[0].why_not is not None


async def test_no_secret_of_a_request_is_told_anywhere(running: Running) -> None:
    s3 = livekit.S3Upload(access_key="canary-key", secret="canary-s3", bucket="b")
    stored = track("EG_stored", file=livekit.DirectFileOutput(filepath="f", s3=s3))
    streamed = track("EG_streamed", websocket_url="wss://user:canary@x/?key=canary-url")
    for request in (stored, streamed):
        request.token = "canary-token"
        answer = await running.client.request(
            "StartEgress",
            request.SerializeToString(),
            timeout_seconds=10,
            selection=UPSTREAM_START_EGRESS,
        )
        assert answer.error is None
    paths = (
        "/metrics",
        "/demand",
        "/explain?type=track",
        "/costs",
        "/ui/data",
        "/ui/history?name=rec",
    )
    told = {path: (await running.get(path))[1] for path in paths}
    for command in (["explain"], ["status", "--desk"]):
        shown = await asyncio.to_thread(CliRunner().invoke, app, [*command, running.url])
        assert shown.exit_code == 0, shown.output
        told[" ".join(command)] = shown.output
    told["log"] = running.desk.log.read_text()
    assert (
        'mediafleet_placements_total{fleet="rec",mode="spread",type="track"} 2.0'
        in (told["/metrics"])
    )
    assert [where for where, text in told.items() if "canary" in text] == []


async def test_the_command_tells_what_it_has_placed_as_demand(running: Running) -> None:
    await asyncio.gather(*(running.start() for _ in range(6)))

    async def told() -> bool:
        status, text = await running.get("/demand")
        if status != 200:
            return False  # It is looked at ten times a second, and not yet since the fleets came.
        (fleet,) = Demand.model_validate_json(text).fleets
        return (fleet.known, fleet.ready, fleet.busy, fleet.work) == (True, 2, 2, 6)

    await eventually(told)
