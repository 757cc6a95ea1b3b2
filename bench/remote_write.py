"""What a receiver gets through an outage: `python -m bench.remote_write`.

Runs a real vmagent with samples/community into a real VictoriaMetrics (Debian: victoria-metrics),
all on loopback, with a clock shortened by 60: a look a second in place of one a minute. The
receiver goes away for "two hours", 120 looks; meanwhile the client is ended by SIGTERM and by
SIGKILL and started again. Told is which series came, and of each stretch how often the page was
looked at and how many samples came.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, Process
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import aiohttp
import yaml
from aiohttp import web

from mediafleet_scheduler.core.community.cells import WORLD, grid
from mediafleet_scheduler.core.community.publishing import Figures, HourRecord, OwnFigures
from mediafleet_scheduler.core.community.rendering import Shared, as_prometheus

SAMPLES: Final = Path(__file__).parent.parent / "samples/community"
SHARED, RECEIVER, CLIENT = 18811, 18812, 18813
STRETCH_SECONDS: Final = 40.0
OTHERS: Final = 'other{ip="192.0.2.1"} 1\nmediafleet_community_other 1\n'
ENDS: Final = tuple(signal.Signals[name] for name in sys.argv[1:] or ("SIGTERM", "SIGKILL"))
"""How the client is ended; the command line may name others."""


def text() -> str:
    """What an operator shares."""
    berlin, rest = Figures(10, 20, (3, 5), (6, 10)), Figures(asking=(3, 5))
    hour = HourRecord(1_795_900_000, 3, {grid(52, 13): berlin, WORLD: rest}, (), OwnFigures(20, 30))
    return as_prometheus(Shared("eu-west", OwnFigures(25, 30), [hour]))


def configs(folder: Path) -> None:
    """The sample, with our port and a look a second."""
    config = yaml.safe_load((SAMPLES / "scrape.yaml").read_text())
    config["global"]["scrape_interval"] = "1s"
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{SHARED}"]}]
    (folder / "scrape.yaml").write_text(yaml.safe_dump(config))


@dataclass
class Bench:
    """The processes of one run."""

    folder: Path
    marks: list[tuple[str, float]] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    """When the page was looked at."""

    async def receiver(self) -> Process:
        return await self._started(
            RECEIVER,
            *("victoria-metrics", f"-httpListenAddr=127.0.0.1:{RECEIVER}"),
            *(f"-storageDataPath={self.folder}/received", "-memory.allowedBytes=64MB"),
        )

    async def client(self) -> Process:
        return await self._started(
            CLIENT,
            *("vmagent", f"-httpListenAddr=127.0.0.1:{CLIENT}", "-memory.allowedBytes=32MB"),
            f"-promscrape.config={self.folder}/scrape.yaml",
            f"-remoteWrite.relabelConfig={SAMPLES}/relabel.yaml",
            *(f"-remoteWrite.tmpDataPath={self.folder}/kept", "-remoteWrite.flushInterval=1s"),
            # As the operator sets it: what SIGKILL meets in flight is one block.
            "-remoteWrite.queues=1",
            f"-remoteWrite.url=http://127.0.0.1:{RECEIVER}/api/v1/write",
        )

    def mark(self, what: str) -> None:
        self.marks.append((what, time.time()))

    async def _started(self, port: int, *command: str) -> Process:
        process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return process
        raise SystemExit(f"{command[0]} does not listen")


def resident_mib(pid: int) -> int:
    """Memory of a process."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) // 1024


async def story(bench: Bench) -> list[dict[str, object]]:
    """Everything that the receiver has in the end."""
    receiver, client = await bench.receiver(), await bench.client()
    try:
        bench.mark("both there")
        await asyncio.sleep(STRETCH_SECONDS)
        receiver.terminate()
        await receiver.wait()
        bench.mark("receiver away")
        for number, end in enumerate(ENDS, 1):
            await asyncio.sleep(STRETCH_SECONDS)
            client.send_signal(end)
            await client.wait()
            bench.mark(f"client off by {end.name}")
            client = await bench.client()
            bench.mark(f"client started again, {number}")
        await asyncio.sleep(STRETCH_SECONDS)
        print(f"vmagent: {resident_mib(client.pid)} MiB resident")
        receiver = await bench.receiver()
        bench.mark("receiver there again")
        await asyncio.sleep(STRETCH_SECONDS)
        bench.mark("end")
        query = "match[]=%7B__name__!=%22%22%7D"
        url = f"http://127.0.0.1:{RECEIVER}/api/v1/export?{query}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return [json.loads(line) for line in (await answer.text()).splitlines()]
    finally:
        for process in (client, receiver):
            if process.returncode is None:
                process.terminate()
                await process.wait()


def told(rows: list[dict[str, object]], bench: Bench) -> None:
    """Print what came."""
    names = sorted({json.dumps(each["metric"], sort_keys=True) for each in rows})
    print(f"{len(names)} series came, {text().count(chr(10)) - text().count('#')} are shared")
    print("\n".join(names))
    stamps = rows[0]["timestamps"]
    assert isinstance(stamps, list)
    times = [each / 1000 for each in stamps]
    for (what, start), (_, end) in pairwise(bench.marks):
        looks, came = (sum(start <= at < end for at in each) for each in (bench.looks, times))
        print(f"{what}: {end - start:.0f} s, {looks} looks, {came} samples")
    # A look's own time is of its begin, a little before the page's.
    lost = [at for at in bench.looks if not any(abs(at - each) < 0.5 for each in times)]
    since = [round(at - bench.marks[0][1]) for at in lost]
    print(f"{len(bench.looks)} looks, lost {len(lost)}, at seconds {since}")


async def main() -> None:
    """Run it once."""

    bench = Bench(Path())

    async def metrics(_: web.Request) -> web.Response:
        bench.looks.append(time.time())
        return web.Response(text=text() + OTHERS)

    app = web.Application()
    app.router.add_get("/metrics/community", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", SHARED).start()
    with tempfile.TemporaryDirectory() as folder:
        bench.folder = Path(folder)
        configs(bench.folder)
        told(await story(bench), bench)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
