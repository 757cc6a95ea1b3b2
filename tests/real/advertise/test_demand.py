"""What an advertiser says of demand: the sessions of its nodes, or that it cannot tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from tests.kit.advertise.scene import Desk, desk, entry, nodes, until, write

from mediafleet_common.api.names import Kind
from mediafleet_common.reports.demand import SESSION, Demand, FleetDemand
from mediafleet_common.reports.pages.nodes import NodesPage
from mediafleet_testbed.standins.node import StandInNode


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nodes.yaml"


def with_metrics(name: str, node: StandInNode) -> dict[str, str]:
    return entry(name, node, metrics=f"http://127.0.0.1:{node.cli_port}/metrics")


async def tells(one: Desk, says: Callable[[FleetDemand], bool]) -> FleetDemand:
    """What a desk tells over HTTP, once it says that."""
    found: list[FleetDemand] = []
    async with aiohttp.ClientSession() as session:

        async def told() -> bool:
            async with session.get(f"http://127.0.0.1:{one.serving.http_port}/demand") as answer:
                if answer.status == 503:
                    return False
                demand = Demand.model_validate_json(await answer.text())
            found[:] = demand.fleets
            return says(demand.fleets[0])

        await until(told)
    return found[0]


async def test_a_desk_shows_its_nodes_and_its_history_to_its_pages(path: Path) -> None:
    async with nodes(1, "-transcoder", "-monitor", "-maxSessions=10") as (a,):
        write(path, with_metrics("a", a))
        async with desk(path) as one, aiohttp.ClientSession() as session:
            await tells(one, lambda demand: demand.known)
            url = f"http://127.0.0.1:{one.serving.http_port}/ui"
            async with session.get(f"{url}/data") as answer:
                page = NodesPage.model_validate_json(await answer.text())
            assert [node.name for node in page.pool.nodes] == ["a"]
            assert "NodesListed" in {each.type for each in page.conditions}
            async with session.get(f"{url}/history?name={page.pool.name}") as answer:
                assert answer.status == 200
            async with session.get(f"{url}/") as answer:
                assert 'data-views="nodes scaling"' in await answer.text()


async def test_each_of_two_desks_tells_the_sessions_of_all_nodes(path: Path) -> None:
    async with nodes(2, "-transcoder", "-monitor", "-maxSessions=10") as (a, b):
        write(path, with_metrics("a", a), with_metrics("b", b))
        for session in ("one", "two", "three"):
            a.sessions.segment(session)
        b.sessions.segment("four")
        async with desk(path) as one, desk(path) as other:
            for each in (one, other):
                told = await tells(each, lambda fleet: fleet.known and fleet.work == 4)
                assert (told.kind, told.ready, told.busy) == (Kind.ORCHESTRATOR_POOL, 2, 2)
                assert (told.size, told.free, told.each) == (10.0, {SESSION: 16}, {SESSION: 10})


async def test_a_node_that_does_not_tell_its_sessions_makes_the_pool_unknown(path: Path) -> None:
    async with nodes(2, "-transcoder", "-monitor", "-maxSessions=10") as (a, b):
        write(path, with_metrics("a", a), entry("b", b))
        async with desk(path) as one:
            told = await tells(one, lambda fleet: "b does" in (fleet.reason or ""))
            assert told.reason == "b does not tell its sessions"
