"""From the release before this one to this one and back, under load: nobody notices.

MEDIAFLEET_UPGRADES=0 tries every order of definitions and chart; else the recommended one.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from tests.kit.cluster.product import ROOT, Product, apply_crds, change, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.fleets import manifests
from tests.kit.fleets.users import Begun, Recorders

from mediafleet_common.api.names import Port
from mediafleet_testbed import images, previous
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.errors import CommandError
from mediafleet_testbed.node import Node

SEED: Final = 3
SERVE_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.25
SETTLE_SECONDS: Final = 5.0
HANDED: Final = {"chart": 1, "crds": 0}
"""How often a step may hand the Lease over."""
LEFT_SECONDS: Final = 10.0
"""So long may a Service on a loaded machine lead to a pod that is gone."""
BEFORE: Final = {"image": {"tag": "previous"}}
ORDERS: Final = (("crds", "chart"), ("chart", "crds"))
# Definitions are the whole cluster's.
pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]


def orders() -> tuple[tuple[str, str], ...]:
    return ORDERS[: int(os.environ.get("MEDIAFLEET_UPGRADES", "1")) or None]


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    """The release before this one."""
    tree = previous.tree()
    images.load_previous(node.instance, tree)
    try:
        with deployed(node, workspace, BEFORE, tree) as product:
            yield product
    finally:
        apply_crds(node)


@dataclass(slots=True)
class Load:
    """Recordings and lists that are asked for all the time, and what was told instead of yes."""

    begun: list[Begun] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    lists: int = 0
    failing: float = 0.0
    """For how many seconds at most a list failed on end."""
    no_list: list[str] = field(default_factory=list)

    @property
    def unheard(self) -> list[str]:
        """Where nobody listened. A late answer, or one without a node since its load was read late,
        is what a full machine does to any release."""
        late = ("Timeout", "200: no node")
        return [each for each in self.no_list if not any(word in each for word in late)]


@asynccontextmanager
async def load(scene: Scene) -> AsyncIterator[Load]:
    told = Load()
    users = scene.recorders("track", random.Random(SEED))
    lists = await scene.service_address("pool")
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_record(users, told)),
            group.create_task(_list(scene.http, lists, told)),
        ]
        yield told
        for task in tasks:
            task.cancel()
    told.refused += users.refusals


async def _record(users: Recorders, told: Load) -> None:
    while True:
        told.begun.append(await users.begin())
        if len(told.begun) > 4:
            await told.begun[-5].end()
        await asyncio.sleep(PAUSE_SECONDS)


async def _list(http: aiohttp.ClientSession, host: str, told: Load) -> None:
    good = time.monotonic()
    while True:
        trouble = await _fetched(http, host)
        told.lists += 1
        if trouble is None:
            good = time.monotonic()
        else:
            told.failing = max(told.failing, time.monotonic() - good)
            told.no_list.append(trouble)
        await asyncio.sleep(PAUSE_SECONDS)


async def _fetched(http: aiohttp.ClientSession, host: str) -> str | None:
    """Why there is no list of nodes."""
    try:
        async with http.get(f"http://{host}:{Port.DESK_HTTP}/orchestrators") as answer:
            nodes = await answer.json() if answer.status == 200 else []
            return None if nodes else f"{answer.status}: no node"
    except (aiohttp.ClientError, TimeoutError) as error:
        return repr(error)


def lease(product: Product) -> dict[str, Any]:
    spec: dict[str, Any] = product.workspace.get("lease", "mediafleet-operator")["spec"]
    return spec


def workers(product: Product) -> dict[str, tuple[str, int]]:
    """Uid and restarts of each worker."""
    return {
        each["metadata"]["name"]: (
            each["metadata"]["uid"],
            sum(one["restartCount"] for one in each["status"]["containerStatuses"]),
        )
        for each in product.workspace.pods("mediafleet.dev/fleet in (rec, pool)")
        if "mediafleet.dev/slot" in each["metadata"]["labels"]
    }


def step(product: Product, part: str, tree: Path) -> None:
    if part == "crds":
        apply_crds(product.node, tree)
    else:
        change(product, tree, {} if tree == ROOT else BEFORE)


@pytest.mark.parametrize("order", orders(), ids="-".join)
async def test_an_upgrade_and_the_way_back_go_unnoticed(
    product: Product, order: tuple[str, str]
) -> None:
    async with watched(product) as scene:
        await scene.create(manifests.egress_fleet("rec", product.redis, 2))
        await scene.create(manifests.orchestrator_pool("pool", 2))
        for name in ("rec", "pool"):
            await scene.until_wanted(name, 2, 0, SERVE_SECONDS)
        await asyncio.to_thread(
            product.workspace.wait, "condition=NodesListed", "opool/pool", timeout_seconds=60
        )
        there = workers(product)
        assert len(there) == 4
        async with load(scene) as told:
            for tree in (ROOT, previous.tree()):
                told.no_list.clear()
                told.failing = 0.0
                # The way back is in the other direction, as one undoes things.
                parts = order if tree == ROOT else tuple(reversed(order))
                for part in parts:
                    handed = lease(product)["leaseTransitions"]
                    began = time.monotonic()
                    await asyncio.to_thread(step, product, part, tree)
                    # What a new operator does at its start is over by then.
                    await asyncio.sleep(SETTLE_SECONDS)
                    handed = lease(product)["leaseTransitions"] - handed
                    took = time.monotonic() - began
                    print(f"{part}: {took:.0f} s, Lease handed over {handed} times")
                    assert handed <= HANDED[part]
                    assert workers(product) == there
                assert told.failing < LEFT_SECONDS, told.no_list
                # An advertiser of 0.1.0 stops listening before the Service forgets it.
                assert tree == ROOT or told.unheard == []
        assert told.refused == []
        assert [each.job_id for each in told.begun if not each.agreed] == []
        assert len(told.begun) > 50
        assert told.lists > 50


def test_a_definition_that_forgets_a_stored_version_is_refused(node: Node) -> None:
    """So nobody can stop to serve v1alpha1 while an object may still be stored in it."""
    plural = "egressfleets.mediafleet.dev"
    apply_crds(node)
    found = node.get("crd", plural)
    assert found["status"]["storedVersions"] == ["v1alpha1"]
    renamed = [{**each, "name": "v1beta1"} for each in found["spec"]["versions"]]
    wanted = {"apiVersion": found["apiVersion"], "kind": found["kind"]}
    seen = {"name": plural, "resourceVersion": found["metadata"]["resourceVersion"]}
    wanted |= {"metadata": seen, "spec": {**found["spec"], "versions": renamed}}
    with pytest.raises(CommandError, match="storedVersions"):
        node.kubectl("replace", "--dry-run=server", "-f", "-", stdin=json.dumps(wanted))
    both = [*({**each, "storage": False} for each in found["spec"]["versions"]), *renamed]
    wanted["spec"]["versions"] = both
    node.kubectl("replace", "--dry-run=server", "-f", "-", stdin=json.dumps(wanted))
