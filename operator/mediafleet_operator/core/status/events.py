"""What of a plan that was carried out is worth an Event: few, and each says a whole step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeVar

from mediafleet_common.api.events import EventToPost
from mediafleet_common.api.names import Condition, DrainReason, Reason
from mediafleet_common.api.shared import FleetStatus
from mediafleet_operator.core.fleet.actions import (
    Action,
    Create,
    Delete,
    Drain,
    Rescale,
    SetReplicas,
    Undrain,
)
from mediafleet_operator.core.fleet.model import PodView
from mediafleet_operator.core.fleet.roster import by_slot
from mediafleet_operator.core.status.conditions import names_of

ActionT = TypeVar("ActionT")
KeyT = TypeVar("KeyT")

_WARNINGS = (
    (Condition.DEGRADED, "True"),
    (Condition.TEMPLATE_VALID, "False"),
    (Condition.CPU_UNKNOWN, "True"),
    (Condition.REDIS_NOT_ALLOWED, "True"),
    (Condition.SCALING_ACTIVE, "False"),
)
_UNDER_WAY = (
    (Condition.READY, Reason.WAITING_FOR_PODS),
    (Condition.PROGRESSING, Reason.ROLLING_OUT),
    (Condition.DRAINING, Reason.WAITING_FOR_IDLE),
)
_BY_CHANGE = (DrainReason.SCALE_DOWN, DrainReason.TEMPLATE)
_AT_ONCE_SECONDS = 20.0


def events_to_post(
    done: Sequence[Action],
    prefix: str,
    before: FleetStatus | None,
    after: FleetStatus,
    *,
    asked: bool = False,
) -> list[EventToPost]:
    """The Events of one round. `prefix`: what the names of the fleet's pods begin with; `asked`:
    no status tells of the present spec yet, so that what is done is what a change asked for."""
    news = [each for each in done if _is_news(each, asked=asked)]
    return [*_steps(news, prefix), *_warnings(before, after)]


def _is_news(action: Action, *, asked: bool) -> bool:
    """Pods that come since somebody asked for them, and idle ones that leave at once since the
    fleet was changed, have no Event: who changed it knows, and the status says how they do."""
    match action:
        case Create():
            return not asked
        case Drain(pod, reason):
            return pod.busy_label or reason not in _BY_CHANGE
        case Delete(pod, Reason.DRAIN_FINISHED):
            waited = action.waited_seconds
            return pod.drain_reason not in _BY_CHANGE or waited is None or waited > _AT_ONCE_SECONDS
    return True


def under_way(status: FleetStatus) -> bool:
    """Whether all that a status says is that pods are still to start, to follow, or to leave."""
    if any((each.type, each.status) in _WARNINGS for each in status.conditions):
        return False
    said = {(each.type, each.reason) for each in status.conditions}
    return not said.isdisjoint(_UNDER_WAY)


def restarts_to_post(pods: Iterable[PodView], known: Mapping[str, int]) -> list[EventToPost]:
    """The Events of containers that were started anew since `known`, by uid of the pod.

    Of a pod that was not known before nobody can say when that was.
    """
    return [
        EventToPost(
            "Warning",
            Reason.CONTAINER_RESTARTED,
            f"{pod.name}: {pod.last_end}; kubelet started it anew, restart {pod.restarts}.",
        )
        for pod in by_slot(pods)
        if pod.ours and pod.restarts > known.get(pod.uid, pod.restarts)
    ]


def _steps(done: Sequence[Action], prefix: str) -> Iterable[EventToPost]:
    for replicas in (each.replicas for each in _only(done, SetReplicas)):
        note = f"spec.replicas was absent; set to {replicas}."
        yield EventToPost("Normal", Reason.SCALED_UP, note)
    for each in _only(done, Rescale):
        up = each.after > each.before
        note = f"spec.replicas {each.before} -> {each.after}: {each.why}"
        yield EventToPost("Normal", Reason.SCALED_UP if up else Reason.SCALED_DOWN, note)
    created = _grouped((each.reason, f"{prefix}{each.slot}") for each in _only(done, Create))
    for made_for, pods in created.items():
        yield EventToPost("Normal", made_for, f"Created {names_of(pods)}.")
    back = [each.pod.name for each in _only(done, Undrain)]
    if back:
        yield EventToPost("Normal", Reason.DRAIN_CANCELLED, f"Took back {names_of(back)}.")
    drained = _grouped((each.reason, each.pod.name) for each in _only(done, Drain))
    for why, pods in drained.items():
        because = _WHY_DRAINED.get(why, why.value)
        note = f"Draining {names_of(pods)} ({because}): no new work, deleted once idle."
        yield EventToPost("Normal", Reason.DRAIN_STARTED, note)
    deleted = _grouped((each.reason, _left(each)) for each in _only(done, Delete))
    for ended, pods in deleted.items():
        kind: Literal["Normal", "Warning"] = "Warning" if ended in _BAD_ENDS else "Normal"
        yield EventToPost(kind, ended, f"Deleted {names_of(pods)}{_ENDS.get(ended, '')}.")


def _left(action: Delete) -> str:
    """A pod that was deleted, and how its drain went."""
    if action.waited_seconds is None:
        return action.pod.name
    left = f", {action.jobs} left" if action.jobs else ""
    unknown = ", load unknown" if action.jobs is None else ""
    return f"{action.pod.name} (drained {action.waited_seconds:.0f} s{left}{unknown})"


def _only(done: Sequence[Action], kind: type[ActionT]) -> Iterable[ActionT]:
    return (each for each in done if isinstance(each, kind))


def _grouped(pairs: Iterable[tuple[KeyT, str]]) -> dict[KeyT, list[str]]:
    groups: dict[KeyT, list[str]] = {}
    for key, name in pairs:
        groups.setdefault(key, []).append(name)
    return groups


_WHY_DRAINED = {
    DrainReason.DISABLED: "livekit_egress_is_disabled was 1 for a minute though it was idle",
}
_ENDS = {
    Reason.DRAIN_FINISHED: ": settled and idle",
    Reason.DRAIN_TIMED_OUT: ": still busy at the end of spec.drain.timeout",
    Reason.SCALED_DOWN: ": never was Ready",
    Reason.ROLLING_OUT: ": never was Ready, and outdated",
    Reason.POD_FAILED: ", which had failed",
    Reason.POD_EVICTED: ", which had been evicted",
}
_BAD_ENDS = (Reason.DRAIN_TIMED_OUT, Reason.POD_FAILED, Reason.POD_EVICTED)


def _warnings(before: FleetStatus | None, after: FleetStatus) -> Iterable[EventToPost]:
    known = {each.type: (each.status, each.reason) for each in before.conditions} if before else {}
    for each in after.conditions:
        bad = (each.type, each.status) in _WARNINGS and each.reason != Reason.PAUSED
        stopped = each.reason == Reason.ROLLOUT_STOPPED
        late = each.reason == Reason.DRAIN_TIMED_OUT
        if (bad or stopped or late) and known.get(each.type) != (each.status, each.reason):
            yield EventToPost("Warning", Reason(each.reason), each.message)
