"""Reads from the API server what an examination goes by; whatever may not be read is said so."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from mediafleet.doctor.cluster import Facts
from mediafleet.doctor.findings import Unread
from mediafleet_common.api.names import FLEET_KINDS, GROUP, PLURALS, Kind
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
T = TypeVar("T")


async def facts(api: Api, namespace: str | None) -> Facts:
    """Everything, of one namespace or of all.

    Raises:
        UnreachableError: the API server does not answer at all.
    """
    tls = {"labelSelector": OURS, "fieldSelector": "type=kubernetes.io/tls"}
    named = {"fieldSelector": f"metadata.name={LEASE_NAME}"}
    return Facts(
        version=str((await api.get(Target("/version", "version"))).get("gitVersion", "?")),
        crds={kind: await _crd(api, kind) for kind in Kind},
        deployments=await _read(api.list_all(_DEPLOYMENTS.inside(namespace), labelSelector=OURS)),
        pods=await _read(api.list_all(paths.pods(namespace), labelSelector=OURS)),
        leases=await _read(api.list_all(_LEASES.inside(namespace), **named)),
        fleets=_together([await _resources(api, kind, namespace) for kind in FLEET_KINDS]),
        keda=await _there(api.get(Target("/apis/keda.sh/v1alpha1", "keda"))),
        certificates=await _read(api.list_all(_SECRETS.inside(namespace), **tls)),
    )


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
