"""How many GetOrchestrator calls the advertiser answers, and how fast its list follows a file.

`python -m bench.advertise [SECONDS] [CHANGES]`. The desk is a process of its own; the client is
Python's too and shares the machine with it, so that the rate is a floor: half of the CPU is spent
on asking. Nodes are one plaintext server under many loopback addresses, pinged as in production.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

os.environ["GRPC_VERBOSITY"] = "NONE"  # read when it is imported; it tells of each fork otherwise

import grpc
import grpc.aio
import uvloop
import yaml
from rich.console import Console
from rich.table import Table

from mediafleet_common.api.node_url import NodeUrl
from mediafleet_common.probes.ping import GET_ORCHESTRATOR, NodeClient
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo
from mediafleet_testbed.crew import Crew
from mediafleet_testbed.real import free_port
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import parse_flags

IN_FLIGHT: Final = 32
GOALS: Final = {10: (3000, 30.0), 1000: (2500, 30.0)}
"""Calls a second and p99 in ms by list size (figures: P8; TLS 2,000/s)."""
TLS_GOAL: Final = 2000
CPU_GOAL_MS: Final = 0.3
LISTED_GOAL_MS: Final = 1000.0
UNLISTED_GOAL_MS: Final = 500.0


@dataclass(frozen=True, slots=True)
class Rate:
    """One measurement of calls."""

    nodes: int
    tls: bool
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """Of the desk, per call: what a bigger or quieter machine compares by."""


@dataclass(frozen=True, slots=True)
class Desk:
    """An advertiser in a process of its own, and the file it follows."""

    file: Path
    client: NodeClient
    target: str
    credentials: grpc.ChannelCredentials | None
    pid: int

    def cpu_seconds(self) -> float:
        """CPU that it has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def write(self, entries: Sequence[dict[str, str]]) -> None:
        """Put another list of nodes in place."""
        write(self.file, entries)


def write(file: Path, entries: Sequence[dict[str, str]]) -> None:
    """Replace the file at once."""
    scratch = file.with_suffix(".new")
    scratch.write_text(yaml.dump({"nodes": list(entries)}, Dumper=yaml.CSafeDumper))
    scratch.replace(file)


def addresses(count: int, port: int) -> list[dict[str, str]]:
    """Nodes n0000… that are all the one server on `port`."""
    hosts = (f"127.0.{index // 250 + 1}.{index % 250 + 1}" for index in range(count))
    return [
        {"name": f"n{index:04}", "url": f"http://{host}:{port}"} for index, host in enumerate(hosts)
    ]


@asynccontextmanager
async def desk(entries: Sequence[dict[str, str]], tls: bool) -> AsyncIterator[Desk]:
    """An advertiser that lists all of `entries`."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        file, port = folder / "nodes.yaml", free_port()
        write(file, entries)
        async with Crew(folder) as crew:
            member = await crew.python(
                "advertiser",
                "mediafleet.main",
                *("advertise", "--nodes", str(file), "--listen", f"127.0.0.1:{port}"),
                *("--http", "127.0.0.1:0", *(() if tls else ("--plaintext",))),
            )
            await crew.says(member, f"{len(entries)} of {len(entries)} nodes listed", 60)
            url = NodeUrl("https" if tls else "http", "127.0.0.1", port)
            async with NodeClient(url) as client:
                credentials = await _credentials(url) if tls else None
                yield Desk(file, client, url.target, credentials, member.process.pid)


async def _credentials(url: NodeUrl) -> grpc.ChannelCredentials:
    pem = await asyncio.to_thread(ssl.get_server_certificate, (url.host, url.port))
    return grpc.ssl_channel_credentials(pem.encode())


async def rate(one: Desk, nodes: int, seconds: float) -> Rate:
    """Calls with 32 in flight, on one connection."""
    if one.credentials is None:
        channel = grpc.aio.insecure_channel(one.target)
    else:
        channel = grpc.aio.secure_channel(one.target, one.credentials)
    latencies: list[float] = []
    async with channel:
        call = channel.unary_unary(GET_ORCHESTRATOR)
        await call(b"")
        began, used = time.perf_counter(), one.cpu_seconds()

        async def caller() -> None:
            while (sent := time.perf_counter()) < began + seconds:
                await call(b"")
                latencies.append(time.perf_counter() - sent)

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
        spent = time.perf_counter() - began
    return Rate(
        nodes=nodes,
        tls=one.credentials is not None,
        per_second=len(latencies) / spent,
        p50_ms=1000 * statistics.median(latencies),
        p99_ms=1000 * percentile(latencies, 0.99),
        cpu_ms=1000 * (one.cpu_seconds() - used) / len(latencies),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all are not above."""
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
    rates: list[Rate] = []
    async with StandInNode(parse_flags(flags)) as node:
        for nodes in GOALS:
            for tls in (False, True):
                async with desk(addresses(nodes, node.port), tls) as one:
                    rates.append(await rate(one, nodes, seconds))
        entries = addresses(10, node.port)
        async with desk(entries, tls=True) as one:
            return rates, await freshness(one, entries, changes)


def report(rates: Sequence[Rate], fresh: Sequence[Sequence[float]]) -> list[Table]:
    """The figures beside their goals."""
    calls = Table(
        *("nodes", "TLS", "calls/s", "goal", "p50 ms", "p99 ms", "goal", "CPU ms/call", "goal")
    )
    calls.title = f"GetOrchestrator, {IN_FLIGHT} in flight, Python client on the same machine"
    for found in rates:
        goal, p99 = GOALS[found.nodes]
        calls.add_row(
            str(found.nodes),
            "yes" if found.tls else "no",
            f"{found.per_second:.0f}",
            f">= {min(goal, TLS_GOAL) if found.tls else goal}",
            f"{found.p50_ms:.1f}",
            f"{found.p99_ms:.1f}",
            f"<= {p99:.0f}",
            f"{found.cpu_ms:.2f}",
            f"<= {CPU_GOAL_MS}",
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
