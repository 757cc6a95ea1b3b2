"""EgressFleet: a fleet of LiveKit egress (recording) workers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator

from mediafleet_common.api.autoscaling import Autoscaling, WorkType
from mediafleet_common.api.base import Model, Rule, broken, rules
from mediafleet_common.api.durations import Duration, seconds
from mediafleet_common.api.names import Container
from mediafleet_common.api.shared import (
    ConfigKey,
    Drain,
    FleetStatus,
    Replicas,
    SecretKey,
    Template,
    Update,
)
from mediafleet_common.formats.redis_address import address_problem

DEFAULT_SETTLE_SECONDS: Final = 5.0
DEFAULT_MAX_PRIORITY: Final = 100


class RequestType(StrEnum):
    """What a StartEgress asks for, as LiveKit's costs tell requests apart.

    Source: livekit/egress pkg/stats/monitor.go and pkg/types; a v2 request is the type whose cost
    it has (template as room_composite, web as web, media as participant or track).
    """

    ROOM_COMPOSITE = "room_composite"
    AUDIO_ROOM_COMPOSITE = "audio_room_composite"
    SDK_AUDIO_ROOM_COMPOSITE = "sdk_audio_room_composite"
    """Audio-only, without layout and base URL: no page is rendered."""
    WEB = "web"
    AUDIO_WEB = "audio_web"
    PARTICIPANT = "participant"
    TRACK_COMPOSITE = "track_composite"
    TRACK = "track"

    @property
    def needs_chrome(self) -> bool:
        """Whether a browser renders it, which takes PulseAudio clients too."""
        return self in _CHROME


_CHROME: Final = frozenset(
    {
        RequestType.ROOM_COMPOSITE,
        RequestType.AUDIO_ROOM_COMPOSITE,
        RequestType.WEB,
        RequestType.AUDIO_WEB,
    }
)


class Mode(StrEnum):
    """Which pod gets the next job."""

    PACK = "pack"
    SPREAD = "spread"
    TYPE_AWARE = "type_aware"


class PlacementEngine(StrEnum):
    """Who gives jobs to pods."""

    SCHEDULER = "scheduler"
    NATIVE = "native"


Cost = Annotated[float, Field(gt=0, le=1024)]


class CpuCost(Model):
    """CPUs that a job of each type is counted with; desk and pod are told the same."""

    room_composite: Cost = 4.0
    """Room composite, and v2 template."""
    audio_room_composite: Cost = 1.0
    """Audio-only room composite."""
    sdk_audio_room_composite: Cost | None = None
    """Audio-only room composite without layout and base URL, which runs without Chrome. Default: \
as audioRoomComposite."""
    web: Cost = 4.0
    """Web."""
    audio_web: Cost = 1.0
    """Audio-only web."""
    participant: Cost = 2.0
    """Participant, and v2 media that is transcoded."""
    track_composite: Cost = 1.0
    """Track composite."""
    track: Cost = 0.5
    """Track, and v2 media that is passed through."""

    def of(self, kind: RequestType) -> float:
        """CPUs of one job of a type."""
        cost = getattr(self, kind.value)
        return float(self.audio_room_composite if cost is None else cost)


Gigabytes = Annotated[float, Field(ge=0, le=65536)]


class Memory(Model):
    """Memory that jobs are counted with; desk and pod are told the same. GB are 2^30 bytes."""

    max_gb: Annotated[float, Field(gt=1, le=65536)]
    """GB that the jobs of a pod may use; egress keeps 1 of them free. Below limits.memory, since \
