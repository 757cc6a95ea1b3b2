"""Reads from the API server what an examination goes by; whatever may not be read is said so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final, TypeVar

from mediafleet.doctor import keda, processes, rights
from mediafleet.doctor.cluster import Facts
from mediafleet.doctor.findings import Unread
from mediafleet_common.api.names import FLEET_KINDS, GROUP, PLURALS, Kind, Label, Port
from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.errors import GoneError, KubeError
from mediafleet_common.kube.paths import Collection, Target
from mediafleet_operator.kube import paths
from mediafleet_operator.rounds.serve import LEASE_NAME

OURS: Final = "app.kubernetes.io/part-of=mediafleet"
_CRDS: Final = Collection(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False
)
_DEPLOYMENTS: Final = Collection("apps", "v1", "deployments")
_LEASES: Final = Collection("coordination.k8s.io", "v1", "leases")
_SECRETS: Final = Collection("", "v1", "secrets")
_SLICES: Final = Collection("discovery.k8s.io", "v1", "endpointslices")
_API_SERVICES: Final = Collection("apiregistration.k8s.io", "v1", "apiservices", namespaced=False)
_REVIEWS: Final = Collection("authorization.k8s.io", "v1", "subjectaccessreviews", namespaced=False)
_WITH_METRICS: Final = ("operator", "egress", "broker", "advertiser")
MOST_PROCESSES: Final = 20
BETWEEN_SECONDS: Final = 1.5
"""Between two readings of a counter that grows while something is broken."""
T = TypeVar("T")


async def facts(api: Api, namespace: str | None) -> Facts:
    """Everything, of one namespace or of all.

    Raises:
        UnreachableError: the API server does not answer at all.
    """
    tls = {"labelSelector": OURS, "fieldSelector": "type=kubernetes.io/tls"}
    named = {"fieldSelector": f"metadata.name={LEASE_NAME}"}
    deployments = await _read(api.list_all(_DEPLOYMENTS.inside(namespace), labelSelector=OURS))
    pods = await _read(api.list_all(paths.pods(namespace), labelSelector=OURS))
    return Facts(
        version=str((await api.get(Target("/version", "version"))).get("gitVersion", "?")),
        crds={kind: await _crd(api, kind) for kind in Kind},
        deployments=deployments,
        pods=pods,
        leases=await _read(api.list_all(_LEASES.inside(namespace), **named)),
        fleets=_together([await _resources(api, kind, namespace) for kind in FLEET_KINDS]),
        keda=await _keda(api),
        certificates=await _read(api.list_all(_SECRETS.inside(namespace), **tls)),
        rights=await _rights(api, () if isinstance(deployments, Unread) else deployments),
        endpoints=await _read(api.list_all(_SLICES.inside(namespace), labelSelector=OURS)),
        scrapes=await _scrapes(api, () if isinstance(pods, Unread) else pods),
        workers=await _read(api.list_all(paths.pods(namespace), labelSelector=Label.KIND.value)),
    )


async def _keda(api: Api) -> keda.Facts:
    known = await _there(api.get(Target("/apis/keda.sh/v1alpha1", "keda")))
    if known is not True:
        return keda.Facts(known)
    named = {"labelSelector": "app.kubernetes.io/name=keda-operator"}
    return keda.Facts(
        known,
        await _read(api.list_all(_DEPLOYMENTS.inside(None), **named)),
        await _read_or_none(api.get(_API_SERVICES.inside(None).item(keda.API))),
    )


async def _rights(api: Api, deployments: Sequence[Json]) -> list[rights.Answer] | Unread:
    """The first refusal ends it: who may not ask for one may not ask for any."""
    answers: list[rights.Answer] = []
    asked = list(rights.questions(deployments))
    for some in (asked[:1], asked[1:]):
        try:
            answers += await asyncio.gather(*(_right(api, each) for each in some))
        except KubeError as error:
            return Unread(str(error))
    return answers


async def _right(api: Api, asked: rights.Question) -> rights.Answer:
    answer = await api.create(_REVIEWS.inside(None), asked.body())
    return rights.Answer(asked, bool((answer.get("status") or {}).get("allowed")))


async def _scrapes(api: Api, pods: Sequence[Json]) -> list[processes.Scrape]:
    serving = [each for each in pods if _runs(each)][:MOST_PROCESSES]
    before = await asyncio.gather(*(_metrics(api, each) for each in serving))
    if not serving:
        return []
    await asyncio.sleep(BETWEEN_SECONDS)
    after = await asyncio.gather(*(_metrics(api, each) for each in serving))
    return [
        processes.Scrape(
            f"{pod['metadata']['namespace']}/{pod['metadata']['name']}",
            first,
            None if isinstance(second, Unread) else second,
        )
        for pod, first, second in zip(serving, before, after, strict=True)
    ]


def _runs(pod: Json) -> bool:
    labels = pod["metadata"].get("labels") or {}
    # Workers of a fleet call themselves egress too.
    ours = labels.get(Label.COMPONENT) in _WITH_METRICS and Label.KIND not in labels
    running = (pod.get("status") or {}).get("phase") == "Running"
    return ours and running and "deletionTimestamp" not in pod["metadata"]


async def _metrics(api: Api, pod: Json) -> dict[str, float] | Unread:
    """Through the API server, which reaches pods that we need not reach."""
    meta = pod["metadata"]
    target = paths.pods(meta["namespace"]).item(f"{meta['name']}:{Port.DESK_HTTP}")
    try:
        text = await api.text(Target(f"{target.path}/proxy/metrics", "pods/proxy"))
        return processes.read(text)
    except (KubeError, ValueError) as error:
        return Unread(str(error))


async def _crd(api: Api, kind: Kind) -> Json | Unread | None:
    return await _read_or_none(api.get(_CRDS.inside(None).item(f"{PLURALS[kind]}.{GROUP}")))


async def _read(asked: Awaitable[T]) -> T | Unread:
    try:
        return await asked
    except KubeError as error:
        return Unread(str(error))


async def _read_or_none(asked: Awaitable[T]) -> T | Unread | None:
    try:
        return await asked
    except GoneError:
        return None
    except KubeError as error:
        return Unread(str(error))


async def _there(asked: Awaitable[Any]) -> bool | Unread:
    found = await _read_or_none(asked)
    return found if isinstance(found, Unread) else found is not None


async def _resources(api: Api, kind: Kind, namespace: str | None) -> list[Json] | Unread:
    """Of one kind; none where the cluster does not know it, which is a finding of its own."""
    found = await _read_or_none(api.list_all(paths.fleets(kind, namespace)))
    if isinstance(found, Unread):
        return found
    # Items of a list do not say of which kind they are.
    return [{"kind": kind.value, **each} for each in found or ()]


def _together(parts: list[list[Json] | Unread]) -> list[Json] | Unread:
    whole: list[Json] = []
    for part in parts:
        if isinstance(part, Unread):
            return part
        whole += part
    return whole
