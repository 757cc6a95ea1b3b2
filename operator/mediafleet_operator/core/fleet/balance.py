"""Brings the pods that count to the wanted number and the present template.

Scale-down and rollout are one decision here: both say who of the pods that count leaves now.
A pod that has never been Ready is deleted at once, since no desk has ever given it work; every
other one is drained. A rollout drains a Ready pod only while more than the wanted number are
Ready, that is after its replacement is (in place: while no more than max_surge are away).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mediafleet_common.api.names import DrainReason, PodState, Reason
from mediafleet_operator.core.fleet import ailments
from mediafleet_operator.core.fleet.actions import Create, Delete, Drain, Undrain
from mediafleet_operator.core.fleet.model import FleetSpec, Observation, PodView, Refusal
from mediafleet_operator.core.fleet.roster import Roster, why_outdated
from mediafleet_operator.core.fleet.victims import leaving_order, returning_order

NEVER_READY_GRACE_SECONDS: Final = 30
"""A process that SIGTERM meets before it listens for it goes on, as PID 1 of its container; the \
pod's own grace, made for jobs that run, would keep it for an hour."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Who leaves, who comes back, who is made."""

    actions: tuple[Create | Delete | Drain | Undrain, ...]
    rollout_stopped: bool
    refusal: Refusal | None
    """Why fewer pods are made than are missing; `None`: all are."""


def balance(observation: Observation, roster: Roster, wanted: int) -> Balance:
    """The steps towards `wanted` pods of the present template."""
    stopped = failures(observation, roster) >= observation.fleet.max_failures
    over = _over(observation, roster, wanted)
    leaving = _leaving(observation, roster, wanted, rollout_stopped=stopped)
    back = _returning(observation, roster, wanted)
    gone = {action.pod.uid for action in (*over, *leaving)}
    staying = [pod for pod in roster.counted if pod.uid not in gone]
    held = _held(observation.fleet, roster, len(gone) - len(back))
    missing = _missing(observation, wanted, staying, len(back), held, rollout_stopped=stopped)
    creates, refusal = _creates(observation, missing)
    return Balance((*over, *leaving, *back, *creates), stopped, refusal)


def failures(observation: Observation, roster: Roster) -> int:
    """Pods of the present template that fail in a way that the template is to blame for."""
    return sum(
        1
        for pod in roster.counted
        if pod.template == observation.fleet.template_hash
        and (ailment := ailments.diagnose(pod, observation.now))
        and ailments.TABLE[ailment].blames_template
    )


def _over(observation: Observation, roster: Roster, wanted: int) -> list[Delete]:
    """Pods that ended by themselves go when not wanted, or when it is time to try again."""
    surplus = len(roster.counted) - wanted
    actions = []
    for pod in roster.over:
        due = observation.now >= pod.created_at + ailments.RETRY_SECONDS
        if surplus > 0 or due or why_outdated(pod, observation):
            surplus -= 1
            actions.append(Delete(pod, pod.over or Reason.POD_FAILED))
    return actions


def _leaving(
    observation: Observation, roster: Roster, wanted: int, *, rollout_stopped: bool
) -> list[Delete | Drain]:
    """Pods that still are, and leave now."""
    never_ready = [pod for pod in roster.outdated if pod.state is PodState.PENDING]
    outdated = [pod for pod in roster.outdated if pod.state is not PodState.PENDING]
    surplus = len(roster.current) + len(outdated) - wanted
    victims = _outdated_victims(
        observation, roster.current, outdated, wanted, rollout_stopped=rollout_stopped
    )
    surplus = min(surplus - len(victims), len(roster.current) - wanted)
    victims += leaving_order(roster.current, observation)[: max(surplus, 0)]
    return [_leave(pod, observation) for pod in never_ready + victims]


