"""Who leaves first, and who is taken back first. Read a key from left to right: it says why."""

from __future__ import annotations

from collections.abc import Iterable

from mediafleet_common.api.names import PodState
from mediafleet_operator.core.fleet.model import Observation, PodView


def leaving_order(pods: Iterable[PodView], observation: Observation) -> list[PodView]:
    """Never Ready first, then no longer Ready, then idle, then fewest jobs, then highest slot;
    but who does what one pod must do goes last."""
    last = observation.fleet.last_to_leave

    def key(pod: PodView) -> tuple[bool, bool, bool, bool, float, int, str]:
        jobs = observation.jobs(pod)
        busiest = float("inf")
        # A pod of unknown load sorts as the busiest of all: it may be just that.
        load = busiest if jobs is None else float(jobs)
        was_ready = pod.state is not PodState.PENDING
        return (
            pod.slot == last,
            was_ready,
            pod.serving,
            jobs != 0,
            load,
            -pod.slot,
            pod.name,
        )

    return sorted(pods, key=key)


def returning_order(pods: Iterable[PodView], observation: Observation) -> list[PodView]:
    """The reverse of leaving: those that would keep us waiting longest are taken back first."""
    return leaving_order(pods, observation)[::-1]
