"""Parts that both kinds of resource have."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, JsonValue, field_validator

from mediafleet_common.api.base import Keyed, Model, rules
from mediafleet_common.api.durations import Duration
from mediafleet_common.api.names import GROUP
from mediafleet_common.api.scaling.status import AutoscalingStatus

Replicas = Annotated[int, Field(ge=0, le=5000)]


class OnTimeout(StrEnum):
    """What happens to a pod that is still busy when its drain has timed out."""

    WAIT = "wait"
    STOP = "stop"
    KILL = "kill"


class Drain(Model):
    """How a pod leaves: off the list, settle, wait until it is idle, delete."""

    settle: Duration | None = None
    """How long work already on its way may still arrive before an idle reading counts. Default: \
5s for egress; for orchestrators 7m with load transcode, else 11m, since gateways keep nodes they \
know, and 1m with drainProxy."""
    timeout: Duration = "1h"
    """How long a busy pod is waited for before onTimeout applies."""
    on_timeout: OnTimeout = OnTimeout.WAIT
    """What to do after the timeout: wait (go on waiting), stop (delete; the pod has its grace \
period to finish politely), kill (delete with no grace)."""


class Strategy(StrEnum):
    """How pods made from an older template are replaced."""

    SURGE = "surge"
    IN_PLACE = "in_place"


class Update(Model):
    """How pods are replaced when the template changes. A Ready pod is never drained before its \
replacement is Ready (surge)."""

    strategy: Strategy = Strategy.SURGE
    """surge: a replacement in a free slot first. in_place: drain, delete, and the same slot \
again."""
    max_surge: Annotated[int, Field(ge=1, le=100)] = 1
    """How many pods beyond replicas a rollout may make at a time (surge), or how many may be \
away at a time (in_place)."""
    max_failures: Annotated[int, Field(ge=1, le=100)] = 3
    """A rollout stops when so many of its new pods have failed."""


class SecretKey(Model):
    """One key of a Secret in the resource's namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the Secret."""
    key: Annotated[str, Field(min_length=1, max_length=253)]
    """Key in the Secret."""


class ConfigKey(Model):
    """One key of a ConfigMap in the resource's namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253)] = "config.yaml"
    """Key in the ConfigMap."""


_MAX_KEYS: Final = 64
_OURS: Final = f"{GROUP}/"


_Metadata = dict[
    Literal["labels", "annotations"], Annotated[dict[str, str], Field(max_length=_MAX_KEYS)]
]


def _map_of(what: str) -> dict[str, JsonValue]:
    return {
        "type": "object",
        "description": f"{what} to add; our own cannot be replaced, nor any {_OURS} key set.",
        "maxProperties": _MAX_KEYS,
        "additionalProperties": {"type": "string"},
        **rules(
            (f"self.all(key, !key.startsWith('{_OURS}'))", f"{_OURS} keys are not yours to set")
        ),
    }


class Template(Model):
    """What to add to the pods: labels, annotations and any part of a pod spec. Lists of \
containers, volumes, env and ports are merged by name; everything else replaces."""

    model_config = ConfigDict(
        json_schema_extra={
            "properties": {
                "metadata": {
                    "type": "object",
                    "description": "Labels and annotations to add to the pods.",
                    "properties": {
                        "labels": _map_of("Labels"),
                        "annotations": _map_of("Annotations"),
                    },
                },
                "spec": {
                    "type": "object",
                    "description": "Any part of a pod spec. What the schema cannot check here is "
                    "reported by condition TemplateValid.",
                    "x-kubernetes-preserve-unknown-fields": True,
                },
            }
        }
    )

    metadata: _Metadata = Field(default_factory=dict)
    spec: dict[str, Any] = Field(default_factory=dict)

    def with_main_container(self, name: str) -> Template:
        """The same, where the one container without an image has our container's name.

        Whoever comes from a chart of their own calls it otherwise. No pod can be made of a
        container that has no image, so nothing else can be meant.
        """
        containers = self.spec.get("containers")
        if not isinstance(containers, list) or len(containers) != 1:
            return self
        (only,) = containers
        if not isinstance(only, dict) or "image" in only or not isinstance(only.get("name"), str):
            return self
        spec = {**self.spec, "containers": [{**only, "name": name}]}
        return Template(metadata=self.metadata, spec=spec)

    @field_validator("metadata")
    @classmethod
    def _nothing_of_ours(cls, value: _Metadata) -> _Metadata:
        for field, entries in value.items():
            for key in entries:
                if key.startswith(_OURS):
                    raise ValueError(f"{field}: {key} is not yours to set: leave it out")
        return value


class ConditionStatus(Model):
    """One observation of the resource, as metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    """Which condition."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: int | None = None
    """The generation of the resource that this was said of."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When status last changed."""
    reason: Annotated[str, Field(max_length=1024)]
    """One word for programs."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """A sentence for people."""


class PodStatus(Model):
    """One pod of the fleet."""

    name: str
    """Name of the pod."""
    state: str
    """pending, ready or draining."""
    load: int | None = None
    """Jobs or sessions it has; absent while unknown."""
    since: str | None = None
    """Since when it drains."""
    reason: str | None = None
    """Why it drains, or why it is not Ready."""


class DrainResult(StrEnum):
    """How a drain ended."""

    IDLE = "idle"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


class DrainStatus(Model):
    """A drain that has ended."""

    pod: str
    """Name of the pod."""
    reason: str | None = None
    """Why it drained."""
    since: str
    """When it was taken off the list."""
    ended: str
    """When it was deleted, or taken back."""
    result: DrainResult
    """idle: deleted without work. timed_out: deleted at the end of drain.timeout. cancelled: \
taken back."""
    left: int | None = None
    """Jobs or sessions that it still had when it was deleted; absent while unknown, and when it \
was taken back."""


class FleetStatus(Model):
    """What the operator last saw and decided."""

    observed_generation: int | None = None
    """The generation that this status speaks of."""
    replicas: int | None = None
    """Pods that count: draining ones do not, else an autoscaler would write them back."""
    ready_replicas: int | None = None
    """Pods that take work."""
    draining: int | None = None
    """Pods that are leaving."""
    updated_replicas: int | None = None
    """Pods made from the present template."""
    selector: str | None = None
    """Label selector of the pods that count, for autoscalers."""
    autoscaling: AutoscalingStatus | None = None
    """What autoscaling last decided."""
    pods: Annotated[
        list[PodStatus],
        Keyed(("name",)),
    ] = Field(default_factory=list)
    """The pods, at most the first 100 by slot."""
    drains: list[DrainStatus] = Field(default_factory=list)
    """The last ten drains that ended, newest first."""
    conditions: Annotated[
        list[ConditionStatus],
        Keyed(("type",)),
    ] = Field(default_factory=list)
    """Standard conditions."""
