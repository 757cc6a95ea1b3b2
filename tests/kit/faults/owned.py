"""What resources of ours have made in a namespace: it has to go with them."""

from __future__ import annotations

from typing import Any, Final

from tests.kit.watching.api import Api

from mediafleet_common.api.names import GROUP, Label

_CORE: Final = "/api/v1"
_COLLECTIONS: Final = (
    *(f"{_CORE}/{{}}/{each}" for each in ("pods", "services", "secrets", "configmaps")),
    *(f"{_CORE}/{{}}/{each}" for each in ("serviceaccounts", "persistentvolumeclaims")),
    "/apis/apps/v1/{}/deployments",
    "/apis/policy/v1/{}/poddisruptionbudgets",
    "/apis/rbac.authorization.k8s.io/v1/{}/roles",
    "/apis/rbac.authorization.k8s.io/v1/{}/rolebindings",
    "/apis/autoscaling/v2/{}/horizontalpodautoscalers",
)
"""All kinds that we may make, KEDA's apart. Events stay, as Kubernetes has it."""


async def owned(api: Api, namespace: str) -> set[str]:
    """Each as `pods/NAME`."""
    found = set()
    for collection in _COLLECTIONS:
        listed = await api.get(collection.format(f"namespaces/{namespace}"))
        plural = collection.rpartition("/")[2]
        found |= {f"{plural}/{each['metadata']['name']}" for each in listed["items"] if _ours(each)}
    return found


def _ours(raw: dict[str, Any]) -> bool:
    meta = raw["metadata"]
    owners = {each["apiVersion"].partition("/")[0] for each in meta.get("ownerReferences") or ()}
    by_name = (meta.get("labels") or {}).get(Label.PART_OF.value) == "mediafleet"
    return GROUP in owners or by_name or Label.FLEET.value in (meta.get("labels") or {})
