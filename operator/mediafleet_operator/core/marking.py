"""Keeps up what pods are marked with: that they may be given work, where they are, that they are
busy."""

from __future__ import annotations

from collections.abc import Iterable

from mediafleet_common.api.names import PodState
from mediafleet_operator.core.actions import Mark
from mediafleet_operator.core.model import Observation, PodView


def marks(observation: Observation, pods: Iterable[PodView]) -> list[Mark]:
    """One patch for each pod that is not marked as it ought to be."""
    wanted = (_mark(pod, observation) for pod in pods)
    return [mark for mark in wanted if mark is not None]


def _mark(pod: PodView, observation: Observation) -> Mark | None:
    state = PodState.READY if pod.state is PodState.PENDING and pod.ready else None
    moved = pod.address_wanted is not None and pod.address_wanted != pod.address
    address = pod.address_wanted if moved else None
    busy = _busy(pod, observation)
    if state is None and address is None and busy is None:
        return None
    return Mark(pod, state, address, busy)


def _busy(pod: PodView, observation: Observation) -> bool | None:
    """What to write of a pod's being busy; `None`: nothing.

    Once asked, a pod of unknown load is taken for busy: a node drain would end what it does.
    """
    if pod.state is PodState.PENDING or pod.uid not in observation.loads:
        return None
    busy = observation.jobs(pod) != 0
    return None if busy == pod.busy_label else busy
