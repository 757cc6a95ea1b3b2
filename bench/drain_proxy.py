"""What HAProxy before a node costs: latency and CPU, beside the node itself.

Client and node are on Go's net/http, as go-livepeer is; node, proxy and client share the machine.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.kit.node.proxied import a_node, before, going

REQUESTS: Final = 1000
RATE: Final = 200
MEGABYTES: Final = 4


def cpu_seconds(folder: Path) -> float:
    """Of all HAProxy processes that use a folder's configuration, so far."""
    ticks = 0
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() in (each / "cmdline").read_bytes():
                fields = (each / "stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


async def seconds(address: str, requests: int, rate: float, query: str) -> list[float]:
    """How long each request took, sorted."""
    options = ("-requests", str(requests), "-rate", str(rate), "-query", query, "-body", "2000")
    async with going("-nodes", address, *options) as client:
        took: list[float] = (await client.says("ended", 120))["seconds"]
    return took


async def main() -> int:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with a_node() as node:
            some = before(node, folder)
            async with some.running():
                for what, address in (("direct", node), ("proxied", some.address)):
                    await seconds(address, 50, RATE, "/llm")
                    began = cpu_seconds(folder)
                    took = await seconds(address, REQUESTS, RATE, "/llm?bytes=1000")
                    spent = (cpu_seconds(folder) - began) / REQUESTS
                    median, late = statistics.median(took), took[int(len(took) * 0.99)]
                    began = cpu_seconds(folder)
                    large = await seconds(address, 50, 10, f"/llm?bytes={MEGABYTES * 1_000_000}")
                    per_megabyte = (cpu_seconds(folder) - began) / 50 / MEGABYTES
                    print(
                        f"{what:8} {RATE}/s of 1 kB: median {median * 1000:.2f} ms, "
                        f"99 % {late * 1000:.2f} ms, HAProxy {spent * 1000:.2f} ms of CPU each; "
                        f"{MEGABYTES} MB: median {statistics.median(large) * 1000:.1f} ms, "
                        f"HAProxy {per_megabyte * 1000:.2f} ms of CPU a MB"
                    )
                sight = await some.proxy.look()
                print(f"in the end {sight.in_flight} in flight")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
