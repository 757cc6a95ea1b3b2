"""What the operator writes for vmagent and Prometheus' agent, run by the real ones into a real
VictoriaMetrics: what arrives is the preview under the operator's name, and nothing else."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from tests.kit import stores

from mediafleet_common.api.community_metrics import CommunityMetricsSpec
from mediafleet_operator.manifests.children import senders
from mediafleet_operator.manifests.pods.pod import Product
from mediafleet_scheduler.core.community.cells import WORLD, grid
from mediafleet_scheduler.core.community.delivery import deliveries
from mediafleet_scheduler.core.community.publishing import Figures, HourRecord, OwnFigures
from mediafleet_scheduler.core.community.rendering import Shared, as_prometheus
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.tools import debian

pytestmark = pytest.mark.timeout(300)
PRODUCT: Final = Product(
    "-",
    vmagent_image="-",
    prometheus_image="-",
    # Debian's is older than 3.0.
    prometheus_agent_flag="--enable-feature=agent",
)
MOST_MIB: Final = 64
HOUR: Final = HourRecord(
    1_795_900_000,
    3,
    {grid(52, 13): Figures(10, 20, (3, 5), (6, 10)), WORLD: Figures(asking=(3, 5))},
    (),
    OwnFigures(20, 30),
)
TEXT: Final = as_prometheus(Shared("eu-west", OwnFigures(25, 30), [HOUR]))
OTHERS: Final = 'other{ip="192.0.2.1"} 1\nmediafleet_community_other 1\n'
PREVIEW: Final = sorted(
    json.dumps({"__name__": each.name, **each.labels, "operator": "me"}, sort_keys=True)
    for family in text_string_to_metric_families(TEXT)
    for each in family.samples
)


@dataclass
class World:
    """A reporter's page, a receiver that may be away, and who sends."""

    folder: Path
    sender: str
    scraped: list[float] = field(default_factory=list)
    page: int = 0
    receiver_port: int = field(default_factory=free_port)
    sender_port: int = field(default_factory=free_port)

    @property
    def spec(self) -> CommunityMetricsSpec:
        url = f"http://127.0.0.1:{self.receiver_port}/api/v1/write"
        recipient = {"name": "one", "url": url, "operator": "me"}
        return CommunityMetricsSpec.model_validate(
            {"pool": "p", "region": "eu-west", "sender": self.sender, "recipients": [recipient]}
        )

    def command(self) -> list[str]:
        """What the sidecar runs, with this machine's folders and ports."""
        for name, text in senders.files(self.spec).items():
            here = text.replace("127.0.0.1:8080", f"127.0.0.1:{self.page}")
            # Once a second, and sent at once.
            soon = "  queue_config: {batch_send_deadline: 1s}\n  write_relabel_configs:"
            here = here.replace("60s", "1s").replace("  write_relabel_configs:", soon)
            (self.folder / name).write_text(here)
        (sidecar,) = senders.sidecar(self.spec, PRODUCT)
        return [
            self.sender,
            *(
                each.replace(senders.CONFIG, str(self.folder))
                .replace(senders.KEPT, str(self.folder / "kept"))
                .replace("127.0.0.1:8429", f"127.0.0.1:{self.sender_port}")
                .replace("flush-deadline=10s", "flush-deadline=1s")
                for each in sidecar["args"]
            ),
        ]

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[asyncio.subprocess.Process]:
        async with stores.started(
            self.folder / "sender.log", self.sender_port, *self.command()
        ) as it:
            yield it

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[None]:
        command = (
            *("victoria-metrics", f"-httpListenAddr=127.0.0.1:{self.receiver_port}"),
            *(f"-storageDataPath={self.folder}/received", "-memory.allowedBytes=64MB"),
            "-search.latencyOffset=0",
        )
        async with stores.started(self.folder / "receiver.log", self.receiver_port, *command):
            yield

    async def scrapes(self, more: int) -> None:
        """Wait until the page was read so many more times."""
        wanted = len(self.scraped) + more
        await until(lambda: len(self.scraped) >= wanted, "the page is read")

    async def received(self) -> dict[str, list[float]]:
        """Times of the samples of each series that came."""
        base = f"http://127.0.0.1:{self.receiver_port}"
        await get(f"{base}/internal/force_flush")
        lines = (await get(f"{base}/api/v1/export?match[]=%7B__name__!=%22%22%7D")).splitlines()
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return {
            json.dumps(row["metric"], sort_keys=True): [at / 1000 for at in row["timestamps"]]
            for row in rows
        }

    async def arrives(self, after: float) -> dict[str, list[float]]:
        """What came, once each series has a sample from after a time."""
        deadline = time.monotonic() + stores.SECONDS
        while True:
            found = await self.received()
            newest = [max(times) for times in found.values()]
            if len(found) >= len(PREVIEW) and min(newest) > after:
                return found
            assert time.monotonic() < deadline, (sorted(found), self.log())
            await asyncio.sleep(0.2)

    def log(self) -> str:
        return (self.folder / "sender.log").read_text()[-2000:]


async def get(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.text()


async def until(holds: Any, what: str) -> None:
    deadline = time.monotonic() + stores.SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


def resident_mib(process: asyncio.subprocess.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


@pytest.fixture
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    debian.ensure(stores.PROGRAMS)
    made = World(tmp_path, request.param)

    async def page(_: web.Request) -> web.Response:
        made.scraped.append(time.time())
        return web.Response(text=TEXT + OTHERS)

    app = web.Application()
    app.router.add_get("/metrics/community", page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.page = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest.mark.parametrize("world", ["vmagent", "prometheus"], indirect=True)
async def test_what_arrives_through_an_outage_and_restarts_is_the_preview_and_nothing_else(
    world: World,
) -> None:
    async with world.sending() as first:
        async with world.receiving():
            before = await world.arrives(world.scraped[0] if world.scraped else 0.0)
        assert sorted(before) == PREVIEW
        # The receiver is away from here on.
        await world.scrapes(6)
        first.send_signal(signal.SIGTERM)
        await first.wait()
    ended = time.time()
    async with world.sending() as second:
        await world.scrapes(3)
        second.send_signal(signal.SIGKILL)
        await second.wait()
    async with world.sending() as third, world.receiving():
        back = time.time()
        found = await world.arrives(back)
        assert sorted(found) == PREVIEW
        assert resident_mib(third) <= MOST_MIB
        metrics = await get(f"http://127.0.0.1:{world.sender_port}/metrics")
        (told,) = deliveries(metrics, ["one"])
        assert told.accepted > 0
    if world.sender == "vmagent":
        # What SIGTERM put on disk is there but for the block that SIGKILL met in flight, a flush
        # of a second. Prometheus' agent loses most.
        begin = max(max(times) for times in before.values()) + 1.0
        kept = sum(begin < at < ended for at in found[PREVIEW[0]])
        assert kept >= sum(begin < at < ended for at in world.scraped) - 3


@pytest.mark.parametrize("world", ["vmagent", "prometheus"], indirect=True)
async def test_a_prometheus_gets_the_preview_and_nothing_else(world: World) -> None:
    async with stores.prometheus(world.folder, world.receiver_port) as url, world.sending():
        deadline = time.monotonic() + stores.SECONDS
        found: list[str] = []
        while len(found) < len(PREVIEW):
            assert time.monotonic() < deadline, (found, world.log())
            await asyncio.sleep(0.2)
            told = await get(f"{url}/api/v1/series?match[]=%7B__name__!=%22%22%7D")
            series = json.loads(told)["data"]
            found = sorted(json.dumps(each, sort_keys=True) for each in series)
        assert found == PREVIEW
