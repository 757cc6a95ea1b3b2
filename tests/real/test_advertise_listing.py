"""Who is listed, by where it answers and what it says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.real.advertising import desk, entry, nodes, until, write

from mediafleet_common.wire.livepeer_pb2 import OrchestratorRequest
from mediafleet_scheduler.advertise.probing import Manner
from mediafleet_testbed.real import free_port
from mediafleet_testbed.standins.node_service import standin_signature


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nodes.yaml"


async def test_a_node_whose_pod_alone_answers_is_listed_as_the_pool_says(path: Path) -> None:
    outside = f"https://127.0.0.1:{free_port()}"
    async with nodes(1) as (a,):
        hidden = entry("a", outside, pod_url=a.url)
        write(path, hidden)
        async with desk(path) as one:
            await one.lists()
            one.write(hidden, probe="pod")
            await one.lists(outside)
            assert one.metric("nodes_unverified", pool="file") == 1
            one.write(hidden, probe="pod", list_unverified=False)
            await one.lists()
            assert one.metric("nodes_left_out", pool="file", reason="unverified") == 1


async def test_a_node_that_answers_outside_needs_no_pod(path: Path) -> None:
    async with nodes(1) as (a,):
        inside = f"https://127.0.0.1:{free_port()}"
        write(path, entry("a", a, pod_url=inside), probe="pod", list_unverified=False)
        async with desk(path) as one:
            await one.lists(a.url)
            assert one.metric("nodes_unverified", pool="file") == 0


async def test_where_nothing_is_asked_a_node_is_listed_unseen(path: Path) -> None:
    unseen = f"https://127.0.0.1:{free_port()}"
    write(path, entry("a", unseen), probe="none")
    async with desk(path) as one:
        await one.lists(unseen)


async def test_a_node_without_metrics_says_itself_that_it_is_full(path: Path) -> None:
    async with nodes(2, "-maxSessions=1") as (a, b):
        a.sessions.segment("one")
        write(path, entry("a", a), entry("b", b))
        async with desk(path) as one:
            await one.lists(b.url, a.url)
            a.sessions.end("one")
            await one.lists(a.url, b.url)


async def test_nodes_on_chain_say_it_to_whoever_signs(path: Path) -> None:
    me = b"\x07" * 20
    chain = ("-network=arbitrum-one-mainnet", "-maxSessions=1", "-pricePerUnit=5")
    funded = f"-standinFunded=0x{me.hex()}"
    async with nodes(2, *chain, funded) as (a, b):
        a.sessions.segment("one")
        write(path, entry("a", a), entry("b", b), max_nodes=1)
        signed = OrchestratorRequest(address=me, sig=standin_signature(me)).SerializeToString()
        async with desk(path) as unsigned:
            await unsigned.lists(a.url)
        async with desk(path, manner=Manner(request=signed)) as one:
            await one.lists(b.url)
            a.sessions.end("one")

            async def both_have_room() -> bool:
                return (await one.info()).nodes == [a.url]

            await until(both_have_room)