def _outdated_victims(
    observation: Observation,
    current: tuple[PodView, ...],
    outdated: list[PodView],
    wanted: int,
    *,
    rollout_stopped: bool,
) -> list[PodView]:
    """Outdated pods to drain now."""
    fleet = observation.fleet
    order = leaving_order(outdated, observation)
    unready = [pod for pod in order if not pod.serving]
    ready = [pod for pod in order if pod.serving]
    surplus = len(current) + len(outdated) - wanted
    spare = len(ready) + sum(pod.serving for pod in current) - wanted
    if fleet.in_place and not rollout_stopped:
        # Here pods go before their replacement comes, no more than max_surge at a time; those
        # that are not Ready are away already.
        room = max(fleet.max_surge + min(spare, 0), 0)
        return unready + ready[: max(surplus - len(unready), room)]
    leaving = unready[: max(surplus, 0)]
    return leaving + ready[: max(min(surplus - len(leaving), spare), 0)]


def _leave(pod: PodView, observation: Observation) -> Delete | Drain:
    outdated = why_outdated(pod, observation)
    if pod.state is PodState.PENDING:
        reason = Reason.ROLLING_OUT if outdated else Reason.SCALED_DOWN
        return Delete(pod, reason, _grace(observation.fleet))
    return Drain(pod, outdated or DrainReason.SCALE_DOWN)


def _grace(fleet: FleetSpec) -> int | None:
    """For a pod that never was Ready; `None`: its own. Upstream's auction gives egress jobs before
    a pod is Ready."""
    if fleet.native:
        return None
    given = fleet.grace_seconds
    return (
        NEVER_READY_GRACE_SECONDS if given is None else min(NEVER_READY_GRACE_SECONDS, int(given))
    )


def _returning(observation: Observation, roster: Roster, wanted: int) -> list[Undrain]:
    """Draining pods to take back before any is made."""
    missing = wanted - len(roster.current) - len(roster.over)
    able = [
        pod
        for pod in roster.draining
        if not pod.over
        and pod.drain_started is not None
        and not why_outdated(pod, observation)
        and pod.node_lost_since is None
    ]
    return [Undrain(pod) for pod in returning_order(able, observation)[: max(missing, 0)]]


def _missing(
    observation: Observation,
    wanted: int,
    staying: list[PodView],
    back: int,
    held: int,
    *,
    rollout_stopped: bool,
) -> list[Reason]:
    """Why each pod is to be made: those that are missing, then those that a rollout has beyond."""
    fleet = observation.fleet
    if fleet.unmakeable is not None:
        return []
    missing = max(wanted - len(staying) - back - held, 0)
    surge = 0
    outdated = sum(1 for pod in staying if why_outdated(pod, observation))
    if outdated and not fleet.in_place and not rollout_stopped:
        updated = [pod for pod in staying if not why_outdated(pod, observation)]
        starting = sum(not pod.serving for pod in updated)
        surge = min(
            fleet.max_surge - starting - missing,
            wanted + fleet.max_surge - len(staying) - back - missing,
            wanted - len(updated) - back - missing,
        )
    return [Reason.SCALED_UP] * missing + [Reason.ROLLING_OUT] * max(surge, 0)


def _creates(
    observation: Observation, missing: list[Reason]
) -> tuple[list[Create], Refusal | None]:
    """The pods to make now, and the refusal that holds up the others."""
    refusal = observation.memory.refusal if missing else None
    if refusal is not None:
        # The API server said no: one try when it is time, the others when that one is in.
        missing = missing[:1] if observation.now >= ailments.retry_at(refusal) else []
    slots = free_slots(observation, len(missing))
    creates = [Create(slot, reason) for slot, reason in zip(slots, missing, strict=True)]
    return creates, refusal


def _held(fleet: FleetSpec, roster: Roster, leaving_now: int) -> int:
    """Places kept for pods that come back into the slots of those that are leaving."""
    if not fleet.in_place:
        return 0
    leaving = len(roster.draining) + len(roster.going) + leaving_now
    return leaving + (len(roster.lost) if fleet.slots_own_things else 0)


def free_slots(observation: Observation, count: int) -> list[int]:
    """The lowest slots that no pod object has, whatever becomes of it."""
    taken = {pod.slot for pod in observation.pods}
    taken |= {slot for slot, until in observation.memory.taken.items() if observation.now < until}
    slots: list[int] = []
    slot = 0
    while len(slots) < count:
        if slot not in taken:
            slots.append(slot)
        slot += 1
    return slots
