"""vmagent and Prometheus' agent beside reporters on the node: what arrives is the preview, through
an outage of the receiver and a restart of the sender meanwhile, and nothing else. For `make
faults`: a minute is much for every run."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.kit.cluster.product import Product, deployed
from tests.kit.fleets.manifests import orchestrator_pool

from mediafleet_common.api.names import API_VERSION, Port
from mediafleet_scheduler.core.community.cells import WORLD, grid
from mediafleet_scheduler.core.community.publishing import Figures, HourRecord, OwnFigures
from mediafleet_scheduler.core.community.stored import as_stored, day_of
from mediafleet_testbed import images
from mediafleet_testbed.cluster.pods import container, pod, service
from mediafleet_testbed.cluster.workspace import Workspace
from mediafleet_testbed.node import Node
from mediafleet_testbed.story.waiting import until
from mediafleet_testbed.tools import debian

pytestmark = pytest.mark.timeout(600)
SECONDS: Final = 150.0
SENDERS: Final = ("vmagent", "prometheus")
PROGRAMS: Final = {
    **dict.fromkeys(("vmagent", "victoria-metrics"), "victoria-metrics"),
    "prometheus": "prometheus",
}
STORE_PORT: Final = 8428
SCRAPE_SECONDS: Final = 1.0
OUTAGE_SCRAPES: Final = 8
COMMUNITY: Final = {
    "vmagent": {"image": "vmagent:dev"},
    # Debian's is older than 3.0.
    "prometheus": {"image": "prometheus:dev", "agentFlag": "--enable-feature=agent"},
}
Series = dict[str, float]
"""Value by labels, as JSON."""


@pytest.fixture
def product(node: Node, workspace: Workspace) -> Iterator[Product]:
    debian.ensure(PROGRAMS)
    images.load(node.instance, *images.BY_NAME)
    values = {"egress": {"enabled": False}, "community": COMMUNITY}
    with deployed(node, workspace, values) as running:
        yield running


def store() -> dict[str, Any]:
    """A VictoriaMetrics whose data goes with it."""
    args = ["-storageDataPath=/data", f"-httpListenAddr=:{STORE_PORT}", "-memory.allowedBytes=64MB"]
    mounts = [{"name": "data", "mountPath": "/data"}]
    probe = {"httpGet": {"path": "/health", "port": STORE_PORT}, "periodSeconds": 1}
    made = container(
        "store", "victoria-metrics:dev", args=args, volumeMounts=mounts, readinessProbe=probe
    )
    return pod("store", made, volumes=[{"name": "data", "emptyDir": {}}])


def sharing(sender: str, namespace: str) -> dict[str, Any]:
    url = f"http://store.{namespace}.svc:{STORE_PORT}/api/v1/write"
    spec = {
        "pool": "orch",
        "region": "eu-west",
        # Nothing that changes while the test runs.
        "share": {"ownStreams": False, "gatewaysByOrigin": True},
        "sender": sender,
        "recipients": [{"name": "store", "url": url, "operator": f"by-{sender}"}],
    }
    meta = {"name": sender}
    return {"apiVersion": API_VERSION, "kind": "CommunityMetrics", "metadata": meta, "spec": spec}


def an_hour() -> HourRecord:
    # The hour that is: one that ends while the test runs does not come after it.
    start = int(time.time() // 3600) * 3600
    groups = {grid(52, 13): Figures(10, 20, (3, 5), (6, 10)), WORLD: Figures(asking=(3, 5))}
    return HourRecord(start, 3, groups, (), OwnFigures(20, 30))


@dataclass
class Scene:
    """Both senders, and who receives."""

    workspace: Workspace
    token: str
    http: aiohttp.ClientSession

    def sooner(self, sender: str) -> None:
        """Have a sender scrape each second, while no operator looks after its file."""
        name = f"{sender}-reporter"
        data = self.workspace.get("configmap", name)["data"]
        texts = {key: text.replace("60s", f"{SCRAPE_SECONDS:g}s") for key, text in data.items()}
        patch = json.dumps({"data": texts})
        self.workspace.kubectl("patch", "configmap", name, "--type", "merge", "-p", patch)
        self.workspace.kubectl("rollout", "restart", f"deploy/{name}")
        self.workspace.kubectl("rollout", "status", f"deploy/{name}", "--timeout=90s")

    def publish(self, sender: str) -> None:
        """Have a reporter find an hour on its disk."""
        hour = an_hour()
        file = f"/mediafleet/kept/state/{day_of(hour.start)}.jsonl"
        text = as_stored([hour]).decode()
        script = f"import os; open({file!r}, 'w').write({text!r}); os.kill(1, 15)"
        self.exec(sender, "reporter", "python", "-c", script)

    def exec(self, sender: str, inside: str, *command: str) -> str:
        where = (f"deploy/{sender}-reporter", "-c", inside)
        return self.workspace.kubectl("exec", *where, "--", *command)

    async def scrapes(self, sender: str) -> int:
        """How often its reporter was read."""
        url = f"http://{self.address(f'{sender}-reporter')}:{Port.DESK_HTTP}/community/status"
        told = json.loads(await self.get(url))
        return int(told["reads"].get("metrics", {"times": 0})["times"])

    def address(self, name: str) -> str:
        return str(self.workspace.get("service", name)["spec"]["clusterIP"])

    async def get(self, url: str) -> str:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.http.get(url, headers=headers) as answer:
            return await answer.text()

    async def preview(self, sender: str) -> Series:
        """What is to leave, under the operator's name."""
        url = f"http://{self.address(f'{sender}-reporter')}:{Port.DESK_HTTP}/metrics/community"
        try:
            text = await self.get(url)
        except aiohttp.ClientError:
            return {}
        return {
            key({"__name__": each.name, **each.labels, "operator": f"by-{sender}"}): each.value
            for family in text_string_to_metric_families(text)
            for each in family.samples
        }

    async def rows(self) -> list[dict[str, Any]]:
        base = f"http://{self.address('store')}:{STORE_PORT}"
        query = urllib.parse.quote('{__name__!=""}')
        try:
            await self.get(f"{base}/internal/force_flush")
            text = await self.get(f"{base}/api/v1/export?match[]={query}")
            return [json.loads(line) for line in text.splitlines()]
        except (aiohttp.ClientError, ValueError):
            return []

    async def arrived(self, since: float) -> list[dict[str, Any]]:
        """What came, once all that is to come has samples from after a time."""
        wanted: Series = {}
        for sender in SENDERS:
            wanted |= await until(sender, partial(self.preview, sender), bool, SECONDS)

        def whole(rows: list[dict[str, Any]]) -> bool:
            return len(rows) >= len(wanted) and all(
                max(each["timestamps"]) > since * 1000 for each in rows
            )

        rows = await until("what is shared", self.rows, whole, SECONDS)
        assert {key(each["metric"]): set(each["values"]) for each in rows} == {
            name: {value} for name, value in wanted.items()
        }
        return rows


