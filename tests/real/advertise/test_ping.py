"""Whom a ping finds alive, over real sockets and certificates."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.probes.ping import Answer, NodeClient
from mediafleet_testbed.tls_front import tls_before

Handler = Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]
SECONDS = 3.0


def certificate(*names: x509.GeneralName, since: int = -2, days: int = 1) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=since))
        .not_valid_after(now + timedelta(days=days))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = builder.sign(key, hashes.SHA256())
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        signed.public_bytes(Encoding.PEM),
    )


async def pong(request: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return request


@asynccontextmanager
async def serving(
    handler: Handler = pong, pair: tuple[bytes, bytes] | None = None, port: int = 0
) -> AsyncIterator[NodeUrl]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    methods = {"Ping": grpc.unary_unary_rpc_method_handler(handler)}
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("net.Orchestrator", methods)]
    )
    where = f"127.0.0.1:{port}"
    if pair is None:
        port = server.add_insecure_port(where)
    else:
        port = server.add_secure_port(where, grpc.ssl_server_credentials([pair]))
    await server.start()
    try:
        yield NodeUrl("https" if pair else "http", "127.0.0.1", port)
    finally:
        await server.stop(0)


@contextmanager
def pem_files(pair: tuple[bytes, bytes]) -> Iterator[tuple[Path, Path]]:
    """Key and certificate as files, as Python's ssl wants them."""
    with TemporaryDirectory() as folder:
        paths = Path(folder, "key.pem"), Path(folder, "cert.pem")
        for path, pem in zip(paths, pair, strict=True):
            path.write_bytes(pem)
        yield paths


@asynccontextmanager
async def http2_front(status: int) -> AsyncIterator[NodeUrl]:
    """Answers each request by HTTP alone."""

    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                for event in connection.receive_data(data):
                    if isinstance(event, StreamEnded):
                        headers = [(":status", str(status)), ("content-type", "text/html")]
                        connection.send_headers(event.stream_id, headers, end_stream=True)
                writer.write(connection.data_to_send())
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield NodeUrl("http", "127.0.0.1", server.sockets[0].getsockname()[1])
    await over.wait()


@asynccontextmanager
async def far(node: NodeUrl, one_way_seconds: float) -> AsyncIterator[NodeUrl]:
    """The node at some distance: each block of bytes is under way for so long."""
    serving: set[asyncio.Task[None] | None] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                loop.call_later(one_way_seconds, writer.write, data)
        await asyncio.sleep(one_way_seconds)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        await asyncio.sleep(2 * one_way_seconds)
        inner_reader, inner_writer = await asyncio.open_connection(node.host, node.port)
        await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield NodeUrl(node.scheme, "127.0.0.1", server.sockets[0].getsockname()[1])
    await asyncio.gather(*(task for task in serving if task))


async def ping(url: NodeUrl, seconds: float = SECONDS) -> Answer:
    async with NodeClient(url) as node:
        return await node.ping(seconds)


CERTIFICATES: dict[str, tuple[list[x509.GeneralName], str | None]] = {
    "its own address": ([x509.IPAddress(ip_address("127.0.0.1"))], None),
    "its address as dns name, as go-livepeer": ([x509.DNSName("127.0.0.1")], None),
    "another name": ([x509.DNSName("node.example")], "its certificate is for node.example"),
    "a wildcard": ([x509.DNSName("*.example.com")], "its certificate is for *.example.com"),
    "no name at all": ([], "its certificate names no host"),
    "an empty name, as a go-livepeer head": ([x509.DNSName("")], "its certificate names no host"),
}


@pytest.mark.parametrize("name", CERTIFICATES)
async def test_a_node_answers_whatever_its_certificate_is_for_and_a_note_says_so(name: str) -> None:
    names, note = CERTIFICATES[name]
    async with serving(pair=certificate(*names)) as url, NodeClient(url) as node:
        assert await node.ping(SECONDS) is Answer.ANSWERED
        assert node.note == note


@pytest.mark.parametrize(
    ("since", "until", "note"), [(-2, -1, "expired on"), (1, 2, "is valid only from")]
)
async def test_a_certificate_out_of_its_time_is_a_note_and_no_death(
    since: int, until: int, note: str
) -> None:
    pair = certificate(x509.DNSName("127.0.0.1"), since=since, days=until)
    async with serving(pair=pair) as url, NodeClient(url) as node:
        assert await node.ping(SECONDS) is Answer.ANSWERED
        assert note in (node.note or "")


