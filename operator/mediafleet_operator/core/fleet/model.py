"""What the fleet engine decides from: a fleet, its pods, what they say of their load, the time.

Every time is Unix time in seconds. Unknown is `None`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mediafleet_common.api.names import DrainReason, Kind, PodState, Reason
from mediafleet_common.api.shared import OnTimeout, Strategy
from mediafleet_common.reports.demand import FleetDemand
from mediafleet_common.reports.merged_config import UPDATE_SECONDS, MergedConfig, update_seconds
from mediafleet_operator.core.autoscaling.model import Scaling

LOAD_VALID_SECONDS: Final = 60.0
"""A reading older than this says nothing of now: three of the slow probes may fail."""


@dataclass(frozen=True, slots=True, order=True)
class FleetKey:
    """Which fleet: what the work queue holds."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """What is wanted of a fleet, whichever its kind."""

    key: FleetKey
    uid: str
    generation: int
    replicas: int | None
    """`None`: the resource does not say; it gets one."""
    template_hash: str
    settle_seconds: float
    drain_timeout_seconds: float
    on_timeout: OnTimeout = OnTimeout.WAIT
    paused: bool = False
    deleting: bool = False
    template_problem: str | None = None
    """Why no pod can be made from the template; `None` when one can."""
    native: bool = False
    """Whether it does without a desk."""
    engine_conflict: str | None = None
    """Why no pod may be made beside other fleets; `None` when one may."""
    redis_problem: str | None = None
    """Why it may not use its Redis, so that no pod is made; `None` when it may."""
    strategy: Strategy = Strategy.SURGE
    max_surge: int = 1
    max_failures: int = 3
    slots_own_things: bool = False
    """A slot has a volume or a Service of its own, so its pods are replaced in place."""
    first_replicas: int = 1
    """What an absent number of replicas is set to, once."""
    last_to_leave: int | None = None
    """The slot whose pod does what one pod of the fleet must do; `None`: all are alike."""
    cpu_declared: bool | None = None
    """Whether it is known how many CPUs a pod has; `None` where it does not matter."""
    cpu_requested: float | None = None
    """Cores that the template requests for the work; `None` where work is not done by the CPU."""
    grace_seconds: float | None = None
    """How long Kubernetes lets a deleted pod go on, where the template says so."""
    costs: Mapping[str, float] | None = field(default=None, hash=False)
    """What the desk counts jobs with, by the keys of an egress config; `None`: no desk counts."""

    @property
    def unmakeable(self) -> str | None:
        """Why no pod is made; `None` when pods are."""
        return self.redis_problem or self.template_problem or self.engine_conflict

    @property
    def in_place(self) -> bool:
        """Whether a slot waits for its pod to go before it gets the next one."""
        return self.slots_own_things or self.strategy is Strategy.IN_PLACE


@dataclass(frozen=True, slots=True)
class AddressProblem:
    """Why a pod cannot be listed for gateways."""

    reason: Reason
    """ADDRESS_UNKNOWN, or ADDRESS_REFUSED: then an address that it has is taken away."""
    message: str
    """Begins in lower case: it follows others in a sentence."""


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod that has the fleet's labels, facts digested at the edge."""

    name: str
    uid: str
    resource_version: str
    slot: int
    template: str
    state: PodState
    """Its label, or ready while that is late. Pending means that it has never been Ready, so that
    no desk has ever given it work; an unreadable label is taken for ready, since that promises
    nothing."""
    created_at: float
    unmarked: bool = False
    """Whether it is ready, or has been, and its label does not say so yet."""
    ready: bool = False
    """Whether its condition Ready is true now."""
    ours: bool = True
    """Whether the fleet owns it; another one's pod only takes up its slot."""
    deleting: bool = False
    over: Reason | None = None
    """Why it has ended for good (Failed, Evicted, Succeeded)."""
    trouble: Reason | None = None
    """What keeps a container of it from running."""
    restarts: int = 0
    """How often kubelet has started a container of it anew."""
    last_end: str = ""
    """How the last of those had ended, for people."""
    complaint: str = ""
    """What kubelet or scheduler say about it, for people."""
    unschedulable_since: float | None = None
    node_lost_since: float | None = None
    """Since when its node has not been heard of."""
    node_empties: bool = False
    """Whether its node takes no more pods (cordoned), or has notice that it ends."""
    cordoned: bool = False
    """A person has marked it as unwanted."""
    drain_started: float | None = None
    drain_reason: DrainReason | None = None
    node: str | None = None
    """Name of its Kubernetes node."""
    ip: str | None = None
    host_ip: str | None = None
    """Of its Kubernetes node, as kubelet says."""
    work_running: bool | None = None
    """Whether the process that has the jobs exists; `None` while unknown."""
    busy_label: bool = False
    address: str | None = None
    """Its annotation."""
    address_wanted: str | None = None
    """What its annotation ought to say; `None` while not known, or never."""
    address_problem: AddressProblem | None = None
    service_addr: str | None = None
    """Its annotation: the address that its node was started with, if it had to wait for one."""
    moved: bool = False
    """Whether its address is another one than its node was started with."""
    gate_open: bool | None = None
    """Whether its readiness gate lets new connections in; `None`: it has no gate."""
    gate_shut_at: float | None = None
    busy_at: float | None = None
    """Its annotation: when it was last seen to have work."""
    config: MergedConfig | None = None
    """What its init container tells of its egress config; `None`: nothing."""
    proxied: bool = False
    """Whether a drain proxy stands before it, which refuses new work when it is told to."""
    refuse_from: float | None = None
    """Its annotation: from when that is told to refuse."""

    @property
    def serving(self) -> bool:
        """Whether desks may give it work now."""
        return self.ready and self.state is PodState.READY


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer, or none, of a pod that was asked for its load."""

    began_at: float
    """When the question was sent, so that no older state can hide behind a slow answer."""
    jobs: int | None
    capacity: int | None = None
    """Jobs that it takes at most, as it says itself."""
    cli_exposed: bool | None = None
    """Whether its port that moves money can be reached from elsewhere."""
    disabled: bool | None = None
    """Whether it takes no work by its own word, though nobody told it to end."""
    disabled_idle_since: float | None = None
    """Since when it has been so without a break, and idle."""
    finished: int | None = None
    """Jobs that have ended there since it started."""
    busy_at: float | None = None
    """The last reading that showed work, or work done since the one before."""
    in_flight: int | None = None
    """Requests that its drain proxy waits for."""
    refusing: bool | None = None
    """Whether that proxy refuses new work."""
    uncounted: bool = False
    """Whether it does work that the pool's load does not count."""

    @property
    def worked(self) -> bool:
        """Whether it ever had a job, as far as is known."""
        return bool(self.jobs or self.finished or self.busy_at)


