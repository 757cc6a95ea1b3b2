"""Sorts the pods of a fleet: each has exactly one standing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from mediafleet_common.api.names import DrainReason, PodState
from mediafleet_operator.core.fleet import ailments
from mediafleet_operator.core.fleet.model import Observation, PodView


class Standing(Enum):
    """What a pod is to its fleet at this moment."""

    FOREIGN = auto()
    """Has our labels and name but another owner: it takes up its slot, no more."""
    GOING = auto()
    """Deleted; its object is still there."""
    DRAINING = auto()
    OVER = auto()
    """Ended by itself; it holds its place until it is made anew."""
    LOST = auto()
    """On a node that is silent; its place is given away."""
    OUTDATED = auto()
    """To be replaced: an older template, cordoned, on a cordoned node, or disabled for good."""
    CURRENT = auto()


@dataclass(frozen=True, slots=True)
class Roster:
    """The pods by standing, each group in slot order."""

    foreign: tuple[PodView, ...]
    going: tuple[PodView, ...]
    draining: tuple[PodView, ...]
    over: tuple[PodView, ...]
    lost: tuple[PodView, ...]
    outdated: tuple[PodView, ...]
    current: tuple[PodView, ...]

    @property
    def counted(self) -> tuple[PodView, ...]:
        """The pods that count towards the wanted number."""
        return self.current + self.outdated + self.over

    @property
    def marked(self) -> tuple[PodView, ...]:
        """The pods whose marks are the engine's to keep up."""
        return self.current + self.outdated + self.draining


DISABLED_SECONDS: Final = 60.0
"""A pod that has disabled itself ends as soon as it is idle, and kubelet starts it anew; one that
still is there so long after does not."""


def why_outdated(pod: PodView, observation: Observation) -> DrainReason | None:
    """Why a pod has to be replaced, if it has."""
    fleet = observation.fleet
    if pod.cordoned:
        return DrainReason.CORDONED
    if pod.node_empties:
        return DrainReason.NODE
    if pod.moved:
        return DrainReason.ADDRESS
    # Where nothing can be made, nothing is to be replaced for its sake.
    if fleet.unmakeable is None and pod.template != fleet.template_hash:
        return DrainReason.TEMPLATE
    stuck_at = disabled_too_long_at(pod, observation)
    return DrainReason.DISABLED if stuck_at is not None and stuck_at <= observation.now else None


def disabled_too_long_at(pod: PodView, observation: Observation) -> float | None:
    """When a pod will have been disabled and idle for too long; `None`: it is not."""
    latest = observation.latest(pod)
    if latest is None or latest.disabled_idle_since is None:
        return None
    return latest.disabled_idle_since + DISABLED_SECONDS


def standing(pod: PodView, observation: Observation) -> Standing:
    """The one standing of a pod."""
    if not pod.ours:
        return Standing.FOREIGN
    if pod.deleting:
        return Standing.GOING
    if pod.state is PodState.DRAINING:
        return Standing.DRAINING
    if pod.over:
        return Standing.OVER
    if ailments.lost(pod, observation.now):
        return Standing.LOST
    return Standing.OUTDATED if why_outdated(pod, observation) else Standing.CURRENT


def sort(observation: Observation) -> Roster:
    """All pods by standing."""
    groups: dict[Standing, list[PodView]] = {each: [] for each in Standing}
    for pod in by_slot(observation.pods):
        groups[standing(pod, observation)].append(pod)
    return Roster(**{each.name.lower(): tuple(groups[each]) for each in Standing})


def by_slot(pods: Iterable[PodView]) -> list[PodView]:
    """In the order in which people list them."""
    return sorted(pods, key=lambda pod: (pod.slot, pod.name))
