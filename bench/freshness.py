"""How fast the list that gateways read follows the pods, on the real node.

`python -m bench.freshness [CHANGES]` starts a node unless one runs, installs the product by its
chart, and prints p50, p99 and the worst of each kind of change beside its goal.
"""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from typing import Final

from rich.console import Console
from tests.kit.cluster import freshness
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import watched

from mediafleet_testbed import images
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node, why_not

CHANGES: Final = 200
SEED: Final = 1


def main() -> int:
    """Measure and print; exit status."""
    changes = int(sys.argv[1]) if len(sys.argv) > 1 else CHANGES
    if reason := why_not():
        print(f"freshness is measured on a real node: {reason}")
        return 1
    with Node.up() as node:
        if not node.inside:
            again = [sys.executable, "-m", "bench.freshness", str(changes)]
            return subprocess.call(node.inside_command(*again), env=node.environment())
        images.load(node.instance)
        with (
            Workspace.create(node, prefix="bench") as workspace,
            deployed(node, workspace, {"egress": {"enabled": False}}) as product,
        ):
            figures = asyncio.run(_measure(product, changes))
    Console(width=120).print(freshness.table(figures))
    return 0


async def _measure(product: Product, changes: int) -> freshness.Figures:
    cycles = math.ceil(changes / freshness.CHANGES_A_CYCLE)
    async with watched(product) as scene:
        return await freshness.measure(scene, cycles, SEED)


if __name__ == "__main__":
    sys.exit(main())
