"""Whose load is read, how often, and what becomes of one that cannot be read. Virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from prometheus_client import CollectorRegistry

from mediafleet_common.api.names import PodState
from mediafleet_common.api.pool.advertise import Advertise, Order
from mediafleet_common.api.pool.orchestrator_pool import LoadSource
from mediafleet_common.probes.http_client import Failure, NoLoad
from mediafleet_common.probes.load import Load, Source
from mediafleet_scheduler.advertise.loads import Loads
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.core.advertise.listing import NodeKey, node_key
from mediafleet_scheduler.core.advertise.ordering import Room
from mediafleet_scheduler.core.advertise.views import Node, PoolView

pytestmark = pytest.mark.looptime
GONE = NoLoad(Failure.UNREACHABLE, "")


@dataclass
class Fleet:
    """Nodes' metrics, and who hears of what is read."""

    says: dict[str, Load | NoLoad | Exception] = field(default_factory=dict)
    asked: list[tuple[float, str, Source]] = field(default_factory=list)
    changes: int = 0
    readings: list[NodeKey] = field(default_factory=list)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    async def read(self, url: str, source: Source) -> Load | NoLoad:
        self.asked.append((asyncio.get_running_loop().time(), url, source))
        answer = self.says[url]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def changed(self) -> None:
        self.changes += 1

    def count(self, result: str) -> float:
        name = "mediafleet_node_load_probes_total"
        return self.registry.get_sample_value(name, {"result": result}) or 0.0

    @asynccontextmanager
    async def loads(self) -> AsyncIterator[Loads]:
        metrics = AdvertiseMetrics(self.registry)
        loads = Loads(metrics, self.changed, self.readings.append, self.read)
        yield loads
        await loads.close()


def node(name: str, state: PodState = PodState.READY, metrics: str | None = "") -> Node:
    return Node(name, name, f"https://{name}:1", name if metrics == "" else metrics, state)


def view(*nodes: Node, order: Order = Order.LEAST_LOADED, most: int | None = None) -> PoolView:
    return PoolView("ns", "pool", Advertise(order=order), nodes, sessions_max=most)


async def test_nodes_with_metrics_that_may_have_sessions_are_read_and_nobody_else() -> None:
    fleet = Fleet({name: Load(jobs=1, capacity=4) for name in "abc"})
    a = node("a")
    async with fleet.loads() as loads:
        loads.follow(view(a, node("b", PodState.PENDING), node("c", metrics=None)))
        await asyncio.sleep(2.5)
        assert {url for _, url, _ in fleet.asked} == {"a"}
        assert loads.rooms == {node_key(a): Room(1, 4)}
        assert fleet.changes == 1
        assert len(fleet.readings) >= 2
        loads.follow(view())
        assert loads.rooms == {}
        before = len(fleet.asked)
        await asyncio.sleep(5)
        assert len(fleet.asked) == before


@pytest.mark.parametrize("state", [PodState.PENDING, PodState.DRAINING])
async def test_a_node_that_was_ready_is_still_read_and_one_that_starts_is_not(
    state: PodState,
) -> None:
    fleet = Fleet({name: Load(jobs=1, capacity=4) for name in "ab"})
    away = replace(node("a", state), was_ready=state is PodState.PENDING)
    async with fleet.loads() as loads:
        loads.follow(view(away, node("b", PodState.PENDING)))
        await asyncio.sleep(2.5)
        assert {url for _, url, _ in fleet.asked} == {"a"}
        assert loads.rooms == {node_key(away): Room(1, 4)}


@pytest.mark.parametrize(
    ("order", "nodes", "seconds"),
    [
        (Order.LEAST_LOADED, 3, 1.0),
        (Order.BY_GATEWAY, 3, 1.0),
        (Order.FIXED, 3, 5.0),
        (Order.ROTATE, 3, 5.0),
        (Order.LEAST_LOADED, 400, 4.0),
    ],
)
async def test_how_often_a_node_is_read(order: Order, nodes: int, seconds: float) -> None:
    names = [f"n{number}" for number in range(nodes)]
    fleet = Fleet({name: Load(jobs=0) for name in names})
    async with fleet.loads() as loads:
        loads.follow(view(*map(node, names), order=order))
        await asyncio.sleep(60)
    per_node = len(fleet.asked) / nodes
    assert 60 / seconds <= per_node <= 60 / (0.8 * seconds) + 1


async def test_a_load_is_kept_for_a_moment_and_then_unknown() -> None:
    fleet = Fleet({"a": Load(jobs=1)})
    a = node("a")
    async with fleet.loads() as loads:
        loads.follow(view(a, most=3))
        await asyncio.sleep(0.1)
        assert loads.rooms[node_key(a)] == Room(1, 3)
        fleet.says["a"] = GONE
        await asyncio.sleep(1.5)
        assert loads.rooms[node_key(a)] == Room(1, 3)
        await asyncio.sleep(3)
        assert loads.rooms == {}
        fleet.says["a"] = Load(jobs=2)
        await asyncio.sleep(1)
        assert loads.rooms[node_key(a)] == Room(2, 3)
    assert fleet.count("unreachable") >= 3


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (Load(), "absent"),
        (NoLoad(Failure.TIMED_OUT, ""), "timed_out"),
        (ValueError("cannot convert float NaN to integer"), "unreadable"),
        (OverflowError("cannot convert float infinity to integer"), "unreadable"),
    ],
)
async def test_what_is_not_told_is_unknown_and_counted(
    answer: Load | NoLoad | Exception, result: str
) -> None:
    fleet = Fleet({"a": answer})
    async with fleet.loads() as loads:
        loads.follow(view(node("a")))
        await asyncio.sleep(2.5)
        assert loads.rooms == {}
    assert fleet.count(result) >= 2
    assert fleet.changes == 0


async def test_another_source_of_load_forgets_what_the_last_one_told() -> None:
    fleet = Fleet({"a": Load(jobs=1)})
    async with fleet.loads() as loads:
        first = view(node("a"))
        loads.follow(first)
        await asyncio.sleep(0.1)
        loads.follow(replace(first, load=LoadSource.DOCKER_AI))
        assert loads.rooms == {}
        await asyncio.sleep(1)
        assert fleet.asked[-1][2] is Source.DOCKER_AI
        assert loads.rooms
