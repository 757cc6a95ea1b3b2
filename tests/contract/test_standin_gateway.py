"""The stand-in gateway finds nodes as go-livepeer does (discovery/discovery.go, wire facts)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.formats.reach import Reach
from mediafleet_common.probes import ping
from mediafleet_common.probes.grpc_connection import GrpcConnection
from mediafleet_common.probes.grpc_dial import connect
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo
from mediafleet_testbed.standins.gateway import (
    Gateway,
    NoNodeError,
    SessionLostError,
)
from mediafleet_testbed.standins.gateway_discovery import Discovery
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import parse_flags


class World:
    """Who answers what, after how long; a URL that is not here fails at once."""

    def __init__(self) -> None:
        self.infos: dict[str, OrchestratorInfo] = {}
        self.delays: dict[str, float] = {}

    def works(self, url: str, seconds: float = 0.0) -> None:
        self.infos[url] = OrchestratorInfo(transcoder=url)
        self.delays[url] = seconds

    def advertises(self, url: str, *nodes: str, transcoder: str = "") -> None:
        self.infos[url] = OrchestratorInfo(transcoder=transcoder, nodes=nodes)

    async def ask(self, url: str) -> OrchestratorInfo | None:
        await asyncio.sleep(self.delays.get(url, 0.0))
        return self.infos.get(url)


async def discover(
    world: World, extra: int, *top: str, wanted: int = 100
) -> tuple[list[str], list[str], float]:
    """Whom it found, whom it visited, and how many seconds that took (virtual time)."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    discovery = Discovery(world.ask, extra, clock=loop.time)
    found = await discovery.run(top, wanted)
    return [node.url for node in found], discovery.visited, loop.time() - began


pytestmark = pytest.mark.looptime


async def test_extra_nodes_is_zero_unless_set_and_then_nothing_of_the_list_is_visited() -> None:
    world = World()
    world.advertises("p", "a")
    world.works("a")
    found, visited, _ = await discover(world, 0, "p")
    assert (found, visited) == ([], ["p"])


async def test_only_the_first_entries_are_visited_dead_or_not() -> None:
    world = World()
    world.advertises("p", "dead", "a", "b", "c")
    for name in "abc":
        world.works(name)
    found, visited, _ = await discover(world, 2, "p")
    assert visited == ["p", "dead", "a"]
    assert found == ["a"]


async def test_nodes_of_nodes_are_not_followed() -> None:
    world = World()
    world.advertises("p", "a")
    world.advertises("a", "b", transcoder="a")
    world.works("b")
    found, visited, _ = await discover(world, 5, "p")
    assert (found, visited) == (["a"], ["p", "a"])


@pytest.mark.parametrize(
    "entries",
    [
        ["a", "a", "b"],
        ["p", "a", "b"],
        ["https://h:x", "a", "b"],
        ["http://\x00", "a", "b"],
    ],
    ids=["twice", "top-level", "bad port", "control character"],
)
async def test_an_entry_seen_or_not_parseable_uses_its_place(entries: list[str]) -> None:
    world = World()
    world.advertises("p", *entries)
    world.works("a")
    world.works("b")
    found, visited, _ = await discover(world, 2, "p")
    assert (found, visited) == (["a"], ["p", "a"])


async def test_who_advertises_only_is_no_node_and_counts_as_an_answer() -> None:
    world = World()
    world.advertises("p", "a")
    world.works("a")
    found, _, seconds = await discover(world, 1, "p")
    assert found == ["a"]
    assert seconds == 0


async def test_a_list_shorter_than_extra_nodes_makes_it_wait_for_the_time_out() -> None:
    world = World()
    world.advertises("p", "a")
    world.works("a")
    assert (await discover(world, 5, "p"))[2] == pytest.approx(0.5)


async def test_it_ends_at_once_with_as_many_good_ones_as_it_wants() -> None:
    world = World()
    world.advertises("p", "a", "b", "c")
    world.works("a")
    world.works("b", seconds=0.1)
    world.works("c", seconds=9)
    found, _, seconds = await discover(world, 3, "p", wanted=2)
    assert found == ["a", "b"]
    assert seconds == pytest.approx(0.1)


async def test_time_outs_grow_until_one_is_found_and_end_at_six_seconds() -> None:
    world = World()
    world.advertises("p", "slow")
    world.works("slow", seconds=1.5)
    assert (await discover(world, 5, "p"))[2] == pytest.approx(2.0)
    world.works("slow", seconds=60)
    found, _, seconds = await discover(world, 5, "p")
    assert found == []
    assert seconds == pytest.approx(6.0)


async def test_nodes_are_sorted_by_latency() -> None:
    world = World()
    world.advertises("p", "a", "b", "c")
    for seconds, name in ((0.3, "a"), (0.1, "b"), (0.2, "c")):
        world.works(name, seconds)
    assert (await discover(world, 3, "p"))[0] == ["b", "c", "a"]


