"""A fleet that KEDA scales, and all who watch and use it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Container, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from tests.kit.cluster.ai_workers import BROKER, make_secret
from tests.kit.cluster.product import Product, deployed
from tests.kit.cluster.scene import Scene, watched
from tests.kit.fleets import manifests
from tests.kit.fleets.users import Begun, Recorders, end_for_certain
from tests.kit.watching import api
from tests.kit.watching.replicas import ReplicaWatch
from tests.kit.watching.verdicts import judge

from mediafleet_common.api.names import KEDA_PAUSE, Kind, Port
from mediafleet_testbed.cluster.keda import Keda
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until

FLEET: Final = "rec"
SCALED: Final = "rec-egress"
KIND: Final = "track_composite"
PER_POD: Final = 3
"""A pod of 4 CPUs takes so many jobs of 1 CPU, up to 80 %. A limit of the fleet says so too: later
a job counts by what it really uses, which with stand-ins is less."""
MAX: Final = 5
COOL_DOWN_SECONDS: Final = 8
POLL_SECONDS: Final = 15
"""As the operator sets it; an HPA looks as often."""
SECONDS: Final = 120.0
HELD_SECONDS: Final = COOL_DOWN_SECONDS + POLL_SECONDS + 4
"""By then KEDA has asked again after the cool-down."""
READY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Setting:
    """KEDA, and the product with two desks."""

    keda: Keda
    product: Product


@contextmanager
def set_up(node: Node, folder: Path) -> Iterator[Setting]:
    """KEDA first, so that the chart makes what goes with it."""
    with Keda.up(node, folder) as keda, Workspace.create(node) as workspace:
        make_secret(workspace)
        values = {
            "egress": {"replicas": 2},
            "keda": {"poolNamespaces": [workspace.name]},
            "broker": BROKER,
        }
        with deployed(node, workspace, values) as product:
            yield Setting(keda, product)


@dataclass(frozen=True, slots=True)
class Stage:
    """The fleet, those who watch it, and its users."""

    setting: Setting
    scene: Scene
    replicas: ReplicaWatch
    users: Recorders

    async def begin(self, count: int) -> list[Begun]:
        """So many jobs at once; all run."""
        jobs = await asyncio.gather(*(self.users.begin() for _ in range(count)))
        assert self.users.refusals == [], self.users.refusals
        return list(jobs)

    async def end(self, *jobs: Begun) -> None:
        """Their users end them."""
        await asyncio.gather(*(end_for_certain(job, self.scene.logs) for job in jobs))

    async def until_ready(self, count: int) -> None:
        """Wait for just so many serving pods."""
        what = f"{count} pods serve"
        await self.scene.pods.until(
            what, lambda: len(self.scene.pods.serving(FLEET)) == count, SECONDS
        )

    async def pause(self, value: str | None) -> None:
        """What a person does to pause KEDA, and to go on."""
        server, namespace = self.scene.api, self.scene.namespace
        change = {"metadata": {"annotations": {KEDA_PAUSE: value}}}
        await server.patch(api.fleet(Kind.EGRESS_FLEET, namespace, FLEET), change)
        scaled = f"/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects/{SCALED}"
        await until(
            "the pause of the fleet is that of its ScaledObject",
            lambda: server.get(scaled),
            lambda found: found["metadata"].get("annotations", {}).get(KEDA_PAUSE) == value,
        )

    def safe(self, since: float) -> None:
        """Nobody who had a job was deleted."""
        self.scene.logs.read()
        jobs = list(self.scene.logs.jobs)
        assert judge(self.scene.deletions(since), jobs, manifests.DRAIN_TIMEOUT_SECONDS) == []


def fleet(redis: str) -> dict[str, Any]:
    return manifests.egress_fleet(
        *(FLEET, redis, 0),
        env={"STANDIN_CPUS": "4"},
        placement={
            "mode": "pack",
            "cpu": 4,
            "limits": {"trackComposite": PER_POD},
            "queue": {"maxWait": "8s"},
        },
        accepts=[KIND],
        autoscaling={
            "engine": "keda",
            "min": 0,
            "max": MAX,
            "metric": "utilization",
            "target": 1,
            "coolDown": f"{COOL_DOWN_SECONDS}s",
            "behavior": {"scaleDown": {"stabilization": "0s"}},
        },
    )


@asynccontextmanager
async def staged(setting: Setting) -> AsyncIterator[Stage]:
    """A fleet without pods that KEDA has taken on."""
    async with watched(setting.product) as scene:
        await scene.create(fleet(setting.product.redis))
        async with ReplicaWatch(scene.api, Kind.EGRESS_FLEET, scene.namespace) as replicas:
            path = f"/apis/keda.sh/v1alpha1/namespaces/{scene.namespace}/scaledobjects"
            await until(
                "KEDA has taken the fleet on",
                lambda: scene.api.get(path),
                lambda found: any(_is_ready(each) for each in found["items"]),
                seconds=READY_SECONDS,
            )
            await until(
                "both desks take requests for it",
                partial(_desks_that_know, scene),
                lambda desks: desks == 2,
                seconds=READY_SECONDS,
            )
            yield Stage(
                setting, scene, replicas, scene.recorders(KIND, random.Random(time.time_ns()))
            )
        await scene.api.delete(api.fleet(Kind.EGRESS_FLEET, scene.namespace, FLEET))
        await scene.pods.until("no pod is left", lambda: not scene.pods.of(FLEET), SECONDS)


async def told_by_desks(
    scene: Scene, name: str, labels: Mapping[str, str], but: Container[str] = ()
) -> float:
    """A metric, summed over the desks that can be asked; `but`: uids of those that are not."""
    total = 0.0
    for pod in scene.pods.component("egress"):
        if pod.uid in but or not pod.ready:
            continue
        try:
            async with scene.http.get(f"http://{pod.ip}:{Port.DESK_HTTP}/metrics") as answer:
                families = text_string_to_metric_families(await answer.text())
        except (aiohttp.ClientError, TimeoutError):
            continue
        samples = (sample for family in families for sample in family.samples)
        total += sum(each.value for each in samples if (each.name, each.labels) == (name, labels))
    return total


async def _desks_that_know(scene: Scene) -> int:
    """How many desks know the demand of the fleet."""
    told = [await scene.demand(pod.ip or "") for pod in scene.pods.component("egress")]
    return sum(each.known for demand in told for each in demand.fleets if each.name == FLEET)


def _is_ready(scaled: dict[str, Any]) -> bool:
    status = scaled.get("status") or {}
    found = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    return scaled["metadata"]["name"] == SCALED and found.get("Ready") == "True"