egress kills the largest job above it."""
    cost_gb: Gigabytes = 0.0
    """GB that a new job is counted with for its first 15 s."""
    sdk_audio_cost_gb: Gigabytes | None = None
    """The same for an audio-only room composite that runs without Chrome. Default: as costGb."""

    def of(self, kind: RequestType) -> float:
        """GB of one job of a type."""
        if kind is RequestType.SDK_AUDIO_ROOM_COMPOSITE and self.sdk_audio_cost_gb is not None:
            return self.sdk_audio_cost_gb
        return self.cost_gb


Limit = Annotated[int, Field(ge=0, le=10000)]


class Limits(Model):
    """How many jobs of a type one pod may have at a time; absent: as many as fit."""

    room_composite: Limit | None = None
    """Room composite, and v2 template."""
    audio_room_composite: Limit | None = None
    """Audio-only room composite."""
    sdk_audio_room_composite: Limit | None = None
    """Audio-only room composite that runs without Chrome."""
    web: Limit | None = None
    """Web."""
    audio_web: Limit | None = None
    """Audio-only web."""
    participant: Limit | None = None
    """Participant, and v2 media that is transcoded."""
    track_composite: Limit | None = None
    """Track composite."""
    track: Limit | None = None
    """Track, and v2 media that is passed through."""

    def of(self, kind: RequestType) -> int | None:
        """How many jobs of a type; `None`: as many as fit."""
        limit: int | None = getattr(self, kind.value)
        return limit


class Queue(Model):
    """Waiting for room while pods come."""

    max_wait: Duration | None = None
    """How long a request may wait for room; 0s: it is refused at once. Wait and start together \
end 9 s after it was sent. Default: 5s in a fleet with autoscaling, else 0s."""
    max_length: Annotated[int, Field(ge=1, le=100000)] = 1000
    """How many requests may wait, refused ones whose place is kept included; more are refused at \
once."""


class Use(StrEnum):
    """What is done with learnt costs."""

    NONE = "none"
    OBSERVE = "observe"
    APPLY = "apply"


class LearnedCosts(Model):
    """CPUs that jobs really use, learnt by the desk from the load of the pods."""

    use: Use = Use.OBSERVE
    """none: nothing is learnt. observe: it is shown beside cpuCost. apply: once it is sure, it \
is sent along with each request (estimated_cpu), and decides instead of cpuCost whether a job \
fits."""
    floor: Annotated[float, Field(gt=0, le=1)] = 0.5
    """With apply: at least this share of cpuCost."""
    ceiling: Annotated[float, Field(ge=1, le=4)] = 1.5
    """With apply: at most this multiple of cpuCost."""


class WhenFull(StrEnum):
    """What a client hears of a request for which there is no room."""

    REFUSE = "refuse"
    SILENT = "silent"


class Placement(Model):
    """Which pod gets the next job."""

    engine: PlacementEngine = PlacementEngine.SCHEDULER
    """scheduler: the egress desk. native: upstream's auction among the pods, which then listen \
where livekit-server calls; spread and type_aware need an egress image with affinity_mode. It is \
refused beside a fleet with engine scheduler on the same Redis."""
    mode: Mode = Mode.PACK
    """pack: the fullest pod that fits, idle pods last. spread: the most free CPU. type_aware: \
room composite and web to idle pods, everything else spread clear of their room."""
    cpu: Annotated[float, Field(gt=0, le=1024)] | None = None
    """CPUs of a pod. Default: limits.cpu of container egress; with neither, nothing is placed \
by CPU and condition CpuUnknown says so."""
    cpu_cost: CpuCost = CpuCost()
    """CPUs that a job of each type is counted with."""
    report_lost: bool = False
    """Whether to tell livekit-server of recordings that were lost with their pod: status FAILED, \
the error and the time, unless it knows of an end. Otherwise it goes on taking them for active."""
    learned_costs: LearnedCosts = LearnedCosts()
    """CPUs that jobs really use, learnt from the load of the pods."""
    max_cpu_utilization: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of a pod's CPUs that jobs may take once it is busy (an idle pod may be filled \
wholly, as egress itself does)."""
    memory: Memory | None = None
    """Memory that jobs are counted with. Absent: only what your egress config says is looked at, \
by the pod alone."""
    max_pulse_clients: Annotated[int, Field(ge=1, le=10000)] = 60
    """PulseAudio clients of a pod; a job that needs Chrome is counted with 4 for its first 15 s."""
    limits: Limits = Limits()
    """How many jobs of a type one pod may have at a time."""
    queue: Queue = Queue()
    """Waiting for room while pods come."""
    when_full: WhenFull = WhenFull.REFUSE
    """refuse: the client is told why. silent: no bid, so that egress workers outside of fleets on \
the same Redis take it. While such workers are seen, every fleet is silent."""

    def egress_costs(self) -> dict[str, float]:
        """The same as keys of `cpu_cost` in an egress config (livekit/egress
        pkg/config/service.go), which is what the pods count with."""
        costs = {f"{kind.value}_cpu_cost": self.cpu_cost.of(kind) for kind in RequestType}
        if self.memory is not None:
            costs |= {
                "max_memory": self.memory.max_gb,
                "memory_cost": self.memory.cost_gb,
                "sdk_audio_room_composite_memory_cost": self.memory.of(
                    RequestType.SDK_AUDIO_ROOM_COMPOSITE
                ),
            }
        return {
            **costs,
            "max_cpu_utilization": self.max_cpu_utilization,
            "max_pulse_clients": self.max_pulse_clients,
        }

    def counting_by(self, costs: Mapping[str, float]) -> Placement:
        """The same with the costs and limits of an egress config's `cpu_cost`, as egress reads it:
        what is absent, or not above 0, is the default (livekit/egress pkg/config/service.go).

        Raises:
            ValueError: no pod can be given work by such costs.
        """
        given = {name: value for name, value in costs.items() if value > 0}
        cpu = {kind.value: f"{kind.value}_cpu_cost" for kind in RequestType}
        memory = {
            "max_gb": "max_memory",
            "cost_gb": "memory_cost",
            "sdk_audio_cost_gb": "sdk_audio_room_composite_memory_cost",
        }
        limits = {key: given[key] for key in _PARTS & given.keys()}
        told = Placement.model_validate(
            {
                **limits,
                "cpu_cost": _named(cpu, given),
                "memory": _named(memory, given) if "max_memory" in given else None,
            }
        )
        return self.model_copy(update={name: getattr(told, name) for name in _COUNTED})


