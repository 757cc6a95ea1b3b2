"""Bytes and minutes of a worker, as it reports them and as the kernel counts them. Pure.

Kubelet's form: kubernetes/kubelet pkg/apis/stats/v1alpha1/types.go, Summary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from mediafleet_common.formats.times import unix
from mediafleet_scheduler.core.community.checks.convergence import (
    BYTES,
    MINUTES,
    Comparison,
    compare,
)

BUSY_BYTES_A_SECOND: Final = 10_000.0
"""More than probes and signs of life make; a stream makes a hundred times as much."""


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter of bytes, in and out together, at a time in Unix seconds."""

    at: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Both sides at one moment; `None`: a side does not say."""

    reported: Counter | None = None
    """By the worker's door."""
    counted: Counter | None = None
    """By the kernel; kubelet's is some seconds old."""
    busy: bool | None = None
    """Whether the worker says that it has jobs."""


def comparisons(samples: Sequence[Sample]) -> list[Comparison]:
    """Bytes a minute and busy minutes over samples in their order."""
    reported = _rate([each.reported for each in samples])
    counted = _rate([each.counted for each in samples])
    return [
        compare("bytes a minute", reported, counted, BYTES),
        compare("busy seconds", _said_busy(samples), _seen_busy(samples), MINUTES),
    ]


def network_of(summary: object, namespace: str, pod: str) -> Counter | None:
    """What a kubelet's summary says of a pod's network; `None`: nothing."""
    pods = summary.get("pods") if isinstance(summary, dict) else None
    for each in pods if isinstance(pods, list) else ():
        ref = each.get("podRef") if isinstance(each, dict) else None
        if isinstance(ref, dict) and (ref.get("namespace"), ref.get("name")) == (namespace, pod):
            return _network(each.get("network"))
    return None


def _network(said: Any) -> Counter | None:
    if not isinstance(said, dict):
        return None
    at, got, sent = unix(str(said.get("time"))), said.get("rxBytes"), said.get("txBytes")
    if at is None or not isinstance(got, int) or not isinstance(sent, int):
        return None
    return Counter(at, float(got + sent))


def _rate(counters: Sequence[Counter | None]) -> float | None:
    """Bytes a minute between the first and the last; `None`: fewer than two say anything."""
    known = [each for each in counters if each is not None]
    seconds = known[-1].at - known[0].at if known else 0.0
    if seconds <= 0:
        return None
    return sum(_rise(one, other) for one, other in pairwise(known)) / seconds * 60


def _rise(one: Counter, other: Counter) -> float:
    # One that fell began anew.
    return other.bytes - one.bytes if other.bytes >= one.bytes else other.bytes


def _said_busy(samples: Sequence[Sample]) -> float | None:
    return _seconds(samples, lambda one, other: one.busy if other.busy == one.busy else None)


def _seen_busy(samples: Sequence[Sample]) -> float | None:
    def busy(one: Sample, other: Sample) -> bool | None:
        if one.counted is None or other.counted is None or other.counted.at <= one.counted.at:
            return None
        seconds = other.counted.at - one.counted.at
        return _rise(one.counted, other.counted) / seconds > BUSY_BYTES_A_SECOND

    return _seconds(samples, busy)


def _seconds(
    samples: Sequence[Sample], is_busy: Callable[[Sample, Sample], bool | None]
) -> float | None:
    """Seconds between samples in which it was busy; `None`: no two of them say."""
    found = [
        other.counted.at - one.counted.at if busy else 0.0
        for one, other in pairwise(samples)
        if one.counted and other.counted and (busy := is_busy(one, other)) is not None
    ]
    return sum(found) if found else None
