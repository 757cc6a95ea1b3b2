"""Under which address a gateway reaches a node: what a resource says of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from mediafleet_common.api.base import PRINTABLE, Form, Model, Rule
from mediafleet_common.api.names import Port

Tcp = Annotated[int, Field(ge=1, le=65535)]


class AddressType(StrEnum):
    """How a gateway reaches a node."""

    POD_IP = "pod_ip"
    HOST_PORT = "host_port"
    NODE_PORT = "node_port"
    LOAD_BALANCER = "load_balancer"
    TEMPLATE = "template"


class NodeAddress(StrEnum):
    """Which address of a Kubernetes node."""

    EXTERNAL = "external"
    INTERNAL = "internal"


OF_A_SERVICE: Final = frozenset({AddressType.NODE_PORT, AddressType.LOAD_BALANCER})
"""Each slot has a Service of its own."""


class PortRange(Model):
    """Ports, first and last included."""

    RULES = (
        Rule(
            ("self.first <= self.last"),
            ("portRange.first must not be above portRange.last"),
            lambda self: self.first <= self.last,
        ),
    )

    first: Tcp
    """Port of slot 0."""
    last: Tcp
    """Last port that may be used."""

    @property
    def size(self) -> int:
        """How many ports these are."""
        return self.last - self.first + 1


class SlotService(Model):
    """The Service that each slot gets with node_port or load_balancer."""

    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations on it, as your cloud's load balancers want them."""
    load_balancer_class: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Who makes the load balancer; absent: the cluster's default."""


class Address(Model):
    """Under which address a gateway reaches a node."""

    RULES = (
        Rule(
            ("!has(self.type) || self.type != 'template' || has(self.template)"),
            (
                "address.type template needs address.template, for example "
                "https://{slot}.orch.example.com:8935"
            ),
            lambda self: self.type is not AddressType.TEMPLATE or self.template is not None,
        ),
        Rule(
            ("!has(self.type) || self.type != 'host_port' || has(self.portRange)"),
            (
                "address.type host_port needs address.portRange, for example "
                "{first: 20000, last: 20099}"
            ),
            lambda self: self.type is not AddressType.HOST_PORT or self.port_range is not None,
        ),
    )

    type: AddressType = AddressType.POD_IP
    """pod_ip: https://<pod IP>:<port>. host_port: a port of the Kubernetes node; the namespace \
must be at Pod Security level privileged, since baseline and restricted refuse host ports. \
node_port, load_balancer: a Service of its own for each slot. template: as address.template says."""
    port: Tcp = Port.ORCHESTRATOR
    """Port that the node listens on, and that a load balancer shows."""
    port_range: PortRange | None = None
    """host_port: slot s gets first + s, and begins again after last; two nodes with the same port \
never share a Kubernetes node. node_port: slot s gets first + s, within the cluster's range for \
node ports; absent, Kubernetes chooses."""
    node_address: NodeAddress = NodeAddress.EXTERNAL
    """host_port and node_port: which address of the Kubernetes node gateways get. internal \
is for gateways in the same network."""
    allow_private: bool = False
    """Advertise addresses that are not public too. pod_ip and nodeAddress internal imply it; \
loopback, link-local and unspecified addresses are always refused."""
    scheme: Literal["https", "http"] = "https"
    """What gateways speak; http is for tests, since go-livepeer nodes always speak TLS."""
    template: (
        Annotated[
            str,
            Field(max_length=300),
            Form(
                f"^https?://{PRINTABLE}+$",
                "write an http or https URL, for example https://{name}.pool.example.com:8935",
            ),
        ]
        | None
    ) = None
    """URL with {slot}, {name}, {namespace}, {nodeName} or {nodeExternalIP}."""
    service: SlotService = SlotService()
    """node_port and load_balancer: the Service of each slot."""

    @property
    def late(self) -> bool:
        """Whether the address is known only once the pod is scheduled, or its Service served."""
        if self.type is AddressType.TEMPLATE:
            return "{nodeExternalIP}" in (self.template or "")
        return self.type is not AddressType.POD_IP

    @property
    def private_is_meant(self) -> bool:
        """Whether an address that is not public is what the user asked for."""
        of_node = self.type in (AddressType.HOST_PORT, AddressType.NODE_PORT)
        internal = of_node and self.node_address is NodeAddress.INTERNAL
        return self.allow_private or self.type is AddressType.POD_IP or internal
