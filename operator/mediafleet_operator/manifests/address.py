"""Under which URL a gateway reaches a node."""

from __future__ import annotations

from mediafleet_common.api.orchestrator_pool import Address, AddressType
from mediafleet_operator.manifests.overlay import InvalidTemplateError


def url(
    address: Address,
    namespace: str,
    name: str,
    slot: int,
    *,
    host: str | None,
    node: str | None,
) -> str | None:
    """The URL of a node; `None` while the pod's IP (`host`) or its Kubernetes node is not known.

    Raises:
        InvalidTemplateError: address.template holds a placeholder that there is not.
    """
    if address.type is AddressType.POD_IP:
        if host is None:
            return None
        return f"{address.scheme}://{f'[{host}]' if ':' in host else host}:{address.port}"
    template = address.template or ""
    if "{nodeName}" in template and node is None:
        return None
    try:
        return template.format(slot=slot, name=name, namespace=namespace, nodeName=node)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise InvalidTemplateError(
            "spec.address.template",
            f"cannot be filled in ({error})",
            "use {slot}, {name}, {namespace} and {nodeName} only",
        ) from error
