"""What one tenant can cost another that one release serves too, attack by attack.

`python -m mediafleet_testbed exec --up -- python -m bench.two_tenants [SECONDS] [ROUNDS] [NAME…]`.
Each attack alternates with two runs that are none of mediafleet's doing: the attacker's cgroup only
burns its CPU, or only changes ConfigMaps as fast as it can. The difference is what mediafleet adds
to a node that is shared. With `--apart` the control plane takes of the two cores what the others
leave, in all runs: it is mostly on a machine of its own. With `--each` every attack runs by itself
beside a run without, and the other comparisons are left out. Cores are told as used+waited for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from tests.kit.cluster.scene import Scene, watched
from tests.kit.tenants.attacks import BURN, EVERY, GROUPS, PLAIN
from tests.kit.tenants.cgroup import control_plane_apart
from tests.kit.tenants.plan import Plan
from tests.kit.tenants.shares import ATTACKER, ITS_PODS, Share, used
from tests.kit.tenants.stage import attacked, plan_of, release, serving
from tests.kit.tenants.victim import Figures, use

from mediafleet_scheduler.core.psrpc.turns import TurnTimes
from mediafleet_testbed import images
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.load.bursts import quantile
from mediafleet_testbed.node import Node

SECONDS: Final = 20.0
ROUNDS: Final = 2
PARTS: Final = (
    "egress desk",
    "advertiser",
    "operator",
    "Redis",
    "API server",
    "the node",
    "workers",
    ITS_PODS,
    ATTACKER,
)
NOT_OURS: Final = ("Redis", "API server", "the node", ITS_PODS, ATTACKER)


def _ms(values: Sequence[float], share: float) -> str:
    found = quantile(values, share)
    return "" if found is None else f"{found * 1000:.1f}"


class Bench:
    """Runs one after the other, and the table of them."""

    def __init__(self, scene: Scene, evil: Workspace, plan: Plan, seconds: float) -> None:
        self._scene, self._evil, self._plan, self._seconds = scene, evil, plan, seconds
        self._instance = scene.product.node.instance
        self._number = 0
        self.table = Table(
            title=f"a tenant beside one that attacks, {seconds:g} s each; ms and cores"
        )
        heads = ("starts", "p50", "p99", "lists", "p50", "p99", "refused", *PARTS, "load")
        self.table.add_column("attack")
        for head in heads:
            self.table.add_column(head, justify="right")

    async def run(self, name: str, attacks: Sequence[str], cores: float = 0.5) -> float:
        """One run; how many cores were busy for others than the product."""
        self._number += 1
        if not attacks:
            figures, spent = await self._used()
        else:
            async with attacked(self._scene, self._plan, attacks, self._seconds, cores) as attack:
                figures, spent = await self._used()
            print(name, attack.told["tried"], attack.told["seen"][:3], flush=True)
        for refusal in figures.refusals:
            print(f"refused: {refusal}", flush=True)
        shares = [str(spent[part].each_second(self._seconds)) for part in PARTS]
        refused = len(figures.refusals) + figures.unanswered
        self.table.add_row(
            name,
            *(str(len(figures.placing)), _ms(figures.placing, 0.5), _ms(figures.placing, 0.99)),
            *(str(len(figures.listing)), _ms(figures.listing, 0.5), _ms(figures.listing, 0.99)),
            *(str(refused), *shares, f"{os.getloadavg()[0]:.1f}"),
        )
        Console(width=240).print(self.table)
        return sum(spent[part].ran for part in NOT_OURS) / self._seconds

    async def _used(self) -> tuple[Figures, dict[str, Share]]:
        theirs = {pod["metadata"]["uid"] for pod in self._evil.pods()}
        before = used(self._instance, theirs)
        figures = await use(self._scene, self._seconds, self._number)
        after = used(self._instance, theirs)
        return figures, {part: after[part] - before[part] for part in PARTS}


async def main(
    seconds: float, rounds: int, names: Sequence[str], part: float, *, apart: bool, each: bool
) -> None:
    """Print the table as it grows."""
    node = Node.running()
    images.load(node.instance)
    with (
        tempfile.TemporaryDirectory() as folder,
        Workspace.create(node) as workspace,
        Workspace.create(node) as evil,
        release(node, workspace, evil, {"turns": {"part": part}}) as product,
        control_plane_apart(node.instance) if apart else contextlib.nullcontext(),
    ):
        async with watched(product) as scene:
            await serving(scene, evil)
            plan = await plan_of(scene, evil, Path(folder))
            bench = Bench(scene, evil, plan, seconds)
            for _ in range(rounds):
                for name in EVERY if each else names:
                    await bench.run("none", [])
                    attacks = EVERY if name == "all" else GROUPS.get(name, [name])
                    others = await bench.run(name, attacks)
                    if not each:
                        await bench.run(f"burn {others:.2f}", [BURN], others)
                        await bench.run(PLAIN, [PLAIN])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=SECONDS)
    parser.add_argument("rounds", nargs="?", type=int, default=ROUNDS)
    parser.add_argument("--part", type=float, default=TurnTimes().part, help="1: no turns")
    parser.add_argument("--apart", action="store_true", help="the control plane is elsewhere")
    parser.add_argument("--each", action="store_true", help="every attack by itself")
    parser.add_argument("names", nargs="*", default=["all"])
    asyncio.run(main(**vars(parser.parse_args())))
