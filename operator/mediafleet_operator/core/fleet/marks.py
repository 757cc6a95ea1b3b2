"""Keeps up what pods are marked with: that they may be given work, where they are, that they are
busy, and that their Service lets connections in."""

from __future__ import annotations

from collections.abc import Iterable

from mediafleet_common.api.names import Kind, PodState, Reason
from mediafleet_operator.core.fleet.actions import Mark, SetGate
from mediafleet_operator.core.fleet.model import Observation, PodView


def marks(observation: Observation, pods: Iterable[PodView]) -> list[Mark | SetGate]:
    """One patch for each pod that is not marked as it ought to be."""
    wanted = (_gate(pod) or _mark(pod, observation) for pod in pods)
    return [mark for mark in wanted if mark is not None]


def _gate(pod: PodView) -> SetGate | None:
    """A pod that does not drain is open; when one that does is shut, `leaving` says."""
    shut = pod.gate_open is False and pod.state is not PodState.DRAINING
    return SetGate(pod, True) if shut else None


def _mark(pod: PodView, observation: Observation) -> Mark | None:
    first = pod.unmarked or (pod.state is PodState.PENDING and pod.ready)
    state = PodState.READY if first else None
    address = _address(pod)
    busy = _busy(pod, observation)
    busy_at = _busy_at(pod, observation, busy)
    if state is None and address is None and busy is None and busy_at is None:
        return None
    return Mark(pod, state, address, busy, busy_at)


def _busy_at(pod: PodView, observation: Observation, busy: bool | None) -> float | None:
    """When an egress pod was last seen to have work, to be written once it is idle; `None`: it
    stands there, or it had none."""
    if observation.fleet.key.kind is not Kind.EGRESS_FLEET:
        return None
    latest = observation.latest(pod)
    seen = latest.busy_at if latest is not None else None
    idle_now = latest is not None and latest.jobs == 0
    if seen is None and busy is False:
        # Another process saw it at work, and has written no time.
        seen = observation.now
    known = pod.busy_at or 0.0
    # The API server keeps milliseconds of it.
    return seen if idle_now and seen is not None and seen > known + 0.01 else None


def _address(pod: PodView) -> str | None:
    """What to write of its address; `None`: nothing."""
    problem = pod.address_problem
    if problem is not None and problem.reason is Reason.ADDRESS_REFUSED:
        return "" if pod.address else None
    moved = pod.address_wanted is not None and pod.address_wanted != pod.address
    return pod.address_wanted if moved else None


def _busy(pod: PodView, observation: Observation) -> bool | None:
    """What to write of a pod's being busy; `None`: nothing.

    Once asked, a pod of unknown load is taken for busy: a node drain would end what it does.
    """
    if pod.state is PodState.PENDING or pod.uid not in observation.loads:
        return None
    busy = observation.jobs(pod) != 0
    return None if busy == pod.busy_label else busy
