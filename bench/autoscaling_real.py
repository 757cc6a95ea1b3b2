"""The three engines through one scenario file on the real node, beside the same on virtual time.

`python -m mediafleet_testbed exec --up -- python -m bench.autoscaling_real [ENGINE…]`, about three
minutes an engine. The HPA controller is Kubernetes' own and KEDA is the real one. The HPA's adapter
is the testbed's: it reads the operator's metrics every five seconds, as Prometheus would scrape
them. Pods are stand-in workers, the desk, the operator and the chart are the product's. A job that
a scale-down cuts off ends the bench with an error.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import aiohttp
from bench.autoscaling.__main__ import run as on_virtual_time
from bench.autoscaling.scenario import FOLDER, Scenario, load
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table
from tests.kit.cluster.product import deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.fleets import manifests
from tests.kit.fleets.users import Recorders, end_for_certain
from tests.kit.watching.replicas import ReplicaWatch, Told
from tests.kit.watching.verdicts import judge

from mediafleet_common.api.names import Kind, Port
from mediafleet_common.api.scaling.autoscaling import OUR_METRIC
from mediafleet_operator.core.autoscaling.model import policy
from mediafleet_operator.core.autoscaling.need import need
from mediafleet_operator.simulate.engines import Builtin, ByHpa, ByKeda
from mediafleet_testbed import images
from mediafleet_testbed.cluster.keda import Keda
from mediafleet_testbed.cluster.metrics_adapter import MetricsAdapter
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

FLEET: Final = "rec"
JOB: Final = "track_composite"
"""Of 1 CPU: a pod of 4 takes three up to 80 %."""
LOOK_SECONDS: Final = 0.5
SCRAPE_SECONDS: Final = 5.0
READY_SECONDS: Final = 120.0
FLAP_SECONDS: Final = 60
"""A scale-up so soon after a scale-down is a flap."""
VIRTUAL: Final = {"builtin": Builtin, "hpa": ByHpa, "keda": ByKeda}


@dataclass(slots=True)
class Recording:
    """What was seen of one engine."""

    asked: int = 0
    refused: int = 0
    waits: list[float] = field(default_factory=list)
    """Seconds from a request until it ran."""
    short: list[float] = field(default_factory=list)
    """Seconds of each time with fewer serving pods than demand wants."""
    pod_seconds: float = 0.0
    counts: list[int] = field(default_factory=list)
    """`spec.replicas`, second by second."""


def flaps(counts: list[int]) -> int:
    """Scale-ups soon after a scale-down, of counts a second apart."""
    down, found = -FLAP_SECONDS - 1, 0
    for at, (before, after) in enumerate(pairwise(counts)):
        if after < before:
            down = at
        elif after > before and at - down <= FLAP_SECONDS:
            found += 1
    return found


def fleet(scenario: Scenario, engine: str, redis: str) -> dict[str, Any]:
    """The scenario's fleet, of stand-in workers."""
    asked = scenario.autoscaling.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return manifests.egress_fleet(
        *(FLEET, redis, scenario.replicas),
        env={"STANDIN_CPUS": "4"},
        placement={"mode": "pack", "cpu": 4, "queue": {"maxWait": "8s"}},
        accepts=[JOB],
        autoscaling={**asked, "engine": engine},
    )


async def scrape(scene: Scene, adapter: MetricsAdapter) -> None:
    """Tell the adapter what the operator exports of the fleet, again and again."""
    while True:
        for pod in scene.pods.component("operator"):
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                url = f"http://{pod.ip}:{Port.DESK_HTTP}/metrics"
                async with scene.http.get(url) as answer:
                    values = list(_ours(await answer.text(), scene.namespace))
                adapter.values.pop(OUR_METRIC, None)
                adapter.values |= {OUR_METRIC: max(values)} if values else {}
        await asyncio.sleep(SCRAPE_SECONDS)


def _ours(text: str, namespace: str) -> Iterator[float]:
    """By the labels that the HPA asks for."""
    wanted = {"kind": "egress", "fleet_namespace": namespace, "fleet_name": FLEET}
    for family in text_string_to_metric_families(text):
        if family.name == OUR_METRIC:
            yield from (each.value for each in family.samples if each.labels == wanted)


async def one_job(scene: Scene, users: Recorders, seconds: float, seen: Recording) -> None:
    """One user: ask, run, end."""
    began = time.monotonic()
    job = await users.begin()
    if not job.agreed:
        return
    seen.waits.append(time.monotonic() - began)
    await asyncio.sleep(seconds)
    await end_for_certain(job, scene.logs)


async def look(scene: Scene, scenario: Scenario, seen: Recording) -> None:
    """Note pods and room until cancelled."""
    asked, before, since = policy(scenario.autoscaling), time.monotonic(), None
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = time.monotonic()
        seen.pod_seconds += len(scene.pods.of(FLEET)) * (now - before)
        before = now
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            (desk, *_) = scene.pods.component("egress")
            demand = await scene.demand(str(desk.ip))
            mine = [each for each in demand.fleets if each.name == FLEET and each.known]
            needed = need(asked, mine[0]) if mine else None
            if needed is None:
                continue
            short = min(needed.pods, asked.max) > mine[0].ready
            if short and since is None:
                since = now
            elif not short and since is not None:
                seen.short.append(now - since)
                since = None


