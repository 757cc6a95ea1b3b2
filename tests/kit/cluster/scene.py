"""All that a test has at hand: the product, its users' way in, and the watchers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from redis.asyncio import Redis
from tests.kit.cluster.product import Product
from tests.kit.fleets import manifests
from tests.kit.fleets.changes import Change, Scale
from tests.kit.fleets.users import Gateway, Recorders
from tests.kit.watching import api, audit
from tests.kit.watching.job_logs import JobLogs
from tests.kit.watching.pods import PodWatch
from tests.kit.watching.verdicts import Deletion

from mediafleet_common.api.names import API_VERSION, PLURALS, Kind, Label, PodState, Port
from mediafleet_common.reports.demand import Demand
from mediafleet_scheduler.psrpc.redis_bus import RedisBus
from mediafleet_testbed.paths import Instance
from mediafleet_testbed.story.waiting import until
from mediafleet_testbed.waiting import WaitedInVainError

HTTP_SECONDS: Final = 3.0
SERVICE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Scene:
    """One namespace with the product in it, watched from outside."""

    product: Product
    api: api.Api
    pods: PodWatch
    logs: JobLogs
    bus: RedisBus
    http: aiohttp.ClientSession

    @property
    def namespace(self) -> str:
        """Where everything is."""
        return self.product.namespace

    async def create(self, manifest: Mapping[str, Any]) -> None:
        """Create one of our resources."""
        kind = Kind(manifest["kind"])
        path = f"/apis/{API_VERSION}/namespaces/{self.namespace}/{PLURALS[kind]}"
        await self.api.post(path, dict(manifest))

    async def change(self, kind: Kind, name: str, change: Change) -> None:
        """Make a change of a fleet."""
        if isinstance(change, Scale):
            await self.api.scale(kind, self.namespace, name, change.replicas)
        else:
            path = api.fleet(kind, self.namespace, name)
            await self.api.patch(path, manifests.revised(change.revision))

    async def status(self, kind: Kind, name: str) -> dict[str, Any]:
        """What a fleet's status says."""
        resource = await self.api.get(api.fleet(kind, self.namespace, name))
        return dict(resource.get("status") or {})

    async def until_wanted(self, fleet: str, replicas: int, revision: int, seconds: float) -> None:
        """Wait until just the wanted pods of the wanted template serve, beside draining ones."""

        def look() -> bool:
            there = [pod for pod in self.pods.of(fleet) if pod.there]
            staying = [pod for pod in there if pod.state != PodState.DRAINING]
            return len(staying) == replicas and all(
                pod.serving and pod.labels.get(manifests.REVISION) == str(revision)
                for pod in staying
            )

        what = f"{fleet} has {replicas} pods of revision {revision}"
        try:
            await self.pods.until(what, look, seconds)
        except WaitedInVainError as error:
            raise WaitedInVainError(f"{error}:\n{self._shown(fleet)}") from None

    def _shown(self, fleet: str) -> str:
        """The pods of a fleet, for people."""
        return "\n".join(
            f"{pod.name} {pod.state} revision {pod.labels.get(manifests.REVISION)}"
            f"{' Ready' if pod.ready else ''}{' deleted' if pod.deleted_at else ''}"
            f", {len(self.logs.running(pod.uid))} jobs{pod.unplaced and f', {pod.unplaced}'}"
            for pod in self.pods.of(fleet)
        )

    async def until_drained(self, fleet: str, replicas: int, seconds: float) -> None:
        """Wait until no pod beyond the wanted ones is left."""
        what = f"{fleet} has {replicas} pods and no more"
        await self.pods.until(what, lambda: len(self.pods.of(fleet)) == replicas, seconds)

    def deletions(self, since: float) -> list[Deletion]:
        """Who was deleted since, by the API server's audit log."""
        log = self.product.node.log("audit")
        asked = audit.requests(log, self.namespace, since)
        return audit.deletions(asked, self.pods.pods.values())

    def recorders(self, kind: str, chance: random.Random) -> Recorders:
        """Users of the egress fleet that accepts a request type."""
        return Recorders(self.bus, kind, chance)

    async def demand(self, desk: str) -> Demand:
        """What a desk at an address says of its fleets."""
        headers = {"Authorization": f"Bearer {await asyncio.to_thread(self.product.token)}"}
        url = f"http://{desk}:{Port.DESK_HTTP}/demand"

        async def ask() -> Demand | None:
            """`None`: the desk has just come, and does not know fleets or keys yet."""
            async with self.http.get(url, headers=headers) as answer:
                text = await answer.text()
            return None if answer.status == 503 else Demand.model_validate_json(text)

        said = await until("the desk knows", ask, lambda told: told is not None, SERVICE_SECONDS)
        assert said is not None
        return said

    async def gateway(self, pool: str, chance: random.Random) -> Gateway:
        """Users of a pool."""
        return Gateway(self.http, await self.service_address(pool), chance)

    async def service_address(self, name: str) -> str:
        """Address of a Service, once there is one."""
        path = f"/api/v1/namespaces/{self.namespace}/services"
        found = await until(
            f"there is a Service {name}",
            lambda: self.api.get(path, fieldSelector=f"metadata.name={name}"),
            lambda services: bool(services["items"]),
            seconds=SERVICE_SECONDS,
        )
        return str(found["items"][0]["spec"]["clusterIP"])


@asynccontextmanager
async def watched(product: Product) -> AsyncIterator[Scene]:
    """Start watching."""
    instance: Instance = product.node.instance
    timeout = aiohttp.ClientTimeout(total=HTTP_SECONDS)
    async with (
        api.Api(instance.kubeconfig) as server,
        PodWatch(server, product.namespace) as pods,
        JobLogs(instance.run / "pod-logs", product.namespace) as logs,
        Redis.from_url(f"redis://{product.redis}") as redis,
        RedisBus(redis) as bus,
        aiohttp.ClientSession(timeout=timeout) as http,
    ):
        scene = Scene(product, server, pods, logs, bus, http)
        try:
            yield scene
        except Exception as error:
            error.add_note(await _last_words(scene))
            raise


async def _last_words(scene: Scene) -> str:
    """The ends of our own processes' logs, for whoever reads a failure."""
    texts = []
    for pod in list(scene.pods.pods.values()):
        if not pod.fleet and pod.there and Label.COMPONENT in pod.labels:
            if pod.restarts:
                ended = await _end(scene, pod.name)
                again = await _tail(scene, pod.name, previous="true")
                texts.append(f"--- {pod.name}, before it was started again: {ended}\n{again}")
            texts.append(f"--- {pod.name}\n{await _tail(scene, pod.name)}")
    return "\n".join(texts)


async def _end(scene: Scene, pod: str) -> str:
    """How a pod's containers ended the last time, or why that is not known."""
    try:
        status = (await scene.api.get(f"{api.pods(scene.namespace)}/{pod}"))["status"]
    except (api.ApiRefusedError, aiohttp.ClientError, TimeoutError) as error:
        return str(error)
    return str([each.get("lastState") for each in status.get("containerStatuses", ())])


async def _tail(scene: Scene, pod: str, **options: str) -> str:
    """The last lines of a pod's log, or why there are none."""
    try:
        return await scene.api.text(
            f"{api.pods(scene.namespace)}/{pod}/log", tailLines="25", **options
        )
    except (api.ApiRefusedError, aiohttp.ClientError, TimeoutError) as error:
        return f"no log: {error}"
