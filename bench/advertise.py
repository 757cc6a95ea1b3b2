"""How many GetOrchestrator calls the advertiser answers, and how fast its list follows a file.

`python -m bench.advertise [SECONDS] [CHANGES]`. The desk has one core to itself, the client
(`h2_load`, cheaper than gRPC's own) another. The baseline is a server that answers the same bytes
every time (`bare_server`). Nodes are one plaintext server under many loopback addresses, pinged as
in production.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

os.environ["GRPC_VERBOSITY"] = "NONE"  # read when it is imported; it tells of each fork otherwise

import uvloop
import yaml
from rich.console import Console
from rich.table import Table

from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.probes.ping import NodeClient
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo, OrchestratorRequest
from mediafleet_testbed.load import h2_load
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import parse_flags

IN_FLIGHT: Final = 32
GATEWAYS: Final = 300
DESK_CORE: Final = 0
CLIENT_CORE: Final = 1
P99_GOAL_MS: Final = 30.0
CPU_GOAL_MS: Final = 0.3
LISTED_GOAL_MS: Final = 1000.0
UNLISTED_GOAL_MS: Final = 500.0


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured, and how many calls a second are the goal."""

    name: str
    nodes: int
    goal: int
    order: str = "fixed"
    tls: bool = False


CASES: Final = (
    Case("fixed", 10, 3000),
    Case("fixed", 1000, 2500),
    Case("by_gateway, 2 of 50", 50, 2500, order="by_gateway"),
    Case("fixed, TLS", 10, 2000, tls=True),
)


@dataclass(frozen=True, slots=True)
class Rate:
    """One measurement of calls."""

    name: str
    nodes: int
    goal: int | None
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """Of the server, per call: what a bigger or quieter machine compares by."""
    failed: int


@dataclass(frozen=True, slots=True)
class Desk:
    """An advertiser in a process of its own, and the file it follows."""

    file: Path
    client: NodeClient
    port: int
    tls: bool
    pid: int

    def write(self, entries: Sequence[dict[str, str]]) -> None:
        """Put another list of nodes in place."""
        write(self.file, entries)


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write(file: Path, entries: Sequence[dict[str, str]], **advertise: object) -> None:
    """Replace the file at once."""
    scratch = file.with_suffix(".new")
    content = {"advertise": advertise, "nodes": list(entries)}
    scratch.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper))
    scratch.replace(file)


def addresses(count: int, port: int) -> list[dict[str, str]]:
    """Nodes n0000… that are all the one server on `port`."""
    hosts = (f"127.0.{index // 250 + 1}.{index % 250 + 1}" for index in range(count))
    return [
        {"name": f"n{index:04}", "url": f"http://{host}:{port}"} for index, host in enumerate(hosts)
    ]


@asynccontextmanager
async def desk(
    entries: Sequence[dict[str, str]], *, tls: bool, **advertise: object
) -> AsyncIterator[Desk]:
    """An advertiser that lists all of `entries`."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file, port = folder / "nodes.yaml", free_port()
        write(file, entries, **advertise)
        async with Processes(folder) as processes:
            member = await processes.python(
                "advertiser",
                "mediafleet.main",
                *("advertise", "--nodes", str(file), "--listen", f"127.0.0.1:{port}"),
                *("--http", "127.0.0.1:0", *(() if tls else ("--plaintext",))),
            )
            await processes.says(member, f"{len(entries)} of {len(entries)} nodes listed", 60)
            url = NodeUrl("https" if tls else "http", "127.0.0.1", port)
            async with NodeClient(url) as client:
                yield Desk(file, client, port, tls, member.process.pid)


def gateways() -> tuple[str, ...]:
    """Requests of many gateways, each with an address and a signature."""
    return tuple(
        OrchestratorRequest(address=sha256(b"%d" % number).digest()[:20], sig=bytes(65))
        .SerializeToString()
        .hex()
        for number in range(GATEWAYS)
    )


def stay(pid: int) -> None:
    """Keep all threads of a process on the server's core."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {DESK_CORE})


async def load(port: int, pid: int, seconds: float, *, tls: bool) -> tuple[h2_load.Result, float]:
    """Calls with 32 in flight, on one connection; and CPU-ms of the server per call."""
    stay(pid)
    task = h2_load.Task("127.0.0.1", port, tls, seconds, IN_FLIGHT, gateways(), CLIENT_CORE)
    used = cpu_seconds(pid)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mediafleet_testbed.load.h2_load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(json.dumps(asdict(task)).encode())
    told = json.loads(out)
    result = h2_load.Result(**{**told, "latencies_ms": tuple(told["latencies_ms"])})
    return result, 1000 * (cpu_seconds(pid) - used) / max(1, result.answered)


