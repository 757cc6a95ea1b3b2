"""Which pods are away: they were Ready, and are not now."""

from __future__ import annotations

from typing import Protocol

from mediafleet_common.api.names import PodState


class Pod(Protocol):
    """A pod as either directory knows it."""

    @property
    def state(self) -> PodState:
        """Its state by label and readiness."""

    @property
    def was_ready(self) -> bool:
        """Whether it has been Ready, be it now or not."""


def is_away(pod: Pod) -> bool:
    """Whether a pod has been Ready and is not now, and does not drain: its node or kubelet may be
    away, and what it had may still run."""
    return pod.was_ready and pod.state is PodState.PENDING
