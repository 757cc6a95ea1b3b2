"""Many fleets made at once: does the operator keep its Lease, and how soon are all pods Ready?

`python -m bench.operator_burst [FLEETS] [PODS] [silent]`, as root, on a node of its own; 50 fleets
of 100 pods if not said otherwise. Kubelet is kwok, which makes each pod Ready at once; one small
server answers for all of them, or with `silent` nobody does. Before that the same number of pods of
the same spec, made by a client of the same pace in the same run. Then the operator is stopped, one
fleet is made larger, and the operator is started again among all of them and left alone.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import uvloop
from bench.advertise import cpu_seconds
from rich.console import Console
from rich.table import Table
from tests.kit.fleets.manifests import egress_fleet
from tests.kit.node.operating import Operator, operating

from mediafleet_common.api.names import Kind, Label, PodState
from mediafleet_common.formats.times import unix
from mediafleet_common.kube.client import Api
from mediafleet_common.kube.errors import GoneError
from mediafleet_common.kube.login import configure
from mediafleet_common.kube.pace import Pacer, WriteLimits
from mediafleet_common.kube.paths import Target
from mediafleet_operator.kube import digest, paths
from mediafleet_operator.manifests.pods.pod import Product, make_pod
from mediafleet_operator.rounds.serve import LEASE_NAME
from mediafleet_testbed.cluster.kwok import ON_IT, crowded
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node, why_not

FLEETS: Final = 50
PODS: Final = 100
GOAL_FACTOR: Final = 1.3
GOAL_MB: Final = 200.0
GOAL_IDLE: Final = 0.05
IDLE_SECONDS: Final = 20.0
_PATIENCE_SECONDS: Final = 1200.0
_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured."""

    bare_seconds: float
    fleets_seconds: float
    marked_seconds: float
    burst_mb: float
    writes: float
    """To the API server without the Lease, as the operator counts them, until all were labelled."""
    restart_seconds: float
    leased_seconds: float
    """Of these, those since it had the Lease: the first rounds begin then."""
    first_change_seconds: float
    """From the Lease to a pod that was wanted meanwhile."""
    restart_mb: float
    idle_share: float
    idle_writes: float
    leases: int
    """How often the Lease has changed hands."""


def _status(pid: int, field: str) -> float:
    """A size of a process in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(field))


async def _until(api: Api, pods: Target, count: int, **unlike: str) -> None:
    """Until there are so many pods, and none of those that are selected by what they are not."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        page = await api.get(pods, limit="1")
        there = len(page["items"]) + (page["metadata"].get("remainingItemCount") or 0)
        if there == count and not (await api.get(pods, limit="1", **unlike))["items"]:
            return
        await asyncio.sleep(_LOOK_SECONDS)
    raise TimeoutError(f"not {count} pods, or some {unlike}")


async def _ready(api: Api, pods: Target, count: int) -> None:
    """Until so many pods are Running, which kwok's are once they are Ready."""
    await _until(api, pods, count, fieldSelector="status.phase!=Running")


async def _bare(api: Api, pods: Target, count: int) -> float:
    """Pods of the same spec, without an owner."""
    raw = made_fleet(0, count)
    raw["metadata"] |= {"namespace": "", "uid": "", "resourceVersion": "0"}
    resource = digest.resource(raw, Kind.EGRESS_FLEET)

    def pod(number: int) -> dict[str, Any]:
        made = make_pod(resource, number, Product("mediafleet:dev", "Never"))
        return {**made, "metadata": {"name": f"bare-{number}"}}

    began = time.monotonic()
    await asyncio.gather(*(api.create(pods, pod(number)) for number in range(count)))
    await _ready(api, pods, count)
    return time.monotonic() - began


async def _clear(api: Api, workspace: Workspace, pods: Target) -> None:
    """Delete all pods, and wait until the last is gone."""
    await asyncio.to_thread(workspace.kubectl, "delete", "--raw", pods.path)
    await _until(api, pods, 0)