async def test_nodes_behind_one_front_are_told_apart_by_their_own_names() -> None:
    """The front routes by SNI: a dead node is not alive because its neighbour is."""
    pair = certificate(x509.DNSName("*.orch.test"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["h2"])
    asked: list[str | None] = []

    def by_name(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        asked.append(name)
        return None if name == "localhost" else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = by_name
    with pem_files(pair) as (key, cert):
        context.load_cert_chain(cert, key)
    async with serving() as plain, tls_before(plain.port, context) as port:
        named = await ping(NodeUrl("https", "localhost", port))
        by_address = await ping(NodeUrl("https", "127.0.0.1", port))
    assert [named, by_address] == [Answer.ANSWERED, Answer.UNREACHABLE]
    assert asked == ["localhost", None]


async def test_a_front_that_answers_for_a_dead_node_by_http_is_no_node() -> None:
    async with http2_front(502) as url, NodeClient(url) as node:
        assert await node.ping(SECONDS) is Answer.NOT_GRPC
        assert node.refusal == "HTTP 502 and no gRPC"


async def test_a_far_node_is_reached_over_several_pings_and_then_answers_in_time() -> None:
    """Its first contact takes several round trips; each call alone takes one."""
    pair = certificate(x509.DNSName("h"))
    async with serving(pair=pair) as near, far(near, 0.15) as url, NodeClient(url) as node:
        answers = [await node.ping(0.5) for _ in range(3)]
    assert answers[0] is Answer.TIMED_OUT
    assert answers[-1] is Answer.ANSWERED


async def test_plaintext_nodes_are_pinged_too() -> None:
    async with serving() as url:
        assert await ping(url) is Answer.ANSWERED


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN])
async def test_a_refusal_of_the_application_is_no_death(tls: bool, code: grpc.StatusCode) -> None:
    async def refuse(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        context.set_code(code)
        return b""

    pair = certificate(x509.DNSName("h")) if tls else None
    async with serving(refuse, pair) as url:
        assert await ping(url) is Answer.REFUSED


async def test_a_node_that_knows_no_ping_is_alive() -> None:
    async with serving() as url, NodeClient(url) as node:
        assert await node.call("/net.Orchestrator/Nope", b"", SECONDS) == (Answer.REFUSED, None)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_node_that_hangs_is_dead(tls: bool) -> None:
    async def hang(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await asyncio.Event().wait()
        return b""

    pair = certificate(x509.DNSName("h")) if tls else None
    async with serving(hang, pair) as url:
        assert await ping(url, 0.3) is Answer.TIMED_OUT


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_port_that_is_closed_is_death(scheme: str) -> None:
    assert await ping(NodeUrl(scheme, "127.0.0.1", 1)) is Answer.UNREACHABLE


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_port_that_accepts_and_says_nothing_is_death(scheme: str) -> None:
    """A process that is stopped: the kernel still completes connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = NodeUrl(scheme, "127.0.0.1", listener.getsockname()[1])
        assert await ping(url, 0.3) is Answer.TIMED_OUT


async def test_tls_without_http_2_is_no_node(tmp_path: Path) -> None:
    key, cert = certificate(x509.DNSName("h"))
    (tmp_path / "k").write_bytes(key)
    (tmp_path / "c").write_bytes(cert)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "c", tmp_path / "k")

    async def hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hello, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await ping(NodeUrl("https", "127.0.0.1", port)) is Answer.NOT_GRPC


async def test_garbage_in_place_of_http_2_is_no_node() -> None:
    async def garble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\xff" * 1000)
        writer.close()

    server = await asyncio.start_server(garble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for scheme in ("http", "https"):
            assert not (await ping(NodeUrl(scheme, "127.0.0.1", port))).alive


async def test_a_node_that_was_started_again_with_another_certificate_is_alive_at_once() -> None:
    async with serving(pair=certificate(x509.DNSName("h"))) as url:
        node = NodeClient(url)
        assert await node.ping(SECONDS) is Answer.ANSWERED
    assert not (await node.ping(SECONDS)).alive
    async with serving(pair=certificate(x509.DNSName("h")), port=url.port):
        assert await node.ping(SECONDS) is Answer.ANSWERED
    async with serving(pair=certificate(x509.DNSName("h")), port=url.port):
        assert await node.ping(SECONDS) is Answer.ANSWERED
    await node.close()


async def test_an_answer_that_is_too_large_is_still_an_answer() -> None:
    async def flood(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return b"x" * (2 * 1024 * 1024)

    async with serving(flood) as url:
        assert await ping(url) is Answer.REFUSED


async def test_a_connection_stands_until_the_node_is_gone_and_no_call_is_made_for_that() -> None:
    calls = 0

    async def count(request: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        nonlocal calls
        calls += 1
        return request

    async with serving(count) as url:
        node = NodeClient(url)
        assert await node.ping_connection(SECONDS) is Answer.UNREACHABLE
        await node.ping(SECONDS)
        assert await node.ping_connection(SECONDS) is Answer.ANSWERED
        assert calls == 1
    assert await node.ping_connection(SECONDS) is Answer.UNREACHABLE
    await node.close()


async def test_a_server_that_takes_pings_for_an_attack_is_sent_no_more() -> None:
    """As grpc's own servers do, after three; go-livepeer's answers any number."""
    async with serving() as url, NodeClient(url) as node:
        await node.ping(SECONDS)
        for _ in range(100):
            if await node.ping_connection(SECONDS) is not Answer.ANSWERED:
                break
        assert await node.ping(SECONDS) is Answer.ANSWERED
        for _ in range(100):
            assert await node.ping_connection(SECONDS) is None
        assert await node.ping(SECONDS) is Answer.ANSWERED
