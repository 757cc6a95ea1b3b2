"""What the metadata of a KEDA trigger may say, in one table, and its reading. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.reports.demand import SESSION

TYPES: Final = (*(kind.value for kind in RequestType), SESSION)
_DECIMALS: Final = 3
"""KEDA hands values on in thousandths (kedacore/keda pkg/scalers/scaler.go)."""
_MAX: Final = 1_000_000.0


class TriggerError(ValueError):
    """The metadata cannot be used; the text names the key and what it may be."""


class Metric(StrEnum):
    """What the number of pods is taken from."""

    UTILIZATION = "utilization"
    SLOTS = "slots"
    SESSIONS = "sessions"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Rule:
    """One metric."""

    means: str
    """What `target` is, for the table in the docs."""
    wants: str
    """How many pods it asks for."""
    default: float | None
    """Of `target`; `None`: it must be given."""
    least: float
    most: float
    typed: bool = False
    """Whether it looks at one type."""


RULES: Final[Mapping[Metric, Rule]] = {
    Metric.UTILIZATION: Rule(
        "share of a pod that may be taken, above 0, up to 1",
        "what runs and waits, by its costs, over `target` of a pod",
        default=0.7,
        least=0.01,
        most=1.0,
    ),
    Metric.SLOTS: Rule(
        "places for `type` to keep free",
        "the pods there are, and as many more or less as leave that many places",
        default=1.0,
        least=1.0,
        most=_MAX,
        typed=True,
    ),
    Metric.SESSIONS: Rule(
        "jobs or sessions for one pod",
        "all that run and wait over `target`",
        default=None,
        least=0.01,
        most=_MAX,
    ),
    Metric.QUEUE: Rule(
        "waiting requests for one more pod",
        "the pods that have work, and one for each `target` waiting requests (of `type`, if given)",
        default=1.0,
        least=0.01,
        most=_MAX,
        typed=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the metadata."""

    default: str
    """As the docs say it."""
    means: str


KEYS: Final[Mapping[str, Key]] = {
    "fleet": Key("required", "Name of the EgressFleet or OrchestratorPool."),
    "namespace": Key("that of the ScaledObject", "Namespace of the fleet or pool: no other."),
    "metric": Key("utilization", f"One of {', '.join(Metric)}."),
    "target": Key("by the metric", "Above 0, at most three decimals; what it counts, see below."),
    "type": Key("the dearest accepted that fits a pod", "Request type, or session for a pool."),
    "activation": Key(
        "0",
        "Scaled from zero, and kept above it, while more than that many jobs or "
        "sessions run or wait.",
    ),
    "metricType": Key("AverageValue", "Only AverageValue; best left out. Value is refused."),
}
"""Every key that is ours, in the order of the docs."""
OF_KEDA: Final = ("scalerAddress", "enableTLS", "unsafeSsl")
"""Keys of KEDA's own external scaler that come along (pkg/scalers/external_scaler.go)."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """What one trigger asks for."""

    namespace: str
    fleet: str
    metric: Metric
    target: float
    type: str | None
    activation: float

    @property
    def metric_name(self) -> str:
        """What the metric is called towards KEDA."""
        return f"mediafleet-{self.metric.value}"


def parse(metadata: Mapping[str, str], namespace: str) -> Trigger:
    """Read the metadata of a trigger in a ScaledObject of that namespace.

    Raises:
        TriggerError: it cannot be used.
    """
    for key in sorted(metadata.keys() - KEYS.keys() - set(OF_KEDA)):
        raise TriggerError(f"{key} is no key of this scaler; allowed: {', '.join(KEYS)}")
    if metadata.get("metricType", "AverageValue") != "AverageValue":
        raise TriggerError("metricType: only AverageValue leaves draining pods out of the count")
    asked = metadata.get("namespace", namespace)
    # Fleets of a file may have none, and then belong to no tenant.
    if asked not in (namespace, ""):
        raise TriggerError(f"namespace: {namespace}, that of the ScaledObject, or leave it out")
    fleet = metadata.get("fleet", "")
    if not fleet:
        raise TriggerError("fleet is missing: name the EgressFleet or OrchestratorPool")
    try:
        metric = Metric(metadata.get("metric", Metric.UTILIZATION))
    except ValueError:
        raise TriggerError(f"metric: one of {', '.join(Metric)}") from None
    return Trigger(
        namespace=asked,
        fleet=fleet,
        metric=metric,
        target=_target(metadata.get("target"), metric),
        type=_type(metadata.get("type"), metric),
        activation=_number(metadata.get("activation", "0"), "activation", 0.0, _MAX),
    )


def _target(text: str | None, metric: Metric) -> float:
    rule = RULES[metric]
    if text is not None:
        return _number(text, "target", rule.least, rule.most)
    if rule.default is None:
        raise TriggerError(f"target is missing: metric {metric} needs it, {rule.means}")
    return rule.default


def _type(text: str | None, metric: Metric) -> str | None:
    if text is None:
        return None
    if not RULES[metric].typed:
        typed = " or ".join(each for each, rule in RULES.items() if rule.typed)
        raise TriggerError(f"type goes with metric {typed}, not with {metric}")
    if text not in TYPES:
        raise TriggerError(f"type: one of {', '.join(TYPES)}")
    return text


def _number(text: str, key: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most or round(number, _DECIMALS) != number:
        bounds = f"from {least:g} to {most:g}"
        raise TriggerError(f"{key}: a number {bounds}, with at most {_DECIMALS} decimals")
    return number
