"""Kubernetes Events about our resources: what operator and desks post. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from mediafleet_common.api.names import API_VERSION, GROUP, Kind, Reason
from mediafleet_common.formats.times import rfc3339

EVENTS_API: Final = "events.k8s.io/v1"
_NAME: Final = 200
_NOTE: Final = 1000
_INSTANCE: Final = 128


@dataclass(frozen=True, slots=True)
class Regarding:
    """The resource that an Event is about."""

    kind: Kind
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who posts it."""

    component: Literal["operator", "egress"]
    instance: str
    """Which of its processes."""


@dataclass(frozen=True, slots=True)
class EventToPost:
    """What an Event says, and how serious it is."""

    type: Literal["Normal", "Warning"]
    reason: Reason
    note: str


def event(
    regarding: Regarding, to_post: EventToPost, reporter: Reporter, at: float, suffix: str
) -> dict[str, Any]:
    """The object to create; `suffix` makes its name unique, `at` is Unix time.

    Source: Kubernetes events.k8s.io/v1.
    """
    return {
        "apiVersion": EVENTS_API,
        "kind": "Event",
        "metadata": {
            "name": f"{regarding.name[:_NAME]}.{suffix}",
            "namespace": regarding.namespace,
        },
        "eventTime": rfc3339(at, "microseconds"),
        "reportingController": f"{GROUP}/{reporter.component}",
        "reportingInstance": reporter.instance[:_INSTANCE],
        "action": "Reconcile",
        "reason": to_post.reason.value,
        "type": to_post.type,
        "note": to_post.note[:_NOTE],
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": regarding.kind.value,
            "namespace": regarding.namespace,
            "name": regarding.name,
            "uid": regarding.uid,
        },
    }
