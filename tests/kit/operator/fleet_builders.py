"""Short ways to say what a fleet looks like; a test shows only what matters to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from mediafleet_common.api.names import Kind, PodState
from mediafleet_operator.core.fleet.actions import (
    Action,
    Create,
    Delete,
    Drain,
    Mark,
    Rescale,
    SetGate,
    SetReplicas,
    Undrain,
)
from mediafleet_operator.core.fleet.model import (
    FleetKey,
    FleetSpec,
    History,
    Memory,
    Observation,
    PodView,
    Reading,
)

NOW: Final = 1_000_000.0
SETTLE: Final = 5.0
TIMEOUT: Final = 600.0
KEY: Final = FleetKey(Kind.EGRESS_FLEET, "media", "rec")


def fleet(replicas: int | None = 3, **more: Any) -> FleetSpec:
    """A fleet of the present template `new`."""
    spec = FleetSpec(
        key=KEY,
        uid="fleet",
        generation=1,
        replicas=replicas,
        template_hash="new",
        settle_seconds=SETTLE,
        drain_timeout_seconds=TIMEOUT,
    )
    return replace(spec, **more)


def pod(slot: int, **more: Any) -> PodView:
    """A Ready pod of the present template."""
    view = PodView(
        name=f"rec-{slot}",
        uid=f"uid-{slot}",
        resource_version="1",
        slot=slot,
        template="new",
        state=PodState.READY,
        created_at=NOW - 3600,
        ready=True,
        work_running=True,
    )
    return replace(view, **more)


def pending(slot: int, **more: Any) -> PodView:
    """A pod that has never been Ready."""
    return pod(slot, **{"state": PodState.PENDING, "ready": False, "work_running": None, **more})


def draining(slot: int, since: float = 60.0, **more: Any) -> PodView:
    """A pod that has been draining for so many seconds."""
    return pod(slot, **{"state": PodState.DRAINING, "drain_started": NOW - since, **more})


def readings(*jobs: int | None, ago: float = 0.5) -> History:
    """Readings a second apart, the last one `ago` seconds ago."""
    count = len(jobs)
    return tuple(Reading(NOW - ago - (count - 1 - i), each) for i, each in enumerate(jobs))


def observe(
    spec: FleetSpec,
    pods: Iterable[PodView],
    jobs: Mapping[int, int | None] | None = None,
    *,
    loads: Mapping[int, History] | None = None,
    memory: Memory = Memory(),  # noqa: B008 -- frozen
    now: float = NOW,
) -> Observation:
    """An observation; `jobs` by slot, or whole histories by slot in `loads`."""
    histories = {f"uid-{slot}": readings(each, each) for slot, each in (jobs or {}).items()}
    histories |= {f"uid-{slot}": each for slot, each in (loads or {}).items()}
    return Observation(spec, tuple(pods), histories, now, memory)


def words(actions: Iterable[Action]) -> list[str]:
    """Actions as a test writes them, sorted."""
    return sorted(_words(action) for action in actions)


def _words(action: Action) -> str:
    match action:
        case SetReplicas(replicas):
            return f"set replicas {replicas}"
        case Rescale(before, after):
            return f"rescale {before} {after}"
        case Create(slot):
            return f"create {slot}"
        case Drain(view, reason):
            return f"drain {view.slot} {reason.value}"
        case Undrain(view):
            return f"undrain {view.slot}"
        case Delete(view, reason, grace):
            tail = f" grace {grace}" if grace is not None else ""
            return f"delete {view.slot} {reason.value}{tail}"
        case SetGate(view, is_open):
            return f"{'open' if is_open else 'shut'} {view.slot}"
        case Mark(view, state, address, busy):
            parts = [state.value if state else "", address or ""]
            parts.append({None: "", True: "busy", False: "idle"}[busy])
            return " ".join(["mark", str(view.slot), *filter(None, parts)])