def made_fleet(number: int, pods: int) -> dict[str, Any]:
    """A fleet whose pods are kwok's."""
    made = egress_fleet(f"rec-{number:03}", "redis:6379", pods)
    made["spec"]["template"]["spec"] |= ON_IT
    return made


async def _of_fleets(
    api: Api, workspace: Workspace, pods: Target, fleets: int, each: int
) -> tuple[float, float]:
    """Seconds until all pods are Ready and get work, and until their labels say so."""
    target = paths.FLEETS[Kind.EGRESS_FLEET].inside(workspace.name)
    began = time.monotonic()
    await asyncio.gather(
        *(api.create(target, made_fleet(number, each)) for number in range(fleets))
    )
    await _ready(api, pods, fleets * each)
    ready = time.monotonic() - began
    print(f"fleets: all Ready after {ready:.1f} s", flush=True)
    await _until(api, pods, fleets * each, labelSelector=f"{Label.STATE}!={PodState.READY}")
    return ready, time.monotonic() - began


async def _measure(
    node: Node, workspace: Workspace, operator: Operator, fleets: int, each: int
) -> Figures:
    configuration = await configure(str(node.kubeconfig))
    pods = Target(f"/api/v1/namespaces/{workspace.name}/pods", "pods")
    async with Api(configuration, pacer=Pacer(WriteLimits())) as paced, Api(configuration) as api:
        bare = await _bare(paced, pods, fleets * each)
        print(f"bare pods: all Ready after {bare:.1f} s", flush=True)
        await _clear(api, workspace, pods)
        ready, marked = await _of_fleets(api, workspace, pods, fleets, each)
        burst_mb, writes = (
            _status(pid_of(operator), "VmHWM"),
            await asyncio.to_thread(_writes, operator),
        )
        said = f"fleets: {ready:.1f} s, labelled {marked:.1f} s, {burst_mb:.0f} MB"
        print(said, f"{sum(writes.values()):.0f} writes: {writes}", flush=True)
        await asyncio.to_thread(operator.stop)
        fleet = paths.FLEETS[Kind.EGRESS_FLEET].inside(workspace.name).item("rec-000")
        await api.patch(fleet, {"spec": {"replicas": each + 1}})
        changed = asyncio.create_task(_there(api, pods.item(f"rec-000-{each}")))
        restart = await asyncio.to_thread(_timed, operator.start)
        ready_at = time.time()
        changed_at = await changed
        await asyncio.sleep(IDLE_SECONDS)
        used, before = cpu_seconds(pid_of(operator)), await asyncio.to_thread(_writes, operator)
        await asyncio.sleep(IDLE_SECONDS)
        idle = (cpu_seconds(pid_of(operator)) - used) / IDLE_SECONDS
        at_rest = await asyncio.to_thread(_writes, operator)
        print(f"writes since the start {before}, and after as long at rest {at_rest}", flush=True)
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{workspace.name}/leases"
        lease = await api.get(Target(f"{leases}/{LEASE_NAME}", "leases"))
    mb = _status(pid_of(operator), "VmHWM")
    spec = lease["spec"]
    acquired = unix(spec["acquireTime"])
    assert acquired is not None
    return Figures(
        bare_seconds=bare,
        fleets_seconds=ready,
        marked_seconds=marked,
        burst_mb=burst_mb,
        writes=sum(writes.values()),
        restart_seconds=restart,
        leased_seconds=ready_at - acquired,
        first_change_seconds=changed_at - acquired,
        restart_mb=mb,
        idle_share=idle,
        idle_writes=sum(at_rest.values()) - sum(before.values()),
        leases=spec["leaseTransitions"],
    )


async def _there(api: Api, target: Target) -> float:
    """When an object is there, Unix time."""
    while True:
        try:
            await api.get(target)
        except GoneError:
            await asyncio.sleep(0.1)
        else:
            return time.time()


