"""Short stories of a fleet; each ends with what must be there, whatever went wrong on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.kit.faults.manifests import REPORTER, manifest, scaled, sharing, template
from tests.kit.faults.plans import ON_EVENTS, Fault
from tests.kit.faults.world import NAME, World

from mediafleet_common.api.names import Annotation, Kind, Label


@dataclass(frozen=True, slots=True)
class Workload:
    """What happens to a fleet, and what kind it is."""

    kind: Kind
    story: Callable[[World], Awaitable[None]]

    @property
    def desk(self) -> str | None:
        """Who is asked for demand, by its URL; a pool without an advertiser needs nobody."""
        asks = self.story in {autoscale, desk_is_mute} and self.kind is not Kind.ORCHESTRATOR_POOL
        return "http://desk.test.svc" if asks else None


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


async def behind_services(world: World) -> None:
    made = manifest(world.kind, 2, address={"type": "node_port", "nodeAddress": "internal"})
    await world.create(made)
    await world.settled(2)
    await world.change(replicas=3)
    await world.settled(3)
    await world.change(replicas=1)
    await world.settled(1)


async def autoscale(world: World) -> None:
    await world.create(scaled(world.kind))
    await world.settled(1)
    world.busy = {f"{NAME}-0"}
    await world.settled(2)
    world.busy = {f"{NAME}-0", f"{NAME}-1"}
    await world.settled(3)
    world.busy = {f"{NAME}-1"}
    await world.settled(2)
    assert f"{NAME}-1" in world.seen
    world.busy = set()
    await world.settled(1)


async def desk_is_mute(world: World) -> None:
    await world.create(scaled(world.kind))
    world.busy = {f"{NAME}-0"}
    await world.settled(2)
    world.busy, world.mute = set(), True
    await world.says("ScalingActive", "False")
    await world.settled(2)
    world.mute = False
    await world.settled(1)


async def node_lost(world: World) -> None:
    lost = await node_is_silent(world)
    await world.nodes.lose(lost)
    await world.settled(2)


async def node_comes_back(world: World) -> None:
    silent = await node_is_silent(world)
    await world.nodes.revive(silent)
    await world.settled(2)
    # It has worked on, whatever was known of it.
    assert f"{NAME}-0" in world.seen
    world.busy = set()


async def node_is_silent(world: World) -> str:
    """A fleet of two whose node goes silent with a busy pod: two others come, and both stay."""
    silent = await world.nodes.make()
    made = manifest(world.kind, 2)
    made["spec"]["template"] = template(made, 0, **world.nodes.on_them)
    await world.create(made)
    await world.settled(2)
    old = set(world.seen)
    world.busy = {f"{NAME}-0"}
    await world.nodes.make()
    await world.nodes.silence(silent)
    await world.until("two others come", lambda: len(world.able() - old) == 2)
    assert old < set(world.seen)
    return silent


async def shared(world: World) -> None:
    await world.create(sharing("eu-west"))
    await world.says("Ready", "True")
    await world.owns(REPORTER)
    await world.change(region="eu-north", volume={"size": "1Gi"})
    await world.says("Ready", "True")
    await world.owns(REPORTER | {f"persistentvolumeclaims/{NAME}-reporter"})
    path = f"/api/v1/namespaces/{world.namespace}/configmaps/{NAME}-reporter"
    assert "eu-north" in str(await world.api.get(path))


async def shared_again(world: World) -> None:
    await world.create(sharing("eu-west"))
    await world.says("Ready", "True")
    await world.delete()
    # What the first has made may still be there, and has the names of what is to be.
    await world.create(sharing("eu-west"))
    await world.says("Ready", "True")
    await world.owns(REPORTER)


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
            autoscale,
            desk_is_mute,
            node_lost,
            node_comes_back,
        ),
        Kind.ORCHESTRATOR_POOL: (
            up_and_down,
            another_template,
            drain_under_load,
            behind_services,
            autoscale,
            node_lost,
        ),
        Kind.AI_WORKER_POOL: (
            up_and_down,
            another_template,
            drain_under_load,
            made_again,
            autoscale,
            node_lost,
        ),
        Kind.COMMUNITY_METRICS: (shared, shared_again),
    }.items()
    for story in stories
}
