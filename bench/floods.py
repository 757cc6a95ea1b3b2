"""What strangers do to the advertiser's public port: memory, health, and gateways beside them.

`python -m bench.floods [SECONDS] [KIND…]`: each attack for so long, four connections each, 4,500
idle TLS connections and 1,100 silent ones. Beside it the same against a bare gRPC server.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.advertise import addresses, write
from rich.console import Console
from rich.table import Table

from mediafleet_testbed.load.floods import FLOODS, Watched, watch
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import parse_flags

SECONDS: Final = 6
GOAL_MB: Final = 200.0
GOAL_SECONDS: Final = 1.0
OCCUPIED: Final = {"idle_tls": 4500, "silent_tcp": 1100}
CONNECTIONS: Final = 4
_FLAGS: Final = ("-serviceAddr=http://127.0.0.1:0", "-httpAddr=http://0.0.0.0:0", "-cliAddr=:0")


async def _one(kind: str, seconds: int) -> Watched:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file, port, http = folder / "nodes.yaml", free_port(), free_port()
        async with StandInNode(parse_flags(_FLAGS)) as node, Processes(folder) as processes:
            write(file, addresses(50, node.port))
            desk = await processes.python(
                "advertiser",
                "mediafleet.main",
                *("advertise", "--nodes", str(file), "--listen", f"127.0.0.1:{port}"),
                *("--http", f"127.0.0.1:{http}"),
            )
            await processes.says(desk, "50 of 50 nodes listed")
            stop = asyncio.Event()
            watching = asyncio.create_task(watch(desk.process.pid, port, http, stop))
            count = str(OCCUPIED.get(kind, CONNECTIONS))
            attack = await processes.python(
                "attack",
                "mediafleet_testbed.load.floods",
                *(kind, str(port), str(seconds), count),
            )
            await attack.process.wait()
            stop.set()
            return await watching


async def _all(seconds: int, kinds: list[str]) -> Table:
    rows = Table(
        "attack",
        f"most MB (<= {GOAL_MB:g})",
        f"/healthz, worst s (<= {GOAL_SECONDS:g})",
        "gateways: answered",
        "failed",
        "worst s",
        title=f"{seconds} s each",
    )
    for kind in kinds:
        seen = await _one(kind, seconds)
        rows.add_row(
            kind,
            f"{seen.most_mb:.0f}",
            f"{max(seen.health_seconds):.2f}",
            str(seen.answered),
            str(len(seen.failed)),
            f"{max(seen.call_seconds):.2f}",
        )
        if seen.failed:
            print(kind, sorted(set(seen.failed)))
    return rows


def main() -> int:
    """Print the table."""
    # The attacker's sockets; what it starts has the same limit.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 16_384), most))
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    kinds = sys.argv[2:] or [*FLOODS, *OCCUPIED]
    Console().print(asyncio.run(_all(seconds, kinds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