History = tuple[Reading, ...]
"""The newest readings of one pod, oldest first."""


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """What a desk says of draining pods."""

    at: float
    """Unix time, by the desk's clock."""
    jobs: Mapping[str, int | None]
    """By name of the pod: jobs whose end livekit-server has not been told; `None`: it does not
    answer."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server would not have a pod."""

    reason: Reason
    message: str
    attempts: int
    at: float


@dataclass(frozen=True, slots=True)
class Unmade:
    """Why something that a fleet has beside its pods could not be made."""

    reason: Reason
    """PART_REFUSED or CHILD_NOT_OURS."""
    why: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered between two plans. Losing it costs a try, never a pod."""

    refusal: Refusal | None = None
    taken: Mapping[int, float] = field(default_factory=dict)
    """Slots whose name a pod has that is not ours, and until when not to try again."""
    unmade: Unmade | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """All that one plan is made from."""

    fleet: FleetSpec
    pods: tuple[PodView, ...]
    loads: Mapping[str, History]
    """By uid."""
    now: float
    memory: Memory = Memory()
    scaling: Scaling | None = None
    """The state of autoscaling; `None`: the fleet is not scaled automatically."""
    unconfirmed: Unconfirmed | None = None
    """`None`: no desk says."""
    broker: FleetDemand | None = None
    """What the broker tells of an AIWorkerPool; `None`: nothing that counts now."""
    io_update_timeout: float | None = None
    """How long a pod tries once to deliver an end, in seconds; `None`: as each pod tells."""

    def jobs(self, pod: PodView) -> int | None:
        """Jobs of a pod as far as is known now.

        A container that does not run has none, whatever was read before.
        """
        if pod.work_running is False:
            return 0
        reading = self.latest(pod)
        return reading.jobs if reading else None

    def update_lasts(self, pod: PodView) -> float:
        """How long the end of a pod's job may take to reach livekit-server, in seconds."""
        timeout = self.io_update_timeout
        if timeout is None and pod.config is not None:
            timeout = pod.config.io_update_seconds
        return UPDATE_SECONDS if timeout is None else update_seconds(timeout)

    def disabled(self, pod: PodView) -> bool:
        """Whether a pod is known to take no work by its own word."""
        latest = self.latest(pod)
        return latest is not None and latest.disabled is True

    def latest(self, pod: PodView) -> Reading | None:
        """The last answer of a pod, unless it is too old to say anything of now."""
        history = self.loads.get(pod.uid, ())
        if not history or self.now - history[-1].began_at > LOAD_VALID_SECONDS:
            return None
        return history[-1]
