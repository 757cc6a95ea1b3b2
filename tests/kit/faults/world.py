"""A namespace, an operator in this process that may die in it, and what must hold there.

The API server, its controllers and its admission are real. Kubelet is kwok; what a pod says of its
jobs is the test's word, since kwok's pods run nothing. A life of the operator that dies is cut off
from the API server first, so that nothing of it gets through after: as with SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml
from prometheus_client import CollectorRegistry
from tests.kit.faults.nodes import Nodes
from tests.kit.faults.owned import owned
from tests.kit.faults.plans import Course, Plan
from tests.kit.faults.proxy import Proxy, Traffic
from tests.kit.fleets.manifests import IMAGE, REVISION
from tests.kit.watching.api import Api, ApiRefusedError, fleet, pods

from mediafleet_common.api.ai_worker_pool import Broker
from mediafleet_common.api.names import KIND_LABELS, Kind, Label, PodState
from mediafleet_common.kube.pace import WriteLimits
from mediafleet_operator.manifests.pods.pod import Product
from mediafleet_operator.rounds import serve
from mediafleet_operator.settings import DemandTimes, ProbeTimes, Times
from mediafleet_testbed.cluster.kwok import ON_IT

CONVERGE_SECONDS: Final = float(os.environ.get("MEDIAFLEET_CONVERGE_SECONDS") or 90.0)
"""More only where a machine has much else to do."""
QUIET_SECONDS: Final = 10.0
"""Twice as long as between two lists of everything, or two writes of a status that loads change."""
QUIET_WITHIN: Final = 6
"""Such spells; one at least is without a write."""
NAME: Final = "rec"
_LOOK_SECONDS: Final = 0.2
_ASK_SECONDS: Final = 1.0
"""Between two looks at everything that is owned: each is eleven requests."""
_TIMES: Final = Times(
    probe=ProbeTimes(often_seconds=0.5, rarely_seconds=1.0),
    # Shorter than a quiet spell: a write that comes with each is found.
    resync_seconds=5.0,
    demand=DemandTimes(often_seconds=0.5, shared_seconds=0.5),
    writes=WriteLimits(),
)


@dataclass
class _Life:
    """One life of the operator, and its way to the API server."""

    proxy: Proxy
    stop: asyncio.Event
    task: asyncio.Task[None]

    def end(self) -> None:
        """Cut it off; what it does from now on reaches nobody."""
        self.proxy.dead = True
        self.stop.set()


class World:
    """One namespace and one plan."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        kind: Kind,
        plan: Plan | None,
        folder: Path,
        desk: str | None = None,
    ) -> None:
        """`desk`: URL of who is asked for demand."""
        self.api, self.namespace, self.kind, self.plan = api, namespace, kind, plan
        self.busy: set[str] = set()
        self.silent: set[str] = set()
        """Pods that do not say what they do."""
        self.mute = False
        """Whether nobody knows what the demand is."""
        self.stranger: dict[str, Any] | None = None
        """A pod of somebody else's, as it was made."""
        self.floor = 0
        """So many pods at least may be given work as long as this stands."""
        self.converge_seconds = CONVERGE_SECONDS
        self.wrongs: list[str] = []
        self.seen: dict[str, dict[str, Any]] = {}
        """The pods, as a watch of the test's own saw them."""
        self._folder, self._desk = folder, desk
        self.nodes = Nodes(api, namespace)
        self._lives: list[_Life] = []
        self.traffic = Traffic(
            plan, self._deletes, self._dies, self.start, self.wrongs.append, namespace
        )

    # What a workload does

    async def create(self, manifest: dict[str, Any]) -> None:
        """Our resource."""
        await self.api.post(fleet(self.kind, self.namespace, ""), manifest)

    async def change(self, **spec: Any) -> None:
        """A merge patch of its spec."""
        await self.api.patch(fleet(self.kind, self.namespace, NAME), {"spec": spec})

    async def befriend(self, name: str) -> None:
        """A pod of somebody else's that looks like one of the fleet's, but has no owner."""
        labels = {
            Label.KIND.value: KIND_LABELS[self.kind].value,
            Label.FLEET.value: NAME,
            Label.SLOT.value: name.rpartition("-")[2],
            Label.STATE.value: PodState.READY.value,
        }
        container = {"name": "theirs", "image": IMAGE, "imagePullPolicy": "Never"}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [container], **ON_IT},
        }
        self.stranger = await self.api.post(pods(self.namespace), body)

    async def delete(self) -> None:
        """Our resource; what it has made goes after it."""
        await self.api.delete(fleet(self.kind, self.namespace, NAME))

    async def until(self, what: str, met: Callable[[], bool]) -> None:
        """Wait for something to be seen of the pods."""
        deadline = time.monotonic() + self.converge_seconds
        while not met():
            assert self.wrongs == []
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"not within {self.converge_seconds:g} s: {what}; {self.states()}"
                )
            await asyncio.sleep(_LOOK_SECONDS)

    async def settled(self, replicas: int, revision: int = 0) -> None:
        """Wait until so many pods of a revision may get work, and the status says so."""
        wanted = [(PodState.READY.value, str(revision))] * replicas
        await self.until(f"{replicas} pods of revision {revision}", lambda: self.states() == wanted)
        deadline = time.monotonic() + self.converge_seconds
        while not _agrees(raw := await self.resource(), replicas):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the status does not say {replicas} ready: {raw['status']}")
            await asyncio.sleep(_LOOK_SECONDS)

    async def says(self, condition: str, status: str) -> None:
        """Wait until a condition of the present spec is so."""
        deadline = time.monotonic() + self.converge_seconds
        while not _has(raw := await self.resource(), condition, status):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{condition} is not {status}: {raw.get('status')}")
            await asyncio.sleep(_LOOK_SECONDS)

    async def owns(self, wanted: set[str]) -> None:
        """Wait until so much, and no more, is there of what resources of ours have made."""
        deadline = time.monotonic() + self.converge_seconds
        while (found := await self.owned()) != wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"there is not {sorted(wanted)}: {sorted(found)}")
            await asyncio.sleep(_ASK_SECONDS)

    async def owned(self) -> set[str]:
        """What resources of ours have made, or bears our name, but for what is a stranger's."""
        theirs = {f"pods/{self.stranger['metadata']['name']}"} if self.stranger else set()
        return await owned(self.api, self.namespace) - theirs

    async def resource(self) -> dict[str, Any]:
        """Our resource as it is."""
        raw: dict[str, Any] = await self.api.get(fleet(self.kind, self.namespace, NAME))
        return raw

    def able(self) -> set[str]:
        """Pods that may get work."""
        return {name for name, raw in self.seen.items() if _able(raw)}

    def states(self) -> list[tuple[str, str]]:
        """State and revision of each pod of the fleet."""
        mine = [each for each in self.seen.values() if each["metadata"].get("ownerReferences")]
        return sorted(_state(each) for each in mine)

    # The operator

    async def start(self) -> None:
        """One more life of the operator."""
        proxy = Proxy(self.api._session, self.traffic)
        await proxy.start()
        config = self._folder / f"{self.namespace}-{len(self._lives)}.yaml"
        config.write_text(yaml.safe_dump(_kubeconfig(proxy.url)))
        settings = serve.Settings(
            product=Product(
                "mediafleet:dev", "Never", broker=Broker(address="broker.test.svc:8935")
            ),
            http="127.0.0.1:0",
            egress_desk=self._desk,
            broker=self._desk,
            namespaces=[self.namespace],
            kubeconfig=str(config),
            times=_TIMES,
            io_update_timeout_seconds=0.0,
        )
        stop = asyncio.Event()
        run = serve.serve(settings, stop, _nothing, registry=CollectorRegistry())
        task = asyncio.create_task(run, name=f"operator {config.stem}")
        self._lives.append(_Life(proxy, stop, task))

    async def _dies(self) -> None:
        """Every life, and a new one begins."""
        for life in self._lives:
            life.end()
        await self.start()

    def _deletes(self, pod: str) -> None:
        if pod in self.busy:
            self.wrongs.append(f"busy pod {pod} is deleted")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The namespace, its watch and an operator, until left."""
        body = {"metadata": {"name": self.namespace}}
        await self.api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", **body})
        await self._account()
        if self.kind is Kind.COMMUNITY_METRICS:
            # A reporter's pod goes to a real node, and is not what is looked at.
            quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
            await self.api.post(f"/api/v1/namespaces/{self.namespace}/resourcequotas", quota)
        watch = asyncio.create_task(self._watch())
        await self.start()
        try:
            yield
        finally:
            watch.cancel()
            for life in self._lives:
                life.end()
            await asyncio.wait([watch, *(life.task for life in self._lives)], timeout=20)
            for life in self._lives:
                await life.proxy.stop()
            await self.nodes.remove()
            await self.api.delete(f"/api/v1/namespaces/{self.namespace}")

    async def _account(self) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default"
        for _ in range(100):
            with contextlib.suppress(ApiRefusedError):
                await self.api.get(path)
                return
            await asyncio.sleep(_LOOK_SECONDS)
        raise TimeoutError(f"{self.namespace} has no ServiceAccount")

    async def _watch(self) -> None:
        while True:
            self.seen.clear()
            with contextlib.suppress(aiohttp.ClientError):
                async for what, raw in self.api.watch(pods(self.namespace)):
                    self._take(what, raw)

    def _take(self, what: str, raw: dict[str, Any]) -> None:
        name = raw["metadata"]["name"]
        if self.stranger and name == self.stranger["metadata"]["name"]:
            self._compare(what, raw, self.stranger)
        if what == "DELETED":
            self.seen.pop(name, None)
            self.busy.discard(name)
        else:
            self.seen[name] = raw
        if (able := len(self.able())) < self.floor:
            self.wrongs.append(f"{able} pods may get work, of {self.floor}")
        self.wrongs += twice(self.seen.values())

    def _compare(self, what: str, raw: dict[str, Any], made: dict[str, Any]) -> None:
        """What others have written on a pod is theirs alone."""
        kept = [
            each["metadata"].get(key) for each in (raw, made) for key in ("labels", "annotations")
        ]
        if what == "DELETED" or "deletionTimestamp" in raw["metadata"] or kept[:2] != kept[2:]:
            self.wrongs.append(f"{made['metadata']['name']}, which is not ours, is touched")

    # What must hold

    def crashed(self) -> list[BaseException]:
        """Errors that ended a life by themselves."""
        ended = [life.task for life in self._lives if life.task.done()]
        return [error for task in ended if (error := task.exception()) is not None]

    async def unrest(self) -> list[str]:
        """The writes of a while after all was done, unless it comes to rest."""
        first = len(self.traffic.writes)
        for _ in range(QUIET_WITHIN):
            before = len(self.traffic.writes)
            await asyncio.sleep(QUIET_SECONDS)
            if len(self.traffic.writes) == before:
                return []
        return self.traffic.writes[first:]

    async def orphans(self) -> list[str]:
        """What is left for good once our resource is deleted."""
        with contextlib.suppress(ApiRefusedError):  # the story has deleted it
            await self.delete()
        try:
            await self.until("its pods go", lambda: not self.states())
            await self.owns(set())
        except TimeoutError:
            return sorted(await self.owned())
        return []

    @property
    def course(self) -> Course:
        """How much went through."""
        return Course(len(self.traffic.writes), dict(self.traffic.events))


def _nothing(*_: object) -> None:
    """Nobody waits for the operator to be ready."""


def _state(raw: dict[str, Any]) -> tuple[str, str]:
    labels = raw["metadata"]["labels"]
    going = "deletionTimestamp" in raw["metadata"]
    return "going" if going else labels[Label.STATE], labels.get(REVISION, "")


def _able(raw: dict[str, Any]) -> bool:
    """Whether desks give it work: what they read is readiness, and who leaves."""
    conditions = raw.get("status", {}).get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and _state(raw)[0] not in {"going", PodState.DRAINING.value}


def _has(raw: dict[str, Any], condition: str, status: str) -> bool:
    said = (raw.get("status") or {}).get("conditions") or ()
    found = [each for each in said if each["type"] == condition]
    generation = raw["metadata"]["generation"]
    return [(each["status"], each["observedGeneration"]) for each in found] == [
        (status, generation)
    ]


def twice(seen: Iterable[dict[str, Any]]) -> list[str]:
    """Slots of one owner that more than one pod has."""
    slots = Counter(
        (owner["uid"], raw["metadata"]["labels"].get(Label.SLOT.value))
        for raw in seen
        for owner in raw["metadata"].get("ownerReferences") or ()
    )
    return [
        f"slot {slot} is there {count} times" for (_, slot), count in slots.items() if count > 1
    ]


def _agrees(raw: dict[str, Any], replicas: int) -> bool:
    status = raw.get("status") or {}
    seen = status.get("observedGeneration") == raw["metadata"]["generation"]
    return seen and (status.get("readyReplicas") or 0) == replicas


def _kubeconfig(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": url}}],
        "users": [{"name": "a", "user": {}}],
    }
