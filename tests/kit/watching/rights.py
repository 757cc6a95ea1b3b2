"""Which rights our ServiceAccounts used, and which they lacked, by the API server's audit log."""

from __future__ import annotations

import datetime
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.kit.operator.rights import Right

_ACCOUNT: Final = re.compile(
    r"system:serviceaccount:(?P<namespace>[^:]+):"
    r"(mediafleet-(?P<part>operator|egress|broker)|.+-(?P<made>advertiser|reporter))"
)
_BINDINGS: Final = frozenset({"rolebindings", "clusterrolebindings"})
COMING_SECONDS: Final = 10.0
"""The authorizer hears of a binding a moment after it was made, and of an upgrade's the same."""
LEAVING_SECONDS: Final = 120.0
"""For so long a pod may outlive the binding of its rights: both go at once."""
READING_SECONDS: Final = 10.0
"""For so long an API server that has just started knows no Role yet."""
_TURNS: Final = {
    "create": COMING_SECONDS,
    "delete": LEAVING_SECONDS,
    "deletecollection": LEAVING_SECONDS,
}


@dataclass(slots=True)
class Use:
    """What the log tells."""

    used: dict[str, set[Right]] = field(default_factory=lambda: defaultdict(set))
    """By part: operator, egress, broker, advertiser, reporter."""
    refused: list[tuple[str, Right, str]] = field(default_factory=list)
    """Part, right and namespace of requests that no Role allows, while the Roles were there."""

    def add(self, other: Use) -> None:
        """What another log tells."""
        for part, rights in other.used.items():
            self.used[part] |= rights
        self.refused += other.refused


def read(lines: Iterable[str]) -> Use:
    """Read an audit log of level Metadata (apiserver/pkg/apis/audit/v1, Event)."""
    use, excused = Use(), defaultdict[str, list[tuple[float, float]]](list)
    refusals: list[tuple[str, Right, str, float]] = []
    allowed = defaultdict[tuple[str, Right, str], list[float]](list)
    for line in lines:
        event = json.loads(line)
        about = event.get("objectRef") or {}
        namespace, at = about.get("namespace", ""), _time(event)
        if about.get("resource") in _BINDINGS:
            seconds = max(_TURNS.get(verb, -1.0) for verb in _verbs(event))
            excused[namespace].append((at - 1, at + seconds))
        part = _part(event["user"].get("username", ""))
        if part is None or not about:
            continue
        note = event.get("annotations") or {}
        if note.get("authorization.k8s.io/decision") == "allow":
            use.used[part] |= _rights(event)
            for right in _rights(event):
                allowed[part, right, namespace].append(at)
        else:
            refusals += ((part, right, namespace, at) for right in _rights(event))
    use.refused = [
        (part, right, namespace)
        for part, right, namespace, at in refusals
        # The log is in the order of answers, so that a binding may follow a refusal there.
        if not any(first <= at <= last for first, last in excused[namespace])
        and not any(at < each <= at + READING_SECONDS for each in allowed[part, right, namespace])
    ]
    return use


def _part(user: str) -> str | None:
    found = _ACCOUNT.fullmatch(user)
    return found and (found["part"] or found["made"])


def _rights(event: dict[str, Any]) -> set[Right]:
    about = event["objectRef"]
    sub = about.get("subresource")
    resource = f"{about['resource']}/{sub}" if sub else about["resource"]
    return {(about.get("apiGroup", ""), resource, verb) for verb in _verbs(event)}


def _verbs(event: dict[str, Any]) -> set[str]:
    if event["verb"] == "patch" and event.get("responseStatus", {}).get("code") == 201:
        # Server-side apply of what was not there: the API server asks for both rights.
        return {"patch", "create"}
    return {event["verb"]}


def _time(event: dict[str, Any]) -> float:
    return datetime.datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
