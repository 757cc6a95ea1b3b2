"""Names that parts built side by side must share: labels, annotations, conditions, ports.

Each stands here once. Changing one changes a contract with running clusters.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

GROUP: Final = "mediafleet.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "mediafleet"
FIELD_MANAGER: Final = "mediafleet"


class Kind(StrEnum):
    """The kinds of resource, as they are written in manifests."""

    EGRESS_FLEET = "EgressFleet"
    ORCHESTRATOR_POOL = "OrchestratorPool"
    AI_WORKER_POOL = "AIWorkerPool"
    COMMUNITY_METRICS = "CommunityMetrics"
    """Has no pods of its own; the others are fleets."""


PLURALS: Final = {
    Kind.EGRESS_FLEET: "egressfleets",
    Kind.ORCHESTRATOR_POOL: "orchestratorpools",
    Kind.AI_WORKER_POOL: "aiworkerpools",
    Kind.COMMUNITY_METRICS: "communitymetrics",
}
SHORT_NAMES: Final = {
    Kind.EGRESS_FLEET: "efleet",
    Kind.ORCHESTRATOR_POOL: "opool",
    Kind.AI_WORKER_POOL: "awpool",
    Kind.COMMUNITY_METRICS: "cmetrics",
}


class Label(StrEnum):
    """Labels on pods of a fleet."""

    KIND = f"{GROUP}/kind"
    """Which kind of resource owns the pod: a value of `KindLabel`."""
    FLEET = f"{GROUP}/fleet"
    SLOT = f"{GROUP}/slot"
    TEMPLATE = f"{GROUP}/template"
    """Hash of what the pod was made from; a pod with another hash is replaced."""
    STATE = f"{GROUP}/state"
    """A value of `PodState`: what the operator wants desks to do with the pod."""
    BUSY = f"{GROUP}/busy"
    """`"true"` while the pod has work, or may have: a disruption budget holds on to such pods."""

    NAME = "app.kubernetes.io/name"
    INSTANCE = "app.kubernetes.io/instance"
    COMPONENT = "app.kubernetes.io/component"
    PART_OF = "app.kubernetes.io/part-of"
    MANAGED_BY = "app.kubernetes.io/managed-by"


class KindLabel(StrEnum):
    """Values of `Label.KIND` (label values cannot say it in CamelCase by convention)."""

    EGRESS = "egress"
    ORCHESTRATOR = "orchestrator"
    AI_WORKER = "ai-worker"


KIND_LABELS: Final = {
    Kind.EGRESS_FLEET: KindLabel.EGRESS,
    Kind.ORCHESTRATOR_POOL: KindLabel.ORCHESTRATOR,
    Kind.AI_WORKER_POOL: KindLabel.AI_WORKER,
}
FLEET_KINDS: Final = tuple(KIND_LABELS)
"""The kinds that have pods in slots."""


KEDA_PAUSE: Final = "autoscaling.keda.sh/paused"
"""How all annotations begin by which people pause KEDA: paused, paused-replicas, paused-scale-in,
paused-scale-out. Source: kedacore/keda apis/keda/v1alpha1/scaledobject_types.go."""


class Annotation(StrEnum):
    """Annotations on pods of a fleet."""

    ADDRESS = f"{GROUP}/address"
    """URL under which a gateway reaches the node."""
    SERVICE_ADDR = f"{GROUP}/service-addr"
    """The same as go-livepeer's -serviceAddr wants it, for nodes that learn it when scheduled."""
    NODES = f"{GROUP}/nodes"
    """On a managed head's Deployment: the list of nodes that it last received, by comma."""
    NODES_TOLD = f"{GROUP}/nodes-told"
    """On a managed head's Deployment, RFC 3339: when that was."""
    DRAIN_STARTED = f"{GROUP}/drain-started"
    """RFC 3339 with milliseconds, UTC: when the pod was marked draining."""
    DRAIN_REASON = f"{GROUP}/drain-reason"
    """Why it drains: a value of `DrainReason`."""
    REFUSE_FROM = f"{GROUP}/refuse-from"
    """RFC 3339 with milliseconds, UTC: from when the drain proxy of a node refuses new work."""
    BUSY_AT = f"{GROUP}/busy-at"
    """RFC 3339 with milliseconds, UTC: when the pod was last seen to have work."""
    BEFORE_BREAK_GLASS = f"{GROUP}/before-break-glass"
    """On an EgressFleet: JSON of its `spec.update` before `mediafleet break-glass`."""
    WORK_WHEN_READY = f"{GROUP}/work-when-ready"
    """`"true"`: desks give the pod work once it is Ready, though its state still is pending; the
    operator that made it drains it from then on."""
    AI_MODELS = f"{GROUP}/ai-models"
    """JSON: the `-aiModels` of a stock AI worker, which sees it as a file."""
    CONFIG_HASH = f"{GROUP}/config-hash"
    """On a reporter's pod: changes with the files that it reads when it starts."""
    CORDONED = f"{GROUP}/cordoned"
    """`"true"`: a person wants no new work on this pod; it is drained and replaced."""


