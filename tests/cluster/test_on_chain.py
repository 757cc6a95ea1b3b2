"""Paid nodes on a real node: the key is a file, and what a node keeps outlives its pod."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.kit.fleets.manifests import orchestrator_pool
from tests.kit.node.operating import operating

from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

pytestmark = pytest.mark.timeout(300)
SECRETS: Final = {"key.json": '{"address": "12"}', "password": "open sesame", "url": "http://rpc/k"}
CHAIN: Final = {
    "ethOrchAddr": "0x" + "12" * 20,
    "keySecret": {"name": "eth", "key": "key.json"},
    "passwordSecret": {"name": "eth", "key": "password"},
    "rpcUrlSecret": {"name": "eth", "key": "url"},
}
LOOK: Final = """
import json, os, pathlib
key, password = "/mediafleet/keystore/key.json", "/mediafleet/eth-password"
ticket = pathlib.Path(os.environ["HOME"], "ticket")
print(json.dumps({
    "linked": [os.path.islink(path) for path in (key, password)],
    "texts": [pathlib.Path(path).read_text() for path in (key, password)],
    "url": os.environ["LP_ETHURL"],
    "line": pathlib.Path("/proc/1/cmdline").read_text(),
    "ticket": ticket.exists(),
}))
ticket.write_text("won")
"""


@pytest.fixture
def pool(workspace: Workspace, node: Node, tmp_path: Path) -> Iterator[Workspace]:
    """A paid node with a volume of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    disk.chmod(0o777)
    name = workspace.name
    node.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": str(disk)},
                "storageClassName": name,
            },
        }
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "eth"}}
    workspace.apply({**secret, "stringData": SECRETS})
    chain = {**CHAIN, "volume": {"size": "1Gi", "storageClass": name}}
    with operating(node, workspace, tmp_path / "operator.log"):
        workspace.apply(
            orchestrator_pool(
                "paid",
                1,
                onChain=chain,
                args=["-orchestrator", "-transcoder"],
                advertise={"replicas": 0},
            )
        )
        yield workspace
    node.kubectl("delete", "pv", name, "--wait=false")


async def test_what_a_paid_node_keeps_outlives_its_pod_and_no_secret_is_in_its_arguments(
    pool: Workspace,
) -> None:
    def look() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            pool.kubectl("exec", "paid-0", "-c", "node", "--", "python", "-c", LOOK)
        )
        return found

    def uid() -> str:
        pods = pool.pods("mediafleet.dev/fleet=paid")
        ready = [
            each
            for each in pods
            if each["metadata"]["labels"]["mediafleet.dev/state"] == "ready"
            and "deletionTimestamp" not in each["metadata"]
        ]
        return str(ready[0]["metadata"]["uid"]) if ready else ""

    async def replaced() -> bool:
        return await asyncio.to_thread(uid) not in ("", before)

    pool.wait("condition=Ready", "opool/paid", timeout_seconds=90)
    before, seen = uid(), look()
    assert seen["linked"] == [False, False], "a keystore passes over links"
    assert seen["texts"] == [SECRETS["key.json"], SECRETS["password"]]
    assert seen["url"] == SECRETS["url"]
    assert "sesame" not in seen["line"]
    assert "rpc/k" not in seen["line"]
    assert "-reward=false" in seen["line"]
    assert not seen["ticket"]

    pool.kubectl("annotate", "pod", "paid-0", "mediafleet.dev/cordoned=true")
    await until("replaced in place", replaced, bool, 90, pause_seconds=0.3)
    pool.wait("condition=Ready", "opool/paid", timeout_seconds=60)
    assert look()["ticket"], "the next pod has the first one's disk"
    assert "ownerReferences" not in pool.get("pvc/paid-slot-0")["metadata"]