def rate(name: str, nodes: int, goal: int | None, found: tuple[h2_load.Result, float]) -> Rate:
    """A row of the table."""
    result, cpu_ms = found
    per_second = result.answered / result.seconds
    p50, p99 = result.percentile(0.5), result.percentile(0.99)
    return Rate(name, nodes, goal, per_second, p50, p99, cpu_ms, result.failed)


async def baseline(nodes: int, seconds: float) -> Rate:
    """The same bytes from a server that does nothing else."""
    entries = addresses(nodes, 8935)
    size = len(OrchestratorInfo(nodes=[each["url"] for each in entries]).SerializeToString())
    with tempfile.TemporaryDirectory() as scratch:
        async with Processes(Path(scratch)) as processes:
            port = free_port()
            member = await processes.python("bare", "bench.bare_server", str(port), str(size))
            await processes.says(member, "ready")
            found = await load(port, member.process.pid, seconds, tls=False)
            return rate("baseline: the same bytes", nodes, None, found)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all are not above; no number where there are none."""
    if not values:
        return float("nan")
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def freshness(one: Desk, entries: list[dict[str, str]], changes: int) -> list[list[float]]:
    """Milliseconds from a change of the file to the list that gateways read: on, and off."""
    seen: list[list[float]] = [[], []]
    for index in range(changes):
        leaving = index % 2 == 1
        shown = entries[:-1] + ([{**entries[-1], "state": "draining"}] if leaving else entries[-1:])
        if index == 0:
            one.write(entries[:-1])
            await _until_listed(one, len(entries) - 1)
        began = time.perf_counter()
        one.write(shown)
        await _until_listed(one, len(entries) - leaving)
        seen[leaving].append(1000 * (time.perf_counter() - began))
    return seen


async def _until_listed(one: Desk, count: int) -> None:
    async with asyncio.timeout(30):
        while True:
            answer = await one.client.orchestrator_info(5.0)
            if answer is not None and len(OrchestratorInfo.FromString(answer).nodes) == count:
                return
            await asyncio.sleep(0.002)


async def _measure(seconds: float, changes: int) -> tuple[list[Rate], list[list[float]]]:
    flags = ["-serviceAddr=http://127.0.0.1:0", "-httpAddr=http://0.0.0.0:0", "-cliAddr=:0"]
    rates = [await baseline(nodes, seconds) for nodes in (10, 1000)]
    async with StandInNode(parse_flags(flags)) as node:
        for case in CASES:
            entries = addresses(case.nodes, node.port)
            most = {"max_nodes": 2} if case.order == "by_gateway" else {}
            async with desk(entries, tls=case.tls, order=case.order, **most) as one:
                found = await load(one.port, one.pid, seconds, tls=case.tls)
                rates.append(rate(case.name, case.nodes, case.goal, found))
        entries = addresses(10, node.port)
        async with desk(entries, tls=True) as one:
            return rates, await freshness(one, entries, changes)


def report(rates: Sequence[Rate], fresh: Sequence[Sequence[float]]) -> list[Table]:
    """The figures beside their goals."""
    calls = Table(
        *(
            "order",
            "nodes",
            "calls/s",
            "goal",
            "p50 ms",
            "p99 ms",
            "CPU ms/call",
            "a core",
            "failed",
        )
    )
    calls.title = f"GetOrchestrator, {IN_FLIGHT} in flight, the server on one core"
    calls.caption = (
        f"Goals: p99 <= {P99_GOAL_MS:g} ms, CPU <= {CPU_GOAL_MS} ms a call. A core: calls a second "
        "if all of its time were the server's."
    )
    for found in rates:
        calls.add_row(
            found.name,
            str(found.nodes),
            f"{found.per_second:.0f}",
            "" if found.goal is None else f">= {found.goal}",
            f"{found.p50_ms:.1f}",
            f"{found.p99_ms:.1f}",
            f"{found.cpu_ms:.2f}",
            f"{1000 / found.cpu_ms:.0f}" if found.cpu_ms else "?",
            str(found.failed),
        )
    changes = Table("change of the file", "changes", "p50 ms", "p99 ms", "worst ms", "goal p99 ms")
    for name, values, limit in (
        ("a ready node is listed", fresh[0], LISTED_GOAL_MS),
        ("a draining node is unlisted", fresh[1], UNLISTED_GOAL_MS),
    ):
        p50, p99 = statistics.median(values), percentile(values, 0.99)
        row = (f"{figure:.0f}" for figure in (p50, p99, max(values)))
        changes.add_row(name, str(len(values)), *row, f"<= {limit:.0f}")
    return [calls, changes]


def main() -> int:
    """Measure and print; exit status."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    changes = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    for table in report(*uvloop.run(_measure(seconds, changes))):
        Console(width=110).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
