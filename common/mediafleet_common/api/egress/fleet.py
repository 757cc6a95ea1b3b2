"""EgressFleet: a fleet of LiveKit egress (recording) workers."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from mediafleet_common.api.base import Form, Model, Rule, broken
from mediafleet_common.api.durations import seconds
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Placement
from mediafleet_common.api.egress.redis import _REDIS_RULES, RedisSpec
from mediafleet_common.api.names import Container
from mediafleet_common.api.scaling.autoscaling import Autoscaling, WorkType
from mediafleet_common.api.shared import (
    ConfigKey,
    Drain,
    FleetStatus,
    Replicas,
    SecretKey,
    Template,
    Update,
)

DEFAULT_SETTLE_SECONDS: Final = 5.0


DEFAULT_MAX_PRIORITY: Final = 100


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
RoomPattern = Annotated[
    str,
    Field(min_length=1, max_length=256),
    Form(
        r"^[^*]*(\*[^*]*){0,8}$",
        "write the name of a room with at most eight * in it, for example vip-*",
    ),
]


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
    image: Annotated[str, Field(min_length=1, max_length=512)] = "livekit/egress:v1.14.1"
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
