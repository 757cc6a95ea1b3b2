"""What is wrong with the operator, a desk or a broker, by its own metrics. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from mediafleet.doctor.findings import Finding, Level, Page, Unread
from mediafleet_common.formats.times import unix

Raw = Mapping[str, Any]
QUIET_SECONDS: Final = 120.0
"""A watch ends and begins anew after 75 s at most; so long may a change take to be heard of."""
AGE: Final = "mediafleet_watch_last_event_age_seconds"
SHARED: Final = "mediafleet_redis_shared_wrongly"
UNREADABLE: Final = "mediafleet_directory_unreadable_objects_total"
REDIS_FAILED: Final = "mediafleet_redis_failures_total"
LEDGER_FAILED: Final = "mediafleet_ledger_errors_total"


@dataclass(frozen=True, slots=True)
class Scrape:
    """The metrics of one process, as it answered."""

    pod: str
    """NAMESPACE/NAME."""
    metrics: Mapping[str, float] | Unread
    """By name, summed over labels."""
    later: Mapping[str, float] | None = None
    """The same, a moment later: whether a counter still grows."""


def read(text: str) -> dict[str, float]:
    """Sums over labels by the name of the sample; nothing where the text is none of Prometheus'."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def last_change(pods: Iterable[Raw]) -> float | None:
    """Unix time of the newest change of a pod that anybody must have heard of; `None`: no pod."""
    times = [unix(at) for pod in pods for at in _times(pod)]
    return max((each for each in times if each is not None), default=None)


def _times(pod: Raw) -> Iterator[str]:
    meta = pod["metadata"]
    yield from (meta[key] for key in ("creationTimestamp", "deletionTimestamp") if meta.get(key))
    for each in (pod.get("status") or {}).get("conditions") or ():
        if each.get("lastTransitionTime"):
            yield each["lastTransitionTime"]


def examine(scrape: Scrape, changed: float | None, now: float) -> Iterator[Finding]:
    """What its numbers say; `changed` is Unix time of the newest change in the cluster."""
    who = f"process {scrape.pod}"
    if isinstance(scrape.metrics, Unread):
        what = f"its metrics cannot be read from here: {scrape.metrics.why}"
        yield Finding(Level.UNKNOWN, who, what, page=Page.PROCESS)
        return
    found = [*_watch(scrape, changed, now), *_redis(scrape), *_resources(scrape)]
    yield from found
    if not found:
        yield Finding(Level.OK, who, "answers")


def _watch(scrape: Scrape, changed: float | None, now: float) -> Iterator[Finding]:
    assert not isinstance(scrape.metrics, Unread)
    age = scrape.metrics.get(AGE)
    if age is None or changed is None or now - changed < QUIET_SECONDS:
        return
    if now - age < changed - QUIET_SECONDS:
        heard = "nothing yet" if math.isinf(age) else f"nothing for {age:.0f} s"
        yield Finding(
            Level.PROBLEM,
            f"process {scrape.pod}",
            f"has heard {heard} of the API server, and a pod changed {now - changed:.0f} s ago",
            f"see its log; kubectl -n {scrape.pod.replace('/', ' delete pod ')}",
            Page.STALE,
        )


def _redis(scrape: Scrape) -> Iterator[Finding]:
    assert not isinstance(scrape.metrics, Unread)
    who = f"process {scrape.pod}"
    if scrape.metrics.get(SHARED):
        yield Finding(
            Level.PROBLEM,
            who,
            "other desks on its Redis do not belong to this installation; its log says which",
            "give each environment a Redis of its own: pub/sub knows no databases",
            Page.ENVIRONMENTS,
        )
    later = scrape.later or {}
    for name, what in (
        (REDIS_FAILED, "a Redis that a fleet names cannot be served"),
        (LEDGER_FAILED, "calls of the ledger in Redis fail"),
    ):
        if later.get(name, 0.0) > scrape.metrics.get(name, 0.0):
            fix = "its log names the Redis and the error; mediafleet doctor --redis URL"
            yield Finding(Level.PROBLEM, who, what, fix, Page.REDIS_AWAY)


def _resources(scrape: Scrape) -> Iterator[Finding]:
    assert not isinstance(scrape.metrics, Unread)
    if scrape.metrics.get(UNREADABLE):
        yield Finding(
            Level.NOTE,
            f"process {scrape.pod}",
            f"could not read {scrape.metrics[UNREADABLE]:g} resources since it started",
            "its log names them; kubectl apply --server-side -f crds/ of its release",
            Page.UNREADABLE,
        )
