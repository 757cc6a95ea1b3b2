"""One tenant does all it may to harm another that one operator and one desk serve too.

The attacker has every right in its own namespace, half a core for its processes and a quota for its
pods. Its neighbour loses nothing, is refused nothing and shows nothing. How much slower its calls
get is printed: `python -m bench two_tenants` compares it with a run without.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.kit.cluster.product import Product
from tests.kit.cluster.scene import watched
from tests.kit.figures import Show
from tests.kit.tenants.attacks import EVERY
from tests.kit.tenants.stage import attacked, plan_of, release, serving
from tests.kit.tenants.victim import use
from tests.kit.watching.verdicts import judge

from mediafleet_testbed.cluster.workspace import Level, Workspace
from mediafleet_testbed.node import Node

SECONDS: Final = float(os.environ.get("MEDIAFLEET_TENANTS_SECONDS") or 6)

pytestmark = pytest.mark.timeout(420 + 3 * SECONDS)


@pytest.fixture
def evil(make_workspace: Callable[[Level], Workspace]) -> Workspace:
    return make_workspace("restricted")


@pytest.fixture
def product(node: Node, workspace: Workspace, evil: Workspace) -> Iterator[Product]:
    with release(node, workspace, evil) as product:
        yield product


async def test_a_neighbour_that_attacks_costs_nothing_but_some_time(
    product: Product, evil: Workspace, tmp_path: Path, show: Show
) -> None:
    began = time.time()
    async with watched(product) as scene:
        await serving(scene, evil)
        plan = await plan_of(scene, evil, tmp_path)
        async with attacked(scene, plan, EVERY, SECONDS) as attack:
            figures = await use(scene, SECONDS, 1)
        restarts = {pod.name: pod.restarts for pod in scene.pods.pods.values() if pod.restarts}
        violations = judge(scene.deletions(began), list(scene.logs.jobs), 600.0)
        started = {job: scene.logs.starts[job] for job in figures.jobs}
    placing, listing = (f"{each * 1000:.0f} ms" for each in figures.p99())
    show(
        f"beside an attacker for {SECONDS:g} s: p99 of StartEgress {placing}, of the list {listing}"
    )
    tried = attack.told["tried"]
    for name in EVERY:
        assert tried.get(name, 0) > 0, tried
    assert attack.told["seen"] == []
    assert (figures.refusals, figures.unanswered, figures.strange) == ([], 0, set())
    assert violations == []
    assert restarts == {}
    assert set(started.values()) == {1}
