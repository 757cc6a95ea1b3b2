"""The list that GetOrchestrator returns follows the pods, in the right order.

How fast is printed here and by `bench/freshness.py`; what is asserted is generous, since it says
as much of the machine as of the product.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Final

import pytest
from tests.kit.cluster import freshness
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import watched
from tests.kit.figures import Show
from tests.kit.fleets import manifests
from tests.kit.watching.verdicts import judge

from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.load.bursts import quantile
from mediafleet_testbed.node import Node

SEED: Final = int(os.environ.get("MEDIAFLEET_SEED") or 20260824)
CHANGES: Final = int(os.environ.get("MEDIAFLEET_LISTED_CHANGES") or 48)
"""Of the list: in six cycles, two of them with sessions on the nodes that leave."""
GENEROUS_SECONDS: Final = 5.0

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    with deployed(node, workspace, {"egress": {"enabled": False}}) as product:
        yield product


async def test_the_list_follows_changes_in_the_right_order(product: Product, show: Show) -> None:
    cycles = math.ceil(CHANGES / freshness.CHANGES_A_CYCLE)
    async with watched(product) as scene:
        figures = await freshness.measure(scene, cycles, SEED)
        scene.logs.read()
        jobs = list(scene.logs.jobs)
        violations = judge(scene.deletions(0), jobs, manifests.DRAIN_TIMEOUT_SECONDS)
    show(freshness.table(figures))
    assert figures.changes == cycles * freshness.CHANGES_A_CYCLE
    assert figures.too_early == []
    assert figures.too_late == []
    assert figures.unanswered == 0
    # The nodes that left with a session were waited for.
    assert violations == []
    assert len(jobs) >= cycles // freshness.BUSY_EVERY
    for seconds in (figures.listed, figures.relisted, figures.unlisted):
        assert (quantile(seconds, 0.99) or 0.0) < GENEROUS_SECONDS
