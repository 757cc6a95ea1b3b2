"""Under which URL a gateway reaches a node, and why not yet, or not at all."""

from __future__ import annotations

from dataclasses import dataclass

from mediafleet_common.api.names import Reason
from mediafleet_common.api.pool.address import Address, AddressType, NodeAddress
from mediafleet_common.formats.hosts import bracketed, with_port
from mediafleet_common.formats.node_url import BadNodeUrlError, parse_node_url, unreachable
from mediafleet_operator.core.fleet.model import AddressProblem
from mediafleet_operator.manifests.overlay import InvalidTemplateError


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of where a pod is; `None` is not known (yet)."""

    namespace: str
    name: str
    slot: int
    pool: str = ""
    pod_ip: str | None = None
    node: str | None = None
    node_external: str | None = None
    node_internal: str | None = None
    nodes_known: bool = True
    """Whether Kubernetes nodes may be read at all."""
    node_port: int | None = None
    """Of the slot's Service."""
    ingress: str | None = None
    """Address or name of the slot's load balancer."""


@dataclass(frozen=True, slots=True)
class Located:
    """The URL of a node, or why there is none; neither: wait, the pod has only just started."""

    url: str | None = None
    problem: AddressProblem | None = None


def locate(address: Address, place: Place) -> Located:
    """Where gateways reach the node of a slot.

    Raises:
        InvalidTemplateError: address.template holds a placeholder that there is not.
    """
    found = _find(address, place)
    return found if found.url is None else _judge(found.url, address)


def host_port(address: Address, slot: int) -> int:
    """The port of a slot on its Kubernetes node."""
    assert address.port_range is not None
    return address.port_range.first + slot % address.port_range.size


def fill_in(address: Address, place: Place) -> str:
    """address.template for a slot.

    Raises:
        InvalidTemplateError: it holds a placeholder that there is not.
    """
    try:
        return (address.template or "").format(
            slot=place.slot,
            name=place.name,
            namespace=place.namespace,
            nodeName=place.node,
            nodeExternalIP=bracketed(place.node_external or ""),
        )
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise InvalidTemplateError(
            "spec.address.template",
            f"cannot be filled in ({error})",
            "use {slot}, {name}, {namespace}, {nodeName} and {nodeExternalIP} only",
        ) from error


def service_addr(url: str) -> str:
    """A URL as -serviceAddr takes it: releases up to 0.8 put https:// before it by themselves
    and know nothing else."""
    return url.removeprefix("https://")


def _find(address: Address, place: Place) -> Located:
    match address.type:
        case AddressType.POD_IP:
            return _join(address, place.pod_ip, address.port)
        case AddressType.HOST_PORT:
            return _on_node(address, place, host_port(address, place.slot))
        case AddressType.NODE_PORT:
            if problem := _beyond_range(address, place):
                return Located(problem=problem)
            return _on_node(address, place, place.node_port)
        case AddressType.LOAD_BALANCER:
            if place.ingress is None:
                return _unknown(f"the load balancer of {place.name} has no address yet")
            return _join(address, place.ingress, address.port)
        case AddressType.TEMPLATE:
            return _by_template(address, place)


def _on_node(address: Address, place: Place, port: int | None) -> Located:
    if place.node is None or port is None:
        return Located()
    if address.node_address is NodeAddress.INTERNAL:
        return _join(address, place.node_internal, port)
    if place.node_external is None:
        return _no_external(place)
    return _join(address, place.node_external, port)


def _by_template(address: Address, place: Place) -> Located:
    template = address.template or ""
    if place.node is None and ("{nodeName}" in template or address.late):
        return Located()
    if address.late and place.node_external is None:
        return _no_external(place)
    return Located(fill_in(address, place))


def _no_external(place: Place) -> Located:
    if not place.nodes_known:
        return _unknown(
            f"the operator may not read Kubernetes nodes, so the address of {place.name}'s is not "
            "known; set rbac.nodes in the chart, or address.nodeAddress internal"
        )
    return _unknown(
        f"Kubernetes node {place.node} of {place.name} has no external IP; use "
        "address.nodeAddress internal, or another address.type"
    )


def _beyond_range(address: Address, place: Place) -> AddressProblem | None:
    ports = address.port_range
    if ports is None or place.slot < ports.size:
        return None
    message = f"slot {place.slot} of {place.name} has no port in address.portRange; make it longer"
    return AddressProblem(Reason.ADDRESS_UNKNOWN, message)


def _join(address: Address, host: str | None, port: int) -> Located:
    if host is None:
        return Located()
    return Located(f"{address.scheme}://{with_port(host, port)}")


def _unknown(message: str) -> Located:
    return Located(problem=AddressProblem(Reason.ADDRESS_UNKNOWN, message))


def _judge(url: str, address: Address) -> Located:
    try:
        why = unreachable(parse_node_url(url), allow_private=address.private_is_meant)
    except BadNodeUrlError as error:
        why = str(error)
    if why is None:
        return Located(url)
    fix = "; set address.allowPrivate if gateways are in your network" if "public" in why else ""
    return Located(problem=AddressProblem(Reason.ADDRESS_REFUSED, f"{url} {why}{fix}"))
