"""What pods, desks and reporters say, which kwok's pods cannot: the test's word in their place."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from tests.kit.faults.world import NAME, World

from mediafleet_common.probes.http_client import Failure, FetchError, NoLoad
from mediafleet_common.probes.load import Load, Source
from mediafleet_common.reports.community import CommunityReport
from mediafleet_common.reports.demand import Demand, FleetDemand
from mediafleet_operator.core.fleet.model import FleetKey

_WORK: Final = "track"


class Answers:
    """Stands in for `serve.poll_pod`, `serve.ask` and `serve.ask_reporter`."""

    def __init__(self) -> None:
        self.worlds: list[World] = []

    async def poll(self, url: str, source: Source) -> Load | NoLoad:
        """A pod's jobs: one where the test says so."""
        del source
        address = urlsplit(url).hostname
        for world in self.worlds:
            for name, raw in world.seen.items():
                if raw["status"].get("podIP") == address and name not in world.silent:
                    return Load(jobs=int(name in world.busy))
        return NoLoad(Failure.UNREACHABLE, f"nobody has {address}")

    async def demand(self, session: aiohttp.ClientSession, *_: object) -> Demand:
        """Of all fleets: one pod takes one job. It is not known while a desk is mute."""
        del session
        return Demand(fleets=[_demand(each) for each in self.worlds])

    async def report(
        self, session: aiohttp.ClientSession, tokens: object, key: FleetKey
    ) -> CommunityReport:
        """What a reporter shares."""
        del session, tokens
        if any(world.namespace == key.namespace for world in self.worlds):
            return CommunityReport(shares=["ownStreams"])
        raise FetchError(Failure.UNREACHABLE, "its namespace is gone")


def _demand(world: World) -> FleetDemand:
    able = world.able()
    busy = len(world.busy)
    return FleetDemand(
        kind=world.kind,
        namespace=world.namespace,
        name=NAME,
        known=not world.mute,
        reason="the desk is mute" if world.mute else None,
        at=time.time(),
        ready=len(able),
        busy=busy,
        work=busy,
        size=1.0,
        used=float(busy),
        free={_WORK: len(able - world.busy)},
        each={_WORK: 1},
        unconfirmed=dict.fromkeys(world.seen.keys() - able, 0),
    )
