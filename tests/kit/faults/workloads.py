"""Short stories of a fleet; each ends with what must be there, whatever went wrong on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.kit.faults.plans import ON_EVENTS, Fault
from tests.kit.faults.world import NAME, World
from tests.kit.fleets.manifests import (
    SETTLE_SECONDS,
    ai_worker_pool,
    egress_fleet,
    orchestrator_pool,
)

from mediafleet_common.api.names import Annotation, Kind, Label
from mediafleet_testbed.cluster.kwok import ON_IT


@dataclass(frozen=True, slots=True)
class Workload:
    """What happens to a fleet, and what kind it is."""

    kind: Kind
    story: Callable[[World], Awaitable[None]]


def manifest(kind: Kind, replicas: int, revision: int = 0, **spec: Any) -> dict[str, Any]:
    """A fleet of pods that kwok plays."""
    spec = {"drain": {"settle": f"{SETTLE_SECONDS / 2:g}s", "timeout": "10m"}, **spec}
    if kind is Kind.EGRESS_FLEET:
        made = egress_fleet(NAME, "redis:6379", replicas, **spec)
    elif kind is Kind.AI_WORKER_POOL:
        made = ai_worker_pool(NAME, replicas, **spec)
    else:
        made = orchestrator_pool(NAME, replicas, advertise={"replicas": 0}, **spec)
    made["spec"]["template"] |= template(made, revision)
    return made


def template(made: dict[str, Any], revision: int, **more: Any) -> dict[str, Any]:
    """The template of a revision."""
    spec = {**made["spec"]["template"]["spec"], **ON_IT, **more}
    return {"metadata": {"labels": {"revision": str(revision)}}, "spec": spec}


async def up_and_down(world: World) -> None:
    await world.create(manifest(world.kind, 2))
    await world.settled(2)
    await world.change(replicas=4)
    await world.settled(4)
    await world.change(replicas=1)
    await world.settled(1)
    await world.change(replicas=2)
    await world.settled(2)


async def another_template(world: World) -> None:
    made = manifest(world.kind, 3)
    await world.create(made)
    await world.settled(3)
    world.busy = {f"{NAME}-1"}
    # What the operator does not see, or two operators that do not know of each other, may cost one.
    world.floor = 0 if world.plan and world.plan.fault in ON_EVENTS | {Fault.SECOND} else 3
    await world.change(template=template(made, 1))
    await world.until("two are replaced", lambda: revised(world) >= 2)
    assert f"{NAME}-1" in world.seen
    world.busy = set()
    await world.settled(3, 1)
    world.floor = 0


async def drain_under_load(world: World) -> None:
    await world.create(manifest(world.kind, 3))
    await world.settled(3)
    world.busy = {f"{NAME}-0", f"{NAME}-2"}
    await world.change(replicas=0)
    await world.until("the idle one goes", lambda: set(world.seen) == {f"{NAME}-0", f"{NAME}-2"})
    await world.change(replicas=2)
    await world.settled(2)
    world.busy = set()
    await world.change(replicas=0)
    await world.settled(0)


async def made_again(world: World) -> None:
    await world.create(manifest(world.kind, 2))
    await world.settled(2)
    await world.delete()
    # The pods of the first are still there, and have the names of the new ones.
    await world.create(manifest(world.kind, 3, 1))
    await world.settled(3, 1)


async def bad_template(world: World) -> None:
    made = manifest(world.kind, 2)
    await world.create(made)
    await world.settled(2)
    await world.change(template=template(made, 1, nodeName="a-node"), replicas=3)
    await world.change(
        template={"spec": {"nodeName": None}, "metadata": {"labels": {"revision": "2"}}}
    )
    await world.settled(3, 2)


async def one_cordoned(world: World) -> None:
    await world.create(manifest(world.kind, 2))
    await world.settled(2)
    before = world.seen[f"{NAME}-0"]["metadata"]["uid"]
    annotations = {Annotation.CORDONED.value: "true"}
    path = f"/api/v1/namespaces/{world.namespace}/pods/{NAME}-0"
    await world.api.patch(path, {"metadata": {"annotations": annotations}})
    uids = world.seen.values
    await world.until("it goes", lambda: before not in [e["metadata"]["uid"] for e in uids()])
    await world.settled(2)


async def fewest_jobs_first(world: World) -> None:
    await world.create(manifest(world.kind, 3))
    await world.settled(3)
    world.busy = {f"{NAME}-2"}
    busy = Label.BUSY.value
    await world.until("it is known", lambda: busy in world.seen[f"{NAME}-2"]["metadata"]["labels"])
    await world.change(replicas=1)
    await world.until("the idle ones go", lambda: set(world.seen) == world.busy)
    await world.settled(1)
    world.busy = set()


async def one_is_silent(world: World) -> None:
    await world.create(manifest(world.kind, 2))
    await world.settled(2)
    # It may be at work: nothing says that it is not.
    world.busy, world.silent = {f"{NAME}-1"}, {f"{NAME}-1"}
    await world.change(replicas=0)
    await world.until("the other goes", lambda: set(world.seen) == world.silent)
    world.busy, world.silent = set(), set()
    await world.settled(0)


async def beside_a_stranger(world: World) -> None:
    await world.befriend(f"{NAME}-1")
    await world.create(manifest(world.kind, 2))
    await world.settled(2)
    await world.change(replicas=0)
    await world.settled(0)
    assert set(world.seen) == {f"{NAME}-1"}


def revised(world: World) -> int:
    return sum(each == ("ready", "1") for each in world.states())


WORKLOADS: Final[Mapping[str, Workload]] = {
    f"{kind.value} {story.__name__}": Workload(kind, story)
    for kind, stories in {
        Kind.EGRESS_FLEET: (
            up_and_down,
            another_template,
            drain_under_load,
            made_again,
            bad_template,
            one_cordoned,
            fewest_jobs_first,
            one_is_silent,
            beside_a_stranger,
        ),
        Kind.ORCHESTRATOR_POOL: (up_and_down, another_template, drain_under_load),
        Kind.AI_WORKER_POOL: (up_and_down, another_template, drain_under_load, made_again),
    }.items()
    for story in stories
}