_PARTS: Final = frozenset({"max_cpu_utilization", "max_pulse_clients"})
_COUNTED: Final = ("cpu_cost", "memory", *sorted(_PARTS))
"""The fields of a placement that a pod counts by."""


def _named(names: Mapping[str, str], given: Mapping[str, float]) -> dict[str, float]:
    return {name: given[key] for name, key in names.items() if key in given}


_PORT: Final = (
    "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
)
# What can be printed in ASCII, without slash, colon and @; a bracket opens an IPv6 address.
_HOST: Final = "[!-.0-9;-?A-Z^-~][!-.0-9;-?A-~]*"
REDIS_ADDRESS_PATTERN: Final = rf"^(\[[0-9a-fA-F:.]+\]|{_HOST})(:{_PORT})?$"
_IN_CEL: Final = REDIS_ADDRESS_PATTERN.replace("\\", "\\\\")
_IS_IPV6: Final = "!self.startsWith('[') || isIP(self.substring(1, self.indexOf(']')))"


def _checked_address(address: str) -> str:
    problem = address_problem(address, "redis.tls")
    if problem is None and not re.fullmatch(REDIS_ADDRESS_PATTERN, address):
        problem = "write host:port"
    if problem is not None:
        raise ValueError(problem)
    return address


RedisAddress = Annotated[
    str,
    AfterValidator(_checked_address),
    Field(
        max_length=300,
        json_schema_extra=rules(
            (
                f"self.matches('{_IN_CEL}') && ({_IS_IPV6})",
                (
                    "write host:port, without rediss:// (redis.tls: true says that) and without a "
                    "password, and an IPv6 address in brackets: [2001:db8::1]:6379"
                ),
            )
        ),
    ),
]
"""host:port of a Redis."""


RedisName = Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
"""Name of a declared Redis."""


class RedisSentinel(Model):
    """Redis found through sentinels."""

    master_name: str
    """Name of the master."""
    addresses: Annotated[list[RedisAddress], Field(min_length=1, max_length=32)]
    """host:port of each sentinel."""
    username: str | None = None
    """ACL user of the sentinels themselves."""
    password_secret: SecretKey | None = None
    """Where the sentinels' own password lies, for the pods."""