def _writes(operator: Operator) -> dict[str, float]:
    """Writes to the API server that the operator has counted, by what was done."""
    port = operator.ready_line.split("127.0.0.1:")[1].split()[0].rstrip(",.")
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    found = re.findall(
        r'^mediafleet_api_writes_total\{resource="(.+?)".*verb="(.+?)"\} (.+)$', text, re.M
    )
    counts: dict[str, float] = {}
    for resource, verb, count in found:
        key = f"{verb} {resource}"
        counts[key] = counts.get(key, 0.0) + float(count)
    return counts


@contextmanager
def answering() -> Iterator[None]:
    """Something answers for all pods, until left."""
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "bench.burst_pods"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.terminate()


def pid_of(operator: Operator) -> int:
    """The id of its process, which runs."""
    assert operator.process is not None
    assert operator.process.poll() is None, operator.log.read_text()[-2000:]
    return operator.process.pid


def _timed(what: Callable[[], object]) -> float:
    began = time.monotonic()
    what()
    return time.monotonic() - began


def _table(figures: Figures, fleets: int, each: int) -> Table:
    rows = Table("what", "figure", "goal", title=f"{fleets} fleets of {each} pods")
    factor = figures.fleets_seconds / figures.bare_seconds
    rows.add_row("bare pods, paced client: all Ready", f"{figures.bare_seconds:.1f} s", "")
    said = f"{figures.fleets_seconds:.1f} s, {factor:.2f} x"
    rows.add_row("fleets: all Ready", said, f"{GOAL_FACTOR:g} x")
    rows.add_row("fleets: all labelled ready", f"{figures.marked_seconds:.1f} s", "")
    rows.add_row("Lease changed hands, one restart", str(figures.leases), "1")
    rows.add_row("memory in the burst, at most", f"{figures.burst_mb:.0f} MB", f"{GOAL_MB:g} MB")
    per_pod = figures.writes / (fleets * each)
    rows.add_row("writes, in all, a pod", f"{figures.writes:.0f}, {per_pod:.2f}", "3 a pod")
    rows.add_row("started anew, ready", f"{figures.restart_seconds:.1f} s", "")
    rows.add_row("of that since the Lease was had", f"{figures.leased_seconds:.1f} s", "5 s")
    changed = f"{figures.first_change_seconds:.1f} s"
    rows.add_row("first change since the Lease was had", changed, "5 s")
    rows.add_row("memory after that, at most", f"{figures.restart_mb:.0f} MB", f"{GOAL_MB:g} MB")
    rows.add_row("idle, share of a core", f"{figures.idle_share:.1%}", f"{GOAL_IDLE:.0%}")
    rows.add_row(f"writes in {IDLE_SECONDS:g} s at rest", f"{figures.idle_writes:.0f}", "0")
    return rows


def main() -> int:
    """Measure and print; exit status."""
    silent = "silent" in sys.argv
    told = [int(each) for each in sys.argv[1:] if each != "silent"]
    fleets, each = (told + [FLEETS, PODS][len(told) :])[:2]
    if reason := why_not():
        print(f"this is measured on a real node: {reason}")
        return 1
    with Node.up() as node:
        if not node.inside:
            again = [sys.executable, "-m", "bench.operator_burst", *sys.argv[1:]]
            return subprocess.call(node.inside_command(*again), env=node.environment())
        os.environ.update(node.environment())
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            workspace = stack.enter_context(
                Workspace.create(node, prefix="bench", level="privileged")
            )
            stack.enter_context(crowded(node, folder))
            if not silent:
                stack.enter_context(answering())
            operator = stack.enter_context(operating(node, workspace, folder / "operator.log"))
            figures = uvloop.run(_measure(node, workspace, operator, fleets, each))
            Console(width=110).print(_table(figures, fleets, each))
    return 0


if __name__ == "__main__":
    sys.exit(main())