def flags(*more: str) -> list[str]:
    listen = ("-serviceAddr=http://127.0.0.1:0", "-httpAddr=http://127.0.0.1:0", "-cliAddr=:0")
    return [*listen, *more]


async def _nodes(stack: AsyncExitStack, count: int, *more: str) -> list[StandInNode]:
    return [
        await stack.enter_async_context(StandInNode(parse_flags(flags(*more))))
        for _ in range(count)
    ]


async def _advertiser(stack: AsyncExitStack, nodes: list[StandInNode]) -> StandInNode:
    listed = ",".join(node.url for node in nodes)
    arguments = flags("-serviceAddr=none", f"-nodes={listed}")
    return await stack.enter_async_context(StandInNode(parse_flags(arguments)))


def _gateway(stack: AsyncExitStack, entry: StandInNode, **more: Any) -> Gateway:
    gateway = Gateway([entry.url], **more)
    stack.push_async_callback(gateway.connections.close)
    return gateway


@pytest.mark.looptime(False)
async def test_it_goes_on_using_a_node_it_knows_after_that_is_unlisted() -> None:
    """Live-video selectors refresh after about 6 minutes: the reason for settle times."""
    async with AsyncExitStack() as stack:
        (node,) = await _nodes(stack, 1)
        parent = await stack.enter_async_context(AsyncExitStack())
        advertiser = await _advertiser(parent, [node])
        gateway = _gateway(stack, advertiser, extra_nodes=3, refresh_seconds=3600)
        await (await gateway.start()).end()
        await parent.aclose()
        session = await gateway.start()
        assert list(node.sessions.active) == [session.id]
        await session.end()
        gateway.refresh_seconds = gateway.extra_nodes = 0
        with pytest.raises(NoNodeError):
            await gateway.start()


@pytest.mark.looptime(False)
async def test_sessions_live_and_end_at_the_node_itself() -> None:
    async with AsyncExitStack() as stack:
        (node,) = await _nodes(stack, 1)
        parent = await stack.enter_async_context(AsyncExitStack())
        advertiser = await _advertiser(parent, [node])
        session = await _gateway(stack, advertiser, extra_nodes=1).start()
        await parent.aclose()
        await session.segment()
        assert node.sessions.active[session.id].segments == 2
        await session.end()
        assert [past.how for past in node.sessions.past] == ["ended"]


@pytest.mark.looptime(False)
async def test_a_full_node_is_passed_over_and_all_full_is_refused() -> None:
    async with AsyncExitStack() as stack:
        nodes = await _nodes(stack, 2, "-maxSessions=1")
        advertiser = await _advertiser(stack, nodes)
        gateway = _gateway(stack, advertiser, extra_nodes=2)
        sessions = [await gateway.start() for _ in nodes]
        assert {session.node for session in sessions} == {node.url for node in nodes}
        with pytest.raises(NoNodeError):
            await gateway.start()
        for session in sessions:
            await session.end()


@pytest.mark.looptime(False)
async def test_a_session_on_a_node_that_goes_away_is_lost() -> None:
    async with AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(AsyncExitStack())
        (node,) = await _nodes(nodes, 1)
        session = await _gateway(stack, node).start()
        await nodes.aclose()
        with pytest.raises(SessionLostError):
            await session.segment()
        assert [past.how for past in node.sessions.past] == ["lost"]


@pytest.mark.looptime(False)
@pytest.mark.parametrize(("sign", "found"), [(True, 1), (False, 0)])
async def test_on_chain_it_has_to_sign(sign: bool, found: int) -> None:
    async with AsyncExitStack() as stack:
        (node,) = await _nodes(stack, 1, "-network=mainnet")
        assert len(await Gateway([node.url], sign=sign).discover()) == found


@pytest.mark.looptime(False)
async def test_it_keeps_one_connection_a_node_for_the_segments_of_all_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """server/segment_rpc.go: so refusing connections takes no work from a node that drains."""
    dialled: list[NodeUrl] = []

    async def counted(url: NodeUrl, reach: Reach) -> GrpcConnection:
        dialled.append(url)
        return await connect(url, reach)

    monkeypatch.setattr(ping, "connect", counted)
    async with AsyncExitStack() as stack:
        (node,) = await _nodes(stack, 1)
        gateway = _gateway(stack, node, refresh_seconds=3600)
        one = await gateway.start()
        before = len(dialled)
        two = await gateway.start()
        assert len(dialled) == before + 1, "only to ask the node itself"
        await asyncio.gather(*(each.segment() for each in (one, two) for _ in range(5)))
        assert len(dialled) == before + 1
        assert [each.segments for each in node.sessions.active.values()] == [6, 6]
        await two.end()
        await one.segment()
        assert len(dialled) == before + 2, "an end has a connection of its own"
        await gateway.connections.close()
        await one.segment()
        assert len(dialled) == before + 3, "what is lost is made anew"
