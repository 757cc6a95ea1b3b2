"""The flame graph of an operator that is given many fleets at once, on a node of its own.

`python -m bench.operator_profile FOLDER [SECONDS]`, as root; part of bench.profiles. Kubelet is
kwok, and one small server answers for all pods.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import uvloop
from bench.operator_burst import answering, made_fleet, pid_of
from bench.profiles import SECONDS, recorded
from tests.kit.node.operating import operating

from mediafleet_common.api.names import Kind
from mediafleet_common.kube.client import Api
from mediafleet_common.kube.login import configure
from mediafleet_operator.kube import paths
from mediafleet_testbed.cluster.kwok import crowded
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node, why_not

FLEETS: Final = 20
PODS: Final = 50


async def profiled(
    node: Node, workspace: Workspace, pid: int, folder: Path, seconds: float
) -> None:
    """Make the fleets while the operator is sampled."""
    target = paths.FLEETS[Kind.EGRESS_FLEET].inside(workspace.name)
    async with Api(await configure(str(node.kubeconfig))) as api, asyncio.TaskGroup() as tasks:
        tasks.create_task(recorded(pid, folder / "operator.svg", seconds))
        for number in range(FLEETS):
            tasks.create_task(api.create(target, made_fleet(number, PODS)))


def main() -> int:
    """Draw it; exit status. A machine that cannot run the node is told why, which is no failure."""
    folder = Path(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    if reason := why_not():
        print(f"no profile of an operator: {reason}")
        return 0
    with Node.up() as node:
        if not node.inside:
            again = [sys.executable, "-m", "bench.operator_profile", *sys.argv[1:]]
            return subprocess.call(node.inside_command(*again), env=node.environment())
        os.environ.update(node.environment())
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            workspace = stack.enter_context(
                Workspace.create(node, prefix="bench", level="privileged")
            )
            stack.enter_context(crowded(node, scratch))
            stack.enter_context(answering())
            operator = stack.enter_context(operating(node, workspace, scratch / "operator.log"))
            uvloop.run(profiled(node, workspace, pid_of(operator), folder, seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
