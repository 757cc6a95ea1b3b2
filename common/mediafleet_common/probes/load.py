"""A worker's load from its Prometheus metrics. Pure: text in, `Load` out.

A metric that is absent is unknown, never 0.

Sources of the names: livekit/egress pkg/stats/monitor_prom.go; livepeer/go-livepeer
monitor/census.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mediafleet_common.probes.exposition import Series, UnreadableMetricsError, read

__all__ = ["Load", "Source", "UnreadableMetricsError", "named", "parse"]


class Source(StrEnum):
    """The kind of worker, or of reading."""

    EGRESS = "egress"
    TRANSCODE = "transcode"
    DOCKER_AI = "docker-ai"
    CONNECTIONS = "connections"
    """Open connections, as the agent beside a node counts them."""
    URL = "url"
    """What the agent reads at a URL that the user gives."""
    LIVE_RUNNERS = "live-runners"
    """Sessions of live runners, as the agent reads them at the node's /discovery."""
    REQUESTS = "requests"
    """Requests in flight, as the drain proxy before a node counts them."""
    AI_WORKER = "ai-worker"
    """Tasks that an AI worker of ours has."""


_NAMES: Final = {
    Source.TRANSCODE: ("livepeer_current_sessions_total", "livepeer_max_sessions_total"),
    Source.DOCKER_AI: ("livepeer_ai_container_in_use", "livepeer_ai_container_idle"),
    Source.CONNECTIONS: ("mediafleet_agent_connections", None),
    Source.URL: ("mediafleet_agent_url_load", None),
    Source.LIVE_RUNNERS: ("mediafleet_agent_live_sessions", "mediafleet_agent_live_capacity"),
    Source.REQUESTS: ("mediafleet_agent_requests", None),
    Source.AI_WORKER: ("mediafleet_worker_tasks", "mediafleet_worker_capacity"),
}
"""By source: the metric that is the load, and the one that is the capacity, if any is; of
DOCKER_AI it is what is free."""
_AI_WORK: Final = ("livepeer_ai_models_requested", "livepeer_ai_container_in_use")
"""A node that has done AI jobs tells one of them, and its sessions are 0 while it does them
(livepeer/go-livepeer monitor/census.go; seen on 0.9.1 with external runners)."""
_CLI_EXPOSED: Final = "mediafleet_agent_cli_exposed"
_IN_FLIGHT: Final = "mediafleet_agent_requests"
_REFUSING: Final = "mediafleet_agent_refusing"
_REQUESTS: Final = "livekit_egress_requests"
_AVAILABLE: Final = "livekit_egress_available"
_RESULTS: Final = "livekit_egress_handler_results_total"
_DISABLED: Final = "livekit_egress_is_disabled"
_TERMINATING: Final = "livekit_egress_is_terminating"
_CPU_LOAD: Final = "livekit_node_cpu_load"
_LOAD_RATIO: Final = "livekit_load_ratio"
_OF_EGRESS: Final = (
    _REQUESTS,
    _AVAILABLE,
    _RESULTS,
    _DISABLED,
    _TERMINATING,
    _CPU_LOAD,
    _LOAD_RATIO,
)
_MOST_JOBS: Final = 1_000_000
_MOST_SHARE: Final = 1000.0
"""Beyond these, and below 0, a value makes no sense: it is unknown, and nothing reckons with it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a worker says of itself; `None` is unknown everywhere."""

    jobs: int | None = None
    """Active jobs or sessions."""
    capacity: int | None = None
    """Jobs or sessions it takes at most."""
    cpu_load: float | None = None
    """Busy share of all its CPUs, 0 to 1."""
    cluster_id: str | None = None
    """Of the egress worker that tells it."""
    node_id: str | None = None
    """New at each start of an egress worker (livekit/egress pkg/config/service.go)."""
    finished: int | None = None
    """Jobs that have ended since the worker started."""
    disabled: bool | None = None
    """Whether it takes no request, as after an internal error (livekit/egress pkg/server/server.go,
    IsDisabled); one that was sent SIGTERM is disabled too."""
    terminating: bool | None = None
    """Whether it was sent SIGTERM."""
    memory_share: float | None = None
    """Memory that its jobs use, as a share of what they may; absent unless that is limited."""
    cpu_share: float | None = None
    """`cpu_load` as a share of what the worker may use."""
    pulse_share: float | None = None
    """PulseAudio clients, as a share of those it may have."""
    jobs_by_type: Mapping[str, int] = field(default_factory=dict)
    cli_exposed: bool | None = None
    """Whether the node's CLI port, which moves money, listens on more than loopback."""
    in_flight: int | None = None
    """Requests that the drain proxy before the node waits for."""
    refusing: bool | None = None
    """Whether that proxy refuses new work."""
    uncounted: bool = False
    """Whether it does work that this reading does not count, so that its jobs are unknown."""


