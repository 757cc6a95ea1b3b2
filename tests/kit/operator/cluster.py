"""An operator in rounds against an API server in memory; a test steers kubelet and probes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry
from tests.kit.operator.kube_server import KubeServer

from mediafleet_common.api.ai_worker_pool import Broker
from mediafleet_common.api.names import Kind, Label, Reason
from mediafleet_common.clock import Clock
from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.errors import KubeError
from mediafleet_common.probes.http_client import NoLoad
from mediafleet_common.probes.load import Load, Source
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_operator.core.fleet.model import FleetKey, History, Reading
from mediafleet_operator.kube import digest, paths
from mediafleet_operator.kube.apply import Applier
from mediafleet_operator.kube.children import Children
from mediafleet_operator.kube.flag_head import Heads
from mediafleet_operator.kube.report import EventWriter, StatusWriter
from mediafleet_operator.kube.scalers import Scalers
from mediafleet_operator.kube.snapshots import Snapshots
from mediafleet_operator.manifests.children.scaling import Keda
from mediafleet_operator.manifests.pods.pod import Product
from mediafleet_operator.rounds.autoscaling import Autoscaler
from mediafleet_operator.rounds.children import ChildResources
from mediafleet_operator.rounds.counters import FleetCounts, ScaleCounts
from mediafleet_operator.rounds.desks.demand import DemandPoller, Silence
from mediafleet_operator.rounds.desks.job_ends import JobEnds
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_operator.rounds.probes import Prober, Subject
from mediafleet_operator.rounds.queue import KeyedQueue
from mediafleet_operator.rounds.round import Worker

KEY: Final = FleetKey(Kind.ORCHESTRATOR_POOL, "media", "orch")
FLEET: Final = paths.fleet(KEY).path
PODS: Final = paths.pods("media").path
SETTLE: Final = 2.0


class KilledError(BaseException):
    """SIGKILL."""


@dataclass
class StillProber:
    """Holds the readings that the test says."""

    histories: dict[str, History] = field(default_factory=dict)

    def follow(self, key: FleetKey, subjects: dict[str, Subject]) -> None:
        del key, subjects


SILENT: Final = Silence(Reason.DEMAND_UNKNOWN, "nobody was asked")


@dataclass
class StillPoller:
    """Says of demand what the test says."""

    demand: FleetDemand | Silence = SILENT
    every_seconds: float | None = None
    url: str | None = None

    def follow(self, key: FleetKey, url: str, every_seconds: float) -> None:
        del key
        self.url, self.every_seconds = url, every_seconds

    def forget(self, key: FleetKey) -> None:
        del key
        self.url = self.every_seconds = None

    def heard(self, key: FleetKey) -> FleetDemand | Silence:
        del key
        return self.demand


PRODUCT: Final = Product("ours", broker=Broker(address="broker.media.svc:8935"))
"""Of each operator here."""


class Cluster:
    """An API server, a kubelet, and an operator that may be killed."""

    def __init__(self, replicas: int = 2, *, key: FleetKey = KEY, **spec: Any) -> None:
        self.server = KubeServer()
        self.key, self.path = key, paths.fleet(key).path
        self.now = 1_800_000_000.0
        self.jobs: dict[str, int] = {}
        self.lives = 0
        self.head_load: Load | NoLoad = Load(jobs=0)
        self.server.put(
            self.path,
            {
                "apiVersion": "mediafleet.dev/v1alpha1",
                "kind": key.kind.value,
                "metadata": {"name": key.name, "namespace": key.namespace},
                "spec": {"replicas": replicas, "drain": {"settle": f"{SETTLE:g}s"}, **spec},
            },
        )
        self.prober = StillProber()
        self.poller = StillPoller()
        self.asked = StillPoller()
        self.start()

    def start(self) -> None:
        """A new operator, which knows nothing but what is on the server."""
        self.lives += 1
        api = cast("Api", self.server)
        self.snapshots = Snapshots(nodes_known=False)
        self.queue: KeyedQueue[FleetKey] = KeyedQueue()
        self.registry = CollectorRegistry()
        metrics = OperatorMetrics(self.registry)
        clock = Clock(lambda: self.now, lambda: self.now)
        applier = Applier(api, self.snapshots, PRODUCT, clock)
        self.worker = Worker(
            self.snapshots,
            self.queue,
            applier,
            ChildResources(
                Children(api, PRODUCT, clock),
                Heads(api, PRODUCT, self.ask_head, clock),
                metrics,
            ),
            StatusWriter(api, clock),
            EventWriter(api, "test", clock),
            cast("Prober", self.prober),
            Autoscaler(
                self.queue,
                applier,
                cast("DemandPoller", self.poller),
                Scalers(api, Keda(), clock),
                ScaleCounts(metrics, clock),
                "http://desk:8080/",
                clock,
                broker="http://broker:8080",
            ),
            FleetCounts(metrics),
            clock,
            JobEnds(cast("DemandPoller", self.asked), None, "http://broker:8080"),
        )

    async def ask_head(self, url: str, source: Source) -> Load | NoLoad:
        """What the agent of a managed head says."""
        del url, source
        return self.head_load

    @property
    def pods(self) -> dict[str, Json]:
        return {each["metadata"]["name"]: each for each in self.server.within(PODS)}

    @property
    def states(self) -> dict[str, str]:
        return {
            name: "going"
            if "deletionTimestamp" in pod["metadata"]
            else pod["metadata"]["labels"][Label.STATE]
            for name, pod in self.pods.items()
        }

    async def settle(self, seconds: float = 12.0) -> None:
        """Let time pass: kubelet, probes, rounds."""
        for _ in range(round(seconds)):
            self.now += 1
            self._kubelet()
            self._probe()
            try:
                await self._round()
            except KilledError:
                self.queue.close()
                self.start()
        self.queue.close()

    async def _round(self) -> None:
        self._hear()
        try:
            await self.worker.round(self.key)
        except KubeError:
            self.queue.add(self.key)

    def _hear(self) -> None:
        for raw in self.server.within(PODS):
            pod = digest.pod(raw)
            assert pod is not None
            self.snapshots.put_pod(pod)
        pods = self.server.within(PODS)
        newest = max((int(each["metadata"]["resourceVersion"]) for each in pods), default=0)
        self.snapshots.keep_only_pods(newest, {each["metadata"]["uid"] for each in pods})
        resource = digest.resource(self.server.objects[self.path], self.key.kind)
        self.snapshots.put_fleet(resource)

    def _kubelet(self) -> None:
        for name, pod in self.pods.items():
            path = f"{PODS}/{name}"
            if "deletionTimestamp" in pod["metadata"]:
                self.server.remove(path)
            elif "status" not in pod:
                self.server.put(path, {"status": running(name, digest.WORK[self.key.kind])})

    def _probe(self) -> None:
        for name, pod in self.pods.items():
            uid = pod["metadata"]["uid"]
            reading = Reading(self.now, self.jobs.get(name, 0))
            self.prober.histories[uid] = (*self.prober.histories.get(uid, ()), reading)[-2:]


def running(name: str, container: str = "node") -> Json:
    return {
        "phase": "Running",
        "podIP": f"10.0.0.{name.rpartition('-')[2]}",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": container, "state": {"running": {}}}],
    }
