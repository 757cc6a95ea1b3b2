"""An advertiser that speaks for a real orchestrator: what passes through, and what does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
from tests.kit.advertise.scene import Desk, desk, entry, node_flags, nodes, until, write

from mediafleet_common.probes.ping import END_TRANSCODING_SESSION, GET_ORCHESTRATOR, PING
from mediafleet_common.wire.livepeer_pb2 import (
    EndTranscodingSessionRequest,
    OrchestratorInfo,
    OrchestratorRequest,
    PingPong,
)
from mediafleet_scheduler.core.advertise.capabilities import wanted
from mediafleet_scheduler.discover.gateway_call import request
from mediafleet_testbed.standins.gateway import Gateway
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import NodeFlags, parse_flags
from mediafleet_testbed.standins.node_service import standin_signature

OURS = "http://127.0.0.1:1"
ENDING = b"\x0a\x03\x0a\x01t"
"""An EndTranscodingSessionRequest with an auth_token; harmless for the other methods."""


@dataclass
class Scripted:
    """A head that answers what it is told to, and keeps what it was asked."""

    port: int = 0
    message: bytes = b""
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""
    trailing: tuple[tuple[str, str | bytes], ...] = ()
    silent: bool = False
    asked: list[tuple[bytes, dict[str, Any]]] = field(default_factory=list)

    async def answer(
        self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> bytes:
        self.asked.append((request, dict(context.invocation_metadata())))
        if self.silent:
            await asyncio.Event().wait()
        context.set_code(self.code)
        context.set_details(self.details)
        context.set_trailing_metadata(self.trailing)
        return self.message

    @property
    def spec(self) -> dict[str, Any]:
        return {"address": f"127.0.0.1:{self.port}", "insecure": True}


@asynccontextmanager
async def scripted(**more: Any) -> AsyncIterator[Scripted]:
    head = Scripted(**more)
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(head.answer)
    names = ("GetOrchestrator", "Ping", "EndTranscodingSession")
    handlers = dict.fromkeys(names, method)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("net.Orchestrator", handlers),)
    )
    head.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield head
    finally:
        await server.stop(0)


def spec(node: StandInNode) -> dict[str, Any]:
    return {"address": f"127.0.0.1:{node.port}", "insecure": not node.flags.tls}


@asynccontextmanager
async def caller(one: Desk) -> AsyncIterator[Callable[..., Awaitable[bytes]]]:
    target = f"127.0.0.1:{one.serving.grpc_port}"
    async with grpc.aio.insecure_channel(target) as channel:

        async def call(method: str, request: bytes, **more: Any) -> bytes:
            answer: bytes = await channel.unary_unary(method)(request, **{"timeout": 20, **more})
            return answer

        yield call


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nodes.yaml"


async def test_a_gateway_gets_the_real_answer_with_our_nodes(path: Path) -> None:
    chain = ("-network=arbitrum-one-mainnet", "-ethOrchAddr=0x" + "cd" * 20)
    async with nodes(2) as (a, b), StandInNode(node_flags(0, *chain)) as head:
        write(path, entry("a", a), entry("b", b), head=spec(head))
        async with desk(path) as one:
            gateway = Gateway([f"http://127.0.0.1:{one.serving.grpc_port}"], extra_nodes=5)
            found = {each.info.transcoder: each.info for each in await gateway.discover()}
            assert found.keys() == {head.url, a.url, b.url}
            assert list(found[head.url].nodes) == [a.url, b.url]
            assert found[head.url].address == b"\xcd" * 20


async def test_through_a_head_too_a_gateway_gets_the_nodes_that_can_do_what_it_asks_for(
    path: Path,
) -> None:
    chain = ("-network=arbitrum-one-mainnet",)
    async with nodes(2, *chain) as (a, b), StandInNode(node_flags(0)) as head:
        write(path, entry("a", a), entry("b", b, models=["llm/m"]), head=spec(head))
        async with desk(path) as one:
            await one.lists(a.url, b.url)
            asked = await one.client.orchestrator_info(5.0, request([wanted("llm/m")]))
            told = OrchestratorInfo.FromString(asked or b"")
            assert (told.transcoder, list(told.nodes)) == (head.url, [b.url, a.url])


async def test_bytes_and_metadata_pass_as_they_came(path: Path) -> None:
    """Unknown fields, an order that no library would write, numbers longer than need be."""
    odd = b"\x0a\x02hi\xf2\x07\x03new\x92\x02\x03old\x12\x00\x18\x80\x80\x00"
    request = b"\x12\x03sig\x0a\x02me\xfa\x3f\x01?"
    async with scripted(message=odd, trailing=(("x-told", "1"),)) as head:
        write(path, head=head.spec)
        async with desk(path) as one, caller(one) as call:
            answer = await call(GET_ORCHESTRATOR, request, metadata=(("x-asked", "2"),))
            assert answer == odd.replace(b"\x92\x02\x03old", b"")
            assert await call(PING, request) == odd
            assert await call(END_TRANSCODING_SESSION, ENDING) == odd
        told = [
            metadata.get("x-asked") for asked, metadata in head.asked if asked in (request, ENDING)
        ]
        assert told == ["2", None, None]


@pytest.mark.parametrize("method", [GET_ORCHESTRATOR, PING, END_TRANSCODING_SESSION])
async def test_the_heads_errors_are_its_own(path: Path, method: str) -> None:
    details = b"\x08\x02\x12\x03why"
    async with scripted(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        details="OrchestratorCapped \u2713",
        trailing=(("grpc-status-details-bin", details), ("x-more", "yes")),
    ) as head:
        write(path, head=head.spec)
        async with desk(path) as one, caller(one) as call:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(method, ENDING)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert caught.value.details() == "OrchestratorCapped \u2713"
            trailing = dict(caught.value.trailing_metadata() or ())
            assert trailing["grpc-status-details-bin"] == details
            assert trailing["x-more"] == "yes"


async def test_a_session_at_the_head_is_ended_through_us_and_a_ping_is_signed_by_it(
    path: Path,
) -> None:
    async with StandInNode(node_flags(0, "-network=arbitrum-one-mainnet")) as head:
        write(path, head=spec(head))
        async with desk(path) as one, caller(one) as call:
            pong = PingPong.FromString(await call(PING, PingPong(value=b"x").SerializeToString()))
            assert pong.value == standin_signature(b"x")
            me = b"\x01" * 20
            request = OrchestratorRequest(address=me, sig=standin_signature(me))
            answer = await call(GET_ORCHESTRATOR, request.SerializeToString())
            token = OrchestratorInfo.FromString(answer).auth_token
            head.sessions.segment(token.session_id)
            ending = EndTranscodingSessionRequest(auth_token=token).SerializeToString()
            assert await call(END_TRANSCODING_SESSION, ending) == b""
            assert head.sessions.past[0].how == "ended"
            with pytest.raises(grpc.aio.AioRpcError, match="sig check failed"):
                await call(GET_ORCHESTRATOR, OrchestratorRequest(address=me).SerializeToString())
            assert one.metric("get_orchestrator_total", result="head_refused") == 1


async def test_a_tls_head_that_takes_no_work_itself_answers_through_us(path: Path) -> None:
    """Its certificate names nobody and is new at each start, as our docs advise to start it."""

    def flags(port: int) -> NodeFlags:
        where = f"127.0.0.1:{port}"
        told = ["-serviceAddr=none", f"-httpAddr={where}", "-cliAddr=:0", "-nodes=https://n:1"]
        return parse_flags(told)

    async with nodes(1) as (a,), StandInNode(flags(0)) as head:
        port = head.port
        write(path, entry("a", a), head=spec(head))
        async with desk(path) as one, caller(one) as call:
            info = OrchestratorInfo.FromString(await call(GET_ORCHESTRATOR, b"\x0a\x01a"))
            assert (info.transcoder, list(info.nodes)) == ("", [a.url])
            await head.__aexit__()
            async with StandInNode(flags(port)):
                again = await call(GET_ORCHESTRATOR, b"\x0a\x01a")
                assert list(OrchestratorInfo.FromString(again).nodes) == [a.url]


@pytest.mark.parametrize("request_", [b"", b"\x12\x01x", b"\x0a"])
async def test_an_end_of_a_session_without_a_token_never_reaches_the_head(
    path: Path, request_: bytes
) -> None:
    """It would end any go-livepeer process."""
    async with StandInNode(node_flags(0)) as head:
        write(path, head=spec(head))
        async with desk(path) as one, caller(one) as call:
            with pytest.raises(grpc.aio.AioRpcError, match="auth_token") as caught:
                await call(END_TRANSCODING_SESSION, request_)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert not head.crashed.is_set()


async def test_a_head_that_is_away_is_said_to_be_and_used_again_when_it_is_back(path: Path) -> None:
    async with nodes(1) as (a,):
        async with StandInNode(node_flags(0)) as head:
            port = head.port
            write(path, entry("a", a), head=spec(head))
        async with desk(path) as one, caller(one) as call:
            for method in (GET_ORCHESTRATOR, PING, END_TRANSCODING_SESSION):
                with pytest.raises(
                    grpc.aio.AioRpcError, match="the head cannot be asked"
                ) as caught:
                    await call(method, ENDING)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert one.metric("head_up") == 0
            # Another process, and so another certificate.
            async with StandInNode(node_flags(port)) as again:
                info = OrchestratorInfo.FromString(await call(GET_ORCHESTRATOR, b"\x0a\x01a"))
                assert (info.transcoder, list(info.nodes)) == (again.url, [a.url])
                assert one.metric("head_up") == 1


async def test_a_head_that_is_away_may_be_stood_in_for_by_the_list_alone(path: Path) -> None:
    async with nodes(1) as (a,):
        async with StandInNode(node_flags(0)) as head:
            where = spec(head)
        write(
            path, entry("a", a), head=where, head_fallback="advertise", eth_address="0x" + "ab" * 20
        )
        async with desk(path) as one, caller(one) as call:
            info = await one.info()
            assert (info.transcoder, info.address) == ("", b"\xab" * 20)
            assert list(info.nodes) == [a.url]
            assert await call(PING, b"\x0a\x01a") == b"\x0a\x01a"
            assert one.metric("get_orchestrator_total", result="head_fallback") == 1


async def test_a_head_that_names_the_advertiser_is_refused_until_it_names_itself(
    path: Path,
) -> None:
    ours = OrchestratorInfo(transcoder="https://pool.example.com:8935").SerializeToString()
    own = OrchestratorInfo(transcoder="https://head.example.com:8935").SerializeToString()
    async with scripted(message=ours) as head:
        write(path, head=head.spec, urls=["https://pool.example.com:8935/"])
        async with desk(path) as one, caller(one) as call, aiohttp.ClientSession() as session:
            ready = f"http://127.0.0.1:{one.serving.http_port}/readyz"
            with pytest.raises(grpc.aio.AioRpcError, match="every job would fail") as caught:
                await call(GET_ORCHESTRATOR, b"\x0a\x01a")
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert one.metric("get_orchestrator_total", result="head_is_us") == 1
            async with session.get(ready) as response:
                assert response.status == 503
                assert "-serviceAddr none" in await response.text()
            head.message = own
            info = OrchestratorInfo.FromString(await call(GET_ORCHESTRATOR, b"\x0a\x01a"))
            assert info.transcoder == "https://head.example.com:8935"
            async with session.get(ready) as response:
                assert response.status == 200


async def test_a_head_that_names_the_advertiser_is_found_out_though_nobody_knew_the_address(
    path: Path,
) -> None:
    async with scripted() as head:
        write(path, head=head.spec)
        async with desk(path) as one, caller(one) as call:
            # As seen from outside, say through a load balancer.
            ours = f"http://localhost:{one.serving.grpc_port}"
            head.message = OrchestratorInfo(transcoder=ours).SerializeToString()

            async def found_out() -> bool:
                try:
                    await call(GET_ORCHESTRATOR, b"\x0a\x01a")
                except grpc.aio.AioRpcError as error:
                    return error.code() is grpc.StatusCode.FAILED_PRECONDITION
                return False

            await until(found_out)
            async with StandInNode(node_flags(0)) as real:
                head.message = OrchestratorInfo(transcoder=real.url).SerializeToString()
                info = OrchestratorInfo.FromString(await call(GET_ORCHESTRATOR, b"\x0a\x01a"))
                assert info.transcoder == real.url


async def test_a_head_that_says_nothing_is_away_for_those_who_wait_and_not_marked_so_by_others(
    path: Path,
) -> None:
    async with scripted() as head:
        write(path, head=head.spec)
        async with desk(path) as one, caller(one) as call:
            await call(GET_ORCHESTRATOR, b"\x0a\x01a")
            head.silent = True
            with pytest.raises(grpc.aio.AioRpcError):
                await call(GET_ORCHESTRATOR, b"\x0a\x01a", timeout=0.05)
            head.silent = False
            await call(GET_ORCHESTRATOR, b"\x0a\x01a")
            head.silent = True
            with pytest.raises(grpc.aio.AioRpcError, match="does not answer in time") as caught:
                await call(GET_ORCHESTRATOR, b"\x0a\x01a")
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_answer_that_is_no_message_is_an_error_and_not_passed_on(path: Path) -> None:
    async with scripted(message=b"\x0a\xffgarbage") as head:
        write(path, head=head.spec)
        async with desk(path) as one, caller(one) as call:
            with pytest.raises(grpc.aio.AioRpcError, match="no OrchestratorInfo") as caught:
                await call(GET_ORCHESTRATOR, b"\x0a\x01a")
            assert caught.value.code() is grpc.StatusCode.INTERNAL


async def test_a_head_comes_and_goes_with_the_pool(path: Path) -> None:
    async with nodes(1) as (a,), StandInNode(node_flags(0)) as head:
        write(path, entry("a", a))
        async with desk(path) as one:
            await one.lists(a.url)
            one.write(entry("a", a), head=spec(head))

            async def through() -> bool:
                return (await one.info()).transcoder == head.url

            await until(through)
            one.write(entry("a", a))

            async def alone() -> bool:
                return not (await one.info()).transcoder

            await until(alone)
