"""The stand-in node does what go-livepeer does where our product can tell (wire facts: Livepeer).

Each claim names where in livepeer/go-livepeer the behaviour is.
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import grpc
import grpc.aio
import pytest
from cryptography import x509

from mediafleet_common.formats.node_url import parse_node_url
from mediafleet_common.probes.http_client import Failure, NoLoad, client, poll
from mediafleet_common.probes.load import Load, Source
from mediafleet_common.probes.ping import END_TRANSCODING_SESSION, Answer, NodeClient
from mediafleet_common.wire.ai_worker_pb2 import RegisterAIWorkerRequest
from mediafleet_common.wire.livepeer_pb2 import (
    AuthToken,
    EndTranscodingSessionRequest,
    OrchestratorInfo,
    OrchestratorRequest,
    PingPong,
)
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import NodeFlags, parse_flags
from mediafleet_testbed.standins.node_service import SEGMENTS, standin_signature

ADDRESS = bytes(range(20))
GATEWAY = "0x" + ADDRESS.hex()
ON_CHAIN = ("-network=arbitrum-one-mainnet", "-pricePerUnit=1", f"-standinFunded={GATEWAY}")


def flags(*more: str) -> NodeFlags:
    return parse_flags(["-serviceAddr=http://127.0.0.1:0", *_LISTEN, *more])


_LISTEN = ("-httpAddr=http://127.0.0.1:0", "-cliAddr=127.0.0.1:0")


async def refusal(node: StandInNode, method: str, request: bytes) -> tuple[grpc.StatusCode, str]:
    """Status and words of a call that fails (the product never needs them; go-livepeer's do)."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{node.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(method)(request, timeout=5)
    return caught.value.code(), caught.value.details() or ""


async def get_orchestrator(node: StandInNode, request: OrchestratorRequest) -> OrchestratorInfo:
    async with NodeClient(parse_node_url(node.url)) as caller:
        info = await caller.orchestrator_info(5, request.SerializeToString())
    assert info is not None
    return OrchestratorInfo.FromString(info)


SIGNED = OrchestratorRequest(address=ADDRESS, sig=standin_signature(ADDRESS))
UNSIGNED = OrchestratorRequest(address=ADDRESS)
REGISTER = "/net.AIWorker/RegisterAIWorker"
GET = "/net.Orchestrator/GetOrchestrator"


async def test_off_chain_it_answers_anybody() -> None:
    """core/orchestrator.go VerifySig: without an Ethereum client every signature is good."""
    async with StandInNode(flags()) as node:
        info = await get_orchestrator(node, OrchestratorRequest())
    assert info.transcoder == node.url
    assert info.auth_token.session_id


REFUSALS = {
    "unsigned": (UNSIGNED, 0, "Invalid orchestrator request: orchestrator req sig check failed"),
    "signed by another": (
        OrchestratorRequest(address=ADDRESS, sig=standin_signature(b"other")),
        0,
        "Invalid orchestrator request: orchestrator req sig check failed",
    ),
    "unfunded": (
        OrchestratorRequest(address=b"x" * 20, sig=standin_signature(b"x" * 20)),
        0,
        "insufficient sender reserve",
    ),
    "full": (SIGNED, 1, "Invalid orchestrator request: OrchestratorCapped"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_on_chain_it_refuses_with_the_words_of_the_original(name: str) -> None:
    """server/rpc.go verifyOrchestratorReq, pm/recipient.go; plain Go errors travel as UNKNOWN."""
    request, sessions, words = REFUSALS[name]
    async with StandInNode(flags("-maxSessions=1", *ON_CHAIN)) as node:
        for index in range(sessions):
            node.sessions.segment(str(index))
        message = request.SerializeToString()
        assert await refusal(node, GET, message) == (grpc.StatusCode.UNKNOWN, words)


async def test_on_chain_it_answers_a_signed_and_funded_gateway() -> None:
    async with StandInNode(flags(*ON_CHAIN)) as node:
        info = await get_orchestrator(node, SIGNED)
    assert (info.price_info.price_per_unit, info.price_info.pixels_per_unit) == (1, 1)


async def test_a_node_without_a_price_wants_no_reserve() -> None:
    """pm/recipient.go TicketParams: at price 0 there is no face value to cover."""
    request = OrchestratorRequest(address=b"x" * 20, sig=standin_signature(b"x" * 20))
    async with StandInNode(flags("-network=mainnet")) as node:
        assert (await get_orchestrator(node, request)).transcoder == node.url


async def test_full_off_chain_nodes_refuse_too() -> None:
    """server/rpc.go verifyOrchestratorReq checks capacity whatever the network."""
    async with StandInNode(flags("-maxSessions=1")) as node:
        node.sessions.segment("one")
        code, words = await refusal(node, GET, b"")
    assert (code, words.endswith("OrchestratorCapped")) == (grpc.StatusCode.UNKNOWN, True)


async def test_ping_needs_no_signature_and_is_answered_when_full() -> None:
    """server/rpc.go ping: it signs what it gets, and asks nothing."""
    async with StandInNode(flags("-maxSessions=1", *ON_CHAIN)) as node:
        node.sessions.segment("one")
        async with NodeClient(parse_node_url(node.url)) as caller:
            message = PingPong(value=b"hello").SerializeToString()
            answer, pong = await caller.call("/net.Orchestrator/Ping", message, 5)
    assert answer is Answer.ANSWERED
    assert PingPong.FromString(pong or b"").value == standin_signature(b"hello")


@pytest.fixture
async def pair() -> AsyncIterator[tuple[StandInNode, NodeClient]]:
    async with (
        StandInNode(flags("-maxSessions=2", "-monitor=true")) as node,
        NodeClient(parse_node_url(node.url)) as caller,
    ):
        yield node, caller


async def segment(caller: NodeClient, token: AuthToken) -> Answer:
    answer, _ = await caller.call(f"/{SEGMENTS}/Segment", token.SerializeToString(), 5)
    return answer


async def test_the_first_segment_begins_a_session_and_the_limit_holds(
    pair: tuple[StandInNode, NodeClient],
) -> None:
    """core/orchestrator.go getSegmentChan."""
    node, caller = pair
    tokens = [(await get_orchestrator(node, SIGNED)).auth_token for _ in range(3)]
    answers = [await segment(caller, token) for token in (*tokens, tokens[0])]
    assert answers == [Answer.ANSWERED, Answer.ANSWERED, Answer.REFUSED, Answer.ANSWERED]
    assert sorted(node.sessions.active) == sorted(token.session_id for token in tokens[:2])


async def test_a_session_is_ended_with_its_own_token_only(
    pair: tuple[StandInNode, NodeClient],
) -> None:
    """server/rpc.go endTranscodingSession."""
    node, caller = pair
    token = (await get_orchestrator(node, SIGNED)).auth_token
    await segment(caller, token)
    forged = AuthToken(session_id=token.session_id, token=b"x", expiration=token.expiration)
    for used, left in ((forged, 1), (token, 0)):
        request = EndTranscodingSessionRequest(auth_token=used).SerializeToString()
        await caller.call("/net.Orchestrator/EndTranscodingSession", request, 5)
        assert len(node.sessions.active) == left
    assert await segment(caller, forged) is Answer.REFUSED


async def test_a_session_without_segments_ends_by_itself() -> None:
    """core/orchestrator.go transcodeLoopTimeout, 70 s."""
    now = [1000.0]
    node = StandInNode(flags())
    node.sessions.now = lambda: now[0]
    assert parse_flags([]).session_seconds == 70
    node.sessions.segment("one")
    now[0] += 69
    assert not node.sessions.report()["past"]
    now[0] += 2
    report = node.sessions.report()
    assert report["active"] == []
    assert [past["how"] for past in report["past"]] == ["idle"]  # type: ignore[attr-defined]


async def test_metrics_are_on_the_cli_port_and_only_with_monitor(
    pair: tuple[StandInNode, NodeClient],
) -> None:
    """monitor/census.go; server/webserver.go."""
    node, _ = pair
    node.sessions.segment("one")
    async with client() as session, StandInNode(flags()) as silent:
        url = f"http://127.0.0.1:{node.cli_port}/metrics"
        assert await poll(session, url, Source.TRANSCODE) == Load(jobs=1, capacity=2)
        url = f"http://127.0.0.1:{silent.cli_port}/metrics"
        found = await poll(session, url, Source.TRANSCODE)
    assert isinstance(found, NoLoad)
    assert found.why is Failure.STATUS


@pytest.mark.parametrize(
    ("value", "status"), [("0", 400), ("-1", 400), ("x", 400), ("", 400), ("auto", 200), ("3", 200)]
)
async def test_there_is_no_cordon(
    pair: tuple[StandInNode, NodeClient], value: str, status: int
) -> None:
    """server/handlers.go setMaxSessions refuses 0."""
    node, _ = pair
    url = f"http://127.0.0.1:{node.cli_port}/setMaxSessions"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data={"maxSessions": value}) as response,
    ):
        assert response.status == status
    assert node.sessions.limit == (3 if value == "3" else 2)


async def test_an_end_of_a_session_without_a_token_ends_the_process() -> None:
    """A nil in upstream's server (seen on 0.9.1)."""
    async with StandInNode(flags()) as node:
        await refusal(node, END_TRANSCODING_SESSION, b"")
        assert node.crashed.is_set()


@pytest.mark.parametrize(
    ("secret", "offered", "taken"),
    [("", "", True), ("", "guess", False), ("s3cret", "", False), ("s3cret", "s3cret", True)],
)
async def test_a_stranger_is_turned_away_where_there_is_a_secret_and_taken_where_there_is_none(
    tmp_path: Path, secret: str, offered: str, taken: bool
) -> None:
    """Seen on 0.9.1: with no -orchSecret an empty one is right."""
    file = tmp_path / "secret"
    file.write_text(secret)
    request = RegisterAIWorkerRequest(secret=offered).SerializeToString()
    async with StandInNode(flags(f"-orchSecret={file}")) as node:
        if taken:
            async with NodeClient(parse_node_url(node.url)) as stranger:
                assert (await stranger.call(REGISTER, request, 5))[0] is Answer.ANSWERED
        else:
            refused = (grpc.StatusCode.UNKNOWN, "invalid secret")
            assert await refusal(node, REGISTER, request) == refused


async def test_a_head_has_a_certificate_with_an_empty_name() -> None:
    given = ["-serviceAddr=none", "-httpAddr=127.0.0.1:0", "-cliAddr=:0", "-nodes=https://n:1"]
    async with StandInNode(parse_flags(given)) as node:
        pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", node.port))
    found = x509.load_pem_x509_certificate(pem.encode()).extensions
    san = found.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == [""]


async def test_its_certificate_has_the_service_host_as_its_only_dns_name() -> None:
    """server/cert.go: also when the host is an IP address, and anew at each start."""
    serials = set()
    for _ in range(2):
        async with StandInNode(
            parse_flags(["-serviceAddr=127.0.0.1:0", "-httpAddr=127.0.0.1:0", "-cliAddr=:0"])
        ) as node:
            assert node.url.startswith("https://")
            pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", node.port))
            async with NodeClient(parse_node_url(node.url)) as caller:
                assert await caller.ping(5) is Answer.ANSWERED
        certificate = x509.load_pem_x509_certificate(pem.encode())
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [(type(name), name.value) for name in san] == [(x509.DNSName, "127.0.0.1")]
        serials.add(certificate.serial_number)
    assert len(serials) == 2


def test_flags_are_those_of_go() -> None:
    """cmd/livepeer/starter/flags.go, starter.go getServiceURI and defaultAddr."""
    given = ["-serviceAddr", "10.0.0.1:8935", "--monitor", "-maxSessions=7", "-v", "6"]
    assert parse_flags(given) == replace(
        parse_flags([]),
        service_url="https://10.0.0.1:8935",
        listen="0.0.0.0:8935",
        monitor=True,
        max_sessions=7,
    )
    assert parse_flags(["-serviceAddr=h:99"]).listen == "0.0.0.0:99"
    assert parse_flags(["-serviceAddr=none", "-nodes=https://a:1,https://b:2"]).service_url == ""
    assert not parse_flags(["-httpAddr=http://0.0.0.0:1"]).tls
    assert not parse_flags(["-monitor=false"]).monitor


@pytest.mark.parametrize("flag", ["-noSuchFlag", "-monitor=maybe", "-maxSessions=x"])
def test_flags_that_go_refuses_are_refused(flag: str) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_flags([flag])
    assert caught.value.code == 2


async def test_a_node_that_only_advertises_says_so() -> None:
    """server/rpc.go: an empty service URI is an empty transcoder."""
    nodes = "https://a:1,https://b:2"
    given = ["-serviceAddr=none", f"-nodes={nodes}", *_LISTEN]
    async with StandInNode(parse_flags(given)) as node:
        info = await get_orchestrator(node, SIGNED)
    assert (info.transcoder, list(info.nodes)) == ("", nodes.split(","))


async def test_sigterm_ends_it_with_a_session_on_it() -> None:
    """cmd/livepeer/livepeer.go shutdownTimeout: 10 s, whatever it is doing."""
    arguments = ["-serviceAddr=127.0.0.1:0", "-httpAddr=127.0.0.1:0", "-cliAddr=127.0.0.1:0"]
    module = "mediafleet_testbed.standins.node"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments, "-standinControl=127.0.0.1:0"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
    control = line.split("control ")[1].strip()
    url = f"http://127.0.0.1:{control}/sessions/one"
    async with aiohttp.ClientSession() as session, session.put(url) as response:
        assert response.status == 201
    began = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    output, _ = await asyncio.wait_for(process.communicate(), 10)
    assert time.monotonic() - began < 10
    assert output == b"started one\nlost one\n"
    assert process.returncode == 0
