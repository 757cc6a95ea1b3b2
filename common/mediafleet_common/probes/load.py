"""A worker's load from its Prometheus metrics. Pure: text in, `Load` out.

A metric that is absent is unknown, never 0.

Sources of the names: livekit/egress pkg/stats/monitor_prom.go; livepeer/go-livepeer
monitor/census.go.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_PREFIXES: Final = ("livekit_", "livepeer_", "mediafleet_agent_")


class Source(StrEnum):
    """The kind of worker, or of reading."""

    EGRESS = "egress"
    TRANSCODE = "transcode"
    DOCKER_AI = "docker-ai"
    CONNECTIONS = "connections"
    """Open connections, as the agent beside a node counts them."""
    URL = "url"
    """What the agent reads at a URL that the user gives."""


_NAMES: Final = {
    Source.TRANSCODE: ("livepeer_current_sessions_total", "livepeer_max_sessions_total"),
    Source.DOCKER_AI: ("livepeer_ai_container_in_use", None),
    Source.CONNECTIONS: ("mediafleet_agent_connections", None),
    Source.URL: ("mediafleet_agent_url_load", None),
}
"""By source: the metric that is the load, and the one that is the capacity, if any is."""


class UnreadableMetricsError(ValueError):
    """The text is not Prometheus exposition."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a worker says of itself; `None` is unknown everywhere."""

    jobs: int | None = None
    """Active jobs or sessions."""
    capacity: int | None = None
    """Jobs or sessions it takes at most."""
    cpu_load: float | None = None
    """Busy share of all its CPUs, 0 to 1."""
    terminating: bool | None = None
    memory_share: float | None = None
    """Memory that its jobs use, as a share of what they may; absent unless that is limited."""
    pulse_share: float | None = None
    """PulseAudio clients, as a share of those it may have."""
    jobs_by_type: Mapping[str, int] = field(default_factory=dict)
    cli_exposed: bool | None = None
    """Whether the node's CLI port, which moves money, listens on more than loopback."""


def parse(text: str, source: Source) -> Load:
    """The load that an exposition text tells.

    Raises:
        UnreadableMetricsError: the text is not Prometheus exposition.
    """
    samples = list(_samples(text))
    if source is Source.EGRESS:
        return _egress(samples)
    jobs, capacity = _NAMES[source]
    exposed = _total(samples, "mediafleet_agent_cli_exposed")
    return Load(
        jobs=_whole(_total(samples, jobs)),
        capacity=_whole(_total(samples, capacity)) if capacity else None,
        cli_exposed=None if exposed is None else exposed > 0,
    )


def named(text: str, name: str) -> float | None:
    """The sum of all series of one metric, from any exporter; `None`: there is none.

    Raises:
        UnreadableMetricsError: the text is not Prometheus exposition.
    """
    return _total(list(_samples(text, (name,))), name)


def _samples(text: str, prefixes: tuple[str, ...] = _PREFIXES) -> Iterator[Sample]:
    # Go and process metrics are most of an exposition and none of our business.
    lines = [line for line in text.splitlines() if line.startswith(prefixes)]
    if not lines and text.strip() and not text.lstrip().startswith("#"):
        raise UnreadableMetricsError("no line of it is a metric")
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            # NaN and infinity are legal values that say nothing: unknown, like an absent one.
            yield from (sample for sample in family.samples if math.isfinite(sample.value))
    except ValueError as error:
        raise UnreadableMetricsError(str(error)) from error


def _egress(samples: list[Sample]) -> Load:
    by_type: dict[str, int] = {}
    for sample in samples:
        if sample.name == "livekit_egress_requests":
            kind = sample.labels.get("type", "")
            by_type[kind] = by_type.get(kind, 0) + round(sample.value)
    # The gauge vector has no series before the first job, and counts a job only once its process
    # is launched; `available` (1: no request is active) is there from the start and knows both.
    idle = _total(samples, "livekit_egress_available")
    jobs = sum(by_type.values()) if by_type or idle is not None else None
    if idle == 0 and jobs == 0:
        jobs = 1
    terminating = _total(samples, "livekit_egress_is_terminating")
    return Load(
        jobs=jobs,
        cpu_load=_total(samples, "livekit_node_cpu_load"),
        terminating=None if terminating is None else terminating > 0,
        memory_share=_ratio(samples, "memory"),
        pulse_share=_ratio(samples, "pulse"),
        jobs_by_type=by_type,
    )


def _total(samples: list[Sample], name: str) -> float | None:
    values = [sample.value for sample in samples if sample.name == name]
    return sum(values) if values else None


def _ratio(samples: list[Sample], resource: str) -> float | None:
    """livekit/egress pkg/stats/monitor.go, updateLoadRatios."""
    name = "livekit_load_ratio"
    return _total([each for each in samples if each.labels.get("type") == resource], name)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
