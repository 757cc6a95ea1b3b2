"""Ask an orchestrator node over gRPC whether it lives, as a gateway would reach it.

Gateways speak TLS without verifying (go-livepeer server/rpc.go, tlsConfig), which grpcio cannot:
so the certificate that the node shows is taken as root and its first name as the name.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import grpc
import grpc.aio
from cryptography import x509

from mediafleet_common.formats.node_url import NodeUrl

PING: Final = "/net.Orchestrator/Ping"
GET_ORCHESTRATOR: Final = "/net.Orchestrator/GetOrchestrator"
END_TRANSCODING_SESSION: Final = "/net.Orchestrator/EndTranscodingSession"
PING_VALUE: Final = b"\x0a\x04ping"
"""A PingPong with value `ping`; the node answers with its signature over it."""
ADVERTISER: Final = ("mediafleet-advertiser", "1")
"""Trailing metadata of an advertiser's answer to Ping: it takes no work, whatever its address."""
_MAX_ANSWER_BYTES: Final = 1024 * 1024
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
    ("grpc.enable_retries", 0),
    # Else a new channel inherits the connection back-off of the one that was given up.
    ("grpc.use_local_subchannel_pool", 1),
)


class Answer(StrEnum):
    """What became of a ping."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """An application-level status: somebody is there and will not say more."""
    TLS_ONLY = "tls_only"
    """It completes TLS, with a certificate that gRPC cannot use."""
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    NOT_GRPC = "not_grpc"
    """It speaks TLS but not HTTP/2."""

    @property
    def alive(self) -> bool:
        """Whether the node lives: whoever answers anything does."""
        return self in (Answer.ANSWERED, Answer.REFUSED, Answer.TLS_ONLY)


class NoTlsError(Exception):
    """Nobody there completes TLS for HTTP/2."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.value)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class _Certificate:
    pem: bytes
    name: str | None
    """First name or address it is for; gRPC cannot use one that has none."""


class NodeClient:
    """A connection to one node that is kept from call to call and made anew when it breaks.

    One call at a time: a call that fails hangs up.
    """

    def __init__(self, url: NodeUrl) -> None:
        self._url = url
        self._channel: grpc.aio.Channel | None = None
        self.refusal = ""
        """What the other side said in the last call, if it refused; any text."""
        self.advertiser = False
        """Whether it said in its last answer that it is an advertiser of ours, and no node."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def ping(self, timeout_seconds: float) -> Answer:
        """Ping the node once. Never raises but for cancellation."""
        kept = self._channel is not None
        answer, _ = await self.call(PING, PING_VALUE, timeout_seconds)
        if kept and answer is Answer.UNREACHABLE:
            # The node may have been started again, with another certificate.
            answer, _ = await self.call(PING, PING_VALUE, timeout_seconds)
        return answer

    async def orchestrator_info(self, timeout_seconds: float, request: bytes = b"") -> bytes | None:
        """The serialised OrchestratorInfo for a serialised request, by default one without a
        signature; `None` when it is refused or nobody is there."""
        _, info = await self.call(GET_ORCHESTRATOR, request, timeout_seconds)
        return info

    async def call(
        self, method: str, request: bytes, timeout_seconds: float
    ) -> tuple[Answer, bytes | None]:
        """One unary call of serialised messages; the answer is there when it succeeded."""
        fresh = self._channel is None
        self.refusal = ""
        try:
            async with asyncio.timeout(timeout_seconds):
                channel = self._channel = self._channel or await dial(self._url)
                if channel is None:
                    return Answer.TLS_ONLY, None
                answer, message = await self._unary(channel, method, request)
        except TimeoutError:
            if not self._stands():
                await self.close()
            return Answer.TIMED_OUT, None
        except NoTlsError as error:
            return error.answer, None
        if answer is Answer.UNREACHABLE:
            await self.close()
            if fresh and self._url.scheme == "https":
                # TLS has just been completed without verifying: the certificate is to blame.
                return Answer.TLS_ONLY, None
        return answer, message

    async def _unary(
        self, channel: grpc.aio.Channel, method: str, request: bytes
    ) -> tuple[Answer, bytes | None]:
        call = channel.unary_unary(method)(request)
        try:
            message: bytes = await call
        except grpc.aio.AioRpcError as error:
            # A status over a connection that stands is the node's own word, UNAVAILABLE included.
            if not connected(channel):
                return Answer.UNREACHABLE, None
            self.refusal = error.details() or error.code().name
            return Answer.REFUSED, None
        self.advertiser = ADVERTISER in tuple(await call.trailing_metadata() or ())
        return Answer.ANSWERED, message

    def _stands(self) -> bool:
        """Whether there is a connection: one that is only slow is not made anew, since a
        handshake is the last thing that a busy node needs."""
        return self._channel is not None and connected(self._channel)

    async def close(self) -> None:
        """Hang up; the next call dials again."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()


def connected(channel: grpc.aio.Channel) -> bool:
    """Whether there is a connection now."""
    return channel.get_state() is grpc.ChannelConnectivity.READY


async def dial(url: NodeUrl) -> grpc.aio.Channel | None:
    """A channel to a node, over TLS that is not verified; `None`: its certificate names nobody,
    which gRPC cannot use.

    Raises:
        NoTlsError: nobody there completes TLS for HTTP/2.
    """
    if url.scheme == "http":
        return grpc.aio.insecure_channel(url.target, options=_OPTIONS)
    certificate = await _peer_certificate(url)
    if certificate.name is None:
        return None
    return grpc.aio.secure_channel(
        url.target,
        grpc.ssl_channel_credentials(root_certificates=certificate.pem),
        options=(*_OPTIONS, ("grpc.ssl_target_name_override", certificate.name)),
    )


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


_UNVERIFIED: Final = _unverified()


async def _peer_certificate(url: NodeUrl) -> _Certificate:
    """The certificate that a node shows.

    Raises:
        NoTlsError: nobody there completes TLS for HTTP/2.
    """
    try:
        _, writer = await asyncio.open_connection(url.host, url.port, ssl=_UNVERIFIED)
    except (OSError, ValueError) as error:
        raise NoTlsError(Answer.UNREACHABLE) from error
    try:
        connection: ssl.SSLObject = writer.get_extra_info("ssl_object")
        if connection.selected_alpn_protocol() != "h2":
            raise NoTlsError(Answer.NOT_GRPC)
        return _named(connection.getpeercert(binary_form=True) or b"")
    finally:
        writer.transport.abort()


def _named(der: bytes) -> _Certificate:
    with suppress(ValueError, x509.ExtensionNotFound):
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = [
            *names.get_values_for_type(x509.DNSName),
            *map(str, names.get_values_for_type(x509.IPAddress)),
        ]
        # A wildcard as a name would not match itself.
        first = found[0].replace("*", "any", 1) if found else None
        return _Certificate(ssl.DER_cert_to_PEM_cert(der).encode(), first or None)
    return _Certificate(b"", None)