class RedisCluster(Model):
    """A Redis cluster."""

    addresses: Annotated[list[RedisAddress], Field(min_length=1, max_length=256)]
    """host:port of some nodes."""


_NO_PASSWORD: Final = "a password stands in a Secret: put it there and name it in passwordSecret"


def _refused_password(value: object) -> object:
    if value is not None:
        raise ValueError(_NO_PASSWORD)
    return value


_REDIS_RULES: Final = (
    Rule(
        (
            "[has(self.ref), has(self.address), has(self.sentinel), has(self.cluster)]"
            ".filter(x, x).size() <= 1"
        ),
        ("redis takes one of ref, address, sentinel and cluster, not several"),
        lambda self: (
            sum(x is not None for x in (self.ref, self.address, self.sentinel, self.cluster)) <= 1
        ),
    ),
    Rule(
        (
            "has(self.address) || has(self.sentinel) || has(self.cluster) || "
            "!(has(self.username) || (has(self.db) && self.db != 0) || "
            "(has(self.tls) && self.tls))"
        ),
        (
            "username, db and tls of a declared Redis stand in chart value "
            "egress.redis[]: leave them out, or write an address, sentinel or cluster"
        ),
        lambda self: self.is_written_out or not (self.username is not None or self.db or self.tls),
    ),
    Rule(
        ("!has(self.password)"),
        (_NO_PASSWORD),
        lambda self: self.password is None,
    ),
)
"""Of `spec.redis` as it was written: with a name, the operator adds what is declared."""


class RedisSpec(Model):
    """The Redis that livekit-server uses: one that the administrator declares, by its name, or \
written out here. Absent: the declared one that is the default."""

    model_config = ConfigDict(
        json_schema_extra=rules(*((each.cel, each.message) for each in _REDIS_RULES))
    )

    ref: RedisName | None = None
    """Name of a Redis that chart value egress.redis[] declares for this namespace."""
    address: RedisAddress | None = None
    """host:port. Written out here, the desk has no password for it, and it is dialled only where \
chart value egress.allowUndeclaredRedis says so; so are sentinel and cluster."""
    username: str | None = None
    """ACL user."""
    password: Annotated[str | None, BeforeValidator(_refused_password)] = None
    """Refused: a password stands in a Secret, which passwordSecret names."""
    password_secret: SecretKey | None = None
    """Where the password lies, for the pods; the desk has its own by chart value egress.redis[]."""
    ca_secret: SecretKey | None = None
    """Where the certificate of an authority of your own lies, for the pods."""
    db: Annotated[int, Field(ge=0, le=1024)] = 0
    """Number of the database."""
    tls: bool = False
    """Whether to speak TLS, also to sentinels."""
    sentinel: RedisSentinel | None = None
    """Found through sentinels instead of by address."""
    cluster: RedisCluster | None = None
    """A cluster instead of an address."""

    def same_server(self, other: RedisSpec) -> bool:
        """Whether both name the same server, by the name it is declared under, else as far as
        their words tell; pub/sub knows no databases."""
        if self.ref is not None and other.ref is not None:
            return self.ref == other.ref
        return self._where() == other._where()

    @property
    def is_written_out(self) -> bool:
        """Whether it says itself where the server is."""
        found = self.address or self.sentinel or self.cluster
        return self.ref is None and found is not None

    def _where(self) -> tuple[object, ...]:
        sentinel = self.sentinel
        of_sentinel = (sentinel.master_name, *sorted(sentinel.addresses)) if sentinel else ()
        of_cluster = tuple(sorted(self.cluster.addresses)) if self.cluster else ()
        return (self.address, of_sentinel, of_cluster)


class EgressConfig(Model):
    """Where the user's egress config lies: it is merged with what mediafleet sets, in the pod."""

    RULES = (
        Rule(
            ("has(self.secret) != has(self.configMap)"),
            ("egressConfig takes either a secret or a configMap"),
            lambda self: (self.secret is None) != (self.config_map is None),
        ),
    )

    secret: SecretKey | None = None
    """A key of a Secret; use this when the config holds storage keys."""
    config_map: ConfigKey | None = None
    """A key of a ConfigMap."""


