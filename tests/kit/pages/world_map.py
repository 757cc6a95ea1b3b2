"""The page of the world map, with days of demand to look at."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from prometheus_client import CollectorRegistry
from tests.kit.community import MIDNIGHT, Time

from mediafleet_common.formats.times import rfc3339
from mediafleet_common.serving.http import HttpServer
from mediafleet_scheduler.community.collector import Collector
from mediafleet_scheduler.community.map_page import MapPage
from mediafleet_scheduler.community.weeks.archive import Archive
from mediafleet_scheduler.community.weeks.store import Store, StoreError
from mediafleet_scheduler.core.community.cells import grid
from mediafleet_scheduler.core.community.collecting import Summary, read_summary
from mediafleet_scheduler.core.community.mapping import HOURS
from mediafleet_scheduler.core.community.weeks.series import OWN, TOLD, Sample

NOW: Final = MIDNIGHT + 12 * 3600
_PLACES: Final = (
    (50, 8),
    (52, 13),
    (40, -74),
    (37, -122),
    (19, 73),
    (-23, -46),
    (1, 104),
    (35, 139),
)
_REGIONS: Final = ("eu-west", "us-east", "ap-south", "sa-east")


_WORK: Final = {
    "egressByResolution": {"720p": 25, "1080p": 40},
    "aiByModel": {"black-forest-labs/FLUX.1-dev": 15, "all": 10},
    "pixels": {"all": 120},
}


def _hour(back: int, groups: dict[str, Any]) -> dict[str, Any]:
    return {"start": rfc3339(NOW - 3600 * (back + 1)), "k": 3, "groups": groups}


def _summary(number: int, hours: list[dict[str, Any]]) -> Summary:
    streams = 5 * (number + 2)
    told = {
        "version": 1,
        "region": _REGIONS[number % len(_REGIONS)],
        "now": {"average": streams, "maximum": streams},
        "day": {"average": streams, "maximum": 2 * streams, "hours": 24},
        "hours": hours,
    }
    return read_summary(json.dumps(told).encode())


def busy() -> list[Summary]:
    """Twelve operators who see gateways in many places, an hour in which nobody reports."""
    draw = random.Random(1)
    found = []
    for number in range(12):
        hours = []
        for back in range(HOURS):
            if back == 7:
                continue
            wave = 2 + math.sin((back + number) / 4)
            cells = {
                grid(south + 5 * draw.randint(-1, 1), west + 5 * draw.randint(-1, 1))[-1]
                for south, west in draw.sample(_PLACES, 4)
            }
            groups = {
                name: {"average": 5 * int(wave * 3), "asking": "3-5" if wave < 2 else "6-10"}
                for name in cells
            }
            hour = _hour(back, {**groups, "world": {"average": 10, "asking": "3-5"}})
            hours.append({**hour, "work": _WORK})
        found.append(_summary(number, hours))
    return found


def three() -> list[Summary]:
    """One place that is told now, one that was told an hour ago, and an hour without reporters."""
    berlin, york = grid(52, 13)[-1], grid(40, -74)[-1]
    told = {"average": 10, "asking": "3-5"}
    return [_summary(0, [_hour(0, {berlin: told}), _hour(1, {berlin: told, york: told})])]


def nobody() -> list[Summary]:
    """Nobody shares."""
    return []


DAYS: Final[dict[str, Callable[[], list[Summary]]]] = {
    "busy": busy,
    "three": three,
    "empty": nobody,
    "broken": three,
}


class Kept(Store):
    """A store in memory, for the page alone; it may be away."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")
        self.samples: list[Sample] = []
        self.away = False

    async def query(self, promql: str, start: int, end: int, step: int) -> bytes:
        """All samples of the time; by region those that tell operators and streams."""
        if self.away:
            raise StoreError("no route")
        name = {"sum": OWN, "count": TOLD}.get(promql.split()[0])
        result = [
            {"metric": dict(each.labels), "values": [[each.at, str(each.value)]]}
            for each in self.samples
            if start <= each.at <= end and name in (None, dict(each.labels)["__name__"])
        ]
        told = {"status": "success", "data": {"resultType": "matrix", "result": result}}
        return json.dumps(told).encode()


@asynccontextmanager
async def page(
    summaries: list[Summary], *, broken: bool = False, archive: Archive | None = None
) -> AsyncIterator[str]:
    """The page of a collector to which these were told, and ten who tell nothing; its address."""
    time = Time(NOW)
    numbers = itertools.count()
    urls = [f"http://operator-{next(numbers)}.example.com" for _ in range(len(summaries) + 10)]
    collector = Collector(urls, "Example operators, for orchestrators", time.clock, archive=archive)
    for url, summary in zip(urls, summaries, strict=False):
        collector.targets[url].summary = summary
        collector.targets[url].accepted_at = NOW
    collector.show()
    made = MapPage(collector, most_listeners=0 if broken else 9)
    async with HttpServer(
        "127.0.0.1:0", lambda: None, routes=made.routes(), registry=CollectorRegistry()
    ) as http:
        yield f"http://127.0.0.1:{http.port}/"
