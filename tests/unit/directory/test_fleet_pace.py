"""The changes of one namespace are read at its own pace, and delay those of no other."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from tests.kit.clock import loop_clock

from mediafleet_common.kube.watch import Changed, Listed
from mediafleet_scheduler.core.egress.views import EgressView, Fleet
from mediafleet_scheduler.directory.fleets.kube import KubeEgressDirectory
from mediafleet_scheduler.directory.fleets.pace import Pace, PaceTimes
from mediafleet_scheduler.directory.fleets.views import FleetViews
from mediafleet_scheduler.directory.objects import NO_BOUNDS, fleet_facts, pod_facts

TIMES = PaceTimes()


def fleet(namespace: str, name: str, version: int = 1, **spec: Any) -> dict[str, Any]:
    uid = f"{namespace}-{name}"
    meta = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": str(version)}
    return {"metadata": meta, "spec": {"redis": {"address": f"{namespace}:6379"}, **spec}}


def pod(
    namespace: str, name: str, version: int = 1, of: str = "rec", state: str = "ready"
) -> dict[str, Any]:
    uid = f"{namespace}-{name}"
    owner = {"apiVersion": "mediafleet.dev/v1alpha1", "uid": of, "controller": True}
    meta = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": str(version)}
    more = {"ownerReferences": [owner], "labels": {"mediafleet.dev/state": state}}
    return {"metadata": {**meta, **more}, "status": {}}


class Desk:
    """A directory whose reading of each object takes so much of the thread's time."""

    def __init__(self, cost: float = 0.0) -> None:
        ticks: Iterator[float] = itertools.count(0, cost) if cost else itertools.repeat(0.0)
        self.directory = KubeEgressDirectory(
            (), CollectorRegistry(), clock=loop_clock(), cpu=lambda: next(ticks)
        )
        self.fleets, self.pods = (kind.collection for kind in self.directory._kinds)
        self.views: list[tuple[float, EgressView]] = []
        self.directory.subscribe(self.note)

    def note(self, view: EgressView) -> None:
        self.views.append((asyncio.get_running_loop().time(), view))

    def begin(self, fleets: list[dict[str, Any]], pods: list[dict[str, Any]]) -> None:
        self.directory._take(Listed(self.fleets, 1, fleets))
        self.directory._take(Listed(self.pods, 1, pods))

    def change_fleet(self, raw: dict[str, Any], *, deleted: bool = False) -> None:
        self.directory._take(Changed(self.fleets, raw, deleted))

    def change_pod(self, raw: dict[str, Any]) -> None:
        self.directory._take(Changed(self.pods, raw))

    def of(self, namespace: str) -> list[tuple[float, Fleet]]:
        """The fleets of a namespace as they changed, with when."""
        found: list[tuple[float, Fleet]] = []
        for at, view in self.views:
            for each in view.fleets:
                if each.namespace == namespace and (not found or found[-1][1] is not each):
                    found.append((at, each))
        return found


@pytest.mark.looptime
async def test_the_first_view_has_every_namespace_that_was_listed() -> None:
    desk = Desk()
    desk.begin([fleet("a", "rec"), fleet("b", "rec")], [pod("b", "p", of="b-rec")])
    await asyncio.sleep(1)
    assert [len(view.fleets) for _, view in desk.views] == [2]
    assert [len(each.workers) for each in desk.views[0][1].fleets] == [0, 1]


@pytest.mark.looptime
async def test_a_cluster_without_fleets_has_a_first_view() -> None:
    desk = Desk()
    desk.begin([], [pod("a", "nobody's")])
    await asyncio.sleep(1)
    assert [view for _, view in desk.views] == [EgressView(())]


