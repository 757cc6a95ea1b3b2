"""Mistakes in the engine, each of which some workload has to find.

A mistake is made by putting another function in the place of one of the engine's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from tests.kit.faults.plans import Fault, Plan

from mediafleet_common.api.names import DrainReason, Label, Reason
from mediafleet_common.kube.client import Api
from mediafleet_common.kube.paths import Target
from mediafleet_common.probes.load import Load
from mediafleet_operator.core.autoscaling.decision import decide
from mediafleet_operator.core.autoscaling.model import Situation, Verdict
from mediafleet_operator.core.drain import leaving
from mediafleet_operator.core.fleet import balance, roster, victims
from mediafleet_operator.core.fleet.actions import Action, Delete
from mediafleet_operator.core.fleet.model import Observation, PodView, Reading
from mediafleet_operator.core.fleet.roster import Roster
from mediafleet_operator.kube.report import StatusWriter
from mediafleet_operator.kube.snapshots import Snapshots
from mediafleet_operator.manifests.children import disruption
from mediafleet_operator.manifests.overlay import Manifest
from mediafleet_operator.manifests.pods import pod
from mediafleet_operator.manifests.resource import Resource
from mediafleet_operator.rounds import autoscaling, probes
from mediafleet_operator.rounds.community.round import CommunityRounds
from mediafleet_operator.rounds.round import Worker


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mistake, and the workload that finds it."""

    mistake: str
    workload: str
    make: Callable[[pytest.MonkeyPatch], None]
    plans: Sequence[Plan | None] = (None,)
    """One of these at least must end badly; `None`: nothing else goes wrong."""

    def __str__(self) -> str:
        return self.mistake


def _no_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leaving, "proved_idle", lambda *_: True)


def _unconditional(patch: pytest.MonkeyPatch) -> None:
    async def blind(self: Api, target: Target, *_: Any) -> Any:
        body = {"apiVersion": "v1", "kind": "DeleteOptions"}
        return await self._call("DELETE", target, {}, body)

    patch.setattr(Api, "delete", blind)


def _silence_is_idleness(patch: pytest.MonkeyPatch) -> None:
    read = probes._reading

    def zero(began_at: float, load: Load, before: Reading | None) -> Reading:
        return read(began_at, replace(load, jobs=load.jobs or 0), before)

    patch.setattr(probes, "_reading", zero)


def _first_sight_only(patch: pytest.MonkeyPatch) -> None:
    put = Snapshots.put_fleet

    def once(self: Snapshots, resource: Any) -> bool:
        return resource.key not in self.fleets and put(self, resource)

    patch.setattr(Snapshots, "put_fleet", once)


def _status_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StatusWriter, "due", lambda *_: 0.0)


def _busiest_first(patch: pytest.MonkeyPatch) -> None:
    order = victims.leaving_order
    patch.setattr(balance, "leaving_order", lambda pods, seen: order(pods, seen)[::-1])


def _never_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(balance, "_returning", lambda *_: [])


def _strangers_are_ours(patch: pytest.MonkeyPatch) -> None:
    standing = roster.standing
    patch.setattr(roster, "standing", lambda pod, seen: standing(replace(pod, ours=True), seen))


def _drains_begin_anew(patch: pytest.MonkeyPatch) -> None:
    step = leaving.step

    def forgetful(pod: PodView, seen: Observation) -> Action | None:
        return step(replace(pod, drain_started=None), seen)

    patch.setattr(leaving, "step", forgetful)


def _first_error_ends_it(patch: pytest.MonkeyPatch) -> None:
    async def run(self: Worker) -> None:
        while True:
            key = await self.queue.take()
            await self.round(key)
            self.queue.done(key, 0.0)

    patch.setattr(Worker, "run", run)


def _cordons_do_not_count(patch: pytest.MonkeyPatch) -> None:
    why = roster.why_outdated

    def other(pod: PodView, seen: Observation) -> DrainReason | None:
        return why(replace(pod, cordoned=False), seen)

    for module in (roster, balance, leaving):
        patch.setattr(module, "why_outdated", other)


