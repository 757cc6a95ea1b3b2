"""A million arbitrary requests for an advertiser: nothing breaks, and memory stays flat.

`python -m bench.fuzz [REQUESTS] [SEED]`; one in ten is HTTP, the others are gRPC.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.advertise import addresses, write
from rich.console import Console
from rich.table import Table

from mediafleet_testbed.load.fuzzing import Target
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import parse_flags

REQUESTS: Final = 1_000_000
GOAL_MB: Final = 50.0
_FLAGS: Final = ("-serviceAddr=http://127.0.0.1:0", "-httpAddr=http://0.0.0.0:0", "-cliAddr=:0")


async def _measure(requests: int, seed: int) -> Table:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file, port, http = folder / "nodes.yaml", free_port(), free_port()
        async with StandInNode(parse_flags(_FLAGS)) as node, Processes(folder) as processes:
            regions = [{"name": "eu", "cidrs": ["127.0.0.0/8"]}]
            entries = addresses(50, node.port)
            write(file, entries, order="by_gateway", max_nodes=5, regions=regions)
            member = await processes.python(
                "advertiser",
                "mediafleet.main",
                *("advertise", "--nodes", str(file), "--listen", f"127.0.0.1:{port}"),
                *("--http", f"127.0.0.1:{http}", "--plaintext"),
            )
            await processes.says(member, "50 of 50 nodes listed")
            target = Target(port, http, member.process.pid)
            before, began = target.resident_mb(), time.perf_counter()
            memory = await asyncio.to_thread(lambda: list(target.rounds(seed, requests)))
            return _table(target, [before, *memory], time.perf_counter() - began)


def _table(target: Target, memory: list[float], seconds: float) -> Table:
    rows = Table("requests", "answered", "refused", "HTTP", "seconds", "memory MB, by tenths")
    rows.add_column(f"growth MB, goal <= {GOAL_MB:g}")
    step = max(1, len(memory) // 10)
    rows.add_row(
        str(target.answered + target.refused + target.http),
        str(target.answered),
        str(target.refused),
        str(target.http),
        f"{seconds:.0f}",
        " ".join(f"{each:.0f}" for each in memory[::step]),
        # What it costs to have been used at all is there after the first tenth.
        f"{memory[-1] - memory[min(step, len(memory) - 1)]:.1f}",
    )
    return rows


def main() -> int:
    """Measure and print; exit status."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    Console(width=140).print(asyncio.run(_measure(requests, seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
