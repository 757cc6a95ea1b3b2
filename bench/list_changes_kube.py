"""How fast the list follows 500 pods of which twenty change a second, told by a real API server.

`python -m bench.list_changes_kube [SECONDS]`, as root, on a node of its own. The pods are objects
that nobody runs, so that they take no CPU; their addresses lead to one stand-in node. A change is
timed from before it is sent to the API server.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mediafleet_testbed.paths import REPOSITORY

os.environ["GRPC_VERBOSITY"] = "NONE"

import uvloop
from bench.advertise import addresses, cpu_seconds
from bench.list_changes import FLAGS, World, advertiser, empty_table, fill, play
from rich.console import Console
from rich.table import Table
from tests.kit.watching.api import Api, pods

from mediafleet_common.api.names import API_VERSION, Annotation, Kind, KindLabel, Label
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node, why_not
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import parse_flags

PODS: Final = 500
POOL: Final = "many"
_AT_ONCE: Final = 16
_CRDS: Final = REPOSITORY / "crds"


def _pod(name: str, url: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "labels": {
                Label.KIND.value: KindLabel.ORCHESTRATOR.value,
                Label.FLEET.value: POOL,
                Label.STATE.value: "ready",
            },
            "annotations": {Annotation.ADDRESS.value: url},
        },
        # Of a scheduler that there is not: no kubelet ever hears of it.
        "spec": {"schedulerName": "nobody", "containers": [{"name": "node", "image": "none"}]},
    }


async def _all(calls: Iterable[Awaitable[Any]]) -> None:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Awaitable[Any]) -> None:
        async with turns:
            await call

    await asyncio.gather(*(one(call) for call in calls))


async def _create(api: Api, namespace: str, urls: dict[str, str]) -> None:
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await _all(api.post(pods(namespace), _pod(name, url)) for name, url in urls.items())
    await _all(api.patch(f"{pods(namespace)}/{name}/status", ready) for name in urls)


async def _measure(node: Node, workspace: Workspace, seconds: float) -> Table:
    standin = StandInNode(parse_flags(FLAGS))
    async with standin, Api(node.kubeconfig) as api:
        entries = addresses(PODS, standin.port)
        urls = {each["name"]: each["url"] for each in entries}
        names = {url: name for name, url in urls.items()}
        await _create(api, workspace.name, urls)
        world = World(list(names))

        async def tell(url: str) -> None:
            drains = not world.ready[url]
            now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
            metadata = {
                "labels": {Label.STATE.value: "draining" if drains else "ready"},
                "annotations": {Annotation.DRAIN_STARTED.value: now if drains else None},
            }
            await api.patch(f"{pods(workspace.name)}/{names[url]}", {"metadata": metadata})

        rows = empty_table()
        with tempfile.TemporaryDirectory() as scratch:
            source = ("--pool", f"{workspace.name}/{POOL}")
            async with advertiser(Path(scratch), PODS, *source) as (client, pid):
                used = cpu_seconds(pid)
                await play(world, tell, client, seconds)
                fill(rows, f"{PODS} pods", world, (cpu_seconds(pid) - used) / seconds)
        return rows


def main() -> int:
    """Measure and print; exit status."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "20"
    if reason := why_not():
        print(f"this is measured on a real node: {reason}")
        return 1
    with Node.up() as node:
        if not node.inside:
            again = [sys.executable, "-m", "bench.list_changes_kube", seconds]
            return subprocess.call(node.inside_command(*again), env=node.environment())
        node.kubectl("apply", "-f", str(_CRDS), "--server-side", "--force-conflicts")
        crd = "crd/orchestratorpools.mediafleet.dev"
        node.kubectl("wait", "--for=condition=Established", crd)
        os.environ.update(node.environment())
        with Workspace.create(node, prefix="bench", level="privileged") as workspace:
            workspace.apply(
                {
                    "apiVersion": API_VERSION,
                    "kind": Kind.ORCHESTRATOR_POOL.value,
                    "metadata": {"name": POOL},
                    "spec": {"replicas": PODS},
                }
            )
            Console(width=130).print(uvloop.run(_measure(node, workspace, float(seconds))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
