"""The orchestrator half of the quick look: the advertised list follows a file and the nodes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import yaml
from rich.console import Console

from mediafleet_common.formats.node_url import parse_node_url
from mediafleet_common.probes.ping import NodeClient
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo
from mediafleet_testbed import real_servers
from mediafleet_testbed.errors import TestbedError
from mediafleet_testbed.processes import Member, Processes
from mediafleet_testbed.story.claims import Claims

GOAL_SECONDS = 1.0
DEAD_GOAL_SECONDS = 3.0
"""A node that dies without a word is missed by the pings that it leaves unanswered."""


class Pool:
    """Nodes, the file that names them, and the advertiser that follows it."""

    def __init__(self, processes: Processes, directory: Path, console: Console) -> None:
        self._processes = processes
        self._console = console
        self._file = directory / "nodes.yaml"
        self._nodes: dict[str, dict[str, str]] = {}
        self._names: dict[str, str] = {}
        self.members: dict[str, Member] = {}

    async def start_node(self, name: str) -> None:
        """Start a node and put it into the entries."""
        port = real_servers.free_port()
        member = await self._processes.python(
            name,
            "mediafleet_testbed.standins.node",
            *(
                "-serviceAddr",
                f"127.0.0.1:{port}",
                "-cliAddr",
                f"127.0.0.1:{real_servers.free_port()}",
            ),
        )
        await self._processes.says(member, "ready")
        url = f"https://127.0.0.1:{port}"
        self.members[name] = member
        self._nodes[name] = {"name": name, "url": url}
        self._names[url] = name

    def write(self, **states: str) -> None:
        """Rewrite the file; `states` changes nodes' states."""
        for name, state in states.items():
            self._nodes[name]["state"] = state
        scratch = self._file.with_suffix(".new")
        scratch.write_text(yaml.safe_dump({"nodes": list(self._nodes.values())}), encoding="utf-8")
        scratch.replace(self._file)

    async def start_advertiser(self) -> NodeClient:
        """The desk, and a client of it."""
        port = real_servers.free_port()
        desk = await self._processes.python(
            "advertiser",
            "mediafleet.main",
            *("advertise", "--nodes", str(self._file)),
            *("--listen", f"127.0.0.1:{port}", "--http", "127.0.0.1:0"),
        )
        self._console.print(f"  {await self._processes.says(desk, 'ready')}", highlight=False)
        return NodeClient(parse_node_url(f"https://127.0.0.1:{port}"))

    async def lists(self, client: NodeClient, wanted: set[str], why: str) -> float:
        """Seconds until GetOrchestrator answers with exactly these nodes."""
        began = time.monotonic()
        listed: list[str] = []
        while time.monotonic() < began + 15:
            answer = await client.orchestrator_info(timeout_seconds=1.0)
            if answer is not None:
                info = OrchestratorInfo.FromString(answer)
                listed = [self._names.get(url, url) for url in info.nodes]
                if set(listed) == wanted:
                    seconds = time.monotonic() - began
                    self._console.print(
                        f"  +{seconds:5.2f} s  {why:44} list: {' '.join(listed)}", highlight=False
                    )
                    return seconds
            await asyncio.sleep(0.02)
        raise TestbedError(f"{why}: the list is {listed}, wanted {sorted(wanted)}")


async def follow_a_change(
    processes: Processes, directory: Path, console: Console, claims: Claims
) -> None:
    """Three nodes; one drains, one dies, one is added."""
    console.print("\nstarting three orchestrator nodes and the advertiser …")
    pool = Pool(processes, directory, console)
    for number in range(3):
        await pool.start_node(f"n{number}")
    pool.write()
    async with await pool.start_advertiser() as client:
        await pool.lists(client, {"n0", "n1", "n2"}, "three nodes answer Ping")
        pool.write(n0="draining")
        unlisted = await pool.lists(client, {"n1", "n2"}, "n0 drains (a line of the file changed)")
        await processes.dismiss(pool.members["n1"])
        dead = await pool.lists(client, {"n2"}, "n1 died")
        await pool.start_node("n3")
        pool.write()
        listed = await pool.lists(client, {"n2", "n3"}, "n3 was added and answers Ping")
    claims.within("list: a draining node is off it", unlisted, GOAL_SECONDS, "s")
    claims.within("list: a dead node is off it", dead, DEAD_GOAL_SECONDS, "s")
    claims.within("list: a new node is on it", listed, GOAL_SECONDS, "s")
