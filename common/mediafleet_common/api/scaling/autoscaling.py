"""`spec.autoscaling` of a fleet or pool: who writes `spec.replicas`, and by what.

No block means none. A block without an engine means `builtin`, which needs nothing installed.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from mediafleet_common.api.base import Form, Model, Rule
from mediafleet_common.api.durations import Duration
from mediafleet_common.api.scaling.schedule import MAX_PODS, Window


class Engine(StrEnum):
    """Who writes `spec.replicas`."""

    NONE = "none"
    BUILTIN = "builtin"
    KEDA = "keda"
    HPA = "hpa"


class Metric(StrEnum):
    """The metric by which KEDA computes how many pods are wanted."""

    UTILIZATION = "utilization"
    SLOTS = "slots"
    SESSIONS = "sessions"
    QUEUE = "queue"


class WorkType(StrEnum):
    """What a buffer is counted in: a request type of egress, or `session` for a pool."""

    ROOM_COMPOSITE = "room_composite"
    AUDIO_ROOM_COMPOSITE = "audio_room_composite"
    SDK_AUDIO_ROOM_COMPOSITE = "sdk_audio_room_composite"
    WEB = "web"
    AUDIO_WEB = "audio_web"
    PARTICIPANT = "participant"
    TRACK_COMPOSITE = "track_composite"
    TRACK = "track"
    SESSION = "session"


class Buffer(Model):
    """Room that is kept free for work to come: slots or percent, whichever is more."""

    slots: Annotated[int, Field(ge=0, le=100000)] = 1
    """Room for so many more jobs of the type."""
    percent: Annotated[int, Field(ge=0, le=500)] = 0
    """Room for so many percent of the jobs that there are; for engines builtin and hpa."""
    type: WorkType | None = None
    """What a job is here. Default: the dearest type that the fleet accepts; a pool has only \
sessions."""


class Pace(Model):
    """How readily the count follows what is wanted, in one direction."""

    stabilization: Duration | None = None
    """For how long something must have been wanted before it is done. Default: 0s up, 5m down."""
    per_minute: Annotated[int, Field(ge=1, le=MAX_PODS)] | None = None
    """At most so many pods a minute. Absent: as many as are wanted."""


class Behavior(Model):
    """How readily the count follows what is wanted."""

    scale_up: Pace = Pace()
    """On the way up."""
    scale_down: Pace = Pace()
    """On the way down. Pods drain all the same: a busy one is never cut off."""


class HpaSource(StrEnum):
    """Which kind of metric an HPA reads."""

    EXTERNAL = "external"
    PODS = "pods"


LabelValue = Annotated[
    str,
    Field(max_length=63, pattern="^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$"),
]


OUR_METRIC: Final = "mediafleet_autoscaling_demand"


class HpaMetric(Model):
    """The metric that your metrics adapter serves to an HPA."""

    type: HpaSource = HpaSource.EXTERNAL
    """external: one number for the fleet. pods: a number for each pod, which is averaged."""
    name: Annotated[
        str,
        Field(max_length=253),
        Form(
            "^[A-Za-z_:][A-Za-z0-9_:./|-]*$",
            "write a metric's name as your adapter has it, for example fleet_queue_length",
        ),
    ] = OUR_METRIC
    """Its name. The default is a metric of the operator: the pods that the buffer wants, times \
target."""
    match_labels: dict[str, LabelValue] = Field(default_factory=dict)
    """Labels to find it by. Default, with the default name: kind, fleet_namespace and fleet_name \
of this resource."""

    @property
    def ours(self) -> bool:
        """Whether it is the metric of the operator."""
        return self.type is HpaSource.EXTERNAL and self.name == OUR_METRIC


class ForecastUse(StrEnum):
    """What becomes of a forecast."""

    OBSERVE = "observe"
    APPLY = "apply"


class Forecast(Model):
    """What rushes at the same time of day and week needed in the fleet's own last four weeks."""

    use: ForecastUse = ForecastUse.OBSERVE
    """observe: it is only shown, in status and metrics. apply: it raises the count; it never \
lowers it."""
    lead: Duration = "3m"
    """So long ahead pods are asked for: what a pod takes to start, a node for it included."""


_ENGINE: Final = "(has(self.engine) ? self.engine : 'builtin')"


def _fits(window: Window, least: int, most: int) -> bool:
    """Whether a window leaves room beside the bounds outside of it."""
    highest = most if window.max is None else window.max
    return highest >= window.min and (window.max is None or window.max >= least)