def _all_at_once(patch: pytest.MonkeyPatch) -> None:
    def outdated(seen: Observation, current: Any, pods: list[PodView], *_: Any, **__: Any) -> Any:
        del seen, current
        return pods

    patch.setattr(balance, "_outdated_victims", outdated)


def _one_slot_for_all(patch: pytest.MonkeyPatch) -> None:
    labels = pod.labels
    first = {Label.SLOT.value: "0"}
    patch.setattr(pod, "labels", lambda resource, slot: {**labels(resource, slot), **first})


def _budget_of_nobody(patch: pytest.MonkeyPatch) -> None:
    budget = disruption.budget

    def free(resource: Resource) -> Manifest:
        made = budget(resource)
        del made["metadata"]["ownerReferences"]
        return made

    patch.setattr(disruption, "budget", free)


def _lost_is_gone(patch: pytest.MonkeyPatch) -> None:
    over = balance._over

    def also(seen: Observation, roster: Roster, wanted: int) -> list[Delete]:
        lost = [Delete(each, Reason.POD_LOST) for each in roster.lost]
        return over(seen, roster, wanted) + lost

    patch.setattr(balance, "_over", also)


def _unknown_is_none(patch: pytest.MonkeyPatch) -> None:
    def sure(situation: Situation) -> Verdict:
        demand = situation.demand
        known = demand and demand.model_copy(update={"known": True})
        return decide(replace(situation, demand=known))

    patch.setattr(autoscaling, "decide", sure)


def _shared_as_it_was(patch: pytest.MonkeyPatch) -> None:
    changed = CommunityRounds._changed

    def once(self: CommunityRounds, raw: dict[str, Any], *, deleted: bool) -> None:
        if deleted or raw["metadata"]["generation"] == 1:
            changed(self, raw, deleted=deleted)

    patch.setattr(CommunityRounds, "_changed", once)


_EGRESS: Final = "EgressFleet"
MUTANTS: Final = (
    Mutant("a draining pod is deleted without proof", f"{_EGRESS} drain_under_load", _no_proof),
    Mutant("a delete says not of what", f"{_EGRESS} up_and_down", _unconditional),
    Mutant("who is silent has no work", f"{_EGRESS} one_is_silent", _silence_is_idleness),
    Mutant("pods of others are ours", f"{_EGRESS} beside_a_stranger", _strangers_are_ours),
    Mutant("a rollout drains all at once", f"{_EGRESS} another_template", _all_at_once),
    Mutant("the busiest leaves first", f"{_EGRESS} fewest_jobs_first", _busiest_first),
    Mutant("no draining pod is taken back", f"{_EGRESS} drain_under_load", _never_back),
    Mutant("a changed resource is not read", f"{_EGRESS} up_and_down", _first_sight_only),
    Mutant("the status is written each round", f"{_EGRESS} up_and_down", _status_again),
    Mutant("a drain begins anew each time", f"{_EGRESS} up_and_down", _drains_begin_anew),
    Mutant("a cordon does not count", f"{_EGRESS} one_cordoned", _cordons_do_not_count),
    Mutant("pods share a slot", f"{_EGRESS} up_and_down", _one_slot_for_all),
    Mutant("a budget belongs to nobody", f"{_EGRESS} up_and_down", _budget_of_nobody),
    Mutant("a silent node's pods are deleted", f"{_EGRESS} node_lost", _lost_is_gone),
    Mutant("unknown demand is none", f"{_EGRESS} desk_is_mute", _unknown_is_none),
    Mutant("a changed CommunityMetrics is not read", "CommunityMetrics shared", _shared_as_it_was),
    Mutant(
        "the first error of the API server ends the work",
        f"{_EGRESS} up_and_down",
        _first_error_ends_it,
        [Plan(f"{_EGRESS} up_and_down", Fault.UNAVAILABLE, nth) for nth in range(1, 13)],
    ),
)
