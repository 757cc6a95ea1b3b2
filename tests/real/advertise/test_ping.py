"""Whom a ping finds alive, over real sockets and certificates."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.probes.ping import Answer, NodeClient

Handler = Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]
SECONDS = 3.0


def certificate(*names: x509.GeneralName, days: int = 1) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
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


async def ping(url: NodeUrl, seconds: float = SECONDS) -> Answer:
    async with NodeClient(url) as node:
        return await node.ping(seconds)


CERTIFICATES: dict[str, tuple[list[x509.GeneralName], Answer]] = {
    "a dns name": ([x509.DNSName("node.example")], Answer.ANSWERED),
    "an ip address as dns name, as go-livepeer": ([x509.DNSName("10.0.0.5")], Answer.ANSWERED),
    "an ip address": ([x509.IPAddress(ip_address("10.0.0.5"))], Answer.ANSWERED),
    "a wildcard": ([x509.DNSName("*.example.com")], Answer.ANSWERED),
    "no name at all": ([], Answer.TLS_ONLY),
}


@pytest.mark.parametrize("name", CERTIFICATES)
async def test_a_node_is_alive_whatever_its_certificate_is_for(name: str) -> None:
    names, expected = CERTIFICATES[name]
    async with serving(pair=certificate(*names)) as url:
        answer = await ping(url)
    assert answer is expected
    assert answer.alive


async def test_a_node_whose_certificate_has_expired_is_alive_as_gateways_do_not_look() -> None:
    async with serving(pair=certificate(x509.DNSName("h"), days=-1)) as url:
        assert await ping(url) is Answer.TLS_ONLY


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
