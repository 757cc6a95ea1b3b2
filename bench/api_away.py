"""The API server is away under load: what recordings and lists notice, and what is written after.

`python -m mediafleet_testbed exec --up -- python -m bench.api_away [SECONDS]`; 300 s if not said
otherwise. Recordings are asked for four times a second, lists of nodes ten times. After the return
all writes of our accounts but for the Lease are counted for a minute: nothing has changed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import aiohttp
from rich.console import Console
from tests.cluster.test_kills_without_api import api_away
from tests.kit.cluster.product import deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.fleets import manifests
from tests.kit.fleets.users import Begun, Recorders

from mediafleet_common.api.names import Port
from mediafleet_testbed import images
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

RECORD_SECONDS: Final = 0.25
LIST_SECONDS: Final = 0.1
AFTER_SECONDS: Final = 60.0
RUNNING: Final = 12
_WRITES: Final = ("create", "update", "patch", "delete")


@dataclass(slots=True)
class Seen:
    """What users saw."""

    begun: list[Begun] = field(default_factory=list)
    lists: int = 0
    bad_lists: list[str] = field(default_factory=list)


async def record(users: Recorders, seen: Seen) -> None:
    """One recording after the other, each ended when some more have begun."""
    while True:
        seen.begun.append(await users.begin())
        if len(seen.begun) > RUNNING:
            await seen.begun[-RUNNING].end()
        await asyncio.sleep(RECORD_SECONDS)


async def complaint(http: aiohttp.ClientSession, host: str) -> str | None:
    """What is wrong with the list of nodes, once asked for."""
    try:
        async with http.get(f"http://{host}:{Port.DESK_HTTP}/orchestrators") as answer:
            nodes = await answer.json() if answer.status == 200 else []
            return None if len(nodes) == 2 else f"{answer.status}: {len(nodes)} nodes"
    except (aiohttp.ClientError, TimeoutError) as error:
        return str(error)


async def fetch(http: aiohttp.ClientSession, host: str, seen: Seen) -> None:
    """One list after the other."""
    began = time.monotonic()
    while True:
        seen.lists += 1
        if bad := await complaint(http, host):
            seen.bad_lists.append(f"after {time.monotonic() - began:.1f} s: {bad}")
        await asyncio.sleep(LIST_SECONDS)


def writes(log: Path, namespace: str, since: float) -> Counter[str]:
    """What our accounts wrote, the Lease and tokens apart."""
    found: Counter[str] = Counter()
    for line in log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        user, about = event["user"].get("username", ""), event.get("objectRef") or {}
        ours = user.startswith(f"system:serviceaccount:{namespace}:")
        what = about.get("resource", "")
        if not ours or event["verb"] not in _WRITES or what in ("leases", "serviceaccounts"):
            continue
        if datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp() >= since:
            code = event.get("responseStatus", {}).get("code")
            name = f"{what}/{about.get('subresource', '')}".rstrip("/")
            found[f"{event['verb']} {name} {about.get('name', '')} {code}"] += 1
    return found


async def away(scene: Scene, seconds: float) -> tuple[Seen, Counter[str]]:
    """Load, an outage of so many seconds, and a minute after it."""
    seen, users = Seen(), scene.recorders("track", random.Random(1))
    host = await scene.service_address("pool")
    # The nodes are listed before kube-proxy knows of the Service.
    await until("the list is served", lambda: complaint(scene.http, host), lambda bad: bad is None)
    tasks = [
        asyncio.create_task(record(users, seen)),
        asyncio.create_task(fetch(scene.http, host, seen)),
    ]
    await asyncio.sleep(5)
    async with api_away(scene):
        await asyncio.sleep(seconds)
    back = time.time()
    await asyncio.sleep(AFTER_SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return seen, writes(scene.product.node.log("audit"), scene.namespace, back)


async def main(seconds: float) -> None:
    """Print the figures."""
    console, node = Console(), Node.running()
    images.load(node.instance)
    values = {"egress": {"replicas": 2}}
    with Workspace.create(node) as workspace, deployed(node, workspace, values) as product:
        async with watched(product) as scene:
            # Never busy and idle by turns: what is written after is not of the load.
            await scene.create(manifests.egress_fleet("rec", product.redis, 2))
            await scene.create(manifests.orchestrator_pool("pool", 2))
            for name in ("rec", "pool"):
                await scene.until_wanted(name, 2, 0, 90)
            await asyncio.to_thread(
                workspace.wait, "condition=NodesListed", "opool/pool", timeout_seconds=90
            )
            seen, written = await away(scene, seconds)
    failed = sum(not each.agreed for each in seen.begun)
    console.print(f"API server away for {seconds:g} s")
    console.print(f"recordings: {len(seen.begun)} asked for, {failed} refused")
    console.print(f"lists: {seen.lists} asked for, {len(seen.bad_lists)} bad {seen.bad_lists[:3]}")
    console.print(f"writes in the {AFTER_SECONDS:g} s after: {sum(written.values())}")
    for what, count in written.most_common():
        console.print(f"  {count} {what}")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if sys.argv[1:] else 300.0))
