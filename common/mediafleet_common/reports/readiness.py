"""What kubelet tells of a pod's being Ready, now and ever. Pure.

Field names: kubernetes staging/src/k8s.io/api/core/v1/types.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from mediafleet_common.api.names import Annotation, Label, PodState
from mediafleet_common.formats.times import unix

Raw = Mapping[str, Any]
_SECOND: Final = 1.0
"""Kubernetes' times are whole seconds, and kubelet reads the clock for each of them."""


def is_ready(raw: Raw) -> bool:
    """Whether a pod's condition Ready is true now."""
    return (_ready(raw) or {}).get("status") == "True"


def never_ready(raw: Raw) -> bool:
    """Whether a pod has provably never been Ready.

    Kubelet writes condition Ready for the first time together with the pod's start time, which it
    takes last; its time changes only with its status (kubernetes pkg/kubelet/status/
    status_manager.go, updateStatusInternal). What cannot be proved is not so.
    """
    condition = _ready(raw)
    if condition is None:
        return True
    since = unix(condition.get("lastTransitionTime"))
    started = unix((raw.get("status") or {}).get("startTime"))
    if condition.get("status") == "True" or since is None or started is None:
        return False
    return started - _SECOND <= since <= started


def serves_unmarked(raw: Raw) -> bool:
    """Whether a pod may have work though its label still says pending.

    The operator that made it allows that from when it is first Ready on, and writes the label
    later.
    """
    meta = raw["metadata"]
    label = (meta.get("labels") or {}).get(Label.STATE)
    allowed = (meta.get("annotations") or {}).get(Annotation.WORK_WHEN_READY) == "true"
    return label == PodState.PENDING and allowed and not never_ready(raw)


def _ready(raw: Raw) -> Raw | None:
    conditions: Iterable[Raw] = (raw.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == "Ready"), None)
