"""Desks as processes on one Redis, that are killed and paused, and who was granted what."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import yaml
from tests.kit.counted import counted
from tests.kit.egress.scene import Scene, eventually, track

from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.psrpc import channels, identifiers
from mediafleet_scheduler.psrpc.bus import Bus
from mediafleet_scheduler.psrpc.envelope import Bid, Grant, Request, decode, encode
from mediafleet_testbed.processes import Member, Processes

SERVICE: Final = "EgressInternal"
METHOD: Final = "StartEgress"
LISTEN_SECONDS: Final = 0.2
"""For the bids to one request."""


@dataclass(slots=True)
class Desk:
    """One desk."""

    name: str
    member: Member
    http: str
    server_id: str

    def pause(self) -> None:
        """Stop it where it stands."""
        self.member.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on as if nothing had been."""
        self.member.signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it without a word."""
        self.member.signal(signal.SIGKILL)
        await self.member.process.wait()

    async def counted(self, line: str) -> float:
        """The sum of its metrics that begin so."""
        async with aiohttp.ClientSession() as session, session.get(self.http) as answer:
            text = await answer.text()
        values = [each.rpartition(" ")[2] for each in text.splitlines() if each.startswith(line)]
        return sum(map(float, values))


@dataclass(slots=True)
class Grants:
    """Which server was granted each request for an egress id, in order; heard on the bus."""

    ids: dict[str, str] = field(default_factory=dict)
    by_egress: dict[str, list[str]] = field(default_factory=dict)
    at: dict[str, list[float]] = field(default_factory=dict)
    """When each of these was heard (loop time)."""

    async def listen(self, bus: Bus) -> None:
        """Listen from now on."""
        await bus.subscribe(channels.request(SERVICE, METHOD), self._asked)
        await bus.subscribe(channels.grant(SERVICE, METHOD), self._granted)

    def _asked(self, data: bytes) -> None:
        request = decode(data, Request)
        wanted = StartEgressRequest.FromString(request.payload)
        self.ids[request.request_id] = wanted.egress_id

    def _granted(self, data: bytes) -> None:
        grant = decode(data, Grant)
        if egress_id := self.ids.get(grant.request_id):
            self.by_egress.setdefault(egress_id, []).append(grant.server_id)
            self.at.setdefault(egress_id, []).append(asyncio.get_running_loop().time())


@dataclass(slots=True)
class Desks:
    """Starts desks for one fleet."""

    stage: Scene
    processes: Processes
    redis: str
    file: Path
    known: set[str] = field(default_factory=set)
    tasks_file: Path | None = None
    """Where a desk that is started tells how many asyncio tasks it has; `None`: it does not."""

    async def start(self, name: str) -> Desk:
        """Start a desk and wait until it bids."""
        options = ("--redis", self.redis, "--workers", str(self.file), "--http", "127.0.0.1:0")
        file = self.tasks_file
        module = ("mediafleet.main",) if file is None else counted(file)
        member = await self.processes.python(name, *module, "egress", *options)
        line = await self.processes.says(member, "mediafleet egress ready:")
        url = f"http://{line.rpartition('http ')[2].strip()}/metrics"
        new: set[str] = set()

        async def bids() -> bool:
            new.update(await self._bidders() - self.known)
            return bool(new)

        await eventually(bids)
        self.known |= new
        return Desk(name, member, url, *new)

    async def _bidders(self) -> set[str]:
        """Who bids for a request that is then granted to nobody."""
        heard: set[str] = set()
        client_id, now = identifiers.client_id(), time.time_ns()
        subscription = await self.stage.bus.subscribe(
            channels.bids(SERVICE, client_id),
            lambda data: heard.add(decode(data, Bid).server_id),
        )
        payload = track("EG_nobody").SerializeToString()
        request = Request(identifiers.request_id(), client_id, now, now + 10**9, payload)
        self.stage.bus.publish(channels.request(SERVICE, METHOD), encode(request))
        await asyncio.sleep(LISTEN_SECONDS)
        await subscription.close()
        return heard


@asynccontextmanager
async def desks(
    stage: Scene, redis: str, folder: Path, pods: Iterable[str], cpus: float
) -> AsyncIterator[Desks]:
    """Desks for a fleet of pods that need not run yet."""
    workers = [{"name": name, "cluster_id": name, "cpu": cpus} for name in pods]
    file = folder / "workers.yaml"
    fleet = {"name": "rec", "placement": {"mode": "spread"}, "workers": workers}
    file.write_text(yaml.safe_dump({"fleets": [fleet]}))
    async with Processes(folder) as processes:
        yield Desks(stage, processes, redis, file)
