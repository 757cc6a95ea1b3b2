"""The fleet engine: an observation in, a plan out.

Nothing is remembered that matters: a plan that is only half carried out, or carried out twice,
leads to the next one, which starts from what then is.
"""

from __future__ import annotations

from dataclasses import dataclass

from mediafleet_common.api.names import PodState
from mediafleet_operator.core.drain import leaving
from mediafleet_operator.core.fleet import ailments
from mediafleet_operator.core.fleet.actions import Action, Create, SetReplicas
from mediafleet_operator.core.fleet.balance import balance
from mediafleet_operator.core.fleet.marks import marks
from mediafleet_operator.core.fleet.model import Observation, PodView, Refusal
from mediafleet_operator.core.fleet.roster import Roster, disabled_too_long_at, sort


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, and when to look again if nothing happens."""

    actions: tuple[Action, ...]
    roster: Roster
    """How the pods stood when the plan was made."""
    wanted: int
    rollout_stopped: bool
    refusal: Refusal | None
    """Why fewer pods are made than are missing."""
    probe_often: frozenset[str]
    """Uids of the pods whose load decides what happens next."""
    look_again_seconds: float | None
    """`None`: not before something changes."""

    @property
    def secret_lacking(self) -> bool:
        """Whether a pod may wait for a Secret. One that was Ready once has what it mounts, and
        there is nobody to wait while there are no pods."""
        return any(pod.state is PodState.PENDING for pod in self.roster.counted)

    @property
    def some_busy(self) -> bool:
        """Whether a pod is marked busy, so that its eviction is to be refused."""
        return any(pod.busy_label for pod in self.roster.marked)

    @property
    def slots_in_use(self) -> frozenset[int]:
        """Slots that keep what is theirs: those below the wanted number, and those with a pod."""
        roster = self.roster
        pods = (*roster.counted, *roster.draining, *roster.going, *roster.lost)
        return frozenset(range(self.wanted)) | {pod.slot for pod in pods}


def plan(observation: Observation) -> Plan:
    """What a fleet needs now."""
    fleet = observation.fleet
    roster = sort(observation)
    wanted = fleet.first_replicas if fleet.replicas is None else fleet.replicas
    if fleet.deleting or fleet.paused:
        return Plan(
            actions=(),
            roster=roster,
            wanted=wanted,
            rollout_stopped=False,
            refusal=None,
            probe_often=frozenset(),
            look_again_seconds=None,
        )
    balanced = balance(observation, roster, wanted)
    actions: list[Action] = [] if fleet.replicas is not None else [SetReplicas(wanted)]
    actions += balanced.actions
    busy_with = {action.pod.uid for action in balanced.actions if not isinstance(action, Create)}
    for pod in roster.draining:
        if pod.uid not in busy_with and (step := leaving.step(pod, observation)):
            actions.append(step)
            busy_with.add(pod.uid)
    # One write for each pod: a second would fail by the first one's resourceVersion.
    unwritten = [pod for pod in roster.marked if pod.uid not in busy_with]
    actions += marks(observation, unwritten)
    return Plan(
        actions=tuple(actions),
        roster=roster,
        wanted=wanted,
        rollout_stopped=balanced.rollout_stopped,
        refusal=balanced.refusal,
        probe_often=frozenset(pod.uid for pod in roster.draining + roster.outdated),
        look_again_seconds=_look_again(observation, roster, balanced.refusal),
    )


def _look_again(observation: Observation, roster: Roster, refusal: Refusal | None) -> float | None:
    """Seconds until time alone changes the plan or what is to be said of the fleet."""
    times = [leaving.look_again_at(pod, observation) for pod in roster.draining]
    times += [pod.created_at + ailments.RETRY_SECONDS for pod in roster.over]
    times += [disabled_too_long_at(pod, observation) for pod in roster.current]
    times += [_ailment_at(pod, observation) for pod in observation.pods]
    if refusal is not None:
        times.append(ailments.retry_at(refusal))
    ahead = [each - observation.now for each in times if each is not None]
    return min((each for each in ahead if each > 0), default=None)


def _ailment_at(pod: PodView, observation: Observation) -> float | None:
    if pod.node_lost_since is not None:
        return pod.node_lost_since + ailments.LOST_AFTER_SECONDS
    ailment = ailments.diagnose(pod, observation.now)
    return ailments.reportable_at(pod, ailment) if ailment else None
