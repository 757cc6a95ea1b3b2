"""What the engine does, case by case. A case shows a fleet, its pods, and the whole plan."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from tests.kit.operator.fleet_builders import (
    NOW,
    SETTLE,
    TIMEOUT,
    draining,
    fleet,
    observe,
    pending,
    pod,
    readings,
    words,
)

from mediafleet_common.api.names import DrainReason, PodState, Reason
from mediafleet_common.api.shared import OnTimeout, Strategy
from mediafleet_operator.core.fleet.model import (
    FleetSpec,
    History,
    Memory,
    PodView,
    Reading,
    Refusal,
)
from mediafleet_operator.core.plan import plan

IN_PLACE = {"strategy": Strategy.IN_PLACE}


@dataclass(frozen=True)
class Case:
    claim: str
    fleet: FleetSpec
    pods: list[PodView]
    plan: list[str]
    jobs: dict[int, int | None] = field(default_factory=dict)
    loads: dict[int, History] = field(default_factory=dict)
    memory: Memory = Memory()  # noqa: RUF009 -- frozen


CREATE = [
    Case(
        "an empty fleet gets all its pods at once",
        fleet(3),
        [],
        ["create 0", "create 1", "create 2"],
    ),
    Case(
        "absent replicas are written once, as one", fleet(None), [], ["create 0", "set replicas 1"]
    ),
    Case(
        "with autoscaling they are written as its minimum",
        fleet(None, first_replicas=2),
        [],
        ["create 0", "create 1", "set replicas 2"],
    ),
    Case("the lowest free slot is taken", fleet(3), [pod(0), pod(3)], ["create 1"]),
    Case(
        "a slot is free only when its pod object is gone",
        fleet(2),
        [pod(0, deleting=True), pod(1)],
        ["create 2"],
    ),
    Case(
        "another owner's pod takes up its slot and counts for nothing",
        fleet(1),
        [pod(0, ours=False)],
        ["create 1"],
    ),
    Case(
        "a slot whose name somebody else's pod has is left alone",
        fleet(1),
        [],
        ["create 1"],
        memory=Memory(taken={0: NOW + 10}),
    ),
    Case(
        "nothing is made from an invalid template", fleet(2, template_problem="bad"), [pod(0)], []
    ),
    Case("a fleet that is as wanted is left alone", fleet(2), [pod(0), pod(1)], []),
    Case("a fleet being deleted is left alone", fleet(2, deleting=True), [], []),
    Case(
        "a paused fleet is left alone",
        fleet(1, paused=True),
        [pod(0), pod(1), draining(2), pending(3, ready=True)],
        [],
        jobs={2: 0},
    ),
]

SCALE_DOWN = [
    Case(
        "a pod that never was Ready goes first, at once",
        fleet(1),
        [pod(0), pending(1)],
        ["delete 1 ScaledDown grace 30"],
        jobs={0: 0},
    ),
    Case(
        "its own grace counts where that is shorter",
        fleet(1, grace_seconds=5),
        [pod(0), pending(1)],
        ["delete 1 ScaledDown grace 5"],
        jobs={0: 0},
    ),
    Case(
        "and without a desk, where it may have a job all the same",
        fleet(1, native=True),
        [pod(0), pending(1)],
        ["delete 1 ScaledDown"],
        jobs={0: 0},
    ),
    Case(
        "then one that is no longer Ready, which is drained: it may have jobs",
        fleet(1),
        [pod(0), pod(1, ready=False)],
        ["drain 1 scale_down"],
        jobs={0: 0, 1: 3},
    ),
    Case(
        "then an idle one, whatever its slot",
        fleet(2),
        [pod(0), pod(1, busy_label=True), pod(2, busy_label=True)],
        ["drain 0 scale_down"],
        jobs={0: 0, 1: 1, 2: 1},
    ),
    Case(
        "then the one with fewest jobs",
        fleet(2),
        [pod(0, busy_label=True), pod(1, busy_label=True), pod(2, busy_label=True)],
        ["drain 1 scale_down"],
        jobs={0: 3, 1: 1, 2: 2},
    ),
    Case(
        "unknown load sorts as the busiest",
        fleet(1),
        [pod(0, busy_label=True), pod(1, busy_label=True)],
        ["drain 0 scale_down"],
        jobs={0: 9, 1: None},
    ),
    Case(
        "with nothing between them the highest slot goes",
        fleet(1),
        [pod(0), pod(1), pod(2)],
        ["drain 1 scale_down", "drain 2 scale_down"],
        jobs={0: 0, 1: 0, 2: 0},
    ),
    Case(
        "to zero: all drain",
        fleet(0),
        [pod(0), pod(1)],
        ["drain 0 scale_down", "drain 1 scale_down"],
    ),
    Case(
        "draining pods do not count twice",
        fleet(1),
        [pod(0), draining(1, since=1)],
        [],
    ),
    Case(
        "a container that does not run has no jobs, whatever was read before",
        fleet(1),
        [pod(0, busy_label=True), pod(1, work_running=False)],
        ["drain 1 scale_down"],
        jobs={0: 1, 1: 5},
    ),
]

LEAVING = [
    Case(
        "settling: idle readings do not count yet",
        fleet(0),
        [draining(0, since=SETTLE - 1)],
        [],
        {0: 0},
    ),
    Case(
        "one idle reading is not enough",
        fleet(0),
        [draining(0)],
        [],
        loads={0: readings(0)},
    ),
    Case(
        "two idle readings in a row: deleted",
        fleet(0),
        [draining(0)],
        ["delete 0 DrainFinished"],
        jobs={0: 0},
    ),
    Case(
        "both have to be asked after the settle time",
        fleet(0),
        [draining(0, since=SETTLE + 1)],
        [],
        loads={0: readings(0, 0, ago=0.5)},
    ),
    Case(
        "a busy reading between spoils the proof",
        fleet(0),
        [draining(0, busy_label=True)],
        [],
        loads={0: readings(0, 1)},
    ),
    Case(
        "an unknown one does too",
        fleet(0),
        [draining(0, busy_label=True)],
        [],
        loads={0: readings(0, None)},
    ),
    Case(
        "an old proof is none",
        fleet(0),
        [draining(0)],
        [],
        loads={0: readings(0, 0, ago=30)},
    ),
    Case(
        "unknown load is never idle",
        fleet(0),
        [draining(0, since=TIMEOUT - 1, busy_label=True)],
        [],
        jobs={0: None},
    ),
    Case("never probed is unknown", fleet(0), [draining(0)], []),
    Case(
        "its container does not run: nothing to wait for",
        fleet(0),
        [draining(0, work_running=False)],
        ["delete 0 DrainFinished"],
    ),
    Case(
        "it has ended by itself: not even the settle time",
        fleet(0),
        [draining(0, since=1, over=Reason.POD_FAILED)],
        ["delete 0 DrainFinished"],
    ),
    Case(
        "past its time-out, on wait: it is waited for",
        fleet(0),
        [draining(0, since=TIMEOUT + 1, busy_label=True)],
        [],
        jobs={0: 1},
    ),
    Case(
        "past its time-out, on stop: deleted with its grace period",
        fleet(0, on_timeout=OnTimeout.STOP),
        [draining(0, since=TIMEOUT + 1, busy_label=True)],
        ["delete 0 DrainTimedOut"],
        jobs={0: 1},
    ),
    Case(
        "past its time-out, on kill: deleted with hardly any",
        fleet(0, on_timeout=OnTimeout.KILL),
        [draining(0, since=TIMEOUT + 1, busy_label=True)],
        ["delete 0 DrainTimedOut grace 1"],
        jobs={0: None},
    ),
    Case(
        "somebody took the time away: the wait begins anew",
        fleet(0),
        [draining(0, drain_started=None)],
        ["drain 0 scale_down"],
        jobs={0: 0},
    ),
    Case(
        "its node is silent: kubelet's last words prove nothing",
        fleet(0),
        [draining(0, node_lost_since=NOW - 100, work_running=None, busy_label=True)],
        [],
        jobs={0: None},
    ),
]

RETURNING = [
    Case(
        "a scale-up takes draining pods back before it makes any",
        fleet(3),
        [pod(0), draining(1, busy_label=True)],
        ["create 2", "undrain 1"],
        jobs={1: 2},
    ),
    Case(
        "the one that would be waited for longest comes back first",
        fleet(2),
        [pod(0), draining(1, since=1), draining(2, since=1, busy_label=True)],
        ["undrain 2"],
        jobs={0: 0, 1: 0, 2: 4},
    ),
    Case(
        "not one of an old template",
        fleet(1),
        [draining(0, since=1, template="old")],
        ["create 1"],
    ),
    Case(
        "not one that a person has cordoned",
        fleet(1),
        [draining(0, since=1, cordoned=True)],
        ["create 1"],
    ),
    Case(
        "not one on a cordoned node",
        fleet(1),
        [draining(0, since=1, node_empties=True)],
        ["create 1"],
    ),
    Case(
        "not one on a silent node",
        fleet(1),
        [draining(0, since=1, node_lost_since=NOW - 5)],
        ["create 1"],
    ),
    Case(
        "the template is the old one again: its pods come back",
        fleet(2),
        [pending(0, template="bad"), draining(1, since=1), draining(2, since=1)],
        ["delete 0 RollingOut grace 30", "undrain 1", "undrain 2"],
    ),
]

ROLLOUT = [
    Case(
        "surge: one more pod first, nobody leaves",
        fleet(2),
        [pod(0, template="old"), pod(1, template="old")],
        ["create 2"],
    ),
    Case(
        "its replacement is there but not Ready: nobody leaves",
        fleet(2),
        [pod(0, template="old"), pod(1, template="old"), pending(2)],
        [],
    ),
    Case(
        "Ready but not yet marked: no desk gives it work, nobody leaves",
        fleet(2),
        [pod(0, template="old"), pod(1, template="old"), pending(2, ready=True)],
        ["mark 2 ready"],
    ),
    Case(
        "Ready: the idle old one leaves, and the next step begins",
        fleet(2),
        [pod(0, template="old"), pod(1, template="old", busy_label=True), pod(2)],
        ["create 3", "drain 0 template"],
        jobs={0: 0, 1: 2, 2: 0},
    ),
    Case(
        "a draining pod does not hold up the next step",
        fleet(2),
        [draining(0, template="old", busy_label=True), pod(1, template="old"), pod(2)],
        ["create 3"],
        jobs={0: 1},
    ),
    Case(
        "maxSurge 2: two at a time",
        fleet(3, max_surge=2),
        [pod(0, template="old"), pod(1, template="old"), pod(2, template="old")],
        ["create 3", "create 4"],
    ),
    Case(
        "old pods that never were Ready are replaced at once",
        fleet(2),
        [pending(0, template="old"), pending(1, template="old")],
        ["create 2", "create 3", "delete 0 RollingOut grace 30", "delete 1 RollingOut grace 30"],
    ),
    Case(
        "it stops when too many new pods fail",
        fleet(3, max_failures=1, max_surge=2),
        [
            pod(0, template="old"),
            pod(1, template="old"),
            pod(2, template="old"),
            pending(3, trouble=Reason.CRASH_LOOP),
        ],
        [],
    ),
    Case(
        "it goes on while fewer fail",
        fleet(3, max_failures=2, max_surge=2),
        [
            pod(0, template="old"),
            pod(1, template="old"),
            pod(2, template="old"),
            pending(3, trouble=Reason.CRASH_LOOP),
        ],
        ["create 4"],
    ),
    Case(
        "stopped, it still replaces a pod that is gone",
        fleet(3, max_failures=1),
        [pod(0, template="old"), pod(1, template="old")],
        ["create 2"],
    ),
    Case(
        "stopped, a scale-down goes on",
        fleet(1, max_failures=1),
        [pod(0, template="old"), pod(1, template="old"), pending(3, trouble=Reason.CRASH_LOOP)],
        ["drain 1 template"],
    ),
    Case(
        "a scale-down in the middle takes old pods, as many as are Ready beyond the wanted",
        fleet(3),
        [
            pod(0, template="old"),
            pod(1, template="old"),
            pod(2, template="old"),
            pod(3),
            pod(4),
            pending(5),
        ],
        ["drain 1 template", "drain 2 template"],
    ),
    Case(
        "an old pod that is no longer Ready leaves once its replacement is made",
        fleet(2),
        [pod(0, template="old", ready=False), pod(1, template="old"), pending(2)],
        ["drain 0 template"],
    ),
    Case(
        "a cordoned pod is replaced like an old one",
        fleet(1),
        [pod(0, cordoned=True)],
        ["create 1"],
    ),
    Case(
        "a pod on a cordoned node too",
        fleet(1),
        [pod(0, node_empties=True), pod(1)],
        ["drain 0 node"],
    ),
    Case(
        "in place: a pod goes before the next one comes",
        fleet(2, **IN_PLACE),
        [pod(0, template="old"), pod(1, template="old")],
        ["drain 1 template"],
    ),
    Case(
        "in place: its slot waits for it",
        fleet(2, **IN_PLACE),
        [pod(0, template="old"), draining(1, since=1, template="old")],
        [],
    ),
    Case(
        "in place: also while it ends",
        fleet(2, **IN_PLACE),
        [pod(0, template="old"), pod(1, template="old", deleting=True)],
        [],
    ),
    Case(
        "in place: then the same slot again",
        fleet(2, **IN_PLACE),
        [pod(0, template="old")],
        ["create 1"],
    ),
    Case(
        "in place: the next one goes when all others are Ready",
        fleet(2, **IN_PLACE),
        [pod(0, template="old"), pending(1)],
        [],
    ),
    Case(
        "in place: one that is away already is replaced first",
        fleet(2, **IN_PLACE),
        [pod(0, template="old"), pod(1, template="old", ready=False)],
        ["drain 1 template"],
    ),
    Case(
        "a slot that owns a volume is replaced in place whatever the strategy",
        fleet(1, slots_own_things=True),
        [pod(0, template="old")],
        ["drain 0 template"],
    ),
]

AILMENTS = [
    Case(
        "an ended pod is made anew",
        fleet(1),
        [pod(0, over=Reason.POD_EVICTED, ready=False)],
        ["create 1", "delete 0 PodEvicted"],
    ),
    Case(
        "not at once when it died young",
        fleet(1),
        [pod(0, over=Reason.POD_FAILED, ready=False, created_at=NOW - 5)],
        [],
    ),
    Case(
        "at once when nobody wants it",
        fleet(0),
        [pod(0, over=Reason.POD_FAILED, ready=False, created_at=NOW - 5)],
        ["delete 0 PodFailed"],
    ),
    Case(
        "an image that cannot be pulled: kubelet tries again, not we",
        fleet(1),
        [pending(0, trouble=Reason.IMAGE_PULL)],
        [],
    ),
    Case("a crash loop: likewise", fleet(1), [pending(0, trouble=Reason.CRASH_LOOP)], []),
    Case(
        "no node fits: the scheduler tries again",
        fleet(1),
        [pending(0, unschedulable_since=NOW)],
        [],
    ),
    Case("a node silent for a moment: nothing", fleet(1), [pod(0, node_lost_since=NOW - 5)], []),
    Case(
        "a node silent for long: another pod in another slot",
        fleet(1),
        [pod(0, node_lost_since=NOW - 60, ready=False)],
        ["create 1"],
    ),
    Case(
        "not where slots own things: two must never have them",
        fleet(1, slots_own_things=True),
        [pod(0, node_lost_since=NOW - 60, ready=False)],
        [],
    ),
    Case(
        "it comes back: the idle one of the two leaves",
        fleet(1),
        [pod(0, busy_label=True), pod(1)],
        ["drain 1 scale_down"],
        jobs={0: 2, 1: 0},
    ),
    Case(
        "refused by quota: no try before the back-off is over",
        fleet(3),
        [],
        [],
        memory=Memory(Refusal(Reason.QUOTA_EXCEEDED, "", 1, NOW - 0.5)),
    ),
    Case(
        "then one try, not three",
        fleet(3),
        [],
        ["create 0"],
        memory=Memory(Refusal(Reason.QUOTA_EXCEEDED, "", 1, NOW - 1)),
    ),
]

MARKS = [
    Case("Ready for the first time: listed", fleet(1), [pending(0, ready=True)], ["mark 0 ready"]),
    Case(
        "at work before its label says ready, and no longer Ready: its label is written",
        fleet(1),
        [pod(0, unmarked=True, ready=False)],
        ["mark 0 ready"],
    ),
    Case(
        "with its address, in one write",
        fleet(1),
        [pending(0, ready=True, address_wanted="https://10.0.0.1:8935")],
        ["mark 0 ready https://10.0.0.1:8935"],
    ),
    Case(
        "its address before it is Ready",
        fleet(1),
        [pending(0, address_wanted="https://10.0.0.1:8935")],
        ["mark 0 https://10.0.0.1:8935"],
    ),
    Case(
        "no longer Ready: its label stays, desks see the condition",
        fleet(1),
        [pod(0, ready=False)],
        [],
    ),
    Case("busy", fleet(1), [pod(0)], ["mark 0 busy"], {0: 1}),
    Case("idle again", fleet(1), [pod(0, busy_label=True)], ["mark 0 idle"], {0: 0}),
    Case("of unknown load: perhaps busy", fleet(1), [pod(0)], ["mark 0 busy"], {0: None}),
    Case("never asked: nothing is written", fleet(1), [pod(0)], []),
    Case(
        "a pod that drains now gets one write", fleet(0), [pod(0)], ["drain 0 scale_down"], {0: 1}
    ),
]


@pytest.mark.parametrize(
    "case",
    [*CREATE, *SCALE_DOWN, *LEAVING, *RETURNING, *ROLLOUT, *AILMENTS, *MARKS],
    ids=lambda case: case.claim,
)
def test_plan(case: Case) -> None:
    observation = observe(case.fleet, case.pods, case.jobs, loads=case.loads, memory=case.memory)

    assert words(plan(observation).actions) == case.plan


def test_drain_never_picks_a_busy_pod_while_an_idle_one_exists() -> None:
    pods = [pod(slot, busy_label=slot != 7) for slot in range(12)]
    jobs: dict[int, int | None] = {slot: 0 if slot == 7 else 1 for slot in range(12)}

    assert words(plan(observe(fleet(11), pods, jobs)).actions) == ["drain 7 scale_down"]


def test_the_order_of_pods_does_not_matter() -> None:
    pods = [pod(0), pod(1), pending(2), draining(3), pod(4, template="old")]
    forwards = plan(observe(fleet(1), pods, {0: 1, 1: None})).actions
    backwards = plan(observe(fleet(1), pods[::-1], {0: 1, 1: None})).actions

    assert words(forwards) == words(backwards)


def test_each_pod_gets_one_write_at_most() -> None:
    pods = [
        pending(0, ready=True, template="old", address_wanted="https://a"),
        pod(1, address_wanted="https://b"),
        draining(2, address_wanted="https://c"),
    ]
    actions = plan(observe(fleet(0), pods, {1: 1, 2: 0})).actions

    assert len({action.pod.slot for action in actions if hasattr(action, "pod")}) == len(actions)


def test_draining_and_outdated_pods_are_probed_often() -> None:
    pods = [pod(0), pod(1, template="old"), draining(2)]

    assert plan(observe(fleet(2), pods)).probe_often == {"uid-1", "uid-2"}


@pytest.mark.parametrize(
    ("pods", "seconds"),
    [
        ([pod(0)], None),
        ([pod(0), draining(1, since=2)], SETTLE - 2),
        ([pod(0), draining(1, since=60)], TIMEOUT - 60),
        ([pod(0), pod(1, over=Reason.POD_FAILED, created_at=NOW - 10)], None),
        ([pod(0, over=Reason.POD_FAILED, created_at=NOW - 10)], 20),
        ([pod(0, node_lost_since=NOW - 10)], 20),
        ([pending(0, unschedulable_since=NOW - 50)], 10),
    ],
)
def test_it_looks_again_when_time_alone_changes_the_plan(
    pods: list[PodView], seconds: float | None
) -> None:
    planned = plan(observe(fleet(1), pods))

    if seconds is None:
        assert planned.look_again_seconds is None or planned.actions
    else:
        assert planned.look_again_seconds == seconds


def test_a_pod_named_by_an_unreadable_state_label_is_never_deleted_outright() -> None:
    unreadable = pod(1, state=PodState.READY, ready=False)

    actions = plan(observe(fleet(0), [unreadable])).actions

    assert words(actions) == [f"drain 1 {DrainReason.SCALE_DOWN.value}"]


def disabled(jobs: int, idle_for: float | None) -> History:
    """A pod that takes nothing by its own word, and for how long it has been idle so."""
    since = None if idle_for is None else NOW - idle_for
    return (Reading(NOW - 0.5, jobs, disabled=True, disabled_idle_since=since),)


@pytest.mark.parametrize(
    ("history", "steps"),
    [
        (disabled(1, None), []),
        (disabled(0, 59.0), []),
        (disabled(0, 60.0), ["create 2"]),
    ],
    ids=["busy", "idle for less than a minute", "idle for a minute"],
)
def test_a_pod_is_replaced_that_is_disabled_and_idle_for_a_minute(
    history: History, steps: list[str]
) -> None:
    seen = observe(fleet(2), [pod(0), pod(1)], {1: 0}, loads={0: history})
    planned = plan(seen)
    assert [each for each in words(planned.actions) if "mark" not in each] == steps
    if history[-1].jobs == 0 and not steps:
        assert planned.look_again_seconds == pytest.approx(1.0)


def test_it_drains_for_that_reason_and_is_not_taken_back() -> None:
    seen = observe(fleet(2), [pod(0), pod(1), pod(2)], {1: 0, 2: 0}, loads={0: disabled(0, 90.0)})
    assert "drain 0 disabled" in words(plan(seen).actions)
    leaving = draining(0, since=2.0, drain_reason=DrainReason.DISABLED)
    seen = observe(fleet(2), [leaving, pod(1)], {1: 0}, loads={0: disabled(0, 90.0)})
    assert [each for each in words(plan(seen).actions) if "mark" not in each] == ["create 2"]
