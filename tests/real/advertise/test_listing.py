"""Who is listed, by where it answers and what it says of itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from tests.kit.advertise.scene import desk, entry, nodes, until, write

from mediafleet_common.formats import eth
from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.probes.ping import NodeClient
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo, OrchestratorRequest
from mediafleet_scheduler.advertise.prober import Manner
from mediafleet_scheduler.core.advertise.capabilities import wanted
from mediafleet_scheduler.discover.gateway_call import request
from mediafleet_testbed.processes import Processes
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.standins.gateway import Gateway
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


async def test_nobody_is_unlisted_for_a_moment_when_nodes_are_asked_elsewhere(path: Path) -> None:
    async with nodes(2) as (a, b):
        two = [entry("a", a, pod_url=a.url), entry("b", b, pod_url=b.url)]
        write(path, *two, probe="none")
        async with desk(path) as one:
            told: set[tuple[str, ...]] = set()

            async def is_taken(price: int) -> bool:
                info = await one.info()
                told.add(tuple(info.nodes))
                return info.price_info.price_per_unit == price

            for price, probe in enumerate(("address", "none", "pod", "address"), start=1):
                one.write(*two, probe=probe, price_per_unit=price)
                await until(partial(is_taken, price))
            assert told == {(a.url, b.url)}


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


async def test_the_commands_ask_nodes_on_chain_with_the_key_they_are_given(path: Path) -> None:
    """Real signatures: the full node says so to the advertiser, and discover finds the other."""
    key = path.parent / "key"
    key.write_text("0x" + "46" * 32 + "\n")
    me, _ = eth.sign(eth.private_key("46" * 32))
    chain = ("-network=arbitrum-one-mainnet", "-pricePerUnit=5", f"-standinFunded=0x{me.hex()}")
    async with nodes(2, *chain, "-maxSessions=1") as (a, b), Processes(path.parent) as processes:
        a.sessions.segment("one")
        write(path, entry("a", a), entry("b", b))
        port = free_port()
        member = await processes.python(
            "advertiser",
            "mediafleet.main",
            *("advertise", "--nodes", str(path), "--listen", f"127.0.0.1:{port}", "--plaintext"),
            *("--http", "127.0.0.1:0", "--probe-key", str(key)),
        )
        await processes.says(member, "2 of 2 nodes listed")
        async with NodeClient(NodeUrl("http", "127.0.0.1", port)) as client:

            async def full_last() -> bool:
                info = OrchestratorInfo.FromString(await client.orchestrator_info(5.0) or b"")
                return list(info.nodes) == [b.url, a.url]

            await until(full_last)
        entry_point = ("--orch", f"http://127.0.0.1:{port}", "--extra-nodes", "2")
        top = ("discover", *entry_point, "--count", "2")
        unsigned = await processes.python("unsigned", "mediafleet.main", *top)
        assert await unsigned.process.wait() == 1
        assert unsigned.log_tail().count("sig check failed") == 2
        signed = await processes.python("signed", "mediafleet.main", *top, "--key", str(key))
        assert await signed.process.wait() == 0
        assert "OrchestratorCapped" in signed.log_tail()
        assert "46" * 32 not in member.log.read_text() + signed.log_tail()


async def test_an_ai_gateway_gets_the_nodes_that_are_declared_to_have_its_model(path: Path) -> None:
    """Nodes on-chain tell nothing to an advertiser without a key."""
    model = "text-to-image/stabilityai/sd-turbo"
    async with nodes(3, "-network=arbitrum-one-mainnet") as (a, b, c):
        write(
            path,
            entry("a", a, models=["llm/other"]),
            entry("b", b),
            entry("c", c, models=[model]),
        )
        async with desk(path) as one:

            async def told(*capabilities: str) -> list[str]:
                message = request(map(wanted, capabilities))
                answer = await one.client.orchestrator_info(5.0, message)
                return list(OrchestratorInfo.FromString(answer or b"").nodes)

            await one.lists(a.url, b.url, c.url)
            assert await told(model) == [c.url, b.url]
            assert await told("llm/other") == [a.url, b.url]
            assert await told("text-to-speech/m") == [b.url]
            assert await told() == [a.url, b.url, c.url]


async def test_ten_of_ten_ai_jobs_find_the_node_that_stands_behind_a_software_transcoder(
    path: Path,
) -> None:
    """A gateway that visits one entry got the transcoder, and failed each time."""
    model = ("text-to-image", "m/sd")
    served = ("-aiWorker", f"-aiModels={':'.join(model)}:true")
    async with nodes(1, "-transcoder") as (a,), nodes(1, *served) as (b,):
        write(path, entry("a", a), entry("b", b))
        async with desk(path) as one:
            await one.lists(a.url, b.url)
            url = f"http://127.0.0.1:{one.serving.grpc_port}"
            for _ in range(10):
                found = await Gateway([url], extra_nodes=1, job=model).discover(wanted=1)
                assert [each.url for each in found] == [b.url]


async def test_a_gateway_is_told_of_its_own_region_first(path: Path) -> None:
    async with nodes(3) as (a, b, c):
        three = [entry("a", a, region="us"), entry("b", b, region="eu"), entry("c", c)]
        write(path, *three, region="eu", regions=[{"name": "eu", "cidrs": ["127.0.0.0/8"]}])
        async with desk(path) as one:
            await one.lists(b.url, c.url, a.url)
            address = f"http://127.0.0.1:{one.serving.http_port}/orchestrators"
            found = await Gateway([], webhook=address).discover()
            assert len(found) == 3
            one.write(*three, region="eu", regions=[{"name": "us", "cidrs": ["127.0.0.1/32"]}])
            await one.lists(a.url, b.url, c.url)


async def test_only_gateways_on_the_list_are_answered_and_only_with_their_signature(
    path: Path,
) -> None:
    address, signature = eth.sign(eth.private_key("46" * 32))
    async with nodes(1) as (a,):
        write(path, entry("a", a), gateways=["0x" + address.hex()])
        async with desk(path) as one:
            for forged in (b"", standin_signature(address)):
                request = OrchestratorRequest(address=address, sig=forged).SerializeToString()
                assert await one.client.orchestrator_info(5.0, request) is None
                assert "advertise.gateways" in one.client.refusal
            request = OrchestratorRequest(address=address, sig=signature).SerializeToString()
            answer = await one.client.orchestrator_info(5.0, request)
            assert OrchestratorInfo.FromString(answer or b"").nodes == [a.url]
            assert one.metric("get_orchestrator_total", result="not_allowed") == 2
            assert one.metric("gateways") == 1
