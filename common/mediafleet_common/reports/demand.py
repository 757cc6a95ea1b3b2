"""What desks say of demand and capacity: `GET /demand` on a desk's HTTP port, as JSON.

Autoscaling rests on it, wherever it runs: KEDA's scaler in the desk, an adapter, or the
operator's own engine. Unknown is said as unknown: a fleet whose ledger is not yet rebuilt, or whose
load cannot be read, has `known: false` and the reason, and then no number of it means anything.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from mediafleet_common.api.base import Model
from mediafleet_common.api.names import Kind

SESSION: Final = "session"
"""The one type of work that a node of an OrchestratorPool takes."""


class ModelDemand(Model):
    """One model of an AIWorkerPool."""

    capacity: int
    """Tasks that the pool's Ready pods take at a time."""
    in_use: int
    """Tasks that they have."""
    waiting: int
    """Tasks that wait for a worker, of this pool or any other."""
    missed: int
    """Tasks that no worker had room for in time, since the broker started."""
    other_workers: int
    """Workers that serve it and are no pods of this pool."""


class FleetDemand(Model):
    """Demand and capacity of one fleet or pool at one moment. Types are request types of egress,
    `session`, or the models of an AIWorkerPool; a type that is left out is 0."""

    kind: Kind
    """Which kind of resource."""
    namespace: str
    """Empty for a fleet from a file."""
    name: str
    """Name of the fleet or pool."""
    known: bool
    """Whether the numbers below mean anything."""
    reason: str | None = None
    """Why they do not, in a sentence."""
    at: float
    """Unix time, in seconds, of what is said here."""
    ready: int = 0
    """Pods that take work now."""
    busy: int = 0
    """Pods that have work, and do not drain."""
    away: int = 0
    """Pods of the busy ones that are not Ready any more: their work goes on, as far as anybody
    knows, and they take no more."""
    work: int = 0
    """Jobs or sessions that run or are being started on pods that are not draining."""
    leaving: int = 0
    """Jobs or sessions on draining pods: they ask for no pod, but while there are any the fleet is
    not idle."""
    used: float = 0.0
    """What those jobs take of pods, in CPUs: `size` over how many of a type fit on an empty pod, so
    that limits and memory count too; of one pod at most `size`. For a pool, sessions."""
    size: float | None = None
    """CPUs that jobs may take of one busy pod; for a pool, sessions of one node. Unknown: null, and
    then `free` and `each` mean nothing either."""
    free: dict[str, int] = Field(default_factory=dict)
    """How many more of each accepted type fit on the ready pods now, each type by itself."""
    each: dict[str, int] = Field(default_factory=dict)
    """How many of each accepted type one empty pod takes, each type by itself."""
    queued: dict[str, int] = Field(default_factory=dict)
    """Requests that wait for room, and refused ones whose place is still kept, by type."""
    queued_cost: float = 0.0
    """What those would take of pods, counted like `used`."""
    refused: dict[str, int] = Field(default_factory=dict)
    """Requests that were refused for good for want of room in the last quarter hour, by type. They
    ask for no pod any more; the record of an EgressFleet's forecast counts them."""
    forecast: int | None = None
    """Pods that the operator's forecast wants, as the status of the resource says; for people."""
    own_room: bool = False
    """Whether each type has room of its own, so that pods are for the type that lacks most."""
    workers: int | None = None
    """Pods of an AIWorkerPool whose worker is registered."""
    models: dict[str, ModelDemand] | None = None
    """Of an AIWorkerPool, by pipeline and model."""
    unconfirmed: dict[str, int | None] | None = None
    """By name of each draining pod of an egress fleet: jobs that livekit-server has not yet been
    told the end of, so that the pod has to stay; null where livekit-server does not answer, or the
    desk has not listened for long enough to know. Null as a whole: no pod drains."""


class Demand(Model):
    """All fleets that a desk serves."""

    fleets: list[FleetDemand]
    """In the order of kind, namespace and name."""
    certificate: str | None = None
    """Of the desk's KEDA scaler: when the certificate that it shows became valid, and the beginning
    of its SHA-256, so that a newer one is greater. Null: it has none."""