def at_least(number: int, found: int) -> bool:
    return found >= number


def key(labels: dict[str, str]) -> str:
    return json.dumps(labels, sort_keys=True)


def between(rows: list[dict[str, Any]], sender: str, begin: float, end: float) -> int:
    """Samples of a sender's series with fewest, of a span of time."""
    counts: list[int] = [
        sum(begin <= at / 1000 <= end for at in each["timestamps"])
        for each in rows
        if each["metric"]["operator"] == f"by-{sender}"
    ]
    return min(counts)


async def test_what_arrives_through_an_outage_and_a_restart_is_the_preview_and_nothing_else(
    product: Product,
) -> None:
    workspace = product.workspace
    workspace.apply(store(), service("store", STORE_PORT, STORE_PORT))
    workspace.apply(orchestrator_pool("orch", 1, advertise={"replicas": 0}))
    workspace.apply(*(sharing(each, workspace.name) for each in SENDERS))
    async with aiohttp.ClientSession() as http:
        scene = Scene(workspace, product.token(), http)
        for each in SENDERS:
            made = partial(asyncio.to_thread, is_made, workspace, f"{each}-reporter")
            await until(f"the reporter beside {each}", made, bool, SECONDS)
        workspace.kubectl("scale", "deploy/mediafleet-operator", "--replicas=0")
        for each in SENDERS:
            await asyncio.to_thread(scene.sooner, each)
            await asyncio.to_thread(scene.publish, each)
        await scene.arrived(0.0)

        workspace.kubectl("delete", "pod", "store")
        away = time.time()
        before = {each: await scene.scrapes(each) for each in SENDERS}
        for each in SENDERS:
            enough = partial(at_least, before[each] + OUTAGE_SCRAPES)
            await until("scrapes", partial(scene.scrapes, each), enough, SECONDS)
        told = time.time()
        scraped = {each: await scene.scrapes(each) - before[each] for each in SENDERS}
        for each in SENDERS:
            await asyncio.to_thread(scene.exec, each, "sender", "kill", "1")
        for each in SENDERS:
            again = partial(asyncio.to_thread, restarts, workspace, each)
            await until("another start", again, partial(at_least, 1), SECONDS)
        workspace.apply(store())
        rows = await scene.arrived(time.time() + 3)
    kept = {each: between(rows, each, away, told) for each in SENDERS}
    print(f"scraped while nobody received: {scraped}, and kept: {kept}")
    assert kept["vmagent"] >= scraped["vmagent"] - 3


def restarts(workspace: Workspace, sender: str) -> int:
    """How often it has started again and runs, in a pod without root."""
    (one,) = [
        each
        for each in workspace.pods(f"app.kubernetes.io/instance={sender}")
        if "deletionTimestamp" not in each["metadata"]
    ]
    assert one["spec"]["securityContext"]["runAsNonRoot"]
    states = {each["name"]: each for each in one["status"]["containerStatuses"]}
    return int(states["sender"]["restartCount"]) if states["sender"]["ready"] else 0


def is_made(workspace: Workspace, name: str) -> bool:
    listed = workspace.get("deploy")["items"]
    return any(each["metadata"]["name"] == name for each in listed)
