"""What kubelet says of a pod's containers, digested. Pure.

Field names: kubernetes staging/src/k8s.io/api/core/v1/types.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from mediafleet_common.api.names import Container, Reason
from mediafleet_operator.core.fleet.ailments import of_waiting

Raw = Mapping[str, Any]
GO_LIVEPEER: Final = (Container.NODE, Container.STOCK_WORKER)
CRASHES: Final = 3
"""A container that was started so often and still is not Ready is in a crash loop, whatever it
does at this moment: between two waits kubelet shows it running."""
MAX_COMPLAINT_CHARACTERS: Final = 300


def over(status: Raw) -> Reason | None:
    """Why a pod has ended for good, if it has."""
    phase = status.get("phase")
    if phase not in ("Failed", "Succeeded"):
        return None
    disrupted = status.get("reason") in ("Evicted", "Preempting", "NodeShutdown", "Terminated")
    return Reason.POD_EVICTED if phase == "Failed" and disrupted else Reason.POD_FAILED


def trouble(status: Raw, *, ready: bool) -> tuple[Reason | None, str]:
    """What keeps a container from running, and kubelet's or the container's own words for it."""
    for each in _containers(status):
        state: Raw = each.get("state") or {}
        last: Raw = (each.get("lastState") or {}).get("terminated") or {}
        waiting: Raw = state.get("waiting") or {}
        if not ready and each.get("name") in GO_LIVEPEER and _well(state, last):
            return Reason.NODE_ENDED, ""
        reason = of_waiting(waiting.get("reason") or "")
        if reason is None and not ready and each.get("restartCount", 0) >= CRASHES:
            reason = Reason.CRASH_LOOP
        if reason is not None:
            if reason is Reason.CRASH_LOOP:
                # Its own last words say more than "back-off restarting failed container".
                return reason, _last_line(last.get("message"))
            return reason, _last_line(waiting.get("message"))
    return None, ""


def _well(state: Raw, last: Raw) -> bool:
    """Whether a container that ought to go on ended, and said that all is well.

    go-livepeer exits with 0 when a runner's URL has not answered for 2 min (seen on 0.9.1).
    """
    ended = state.get("terminated") or last
    return bool(ended) and ended.get("exitCode") == 0


def _last_line(text: object) -> str:
    lines = str(text or "").strip().splitlines()
    return lines[-1].strip()[:MAX_COMPLAINT_CHARACTERS] if lines else ""


def _containers(status: Raw) -> Iterable[Raw]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def restarts(status: Raw) -> tuple[int, str]:
    """How often kubelet has started containers of a pod anew, and how the last of them ended."""
    count = sum(each.get("restartCount") or 0 for each in _containers(status))
    ended = [
        (str(end.get("finishedAt") or ""), str(each.get("name")), end)
        for each in _containers(status)
        if (end := (each.get("lastState") or {}).get("terminated"))
    ]
    if not ended:
        return count, "a container ended"
    _, name, end = max(ended, key=lambda each: each[:2])
    why = f" ({end['reason']})" if end.get("reason") else ""
    return count, f"container {name} ended with exit code {end.get('exitCode')}{why}"


def running(status: Raw, name: str) -> bool | None:
    """Whether the process of a container exists; `None` while kubelet has not said."""
    for each in status.get("containerStatuses") or ():
        if each.get("name") == name:
            state = each.get("state") or {}
            return "running" in state if state else None
    return None
