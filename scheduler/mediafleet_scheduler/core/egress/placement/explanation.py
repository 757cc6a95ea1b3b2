"""Why the next job would go where, from the very keys that place it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import Mode, Placement
from mediafleet_common.api.names import PodState
from mediafleet_common.reports.explanation import (
    FleetExplained,
    KeyPart,
    ModeExplained,
    PodExplained,
    RankedPod,
)
from mediafleet_scheduler.core.egress.accounting.accounts import Closed
from mediafleet_scheduler.core.egress.accounting.resources import Need, need_of
from mediafleet_scheduler.core.egress.placement import affinity
from mediafleet_scheduler.core.egress.placement.modes import KEYS, WorkerView
from mediafleet_scheduler.core.egress.queue import Waiting, of_fleet
from mediafleet_scheduler.core.egress.rooms import ALL_ROOMS
from mediafleet_scheduler.core.egress.views import Fleet, Worker

KEY_NAMES: Final[Mapping[Mode, tuple[str, ...]]] = {
    Mode.PACK: ("refused lately", "size unknown", "idle", "free CPUs", "jobs", "name"),
    Mode.SPREAD: ("refused lately", "size unknown", "free share", "jobs", "name"),
    Mode.TYPE_AWARE: (
        "refused lately",
        "size unknown",
        "page room",
        "beside others",
        "free share",
        "jobs",
        "name",
    ),
}
"""What each part of a key is; `core.placement.KEYS` has the same number of them."""

CLOSED: Final[Mapping[Closed, str]] = {
    Closed.DISABLED: (
        "it has disabled itself (livekit_egress_is_disabled is 1): after an internal error it "
        "starts anew once it is idle; its log says which"
    ),
    Closed.TERMINATING: "it was told to end (livekit_egress_is_terminating is 1)",
}
"""Why a pod takes nothing, by its own word."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A pod of a fleet, as the desk sees it."""

    worker: Worker
    view: WorkerView
    left_out: bool
    """Whether it is given nothing for a while, since it failed what it was given."""


def nothing_taken(fleet: Fleet, kind: RequestType) -> FleetExplained | None:
    """A fleet that takes no job of a type; `None`: it does."""
    if kind in fleet.accepts:
        return None
    return _fleet(fleet, why_not=f"spec.accepts does not name {kind.value}")


def unreadable(fleet: Fleet, why: str) -> FleetExplained:
    """A fleet whose ledger cannot be read."""
    return _fleet(fleet, why_not=why)


def explain(
    fleet: Fleet,
    kind: RequestType,
    seen: Mapping[Mode, Sequence[Seen]],
    waiting: Iterable[Waiting],
    now: float,
    learnt_cores: float | None = None,
) -> FleetExplained:
    """Where the next job of a type would go, by each mode that there is a view for.

    `learnt_cores`: what it is taken to need instead of its cost by the table.
    """
    need = need_of(kind, fleet.placement, learnt_cores)
    pods = next(iter(seen.values()), ())
    return _fleet(
        fleet,
        needs_cpus=need.cores,
        needs_memory_gb=need.memory_gb,
        waiting=len(of_fleet(waiting, fleet.key, now)),
        pods=[_pod(each, need) for each in pods],
        modes=[_mode(mode, each, need, fleet.placement) for mode, each in seen.items()],
    )


def why_not(each: Seen, need: Need) -> str | None:
    """Why a pod is not given a job, in a few words; `None`: it is a candidate."""
    if each.worker.state is not PodState.READY:
        return f"it is {each.worker.state.value}"
    if each.left_out:
        return "it failed what it was given, and gets nothing for a while"
    view = each.view
    if view.closed is not None:
        return CLOSED[view.closed]
    need = need.by(view.counts)
    if view.free_cores is not None and view.free_cores < need.cores:
        return f"{_down(view.free_cores)} CPUs are free, {need.cores:g} are needed"
    if view.fits(need):
        return None
    if need.memory_gb >= view.rest.memory_gb:
        return f"{_down(view.rest.memory_gb)} GB are free, more than {need.memory_gb:g} needed"
    if view.rest.of_type.get(need.kind, 1) <= 0:
        return f"it has as many {need.kind.value} jobs as spec.placement.limits allows"
    return f"{max(view.rest.pulse_clients, 0)} PulseAudio clients are free, 4 are needed"


def _down(free: float) -> str:
    """Rounded down: never as much as is needed when it is less."""
    return f"{math.floor(max(free, 0) * 100) / 100:.2f}"


def _pod(each: Seen, need: Need) -> PodExplained:
    view = each.view
    return PodExplained(
        name=view.name,
        state=each.worker.state,
        cpus=view.cores,
        free_cpus=view.free_cores,
        jobs=view.jobs,
        load_known=view.known and view.measured,
        refused_lately=view.refused_lately,
        why_not=why_not(each, need),
    )


def _mode(mode: Mode, seen: Sequence[Seen], need: Need, placement: Placement) -> ModeExplained:
    candidates = [each.view for each in seen if why_not(each, need) is None]
    key = KEYS[mode]
    ordered = sorted(candidates, key=lambda view: key(view, need))
    unknown = sorted(view.name for view in candidates if not view.known)
    return ModeExplained(
        mode=mode,
        in_force=mode is placement.mode,
        order=[RankedPod(name=view.name, key=_parts(mode, key(view, need))) for view in ordered],
        # Two are all of two: nothing is left to chance then.
        drawn_from=unknown if len(unknown) > 2 else [],
        bids=_bids(mode, seen, need, placement),
    )


def _parts(mode: Mode, key: Iterable[bool | float | str]) -> list[KeyPart]:
    names = KEY_NAMES[mode]
    return [KeyPart(name=name, value=value) for name, value in zip(names, key, strict=True)]


def _bids(mode: Mode, seen: Sequence[Seen], need: Need, placement: Placement) -> dict[str, float]:
    """What stock pods would bid, without jitter, on what the desk knows."""
    bids = {}
    for each in seen:
        view = each.view
        if view.cores is None or view.free_cores is None:
            continue
        bidder = affinity.Bidder(
            cores=view.cores,
            available_cores=view.free_cores,
            idle=view.idle,
            disabled=each.worker.state is not PodState.READY
            or view.closed is not None
            or view.lacks(need) is not None,
        )
        bids[view.name] = affinity.bid(
            bidder,
            need.by(view.counts).cores,
            need.kind.needs_chrome,
            mode,
            track_cores=(view.counts or placement).cpu_cost.track,
        )
    return bids


def _fleet(fleet: Fleet, **fields: object) -> FleetExplained:
    return FleetExplained.model_validate(
        {
            "namespace": fleet.namespace,
            "name": fleet.name,
            "priority": fleet.priority,
            "some_rooms_only": fleet.rooms != ALL_ROOMS,
            **fields,
        }
    )
