"""The files that stand in for the cluster: workers for the egress desk, nodes for the advertiser.

The fields have the resources' names under the same structure, in snake_case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from mediafleet_common.api.base import Keyed, Model
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.fleet import RoomPattern
from mediafleet_common.api.egress.placement import Placement, PlacementEngine
from mediafleet_common.api.names import PodState
from mediafleet_common.api.pool.advertise import Advertise, AiModel, Source
from mediafleet_common.api.pool.orchestrator_pool import LoadSource, Sessions
from mediafleet_common.formats.node_url import parse_node_url
from mediafleet_common.formats.quantities import quantity

Name = Annotated[str, Field(min_length=1, max_length=253)]


def _plain(what: str) -> Callable[[object], object]:
    """Refuses a quantity of Kubernetes where a number stands, with the number that it is."""

    def check(value: object) -> object:
        if not isinstance(value, str):
            return value
        found = quantity(value)
        number = "" if found is None else f": {found:.15g}"
        raise ValueError(f"write a number of {what}{number}")

    return check


def _http_url(value: str) -> str:
    if "@" in value:
        raise ValueError("write a URL without user and password")
    if not value.startswith(("http://", "https://")):
        raise ValueError("write the whole URL: http://HOST:PORT/metrics")
    return value


class WorkerEntry(Model):
    """One egress worker."""

    name: Name
    """Unique in its fleet."""
    cluster_id: Name
    """Its psrpc topic: `cluster_id` of its egress config."""
    metrics: Annotated[str, AfterValidator(_http_url)] | None = None
    """URL of its Prometheus metrics; absent means that its load is unknown."""
    cpu: Annotated[float, BeforeValidator(_plain("CPUs")), Field(gt=0)] | None = None
    """CPUs it has; absent: the fleet's `placement.cpu`."""
    memory: Annotated[int, BeforeValidator(_plain("bytes")), Field(gt=0)] | None = None
    """Bytes of memory it may use."""
    state: PodState = PodState.READY
    """draining: it gets no new work."""


class FleetEntry(Model):
    """One fleet of egress workers."""

    name: Name
    """Unique in the file."""
    placement: Placement = Placement()
    """Which worker gets the next job."""
    accepts: list[RequestType] = Field(default_factory=list)
    """Request types it takes; empty means all."""
    rooms: Annotated[list[RoomPattern], Field(max_length=100)] = Field(default_factory=list)
    """Names of rooms it takes, with * for any text and ! before those it does not take."""
    priority: int = 0
    """The highest is tried first, then by name."""
    workers: list[WorkerEntry] = Field(default_factory=list)
    """Its workers."""

    @model_validator(mode="after")
    def _a_desk_serves_it(self) -> FleetEntry:
        if self.placement.engine is not PlacementEngine.SCHEDULER:
            raise ValueError(f"fleet {self.name}: no desk serves engine native; leave it out")
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> FleetEntry:
        for field in ("name", "cluster_id"):
            seen: set[str] = set()
            for worker in self.workers:
                value = getattr(worker, field)
                if value in seen:
                    raise ValueError(f"fleet {self.name}: two workers have {field} {value!r}")
                seen.add(value)
        return self


class WorkersFile(Model):
    """`mediafleet egress --workers FILE`."""

    fleets: list[FleetEntry]
    """The fleets; the first by priority that accepts a request and has room gets it."""


class NodeEntry(Model):
    """One orchestrator node."""

    name: Name
    """Unique in the file."""
    url: str
    """https://host:port, as a gateway reaches it. Checked by the advertiser, so that one bad URL \
leaves the others listed."""
    metrics: str | None = None
    """URL of its Prometheus metrics; absent means that its load is unknown."""
    region: str | None = None
    """Where it is; absent: advertise.region."""
    models: list[AiModel] = Field(default_factory=list)
    """AI models that it serves; absent: advertise.models."""
    pod_url: str | None = None
    """Where it answers inside, for advertise.probe pod."""
    state: PodState = PodState.READY
    """draining: it is not listed."""

    @field_validator("pod_url")
    @classmethod
    def _can_be_dialled(cls, pod_url: str | None) -> str | None:
        if pod_url is not None:
            parse_node_url(pod_url)
        return pod_url


class SourceEntry(Source):
    """Nodes in another place; from a file, the list may also ask for a token."""

    token_file: str | None = None
    """File with a bearer token for the list; the list must be https then."""
    ca_file: str | None = None
    """PEM file of the authority that signed the list's certificate; absent: the system's."""

    @model_validator(mode="after")
    def _tokens_are_sent_safely(self) -> SourceEntry:
        if self.token_file is not None and not (self.list_url or "").startswith("https://"):
            raise ValueError(f"source {self.name}: a token is sent over https only")
        return self


class FileAdvertise(Advertise):
    """How gateways learn of the nodes, and of nodes in other places."""

    # A narrower entry in a list that is only read.
    sources: Annotated[list[SourceEntry], Field(max_length=50), Keyed(("name",))] = Field(  # type: ignore[assignment]
        default_factory=list
    )
    """Nodes in other places, merged into the list after our own."""


class NodesFile(Model):
    """`mediafleet advertise --nodes FILE`."""

    advertise: FileAdvertise = FileAdvertise()
    """How gateways learn of the nodes."""
    load: LoadSource = LoadSource.TRANSCODE
    """How a node's load is read from its metrics: transcode (sessions), docker-ai (AI containers \
in use), connections, url or live-runners (as `mediafleet agent` beside the node tells them)."""
    sessions: Sessions = Sessions()
    """How many sessions a node takes, where its metrics do not say."""
    nodes: list[NodeEntry]
    """The nodes."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> NodesFile:
        seen: set[str] = set()
        for node in self.nodes:
            if node.name in seen:
                raise ValueError(f"two nodes have the name {node.name!r}")
            seen.add(node.name)
        return self
