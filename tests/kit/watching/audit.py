"""Who asked for which pod to be deleted, by the API server's own audit log."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kit.watching.pods import Pod
from tests.kit.watching.verdicts import Deletion


@dataclass(frozen=True, slots=True)
class Request:
    """A delete that the API server agreed to."""

    pod: str
    at: float
    user: str
    uid: str | None
    """Precondition of the request, if it had one."""


def requests(log: Path, namespace: str, since: float) -> Iterator[Request]:
    """The deletes in a namespace, kubelets' own apart: those only say that a pod has ended."""
    for line in log.read_text(encoding="utf-8").splitlines():
        if '"resource":"pods"' not in line or '"verb":"delete' not in line:
            continue
        event = json.loads(line)
        about = event["objectRef"]
        agreed = event.get("responseStatus", {}).get("code", 0) < 300
        user = event["user"].get("username", "")
        at = datetime.datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
        ours = about.get("namespace") == namespace and at >= since
        if ours and agreed and not user.startswith("system:node:"):
            uid = _precondition(event)
            yield Request(about.get("name", ""), at, user, uid)


def deletions(asked: Iterable[Request], pods: Iterable[Pod]) -> list[Deletion]:
    """The first request for each pod of a fleet, with what was known of the pod by then.

    A pod that went without a request is not among them.
    """
    by_uid = {pod.uid: pod for pod in pods if pod.fleet}
    found: dict[str, Deletion] = {}
    for request in asked:
        pod = by_uid.get(request.uid) if request.uid else _named(request, by_uid.values())
        if pod is not None and pod.uid not in found:
            found[pod.uid] = Deletion(
                pod_uid=pod.uid,
                pod=pod.name,
                fleet=pod.fleet,
                at=request.at,
                drain_started=pod.drain_started,
                was_listed=pod.listed_at is not None,
                preconditioned=request.uid is not None,
            )
    return list(found.values())


def _named(request: Request, pods: Iterable[Pod]) -> Pod | None:
    """The pod of that name at that time: the one that went away next."""
    same = [pod for pod in pods if pod.name == request.pod and (pod.gone_at or 0) >= request.at]
    same += [pod for pod in pods if pod.name == request.pod and pod.gone_at is None]
    return min(same, key=lambda pod: pod.gone_at or float("inf"), default=None)


def _precondition(event: dict[str, Any]) -> str | None:
    uid = ((event.get("requestObject") or {}).get("preconditions") or {}).get("uid")
    return str(uid) if uid else None