@pytest.mark.looptime
async def test_a_storm_in_one_namespace_is_read_as_few_changes_and_delays_no_other() -> None:
    desk = Desk(cost=0.001)
    desk.begin([fleet("evil", "rec"), fleet("good", "rec")], [])
    await asyncio.sleep(1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for version in range(2, 1002):
        desk.change_fleet(fleet("evil", "rec", version, priority=version))
        if version == 700:
            said = loop.time()
            desk.change_fleet(fleet("good", "rec", version, priority=7))
        await asyncio.sleep(0.001)
    seconds = loop.time() - began
    await asyncio.sleep(1)
    evil, good = desk.of("evil"), desk.of("good")
    # The first one comes with the first view.
    assert len(evil) - 1 <= seconds / TIMES.rest_seconds + 2
    assert evil[-1][1].priority == 100, "what was said last counts"
    assert good[-1][1].priority == 7
    assert good[-1][0] - said <= TIMES.gather_seconds + 0.001


@pytest.mark.looptime
async def test_a_namespace_whose_changes_take_long_to_read_rests_longer() -> None:
    desk = Desk(cost=0.01)
    desk.begin([fleet("evil", "rec")], [])
    await asyncio.sleep(2)
    for version in range(2, 2002):
        desk.change_fleet(fleet("evil", "rec", version, priority=version % 90))
        await asyncio.sleep(0.001)
    times = [at for at, _ in desk.of("evil")][1:]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(pauses) >= 0.01 / TIMES.part - 0.001


@pytest.mark.looptime
async def test_a_change_of_one_fleet_makes_no_other_anew() -> None:
    desk = Desk()
    desk.begin([fleet("a", "one"), fleet("a", "two"), fleet("b", "rec")], [])
    await asyncio.sleep(1)
    desk.change_pod(pod("a", "p", of="a-one"))
    await asyncio.sleep(1)
    (_, before), (_, after) = desk.views
    assert [len(each.workers) for each in after.fleets] == [1, 0, 0]
    assert after.fleets[1] is before.fleets[1]
    assert after.fleets[2] is before.fleets[2]


@pytest.mark.looptime
async def test_what_is_listed_again_as_it_is_known_is_no_news() -> None:
    desk = Desk()
    fleets, pods = [fleet("a", "rec")], [pod("a", "p", of="a-rec")]
    desk.begin(fleets, pods)
    await asyncio.sleep(1)
    # Other words with the same version: nobody looks at them again.
    desk.change_fleet(fleet("a", "rec", priority=3))
    desk.begin([fleet("a", "rec", priority=3)], pods)
    await asyncio.sleep(1)
    assert len(desk.views) == 1


@pytest.mark.looptime
async def test_a_change_that_waits_is_read_before_a_list_that_is_newer() -> None:
    desk = Desk()
    desk.begin([fleet("a", "rec")], [])
    await asyncio.sleep(1)
    desk.change_fleet(fleet("a", "short", 2))
    desk.directory._take(Listed(desk.fleets, 3, [fleet("a", "rec")]))
    await asyncio.sleep(1)
    assert desk.directory.view is not None
    assert [each.name for each in desk.directory.view.fleets] == ["rec"]


@pytest.mark.looptime
async def test_pods_that_say_they_are_of_a_fleet_elsewhere_change_nothing() -> None:
    desk = Desk()
    desk.begin([fleet("good", "rec")], [])
    await asyncio.sleep(1)
    for number in range(50):
        desk.change_pod(pod("evil", f"p-{number}", of="good-rec"))
    await asyncio.sleep(1)
    assert len(desk.views) == 1


@pytest.mark.looptime
async def test_a_fleet_that_cannot_be_made_stays_as_it_was_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk()
    desk.begin([fleet("a", "bad"), fleet("a", "good")], [])
    await asyncio.sleep(1)

    def fail(self: FleetViews, facts: Any, pod: Any) -> Any:
        raise ValueError("made of sand")

    with monkeypatch.context() as patch:
        patch.setattr(FleetViews, "_worker", fail)
        desk.change_pod(pod("a", "p", of="a-bad"))
        desk.change_fleet(fleet("a", "good", 2, priority=5))
        await asyncio.sleep(1)
    assert [(each.name, each.priority) for each in desk.views[-1][1].fleets] == [
        ("bad", 0),
        ("good", 5),
    ]
    assert "made of sand" in (desk.directory.complaint or "")
    desk.change_fleet(fleet("a", "bad", 3, priority=9))
    await asyncio.sleep(1)
    assert desk.directory.complaint is None
    assert len(desk.views[-1][1].fleets[0].workers) == 1


changes = st.lists(
    st.tuples(
        st.sampled_from(["fleet", "pod"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["x", "y"]),
        st.sampled_from(["gone", "ready", "draining"]),
        st.integers(0, 3),
    ),
    max_size=25,
)


@given(changes)
def test_views_made_by_fleet_are_those_made_of_everything(told: list[tuple[Any, ...]]) -> None:
    views, kept = FleetViews(NO_BOUNDS), dict[tuple[str, str], Any]()
    for what, namespace, name, state, number in told:
        uid = f"{namespace}-{name}"
        if what == "fleet":
            raw = fleet(namespace, name, priority=number)
            facts: Any = None if state == "gone" else fleet_facts(raw)
            touched = views.put_fleet(uid, facts)
        else:
            owner = f"{namespace}-{'xy'[number % 2]}"
            facts = None if state == "gone" else pod_facts(pod(namespace, name, 1, owner, state))
            touched = views.put_pod(uid, facts)
        kept[what, uid] = facts
        # Sometimes several changes are made one.
        while touched and number and views.make_one(touched):
            pass
    whole = FleetViews(NO_BOUNDS)
    for (what, uid), facts in kept.items():
        (whole.put_fleet if what == "fleet" else whole.put_pod)(uid, facts)
    for each in (views, whole):
        for namespace in ("a", "b"):
            while each.make_one(namespace):
                pass
    assert views.view() == whole.view()


def test_one_that_has_more_to_be_read_goes_on_after_those_that_wait() -> None:
    pace = Pace(TIMES)
    pace.changed("evil", 0.0)
    pace.changed("good", 0.001)
    assert pace.due(0.004) is None
    assert pace.due(0.006) == "evil"
    pace.worked("evil", 0.002, 0.008, done=False)
    assert pace.due(0.008) == "good"
    pace.worked("good", 0.0, 0.008, done=True)
    assert pace.due(0.008) == "evil"
    pace.worked("evil", 0.002, 0.010, done=True)
    assert pace.next_at() is None
    pace.changed("evil", 0.011)
    # 4 ms were read for it: it has 5 % of the time.
    assert pace.next_at() == pytest.approx(0.010 + 0.004 / TIMES.part)
    pace.forget_rested(1.0)
    pace.worked("evil", 9.0, 1.0, done=True)
    pace.changed("evil", 1.0)
    assert pace.next_at() == 1.0 + TIMES.most_rest_seconds
