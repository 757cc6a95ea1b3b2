"""A small cluster in virtual time to run the engine against: API server, kubelet, desk, jobs.

Everything the engine sees may be old, and what it asks for may be carried out only in part, as
when its process is killed between two writes. The world knows the truth, and holds the engine to
it at each write.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from mediafleet_common.api.names import PodState, Reason
from mediafleet_operator.core.fleet.actions import (
    Action,
    Create,
    Delete,
    Drain,
    Mark,
    OnPod,
    Rescale,
    SetGate,
    SetReplicas,
    Undrain,
)
from mediafleet_operator.core.fleet.model import (
    FleetSpec,
    History,
    Observation,
    PodView,
    Reading,
)
from mediafleet_operator.core.plan import Plan

STEP: Final = 0.5
ON_ITS_WAY_SECONDS: Final = 1.8
"""Work given to a pod while it was listed may arrive so much later; less than the settle time."""
START_SECONDS: Final = 3.0
GATE_SECONDS: Final = 1.9
"""A shut serving gate still lets connections in for so long."""
BAD: Final = "bad"
"""A template whose pods crash."""


class BusyPodDeletedError(AssertionError):
    """A pod with jobs, or with one on its way, was deleted before its time-out."""


@dataclass
class Body:
    """A pod and what is true of it."""

    view: PodView
    ready_at: float | None
    jobs: list[float] = field(default_factory=list)
    """When each ends."""
    on_their_way: list[float] = field(default_factory=list)
    """When each job that it has been given arrives."""
    deaf: bool = False
    """Its metrics do not answer."""
    drains: int = 0
    drained_by: float = 0.0


class World:
    """The cluster. `plan` is the engine."""

    def __init__(self, spec: FleetSpec, plan: Callable[[Observation], Plan], seed: int) -> None:
        self.spec = spec
        self.now = 1000.0
        self.pods: dict[str, Body] = {}
        self.loads: dict[str, History] = {}
        self.actions = 0
        self.crash_chance = 0.0
        self.stale_chance = 0.0
        self.new_jobs = 0.3
        """Chance that a serving pod gets a job in a step."""
        self.old_friends = 0.0
        """Chance that a pod which drains, and whose serving gate is open, gets one all the same."""
        self.gates = False
        """Whether pods have a Service of their own and a serving gate."""
        self._plan = plan
        self._random = random.Random(seed)
        self._uids = 0
        self._version = 0
        self._old_views: tuple[PodView, ...] = ()
        self._often: frozenset[str] = frozenset()

    # What is true

    @property
    def serving(self) -> list[Body]:
        """Pods that a desk would give work."""
        return [each for each in self.pods.values() if each.view.serving and not each.view.deleting]

    @property
    def settled(self) -> bool:
        """Whether the fleet is exactly as wanted."""
        views = [each.view for each in self.pods.values()]
        return len(views) == self.spec.replicas and all(
            view.serving and view.template == self.spec.template_hash for view in views
        )

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / STEP)):
            self.step()

    def step(self) -> None:
        """One step of time, and one round of the operator."""
        self.now += STEP
        for uid in list(self.pods):
            self._live(uid)
        self._give_jobs()
        self._probe()
        self._operate()

    # What happens to it

    def change(self, uid: str, **facts: object) -> None:
        """Something of a pod changes on the API server."""
        body = self.pods[uid]
        self._version += 1
        body.view = replace(body.view, resource_version=str(self._version), **facts)  # type: ignore[arg-type]

    def pick(self, index: int) -> str | None:
        """Some pod."""
        uids = sorted(self.pods)
        return uids[index % len(uids)] if uids else None

    def _live(self, uid: str) -> None:
        body = self.pods[uid]
        view = body.view
        body.jobs = [end for end in body.jobs if end > self.now]
        if view.deleting and (not body.jobs or view.over or view.node_lost_since is None):
            # Under its grace period it waits for its jobs; nobody waits for a dead one.
            if not body.jobs:
                del self.pods[uid]
                self.loads.pop(uid, None)
            return
        starts = body.ready_at is not None and self.now >= body.ready_at
        if not starts or view.over or view.node_lost_since is not None:
            return
        if view.gate_open is False:
            if not view.work_running:  # Its gate keeps a pod from being Ready, not from running.
                self.change(uid, work_running=True)
        elif not view.ready:
            body.ready_at = None
            self.change(uid, ready=True, work_running=True)
            if view.state is PodState.PENDING:
                # It gets work at once; its label is written later.
                self.change(uid, state=PodState.READY, unmarked=True)

    def _give_jobs(self) -> None:
        for body in self.pods.values():
            view = body.view
            arrived = [at for at in body.on_their_way if at <= self.now]
            body.on_their_way = [at for at in body.on_their_way if at > self.now]
            if view.ready and not view.over and not view.deleting:
                body.jobs += [self.now + self._random.uniform(1, 10) for _ in arrived]
                if view.serving and self._random.random() < self.new_jobs:
                    delay = self._random.uniform(0, ON_ITS_WAY_SECONDS)
                    body.on_their_way.append(self.now + delay)
            drains = view.state is PodState.DRAINING and view.work_running and not view.deleting
            if drains and self._lets_in(view) and self._random.random() < self.old_friends:
                body.jobs.append(self.now + self._random.uniform(1, 10))

    def _lets_in(self, view: PodView) -> bool:
        shut_at = view.gate_shut_at
        return bool(view.gate_open) or (
            shut_at is not None and self.now < shut_at + GATE_SECONDS and not view.over
        )

    def _probe(self) -> None:
        for uid, body in self.pods.items():
            often = uid in self._often or round(self.now / STEP) % 8 == 0
            if body.view.state is PodState.PENDING or not often:
                continue
            answers = not body.deaf and body.view.work_running and not body.view.node_lost_since
            reading = Reading(self.now, len(body.jobs) if answers else None)
            self.loads[uid] = (*self.loads.get(uid, ()), reading)[-2:]

    # The operator

    def _operate(self) -> None:
        views = tuple(body.view for body in self.pods.values())
        seen = self._old_views if self._random.random() < self.stale_chance else views
        self._old_views = views
        loads = {view.uid: self.loads[view.uid] for view in seen if view.uid in self.loads}
        planned = self._plan(Observation(self.spec, seen, loads, self.now))
        self._often = planned.probe_often
        actions = list(planned.actions)
        self._random.shuffle(actions)
        if self._random.random() < self.crash_chance:
            actions = actions[: self._random.randint(0, len(actions))]
        for action in actions:
            self._apply(action)

    def _apply(self, action: Action) -> None:
        self.actions += 1
        if isinstance(action, SetReplicas):
            self.spec = replace(self.spec, replicas=action.replicas)
        elif isinstance(action, Rescale):
            self.spec = replace(self.spec, replicas=action.after)
        elif isinstance(action, Create):
            self._create(action.slot)
        else:
            body = self.pods.get(action.pod.uid)
            # Writes to a pod depend on its resourceVersion, but for those of its serving gate.
            same = body and body.view.resource_version == action.pod.resource_version
            if body and (same or isinstance(action, SetGate)):
                self._change(body, action)

    def _create(self, slot: int) -> None:
        if any(body.view.slot == slot for body in self.pods.values()):
            return  # The name is taken: the API server refuses.
        self._uids += 1
        self._version += 1
        template = self.spec.template_hash
        view = PodView(
            name=f"rec-{slot}",
            uid=f"{self._uids:05}",
            resource_version=str(self._version),
            slot=slot,
            template=template,
            state=PodState.PENDING,
            created_at=self.now,
            trouble=Reason.CRASH_LOOP if template == BAD else None,
            gate_open=False if self.gates else None,
        )
        starts = None if template == BAD else self.now + self._random.uniform(0.5, START_SECONDS)
        self.pods[view.uid] = Body(view, starts)

    def _change(self, body: Body, action: OnPod) -> None:
        uid = body.view.uid
        match action:
            case Drain(_, reason):
                self.change(
                    uid, state=PodState.DRAINING, drain_started=self.now, drain_reason=reason
                )
                body.drains += 1
            case Undrain():
                facts = {"drain_started": None, "drain_reason": None}
                self.change(uid, state=PodState.READY, **facts)
            case Mark(_, state, _, busy):
                marks = {"state": state, "busy_label": busy}
                if state is not None:
                    self.change(uid, unmarked=False)
                self.change(uid, **{key: each for key, each in marks.items() if each is not None})
            case SetGate():
                self._set_gate(body, is_open=action.open)
            case Delete():
                self._delete(body, action)

    def _set_gate(self, body: Body, *, is_open: bool) -> None:
        if is_open and body.ready_at is None and body.view.work_running:
            body.ready_at = self.now
        ready = body.view.ready and is_open
        # Kubernetes' times are whole seconds.
        shut_at = None if is_open else float(int(self.now))
        self.change(body.view.uid, gate_open=is_open, gate_shut_at=shut_at, ready=ready)

    def _delete(self, body: Body, action: Delete) -> None:
        view = body.view
        late = (
            view.drain_started is not None
            and self.now >= view.drain_started + self.spec.drain_timeout_seconds
        )
        work = len(body.jobs) + len(body.on_their_way if view.ready else ())
        if work and not view.over and not (late and action.reason is Reason.DRAIN_TIMED_OUT):
            raise BusyPodDeletedError(f"{view.name} with {work} jobs: {action.reason}")
        if action.reason is Reason.DRAIN_FINISHED and view.work_running and self._lets_in(view):
            raise BusyPodDeletedError(f"{view.name}: its serving gate still lets connections in")
        self.change(view.uid, deleting=True)


@dataclass(frozen=True)
class Command:
    """Something that a person or the cluster does."""

    name: str
    number: int
    then_seconds: float

    def do(self, world: World) -> None:
        """Do it, and let some time pass."""
        getattr(self, f"_{self.name}")(world)
        world.run(self.then_seconds)

    def _scale(self, world: World) -> None:
        world.spec = replace(world.spec, replicas=self.number % 7)

    def _template(self, world: World) -> None:
        # Among few names, so that one often comes back.
        template = ("a", "b", BAD)[self.number % 3]
        world.spec = replace(world.spec, template_hash=template)

    def _pause(self, world: World) -> None:
        world.spec = replace(world.spec, paused=not world.spec.paused)

    def _fail(self, world: World) -> None:
        if uid := world.pick(self.number):
            world.pods[uid].jobs.clear()
            world.change(uid, over=Reason.POD_FAILED, ready=False, work_running=False)

    def _crash(self, world: World) -> None:
        if uid := world.pick(self.number):
            world.pods[uid].jobs.clear()
            world.pods[uid].ready_at = world.now + 2
            world.change(uid, ready=False, work_running=False)

    def _unready(self, world: World) -> None:
        uid = world.pick(self.number)
        if uid and world.pods[uid].view.ready:
            world.pods[uid].ready_at = world.now + 4
            world.change(uid, ready=False)

    def _silent(self, world: World) -> None:
        if uid := world.pick(self.number):
            since = None if world.pods[uid].view.node_lost_since else world.now
            ready = world.pods[uid].view.ready and since is None
            if since is None:
                world.pods[uid].ready_at = world.now + 1
            world.change(uid, node_lost_since=since, ready=ready, work_running=None)

    def _cordon(self, world: World) -> None:
        if uid := world.pick(self.number):
            world.change(uid, cordoned=True)

    def _cordon_node(self, world: World) -> None:
        if uid := world.pick(self.number):
            world.change(uid, node_empties=not world.pods[uid].view.node_empties)

    def _deafen(self, world: World) -> None:
        if uid := world.pick(self.number):
            world.pods[uid].deaf = not world.pods[uid].deaf

    def _strip(self, world: World) -> None:
        if uid := world.pick(self.number):
            world.change(uid, drain_started=None, drain_reason=None)

    def _delete(self, world: World) -> None:
        if uid := world.pick(self.number):
            world.change(uid, deleting=True)


COMMANDS: Final = sorted(
    name.removeprefix("_")
    for name in vars(Command)
    if name.startswith("_") and not name.startswith("__")
)


def heal(world: World) -> None:
    """Whatever is broken is repaired; what was asked for stays."""
    world.crash_chance = world.stale_chance = 0.0
    world.spec = replace(world.spec, paused=False)
    if world.spec.template_hash == BAD:
        world.spec = replace(world.spec, template_hash="good")
    for uid, body in world.pods.items():
        body.deaf = False
        if body.view.node_lost_since is not None:
            body.ready_at = world.now + 1
            running = not body.view.over or None
            world.change(uid, node_lost_since=None, work_running=running)
        elif not body.view.ready and body.ready_at is None and body.view.template != BAD:
            body.ready_at = world.now + 1
