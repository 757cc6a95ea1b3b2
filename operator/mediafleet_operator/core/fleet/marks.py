"""Keeps up what pods are marked with: that they may be given work, where they are, that they are
busy, and that their Service lets connections in."""

from __future__ import annotations

from collections.abc import Iterable

from mediafleet_common.api.names import PodState, Reason
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
    state = PodState.READY if pod.state is PodState.PENDING and pod.ready else None
    address = _address(pod)
    busy = _busy(pod, observation)
    if state is None and address is None and busy is None:
        return None
    return Mark(pod, state, address, busy)


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