SERVING_GATE: Final = f"{GROUP}/serving"
"""Readiness gate of pods behind a Service of their own: false shuts it to new connections."""


class PodState(StrEnum):
    """What a pod is to its fleet."""

    PENDING = "pending"
    READY = "ready"
    DRAINING = "draining"


class DrainReason(StrEnum):
    """Why a pod is leaving."""

    SCALE_DOWN = "scale_down"
    TEMPLATE = "template"
    CORDONED = "cordoned"
    NODE = "node"
    """Its Kubernetes node is cordoned, or has notice that it ends."""
    ADDRESS = "address"
    """Its address has changed, and a node learns its own only when it starts."""
    DISABLED = "disabled"
    """It takes no work by its own word, and is idle for so long that it ought to have ended."""


class Condition(StrEnum):
    """Types of `status.conditions`."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    DRAINING = "Draining"
    PAUSED = "Paused"
    SCALING_ACTIVE = "ScalingActive"
    ADDRESS_READY = "AddressReady"
    ADDRESS_VERIFIED = "AddressVerified"
    """Said by the advertiser, as are the next three: nodes answer under their own addresses."""
    NODES_LISTED = "NodesListed"
    SOURCES_READY = "SourcesReady"
    HEAD_READY = "HeadReady"
    CPU_UNKNOWN = "CpuUnknown"
    GRACE_SHORT = "GraceShort"
    COSTS_DIFFER = "CostsDiffer"
    TEMPLATE_VALID = "TemplateValid"
    MODE_UNSUPPORTED = "ModeUnsupported"
    REDIS_NOT_ALLOWED = "RedisNotAllowed"


class Reason(StrEnum):
    """Reasons of conditions and Events: one enum, so that an alert can rely on the words."""

    AS_WANTED = "AsWanted"
    SCALING_UP = "ScalingUp"
    ROLLING_OUT = "RollingOut"
    ROLLOUT_STOPPED = "RolloutStopped"
    WAITING_FOR_PODS = "WaitingForPods"
    WAITING_FOR_IDLE = "WaitingForIdle"
    WAITING_FOR_LIVEKIT = "WaitingForLivekit"
    """Pods are idle, and livekit-server has not yet taken the ends of their jobs."""
    LOAD_UNKNOWN = "LoadUnknown"
    PAUSED = "Paused"
    NOT_PAUSED = "NotPaused"
    NO_PODS_DRAIN = "NoPodsDrain"
    COUNTED_OTHERWISE = "CountedOtherwise"
    """Pods count jobs with other costs than the desk."""
    POD_FAILED = "PodFailed"
    POD_EVICTED = "PodEvicted"
    POD_LOST = "PodLost"
    IMAGE_PULL = "ImagePull"
    CONTAINER_CONFIG = "ContainerConfig"
    """A container cannot be made: a Secret, ConfigMap or key that it names is missing."""
    CRASH_LOOP = "CrashLoop"
    CONTAINER_RESTARTED = "ContainerRestarted"
    NODE_ENDED = "NodeEnded"
    """A go-livepeer node or stock AI worker ended with 0 while its pod was not Ready, as it does
    when a runner is away."""
    POD_DISABLED = "PodDisabled"
    """An egress pod takes nothing more, by its own word: it had an internal error."""
    UNSCHEDULABLE = "Unschedulable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    ADMISSION_REFUSED = "AdmissionRefused"
    TEMPLATE_INVALID = "TemplateInvalid"
    TEMPLATE_OK = "TemplateOk"
    GRACE_BELOW_DRAIN_TIMEOUT = "GraceBelowDrainTimeout"
    """Kubernetes ends a pod that is deleted before the fleet would."""
    MODE_KNOWN = "ModeKnown"
    MODE_IGNORED = "ModeIgnored"
    """With engine native: the egress build does not know `affinity_mode`."""
    ENGINE_CONFLICT = "EngineConflict"
    """An auction and a desk on one Redis would both take jobs."""
    REDIS_NOT_DECLARED = "RedisNotDeclared"
    REDIS_OF_OTHERS = "RedisOfOthers"
    REDIS_ALLOWED = "RedisAllowed"
    """The administrator has not declared the fleet's Redis for its namespace."""
    CPU_DECLARED = "CpuDeclared"
    CPU_NOT_DECLARED = "CpuNotDeclared"
    ADDRESS_KNOWN = "AddressKnown"
    ADDRESS_UNKNOWN = "AddressUnknown"
    ADDRESS_REFUSED = "AddressRefused"
    ADDRESS_ANSWERS = "AddressAnswers"
    ADDRESS_UNVERIFIED = "AddressUnverified"
    ALL_LISTED = "AllListed"
    NODES_LEFT_OUT = "NodesLeftOut"
    SOURCES_READ = "SourcesRead"
    SOURCE_AWAY = "SourceAway"
    SOURCE_DROPPED = "SourceDropped"
    HEAD_ANSWERS = "HeadAnswers"
    HEAD_AWAY = "HeadAway"
    HEAD_IS_ADVERTISER = "HeadIsAdvertiser"
    NOT_USED = "NotUsed"
    """It is one that gateways cannot reach."""
    HOST_PORT_REFUSED = "HostPortRefused"
    """The namespace's Pod Security level refuses host ports."""
    SCALED_UP = "ScaledUp"
    SCALED_DOWN = "ScaledDown"
    PART_REFUSED = "PartRefused"
    """The API server refuses what the fleet has beside its pods: a Service, a claim, …"""
    CHILD_NOT_OURS = "ChildNotOurs"
    """Somebody else made an object of the name that one of the fleet's has."""
    CLI_EXPOSED = "CliExposed"
    """A node's CLI port, which moves money, listens on more than loopback."""
    WORK_UNCOUNTED = "WorkUncounted"
    """Nodes do AI jobs, which load transcode does not count."""
    DRAIN_STARTED = "DrainStarted"
    DRAIN_CANCELLED = "DrainCancelled"
    DRAIN_FINISHED = "DrainFinished"
    DRAIN_TIMED_OUT = "DrainTimedOut"
    JOBS_LOST = "JobsLost"
    """A pod is gone with what it was recording."""
    AUTOSCALING = "Autoscaling"
    DEMAND_UNKNOWN = "DemandUnknown"
    DESK_UNREACHABLE = "DeskUnreachable"
    SCHEDULE_INVALID = "ScheduleInvalid"
    KEDA_MISSING = "KedaMissing"
    SCALER_NOT_READY = "ScalerNotReady"
    """KEDA or the HPA says that it cannot scale."""
    SHARED = "Shared"
    """What a CommunityMetrics asks for is shared."""
    PARTLY_SHARED = "PartlyShared"
    LEFT = "Left"
    REPORTER_AWAY = "ReporterAway"
    SENDER_MISSING = "SenderMissing"
    """The chart names no image of the program that sends."""
    SCALER_NOT_OURS = "ScalerNotOurs"
    """Somebody else made a ScaledObject or HPA of the name that ours has."""


