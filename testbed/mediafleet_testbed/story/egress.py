"""The egress half of the story: the same burst, through an unmodified livekit-server, per mode."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import aiohttp
from livekit import api
from rich.console import Console

from mediafleet_common.api.egress.placement import Mode
from mediafleet_common.api.names import Kind, Port
from mediafleet_common.probes.http_client import NoLoad, client, poll
from mediafleet_common.probes.load import Load, Source
from mediafleet_testbed.load.bursts import BURST, Burst, bars, quantile, table
from mediafleet_testbed.story.claims import Claims
from mediafleet_testbed.story.cluster import Cluster
from mediafleet_testbed.story.waiting import until

GOAL_P99_SECONDS = 0.5
"""Of 51 calls at once, through HTTP and livekit-server; upstream needs 0.5 s for one alone."""
CPU = 12.0
"""CPUs that the demo's fleet is declared with, as in the load test that upstream's PR reports."""


@dataclass(frozen=True, slots=True)
class Started:
    """One call that was answered, or not."""

    egress_id: str | None
    seconds: float


class EgressStory:
    """Starts and ends recordings as a user of livekit-api would."""

    def __init__(
        self, cluster: Cluster, fleet: str, livekit: api.LiveKitAPI, console: Console
    ) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._livekit = livekit
        self._console = console

    async def tell(self, claims: Claims) -> None:
        """The burst in each mode, and what it shows."""
        await self._livekit.room.create_room(api.CreateRoomRequest(name="demo"))
        pods = await until(
            "ten egress pods are Ready",
            lambda: self._cluster.pods(self._fleet),
            lambda pods: sum(pod.ready and pod.state == "ready" for pod in pods) == 10,
            seconds=120,
        )
        self._console.print(f"fleet {self._fleet}: {len(pods)} pods Ready")
        bursts = []
        for mode in Mode:
            burst = await self._burst(mode)
            bursts.append(burst)
            self._console.print(f"\n{mode.value}:")
            self._console.print("\n".join(bars(burst)), highlight=False)
            self._judge(mode, burst, claims)
        self._console.print()
        self._console.print(table(bursts))

    async def _burst(self, mode: Mode) -> Burst:
        await self._cluster.patch(
            Kind.EGRESS_FLEET, self._fleet, {"placement": {"mode": mode.value}}
        )
        await until(
            f"the fleet is in mode {mode.value}",
            lambda: self._cluster.status(Kind.EGRESS_FLEET, self._fleet),
            lambda status: status.get("mode") == mode.value,
        )
        started = await asyncio.gather(*(self._start(number) for number in range(BURST)))
        ids = [each.egress_id for each in started if each.egress_id]
        jobs = await until(
            "every answered start runs",
            self._jobs,
            lambda jobs: sum(jobs.values()) >= len(ids),
            seconds=20,
        )
        for egress_id in ids:
            await self._livekit.egress.stop_egress(api.StopEgressRequest(egress_id=egress_id))
        await until("every job ended", self._jobs, lambda jobs: sum(jobs.values()) == 0)
        return Burst(
            title=mode.value,
            jobs=jobs,
            call_seconds=[each.seconds for each in started if each.egress_id],
            refused=BURST - len(ids),
        )

    async def _start(self, number: int) -> Started:
        request = api.TrackEgressRequest(
            room_name="demo",
            track_id=f"TR_{number}",
            file=api.DirectFileOutput(filepath=f"/tmp/{number}"),
        )
        began = time.monotonic()
        try:
            info = await self._livekit.egress.start_track_egress(request)
        except api.TwirpError as error:
            self._console.print(f"  start {number} refused: {error.code} {error.message}")
            return Started(None, time.monotonic() - began)
        return Started(info.egress_id, time.monotonic() - began)

    async def _jobs(self) -> dict[str, int]:
        """Active jobs per pod, by the pods' own metrics."""
        pods = await self._cluster.pods(self._fleet)
        async with client() as session:
            loads = await asyncio.gather(*(self._load(session, pod.ip) for pod in pods))
        return {
            pod.name: load.jobs or 0
            for pod, load in zip(pods, loads, strict=True)
            if isinstance(load, Load)
        }

    async def _load(self, session: aiohttp.ClientSession, ip: str | None) -> Load | NoLoad:
        return await poll(session, f"http://{ip}:{Port.EGRESS_METRICS}/metrics", Source.EGRESS)

    def _judge(self, mode: Mode, burst: Burst, claims: Claims) -> None:
        name = mode.value
        claims.holds(
            f"{name}: all {BURST} starts run, each once",
            burst.placed == BURST and burst.refused == 0,
            f"{burst.placed} run, {burst.refused} refused",
        )
        counts = sorted(burst.jobs.values(), reverse=True)
        if mode is Mode.PACK:
            # An idle pod may be filled to all its CPUs, as egress itself admits; then 0.8 of them.
            full = int(CPU / 0.5)
            claims.holds(
                "pack: pods fill one after the other within their CPUs",
                counts[0] <= full and sum(1 for count in counts if count) <= 3,
                f"jobs per pod {counts}",
            )
        else:
            claims.holds(
                f"{name}: every pod gets 5 or 6 of {BURST} equal jobs",
                set(counts) <= {5, 6},
                f"jobs per pod {counts}",
            )
        claims.within(
            f"{name}: p99 of {BURST} calls at once",
            quantile(burst.call_seconds, 0.99),
            GOAL_P99_SECONDS,
            "s",
        )