class Autoscaling(Model):
    """Who writes spec.replicas, and by what. Engines only ever write that number: who leaves is \
for the drain to decide."""

    RULES = (
        Rule(
            (f"{_ENGINE} == 'none' || has(self.max)"),
            ("autoscaling.max is needed: at most how many pods"),
            lambda self: self.engine is Engine.NONE or self.max is not None,
        ),
        Rule(
            ("!has(self.max) || self.min <= self.max"),
            ("autoscaling.min is above autoscaling.max; lower min or raise max"),
            lambda self: self.max is None or self.min <= self.max,
        ),
        Rule(
            (f"{_ENGINE} != 'hpa' || self.min >= 1"),
            (
                "autoscaling.min 0 needs engine builtin or keda: an HPA cannot scale to zero; "
                "set min to 1 or more"
            ),
            lambda self: self.engine is not Engine.HPA or self.min >= 1,
        ),
        Rule(
            (
                f"{_ENGINE} != 'keda' || !has(self.buffer) "
                "|| !has(self.buffer.percent) || self.buffer.percent == 0"
            ),
            ("autoscaling.buffer.percent is not for engine keda; use metric utilization there"),
            lambda self: self.engine is not Engine.KEDA or self.buffer.percent == 0,
        ),
        Rule(
            (f"{_ENGINE} != 'keda' || self.metric != 'sessions' || has(self.target)"),
            ("autoscaling.metric sessions needs autoscaling.target: jobs or sessions per pod"),
            lambda self: not self.keda_by(Metric.SESSIONS) or self.target is not None,
        ),
        Rule(
            (
                f"{_ENGINE} != 'keda' || self.metric != 'utilization' "
                "|| !has(self.target) || (self.target >= 0.01 && self.target <= 1.0)"
            ),
            (
                "autoscaling.target of metric utilization is a share of a pod: from 0.01 to 1, "
                "for example 0.7"
            ),
            lambda self: (
                not self.keda_by(Metric.UTILIZATION)
                or self.target is None
                or 0.01 <= self.target <= 1.0
            ),
        ),
        Rule(
            (
                f"{_ENGINE} != 'keda' || self.metric != 'slots' "
                "|| !has(self.target) || self.target >= 1.0"
            ),
            ("autoscaling.target of metric slots is a number of free places: at least 1"),
            lambda self: (
                not self.keda_by(Metric.SLOTS) or self.target is None or self.target >= 1.0
            ),
        ),
        Rule(
            (
                f"!has(self.forecast) || {_ENGINE} == 'builtin' || {_ENGINE} == 'none' "
                f"|| ({_ENGINE} == 'hpa' && (!has(self.hpa) || ((!has(self.hpa.type) "
                f"|| self.hpa.type == 'external') && (!has(self.hpa.name) "
                f"|| self.hpa.name == '{OUR_METRIC}'))))"
            ),
            (
                "autoscaling.forecast is for engine builtin, or hpa with the operator's own "
                "metric: of the others the operator does not know what is wanted"
            ),
            lambda self: self.forecast is None or self.by_operator or self.engine is Engine.NONE,
        ),
        Rule(
            (
                "!has(self.schedule) || !has(self.max) || self.schedule.all(w, "
                "(has(w.max) ? w.max : self.max) >= w.min "
                "&& (!has(w.max) || w.max >= self.min))"
            ),
            (
                "autoscaling.schedule: each window needs min <= max, with its own max or "
                "autoscaling.max, and a max of at least autoscaling.min"
            ),
            lambda self: (
                self.max is None or all(_fits(w, self.min, self.max) for w in self.schedule)
            ),
        ),
    )

    engine: Engine = Engine.BUILTIN
    """builtin: the operator, by the free room that the desks know of. keda: a ScaledObject for \
the desk's scaler. hpa: a HorizontalPodAutoscaler on a metric that your adapter serves. none: \
nobody."""
    min: Annotated[int, Field(ge=0, le=MAX_PODS)] = 1
    """At least so many pods. 0: the fleet goes to zero once idle for coolDown, and comes back \
with the first request."""
    max: Annotated[int, Field(ge=1, le=MAX_PODS)] | None = None
    """At most so many pods. Needed."""
    buffer: Buffer = Buffer()
    """Room that is kept free for work to come. It does not keep a fleet with min 0 awake."""
    schedule: Annotated[list[Window], Field(max_length=20)] = Field(default_factory=list)
    """Times in which other bounds hold."""
    forecast: Forecast | None = None
    """Pods before they are needed, by the fleet's own last weeks. Absent: no forecast is made."""
    behavior: Behavior = Behavior()
    """How readily the count follows what is wanted."""
    cool_down: Duration = "5m"
    """With min 0: how long the fleet must have been idle, with no request waiting, before it goes \
to zero."""
    metric: Metric = Metric.SLOTS
    """For keda, by what the wanted pods are reckoned. utilization: share of the pods in use. \
slots: free places of buffer.type. sessions: jobs or sessions per pod. queue: waiting requests \
that one more pod is made for."""
    target: Annotated[float, Field(gt=0, le=100000)] | None = None
    """For keda, what the metric shall come to; default: utilization 0.7, slots as buffer.slots, \
queue 1. For hpa, the AverageValue; default: 1."""
    hpa: HpaMetric = HpaMetric()
    """For engine hpa: the metric that your adapter serves."""

    def keda_by(self, metric: Metric) -> bool:
        """Whether KEDA scales by a metric."""
        return self.engine is Engine.KEDA and self.metric is metric

    @property
    def by_operator(self) -> bool:
        """Whether the operator says how many are wanted."""
        return self.engine is Engine.BUILTIN or (self.engine is Engine.HPA and self.hpa.ours)

    @property
    def can_wake(self) -> bool:
        """Whether something brings a pool back that has no pods."""
        return self.min >= 1 or self.engine is Engine.NONE or bool(self.schedule)


def first_replicas(autoscaling: Autoscaling | None) -> int:
    """What `spec.replicas` is set to when it is absent: max(1, min)."""
    if autoscaling is None or autoscaling.engine is Engine.NONE:
        return 1
    return max(1, autoscaling.min)