class Container(StrEnum):
    """Containers of a fleet's pods."""

    EGRESS = "egress"
    NODE = "node"
    WORKER = "worker"
    """Registers at a broker of AI tasks, and takes them to the runners beside it."""
    STOCK_WORKER = "stock-worker"
    """A stock `livepeer -aiWorker`, which takes them to the runners in its place."""
    CONFIG = "config"
    AGENT = "agent"
    ADDRESS = "address"
    """Waits until the node's address is known."""
    DRAIN_PROXY = "drain-proxy"
    """Stands before the node's port and refuses new work while the node drains."""
    PROXY_CONFIG = "proxy-config"
    """Writes the configuration of that one."""


class Port:
    """Default TCP ports."""

    DESK_HTTP: Final = 8080
    """Health, metrics, `/orchestrators`."""
    ORCHESTRATOR: Final = 8935
    SCALER: Final = 9090
    EGRESS_METRICS: Final = 9091
    EGRESS_HEALTH: Final = 9092
    NODE_CLI: Final = 7935
    """go-livepeer's CLI server: loopback only, it moves money."""
    AGENT: Final = 7936
    SENDER: Final = 8429
    """Of who sends what a reporter shares: loopback only."""
    BEHIND_PROXY: Final = 7938
    """Where a node listens, on loopback, that has a drain proxy."""
    STOCK_WORKER: Final = 7940
    """Where a stock AI worker registers at ours in the same pod, on loopback."""
    DOCKER: Final = 7941
    """Where its Docker client is answered, on loopback."""


def cluster_id(namespace: str, pod: str, uid: str) -> str:
    """The psrpc topic of an egress pod.

    Holds the uid because namespaces, clusters and a pod's earlier self may share one Redis.
    """
    return f"{namespace}.{pod}.{uid[:8]}"