def per_second(told: list[Told], first: int, began: float, seconds: int) -> list[int]:
    """What `spec.replicas` was at each second."""
    counts = [first]
    for second in range(1, seconds + 1):
        passed = [each.replicas for each in told if each.at <= began + second]
        counts.append((passed[-1] if passed else None) or first)
    return counts


async def through(scene: Scene, scenario: Scenario) -> Recording:
    """Send the scenario's jobs to a fleet that is there, and watch."""
    seen, began = Recording(), time.time()
    users = scene.recorders(JOB, random.Random(time.time_ns()))
    async with ReplicaWatch(scene.api, Kind.EGRESS_FLEET, scene.namespace) as replicas:
        looking = asyncio.create_task(look(scene, scenario, seen))
        jobs: list[asyncio.Task[None]] = []
        try:
            for second, arrivals in enumerate(scenario.arrivals(), 1):
                jobs += [
                    asyncio.create_task(one_job(scene, users, each, seen)) for each in arrivals
                ]
                await asyncio.sleep(max(0.0, began + second - time.time()))
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        await asyncio.gather(*jobs)
        told = replicas.of(FLEET, began)
        seen.counts = per_second(told, scenario.replicas, began, scenario.seconds)
    seen.asked, seen.refused = len(jobs), len(users.refusals)
    scene.logs.read()
    faults = judge(scene.deletions(began), list(scene.logs.jobs), manifests.DRAIN_TIMEOUT_SECONDS)
    if faults:
        raise AssertionError("\n".join(map(str, faults)))
    return seen


async def settled(scene: Scene, scenario: Scenario) -> None:
    """Until the fleet is there and its engine is at work."""
    await scene.until_wanted(FLEET, scenario.replicas, 0, READY_SECONDS)
    await until(
        "its engine is at work",
        lambda: scene.status(Kind.EGRESS_FLEET, FLEET),
        lambda status: any(
            (each["type"], each["status"]) == ("ScalingActive", "True")
            for each in status.get("conditions", ())
        ),
        seconds=READY_SECONDS,
    )


@asynccontextmanager
async def adapting(node: Node, engine: str, folder: Path) -> AsyncIterator[MetricsAdapter | None]:
    """What an engine needs installed."""
    if engine != "hpa":
        with keda(node, engine, folder):
            yield None
        return
    async with MetricsAdapter(node, folder) as adapter:
        yield adapter


@contextmanager
def keda(node: Node, engine: str, folder: Path) -> Iterator[None]:
    """Real KEDA where it is the engine."""
    if engine != "keda":
        yield
        return
    with Keda.up(node, folder):
        yield


async def measure(node: Node, engine: str, scenario: Scenario) -> Recording:
    """One engine, in a namespace of its own."""
    with tempfile.TemporaryDirectory(prefix="mediafleet-bench-") as scratch:
        async with adapting(node, engine, Path(scratch)) as adapter:
            with (
                Workspace.create(node) as workspace,
                deployed(node, workspace, {"egress": {"replicas": 2}}) as product,
            ):
                async with watched(product) as scene:
                    scraping = adapter and asyncio.create_task(scrape(scene, adapter))
                    try:
                        await scene.create(fleet(scenario, engine, product.redis))
                        await settled(scene, scenario)
                        return await through(scene, scenario)
                    finally:
                        if scraping:
                            scraping.cancel()
                            await asyncio.gather(scraping, return_exceptions=True)


def virtual(engine: str, scenario: Scenario) -> Recording:
    """The same on virtual time."""
    result = on_virtual_time(scenario, VIRTUAL[engine](scenario.autoscaling))
    tally = result.tally
    return Recording(
        asked=tally.placed + tally.refused,
        refused=tally.refused,
        waits=tally.waited,
        short=result.short,
        pod_seconds=tally.pod_seconds,
        counts=result.counts,
    )


def row(seen: Recording) -> list[str]:
    """One line of the table."""
    waits = sorted(seen.waits) or [0.0]
    return [
        f"{max(seen.short, default=0.0):.0f} s",
        f"{waits[len(waits) // 2]:.1f} s",
        f"{waits[-1]:.1f} s",
        f"{seen.pod_seconds:.0f}",
        f"{seen.refused} of {seen.asked}",
        str(flaps(seen.counts)),
        str(max(seen.counts)),
    ]


def main() -> None:
    """Run the engines one after the other, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.autoscaling_real", description=__doc__)
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help=", ".join(VIRTUAL))
    parser.add_argument("--scenario", type=Path, default=FOLDER / "minutes.yaml")
    options = parser.parse_args()
    engines = options.engines or list(VIRTUAL)
    if unknown := set(engines) - set(VIRTUAL):
        parser.error(f"no engine {', '.join(sorted(unknown))}; there are {', '.join(VIRTUAL)}")
    scenario = load(options.scenario).scenario
    node = Node.running()
    images.load(node.instance)
    console = Console(width=110)
    table = Table(title=f"{scenario.about}: {scenario.seconds} s")
    heads = (
        "until room: worst",
        "wait: median",
        "wait: worst",
        "pods x s",
        "refused",
        "flaps",
        "most",
    )
    for head in ("engine", *heads):
        table.add_column(head, justify="left" if head == "engine" else "right")
    for engine in engines:
        real = row(asyncio.run(measure(node, engine, scenario)))
        console.print(f"{engine}: {dict(zip(heads, real, strict=True))}", highlight=False)
        table.add_row(f"{engine}, real", *real)
        table.add_row(f"{engine}, virtual time", *row(virtual(engine, scenario)))
    console.print(table)


if __name__ == "__main__":
    main()