def parse(text: str | bytes, source: Source) -> Load:
    """The load that an exposition text tells.

    Raises:
        UnreadableMetricsError: the text is not Prometheus exposition.
    """
    if source is Source.EGRESS:
        return _egress(read(_bytes(text), _OF_EGRESS))
    jobs, capacity = _NAMES[source]
    ai_work = _AI_WORK if source is Source.TRANSCODE else ()
    wanted = (jobs, capacity, _CLI_EXPOSED, _IN_FLIGHT, _REFUSING, *ai_work)
    series = read(_bytes(text), [name for name in dict.fromkeys(wanted) if name])
    load, most = _total(series, jobs), _total(series, capacity) if capacity else None
    if source is Source.DOCKER_AI and most is not None:
        most = None if load is None else load + most
    uncounted = any(each.name in ai_work for each in series)
    return Load(
        jobs=None if uncounted else _whole(load),
        capacity=_whole(most),
        cli_exposed=_flag(series, _CLI_EXPOSED),
        in_flight=_whole(_total(series, _IN_FLIGHT)),
        refusing=_flag(series, _REFUSING),
        uncounted=uncounted,
    )


def named(text: str | bytes, name: str) -> float | None:
    """The sum of all series of one metric, from any exporter; `None`: none, or no count.

    Raises:
        UnreadableMetricsError: the text is not Prometheus exposition.
    """
    total = _total(read(_bytes(text), (name,)), name)
    return total if total is not None and 0 <= total <= _MOST_JOBS else None


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _egress(series: Sequence[Series]) -> Load:
    by_type: dict[str, int] = {}
    nonsense = False
    for each in series:
        if each.name != _REQUESTS:
            continue
        count = _whole(each.value)
        nonsense = nonsense or count is None
        kind = each.labels.get("type", "")
        by_type[kind] = by_type.get(kind, 0) + (count or 0)
    # The gauge vector has no series before the first job, and counts a job only once its process
    # is launched; `available` (1: no request is active) is there from the start and knows both.
    idle = _total(series, _AVAILABLE)
    jobs = sum(by_type.values()) if by_type or idle is not None else None
    if idle == 0 and jobs == 0:
        jobs = 1
    return Load(
        jobs=None if nonsense else jobs,
        cluster_id=_label(series, "cluster_id"),
        node_id=_label(series, "node_id"),
        finished=_finished(series, known=idle is not None),
        cpu_load=_share(_total(series, _CPU_LOAD)),
        disabled=_flag(series, _DISABLED),
        terminating=_flag(series, _TERMINATING),
        memory_share=_ratio(series, "memory"),
        cpu_share=_ratio(series, "cpu"),
        pulse_share=_ratio(series, "pulse"),
        jobs_by_type={} if nonsense else by_type,
    )


def _label(series: Sequence[Series], name: str) -> str | None:
    return next((text for each in series if (text := each.labels.get(name))), None)


def _total(series: Sequence[Series], name: str) -> float | None:
    values = [each.value for each in series if each.name == name]
    return sum(values) if values else None


def _finished(series: Sequence[Series], *, known: bool) -> int | None:
    """Of livekit/egress since 1.13; the counter has no series before the first job has ended."""
    total = _total(series, _RESULTS)
    if total is None:
        return 0 if known else None
    return _whole(total)


def _flag(series: Sequence[Series], name: str) -> bool | None:
    value = _total(series, name)
    return None if value is None else value > 0


def _ratio(series: Sequence[Series], resource: str) -> float | None:
    """livekit/egress pkg/stats/monitor.go, updateLoadRatios."""
    of_it = [each for each in series if each.labels.get("type") == resource]
    return _share(_total(of_it, _LOAD_RATIO))


def _whole(value: float | None) -> int | None:
    return None if value is None or not 0 <= value <= _MOST_JOBS else round(value)


def _share(value: float | None) -> float | None:
    return None if value is None or not 0 <= value <= _MOST_SHARE else value
