"""The advertiser desk over real gRPC and TLS, with stand-in nodes, from a file."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
from prometheus_client import CollectorRegistry
from tests.kit.advertise.scene import (
    DEADLINE_SECONDS,
    desk,
    entry,
    node_flags,
    nodes,
    until,
    write,
    write_text,
)

from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.probes.ping import Answer, NodeClient
from mediafleet_common.serving.tls import FilePair, self_signed, self_signed_context
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo, OrchestratorRequest
from mediafleet_scheduler.advertise.desk import Serving, Settings, serve
from mediafleet_scheduler.core.advertise.views import PoolView
from mediafleet_scheduler.directory.entries import pool_view
from mediafleet_scheduler.directory.entries_file import NodesFile
from mediafleet_scheduler.directory.files import FileDirectory
from mediafleet_testbed.real_servers import free_port
from mediafleet_testbed.standins.gateway import Gateway
from mediafleet_testbed.standins.node import StandInNode


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nodes.yaml"


async def test_a_gateway_learns_the_nodes_over_tls(path: Path) -> None:
    async with nodes(3) as three:
        write(path, *(entry(f"n{i}", node) for i, node in enumerate(three)))
        async with desk(path, self_signed_context(["127.0.0.1"])) as one:
            await one.lists(*(node.url for node in three))
            gateway = Gateway([f"https://127.0.0.1:{one.serving.grpc_port}"], extra_nodes=3)
            found = await gateway.discover()
            assert {node.info.transcoder for node in found} == {node.url for node in three}


async def test_the_answer_is_one_that_gateways_take(path: Path) -> None:
    """Empty transcoder; an address and a price with pixels above 0, or db_discovery stops."""
    write(path, eth_address="0x" + "ab" * 20, price_per_unit=7, pixels_per_unit=3)
    async with desk(path) as one:
        info = await one.info()
    assert (info.transcoder, info.address, list(info.nodes)) == ("", b"\xab" * 20, [])
    assert (info.price_info.price_per_unit, info.price_info.pixels_per_unit) == (7, 3)


async def test_a_pool_that_says_nothing_still_has_a_price_with_pixels(path: Path) -> None:
    write(path)
    async with desk(path) as one:
        assert (await one.info()).price_info.pixels_per_unit > 0


async def test_an_added_node_is_listed_and_a_removed_one_is_not(path: Path) -> None:
    async with nodes(2) as (a, b):
        write(path, entry("a", a))
        async with desk(path) as one:
            await one.lists(a.url)
            one.write(entry("a", a), entry("b", b))
            await one.lists(a.url, b.url)
            one.write(entry("b", b))
            await one.lists(b.url)
            assert one.metric("nodes_list_updates_total", pool="file") == 3
            assert one.metric("nodes_list_size", pool="file") == 1
            assert one.metric("node_listed_seconds_count") == 1


async def test_a_draining_node_is_unlisted_and_comes_back_when_it_no_longer_drains(
    path: Path,
) -> None:
    async with nodes(2) as (a, b):
        write(path, entry("a", a), entry("b", b))
        async with desk(path) as one:
            await one.lists(a.url, b.url)
            one.write(entry("a", a, state="draining"), entry("b", b))
            await one.lists(b.url)
            assert one.metric("node_unlisted_seconds_count") == 1
            assert one.metric("nodes_left_out", pool="file", reason="draining") == 1
            one.write(entry("a", a), entry("b", b))
            await one.lists(a.url, b.url)


async def test_a_node_that_dies_is_unlisted_and_one_that_returns_is_listed(path: Path) -> None:
    async with nodes(2) as (a, b):
        write(path, entry("a", a), entry("b", b))
        async with desk(path) as one:
            await one.lists(a.url, b.url)
            await b.__aexit__()
            await one.lists(a.url)
            assert one.metric("nodes_left_out", pool="file", reason="dead") == 1
            async with StandInNode(node_flags(b.port)) as returned:
                await one.lists(a.url, returned.url)


async def test_a_full_node_and_one_that_refuses_the_unsigned_stay_listed(path: Path) -> None:
    on_chain = ("-network=mainnet", "-pricePerUnit=1")
    async with nodes(1, "-maxSessions=1") as (full,), nodes(1, *on_chain) as (refusing,):
        full.sessions.segment("one")
        write(path, entry("full", full), entry("refusing", refusing))
        async with desk(path) as one:
            await one.lists(refusing.url, full.url)


async def test_a_node_that_only_advertises_is_not_listed(path: Path) -> None:
    async with nodes(1) as (a,), nodes(1, "-serviceAddr=none", "-nodes=https://a:1") as (parent,):
        write(path, entry("a", a), entry("parent", parent))
        async with desk(path) as one:
            await one.lists(a.url)
            assert one.metric("nodes_left_out", pool="file", reason="advertises_only") == 1


async def test_a_broken_file_leaves_the_list_as_it_is(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def reported() -> bool:
        return "stays in force" in caplog.text

    async with nodes(2) as (a, b):
        write(path, entry("a", a))
        async with desk(path) as one:
            await one.lists(a.url)
            write_text(path, "nodes: [{name: b}")
            await until(reported)
            await one.lists(a.url)
            one.write(entry("b", b))
            await one.lists(b.url)


async def test_a_bad_url_costs_its_node_only_and_is_told_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with nodes(1) as (a,):
        bad = entry("bad", "https://h:1\nCRITICAL forged line")
        write(path, entry("a", a), bad, entry("odd", "nonsense"))
        async with desk(path) as one:
            await one.lists(a.url)
            one.write(entry("a", a), bad)

            async def one_left() -> bool:
                return one.metric("nodes_left_out", pool="file", reason="bad_url") == 1

            await until(one_left)
            assert one.metric("node_bad_urls_total") == 2
    told = [message for message in caplog.messages if "is not listed" in message]
    assert len(told) == 2
    assert "\n" not in "".join(told)


async def test_the_same_list_is_told_as_json(path: Path) -> None:
    async with nodes(2) as (a, b):
        write(path, entry("a", a), entry("b", b))
        async with desk(path) as one, aiohttp.ClientSession() as session:
            await one.lists(a.url, b.url)
            base = f"http://127.0.0.1:{one.serving.http_port}"
            async with session.get(f"{base}/orchestrators?caps=cooking") as response:
                assert response.status == 400
                assert "cooking" in await response.text()
            async with session.get(
                f"{base}/orchestrators?caps=live-video-to-video%2Fx"
            ) as response:
                assert await response.json() == []
            async with session.get(f"{base}/orchestrators?caps=0&caps=12") as response:
                assert response.content_type == "application/json"
                assert await response.json() == [
                    {"address": a.url, "score": 1},
                    {"address": b.url, "score": 1},
                ]
            found = await Gateway([], webhook=f"{base}/orchestrators").discover()
            assert len(found) == 2


def loaded(name: str, node: StandInNode) -> dict[str, Any]:
    return entry(name, node, metrics=f"http://127.0.0.1:{node.cli_port}/metrics")


async def test_a_full_node_takes_none_of_the_first_places(path: Path) -> None:
    async with nodes(3, "-maxSessions=1", "-monitor") as three:
        a, b, c = three
        a.sessions.segment("one")
        entries = [loaded(name, node) for name, node in zip("abc", three, strict=True)]
        write(path, *entries, max_nodes=2)
        async with desk(path) as one:
            await one.lists(b.url, c.url)
            one.write(*entries)
            await one.lists(b.url, c.url, a.url)
            assert one.metric("node_load_probes_total", result="ok") >= 3


async def test_least_loaded_follows_the_sessions(path: Path) -> None:
    async with nodes(3, "-monitor") as three:
        a, b, c = three
        for number, node in enumerate((b, a, a)):
            node.sessions.segment(str(number))
        entries = [loaded(name, node) for name, node in zip("abc", three, strict=True)]
        write(path, *entries, order="least_loaded")
        async with desk(path) as one:
            await one.lists(c.url, b.url, a.url)
            for number in range(3):
                c.sessions.segment(str(number))
            await one.lists(b.url, a.url, c.url)


async def test_by_gateway_each_has_a_node_of_its_own_and_keeps_it(path: Path) -> None:
    async with nodes(3) as three:
        write(
            path,
            *(entry(f"n{number}", node) for number, node in enumerate(three)),
            order="by_gateway",
            max_nodes=1,
        )
        async with desk(path) as one:
            call = "/net.Orchestrator/GetOrchestrator"
            found: dict[int, str] = {}
            for number in [*range(1, 31), *range(1, 31)]:
                request = OrchestratorRequest(address=bytes([number] * 20)).SerializeToString()
                _, answer = await one.client.call(call, request, 5)
                (url,) = OrchestratorInfo.FromString(answer or b"").nodes
                assert found.setdefault(number, url) == url
            assert set(found.values()) == {node.url for node in three}
            for garbage in (b"\xff" * 100, os.urandom(1000)):
                assert (await one.client.call(call, garbage, 5))[0] is Answer.ANSWERED


async def test_the_json_list_has_a_tag_that_spares_sending_it_again(path: Path) -> None:
    async with nodes(2) as (a, b):
        write(path, entry("a", a))
        async with desk(path) as one:
            await one.lists(a.url)
            url = f"http://127.0.0.1:{one.serving.http_port}/orchestrators"
            async with aiohttp.ClientSession() as session:
                async with session.get(url) as response:
                    tag = response.headers["ETag"]
                for known, status in ((tag, 304), (f'"other", {tag}', 304), ('"other"', 200)):
                    async with session.get(url, headers={"If-None-Match": known}) as response:
                        assert (response.status, response.headers["ETag"]) == (status, tag)
                        assert bool(await response.read()) is (status == 200)
                one.write(entry("a", a), entry("b", b))
                await one.lists(a.url, b.url)
                async with session.get(url, headers={"If-None-Match": tag}) as response:
                    assert response.status == 200
                    assert len(await response.json()) == 2
            assert one.metric("json_lists_total", result="unchanged") == 2
            assert one.metric("json_lists_total", result="ok") >= 1


async def test_it_answers_ping_and_refuses_to_end_sessions_it_has_not(path: Path) -> None:
    write(path)
    async with desk(path) as one:
        assert await one.client.call("/net.Orchestrator/Ping", b"\n\x02hi", 5) == (
            Answer.ANSWERED,
            b"\n\x02hi",
        )
        async with grpc.aio.insecure_channel(f"127.0.0.1:{one.serving.grpc_port}") as channel:
            call = channel.unary_unary("/net.Orchestrator/EndTranscodingSession")
            with pytest.raises(grpc.aio.AioRpcError, match="end the session at the node") as caught:
                await call(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


BAD_MESSAGES = [b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x00" * 60_000, os.urandom(1000)]


async def test_garbage_and_floods_leave_it_standing(path: Path) -> None:
    async with nodes(1) as (a,):
        write(path, entry("a", a))
        async with desk(path) as one:
            port = one.serving.grpc_port
            for message in BAD_MESSAGES:
                await one.client.call("/net.Orchestrator/GetOrchestrator", message, 5)
            answer, _ = await one.client.call(
                "/net.Orchestrator/GetOrchestrator", b"x" * 100_000, 5
            )
            assert answer is Answer.REFUSED
            for raw in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff", os.urandom(500)):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(raw)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
            await one.lists(a.url)


async def test_max_nodes_cuts_the_list(path: Path) -> None:
    async with nodes(3) as three:
        entries = [entry(f"n{i}", node) for i, node in enumerate(three)]
        write(path, *entries, max_nodes=2)
        async with desk(path) as one:
            await one.lists(three[0].url, three[1].url)
            one.write(*entries)
            await one.lists(*(node.url for node in three))


async def test_a_change_of_price_is_told_although_the_nodes_are_the_same(path: Path) -> None:
    write(path, price_per_unit=1)
    async with desk(path) as one:
        one.write(price_per_unit=2)

        async def dearer() -> bool:
            return (await one.info()).price_info.price_per_unit == 2

        await until(dearer)


async def test_no_list_is_told_before_every_node_was_asked(path: Path) -> None:
    """Else a desk that starts anew would tell gateways for a moment that nobody is there."""
    registry = CollectorRegistry()
    stop = asyncio.Event()
    directory = FileDirectory[NodesFile, PoolView](path, NodesFile, pool_view, registry)
    rpc, http = free_port(), free_port()
    settings = Settings(f"127.0.0.1:{rpc}", f"127.0.0.1:{http}", None)
    ready: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(settings, directory, stop, ready.set_result, registry))
    try:
        async with (
            NodeClient(NodeUrl("http", "127.0.0.1", rpc)) as client,
            aiohttp.ClientSession(f"http://127.0.0.1:{http}") as session,
        ):

            async def up() -> bool:
                return await client.ping(1.0) is Answer.ANSWERED

            await until(up)
            call = "/net.Orchestrator/GetOrchestrator"
            assert await client.call(call, b"", 5) == (Answer.REFUSED, None)
            for page in ("/readyz", "/orchestrators"):
                async with session.get(page) as response:
                    assert (response.status, "not known yet" in await response.text()) == (
                        503,
                        True,
                    )
            write(path, entry("gone", "http://127.0.0.1:1"))
            await asyncio.wait_for(ready, DEADLINE_SECONDS)
            async with session.get("/readyz") as response:
                assert response.status == 200
    finally:
        stop.set()
        await task


async def test_a_replaced_certificate_is_used_for_new_handshakes(path: Path) -> None:
    pair = FilePair(path.parent / "c", path.parent / "k", on_error=pytest.fail)

    def put(host: str) -> str:
        key, certificate = self_signed([host])
        pair.key.write_bytes(key)
        pair.certificate.write_bytes(certificate)
        return certificate.decode()

    first = put("first")
    write(path)
    async with desk(path, pair.contexts()) as one:
        where = ("127.0.0.1", one.serving.grpc_port)
        assert await asyncio.to_thread(ssl.get_server_certificate, where) == first
        second = put("second")
        assert await asyncio.to_thread(ssl.get_server_certificate, where) == second
        assert await one.client.ping(5) is Answer.ANSWERED


async def test_the_command_says_when_it_is_ready_and_ends_politely(path: Path) -> None:
    async with nodes(1) as (a,):
        write(path, entry("a", a))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mediafleet.main", "advertise", "--nodes", str(path)),
            *("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert line.startswith("mediafleet advertise ready: pool file, 1 of 1 nodes listed")
    assert (out, process.returncode) == (b"", 0)
    assert b"Traceback" not in err