# At most eight stars: more say nothing that fewer do not, and each placement goes through them.
RoomPattern = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^*]*(\*[^*]*){0,8}$")]


class EgressFleetSpec(Model):
    """What is wanted."""

    RULES = (
        Rule(
            (
                "!has(self.autoscaling) || !has(self.autoscaling.buffer) "
                "|| !has(self.autoscaling.buffer.type) || !has(self.accepts) "
                "|| size(self.accepts) == 0 || self.autoscaling.buffer.type in self.accepts"
            ),
            ("autoscaling.buffer.type must be one of accepts, or left out"),
            lambda self: (
                self.autoscaling is None
                or self.autoscaling.buffer.type is None
                or not self.accepts
                or self.autoscaling.buffer.type.value in self.accepts
            ),
        ),
        Rule(
            (
                "!has(self.autoscaling) || !has(self.autoscaling.buffer) "
                "|| !has(self.autoscaling.buffer.type) "
                "|| self.autoscaling.buffer.type != 'session'"
            ),
            ("autoscaling.buffer.type session is for an OrchestratorPool; name a request type"),
            lambda self: (
                self.autoscaling is None or self.autoscaling.buffer.type is not WorkType.SESSION
            ),
        ),
    )

    replicas: Replicas | None = None
    """How many pods. Absent, it is set to max(1, autoscaling.min) once; autoscalers and kubectl \
scale write it."""
    paused: bool = False
    """Leaves all pods as they are; placing goes on."""
    image: Annotated[str, Field(min_length=1, max_length=512)] = "livekit/egress:v1.12.0"
    """Image of the egress worker."""
    redis: RedisSpec = RedisSpec()
    """The Redis that livekit-server uses."""
    egress_config: EgressConfig | None = None
    """The user's egress config (api_key, api_secret, ws_url, storage)."""
    placement: Placement = Placement()
    """Which pod gets the next job."""
    accepts: Annotated[list[RequestType], Field(max_length=8)] = Field(default_factory=list)
    """Request types that this fleet takes; empty means all."""
    rooms: Annotated[list[RoomPattern], Field(max_length=100)] = Field(default_factory=list)
    """Names of rooms that this fleet takes, with * for any text: vip-*. With ! before it, names \
that it does not take: !vip-*. Empty means all; a request without a room is taken by fleets that \
name none to take."""
    priority: Annotated[int, Field(ge=-1000000, le=1000000)] = 0
    """Of several fleets on one Redis that take a request, the highest is tried first, then by \
name; a full one leaves it to the next. It counts up to chart value egress.maxPriority."""
    template: Template = Template()
    """What to add to the pods."""
    drain: Drain = Drain()
    """How a pod leaves."""
    update: Update = Update()
    """How pods are replaced when the template changes."""
    autoscaling: Autoscaling | None = None
    """Who writes replicas, and by what. Absent: nobody but you."""

    @field_validator("redis")
    @classmethod
    def _one_redis_is_meant(cls, redis: RedisSpec) -> RedisSpec:
        broken(redis, _REDIS_RULES)
        return redis

    @field_validator("template")
    @classmethod
    def _one_container_is_ours(cls, template: Template) -> Template:
        return template.with_main_container(Container.EGRESS)

    @property
    def settle_seconds(self) -> float:
        """Seconds between unlisting a pod and the first idle reading that counts."""
        return seconds(self.drain.settle) if self.drain.settle else DEFAULT_SETTLE_SECONDS


class EgressFleetStatus(FleetStatus):
    """What the operator last saw and decided."""

    mode: str | None = None
    """The placement mode in force."""
    jobs: int | None = None
    """Jobs on all pods; absent while the load of a pod is unknown."""


class EgressFleet(Model):
    """A fleet of LiveKit egress (recording) workers: the operator keeps the pods and drains them \
safely, the egress desk places each StartEgress."""

    kind: Literal["EgressFleet"] = "EgressFleet"
    spec: EgressFleetSpec
    """What is wanted."""
    status: EgressFleetStatus | None = None
    """What the operator last saw and decided."""
