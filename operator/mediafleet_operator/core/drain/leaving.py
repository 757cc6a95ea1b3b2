"""How a draining pod leaves: settle, two idle readings in a row, delete; or its time-out.

A pod with a drain proxy is idle only once that refuses new work and waits for nothing.
A pod behind a Service of its own is shut to new connections at the first idle reading, and the two
that count come after that: nothing can begin between the last reading and the deletion. Not
sooner, since a session that is under way may open another connection.
"""

from __future__ import annotations

from typing import Final

from mediafleet_common.api.names import DrainReason, Kind, Reason
from mediafleet_common.api.shared import OnTimeout
from mediafleet_operator.core.fleet.actions import Action, Delete, Drain, SetGate
from mediafleet_operator.core.fleet.model import FleetSpec, Observation, PodView
from mediafleet_operator.core.fleet.roster import why_outdated

IDLE_READINGS: Final = 2
"""So many in a row, all asked after the settle time, prove a pod idle."""
PROOF_VALID_SECONDS: Final = 10.0
"""The last of them must not be older, or no reading came for a while."""
KILL_GRACE_SECONDS: Final = 1
"""Not 0: that would drop the object while the process may live, and give its slot away."""
GATE_SECONDS: Final = 3.0
"""From shutting the serving gate until no new connection comes in: one second since Kubernetes'
times are whole seconds, and two for kube-proxy."""


def settled_at(pod: PodView, fleet: FleetSpec) -> float:
    """From when on an idle reading counts."""
    assert pod.drain_started is not None
    return pod.drain_started + fleet.settle_seconds


def times_out_at(pod: PodView, fleet: FleetSpec) -> float:
    """When the pod has been waited for long enough."""
    assert pod.drain_started is not None
    return pod.drain_started + fleet.drain_timeout_seconds


def proved_idle(pod: PodView, observation: Observation) -> bool:
    """Whether a draining pod is known to have no work, and can get none."""
    return _idle(pod, observation) and finished(pod, observation)


def finished(pod: PodView, observation: Observation) -> bool:
    """Whether nothing of an idle pod's jobs is still to be told to livekit-server.

    An egress pod is idle before its last update is delivered, and drops it when it ends. Who does
    not know waits from the last sign of work, at most to the end of the drain's time.
    """
    if observation.fleet.key.kind is not Kind.EGRESS_FLEET or pod.work_running is False:
        return True
    if pod.over or observation.now >= times_out_at(pod, observation.fleet):
        return True
    left = unconfirmed(pod, observation)
    if left is not None:
        return left == 0
    if pod.busy_label:
        # When it was last busy is about to be written on it.
        return False
    until = update_lost_at(pod, observation)
    return until is None or until <= observation.now


def unconfirmed(pod: PodView, observation: Observation) -> int | None:
    """Jobs of a settled pod that livekit-server has to confirm; `None`: nobody says."""
    said = observation.unconfirmed
    if said is None or said.at < settled_at(pod, observation.fleet):
        return None
    return said.jobs.get(pod.name)


def update_lost_at(pod: PodView, observation: Observation) -> float | None:
    """When an update that an idle pod has not delivered is given up; `None`: it had no job."""
    latest = observation.latest(pod)
    worked = latest is not None and latest.worked
    signs = [each for each in (pod.busy_at, latest.busy_at if latest else None) if each is not None]
    if not signs and not worked:
        return None
    assert pod.drain_started is not None
    return max(signs, default=pod.drain_started) + observation.update_lasts(pod)


def _idle(pod: PodView, observation: Observation) -> bool:
    if pod.over:
        return True
    since = settled_at(pod, observation.fleet)
    if observation.now < since:
        return False
    if pod.work_running is False:
        return True
    if pod.gate_open is not None:
        if pod.gate_open or pod.gate_shut_at is None:
            return False
        since = max(since, pod.gate_shut_at + GATE_SECONDS)
    readings = observation.loads.get(pod.uid, ())[-IDLE_READINGS:]
    return (
        len(readings) == IDLE_READINGS
        and all(each.began_at >= since and each.jobs == 0 for each in readings)
        and (not pod.proxied or all(each.refusing and each.in_flight == 0 for each in readings))
        and observation.now - readings[-1].began_at <= PROOF_VALID_SECONDS
    )


def step(pod: PodView, observation: Observation) -> Action | None:
    """The next step of a draining pod that stays draining; `None`: wait."""
    fleet = observation.fleet
    if pod.drain_started is None or (pod.proxied and pod.refuse_from is None):
        # Somebody took the time away, or wrote the label by hand: the wait begins anew.
        reason = pod.drain_reason or why_outdated(pod, observation) or DrainReason.SCALE_DOWN
        return Drain(pod, reason)
    if proved_idle(pod, observation):
        return _delete(pod, observation, Reason.DRAIN_FINISHED)
    if observation.now < times_out_at(pod, fleet) or fleet.on_timeout is OnTimeout.WAIT:
        return _gate(pod, observation)
    grace = KILL_GRACE_SECONDS if fleet.on_timeout is OnTimeout.KILL else None
    return _delete(pod, observation, Reason.DRAIN_TIMED_OUT, grace)


def _delete(
    pod: PodView, observation: Observation, reason: Reason, grace: int | None = None
) -> Delete:
    assert pod.drain_started is not None
    waited = max(observation.now - pod.drain_started, 0.0)
    return Delete(pod, reason, grace, observation.jobs(pod), waited)


def _gate(pod: PodView, observation: Observation) -> SetGate | None:
    """Shut it when a settled pod is idle, and open it again when it is not after all."""
    if pod.gate_open is None or observation.now < settled_at(pod, observation.fleet):
        return None
    history = observation.loads.get(pod.uid, ())
    if not history or history[-1].jobs is None:
        return None
    latest = history[-1]
    idle = latest.jobs == 0 and latest.began_at >= settled_at(pod, observation.fleet)
    return SetGate(pod, not idle) if idle is pod.gate_open else None


def look_again_at(pod: PodView, observation: Observation) -> float | None:
    """When time alone will change what is to be done with a draining pod."""
    if pod.drain_started is None:
        return None
    fleet = observation.fleet
    times = [settled_at(pod, fleet), times_out_at(pod, fleet)]
    if pod.gate_shut_at is not None:
        times.append(pod.gate_shut_at + GATE_SECONDS)
    if (lost_at := update_lost_at(pod, observation)) is not None:
        times.append(lost_at)
    return min((each for each in times if each > observation.now), default=None)
