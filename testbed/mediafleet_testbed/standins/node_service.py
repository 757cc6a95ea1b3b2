"""What a stand-in node answers over gRPC, with go-livepeer's refusals and their words.

Sources: livepeer/go-livepeer server/rpc.go (getOrchestrator, ping, endTranscodingSession),
core/orchestrator.go (CheckCapacity, VerifySig), pm/recipient.go (insufficient sender reserve).
go-livepeer returns plain errors, which gRPC carries as UNKNOWN.

Two things are not upstream's: beside real signatures a stand-in takes its own
(`standin_signature`), which need no key, and signs with nothing else; and segments come by gRPC
under a name of our own instead of HTTP on the same port, which Python's server cannot share.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from mediafleet_common.formats import eth
from mediafleet_common.wire.ai_worker_pb2 import RegisterAIWorkerRequest
from mediafleet_common.wire.livepeer_pb2 import (
    AuthToken,
    Capabilities,
    EndTranscodingSessionRequest,
    EndTranscodingSessionResponse,
    OrchestratorInfo,
    OrchestratorRequest,
    PingPong,
    PriceInfo,
)
from mediafleet_testbed.standins.node_capabilities import capped, told
from mediafleet_testbed.standins.node_flags import NodeFlags
from mediafleet_testbed.standins.node_sessions import CappedError, Sessions

SEGMENTS: Final = "mediafleet.standin.Node"
_TOKEN_SECONDS: Final = 1800
Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Method = Callable[[bytes, Context], Awaitable[bytes]]


class RefusedError(Exception):
    """An error that go-livepeer returns; the text is its."""


def standin_signature(address: bytes) -> bytes:
    """What a stand-in gateway signs its address with, 65 bytes as a real signature has."""
    return hashlib.sha512(b"mediafleet stand-in signature of " + address).digest() + b"\x1b"


class NodeService:
    """The methods of one stand-in node."""

    def __init__(
        self, flags: NodeFlags, sessions: Sessions, crash: Callable[[], None] = lambda: None
    ) -> None:
        self._crash = crash
        self._live = sessions.ai
        self._flags = flags
        self._sessions = sessions
        self._secret = secrets.token_bytes(32)

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """For a gRPC server."""
        return [
            _generic(
                "net.Orchestrator",
                {
                    "GetOrchestrator": self._get_orchestrator,
                    "Ping": self._ping,
                    "EndTranscodingSession": self._end_transcoding_session,
                },
            ),
            _generic("net.AIWorker", {"RegisterAIWorker": self._register_worker}),
            _generic(SEGMENTS, {"Segment": self._segment, "Report": self._report}),
        ]

    def _get_orchestrator(self, message: bytes) -> Message:
        request = OrchestratorRequest.FromString(message)
        self._verify(request)
        asked = Capabilities.FromString(request.capabilities)
        if not request.ignore_capacity_check and capped(asked, self._flags.models, self._live):
            raise RefusedError(f"Invalid orchestrator request: {CappedError()}")
        can = told(self._flags.models, self._live, transcoder=self._flags.transcoder)
        priced = self._flags.on_chain and self._flags.price_per_unit > 0
        if priced and "0x" + request.address.hex() not in self._flags.funded:
            raise RefusedError("insufficient sender reserve")
        return OrchestratorInfo(
            transcoder=self._flags.service_url,
            price_info=PriceInfo(price_per_unit=self._flags.price_per_unit, pixels_per_unit=1),
            address=bytes.fromhex(self._flags.eth_address[2:]),
            auth_token=self._token(secrets.token_hex(4), int(time.time()) + _TOKEN_SECONDS),
            nodes=self._flags.nodes,
            capabilities=can.SerializeToString(),
        )

    def _verify(self, request: OrchestratorRequest) -> None:
        prefix = "Invalid orchestrator request: "
        if self._flags.on_chain and not _is_signed(request):
            raise RefusedError(prefix + "orchestrator req sig check failed")
        if self._sessions.full():
            raise RefusedError(prefix + str(CappedError()))

    def _ping(self, message: bytes) -> Message:
        value = PingPong.FromString(message).value
        # Off-chain there is no key and the signature is empty.
        return PingPong(value=standin_signature(value) if self._flags.on_chain else b"")

    def _end_transcoding_session(self, message: bytes) -> Message:
        request = EndTranscodingSessionRequest.FromString(message)
        if not request.HasField("auth_token"):
            # A nil in upstream's server, which ends the process.
            self._crash()
        token = request.auth_token
        self._check(token)
        self._sessions.end(token.session_id)
        return EndTranscodingSessionResponse()

    def _register_worker(self, message: bytes) -> bytes:
        """A remote AI worker; upstream's stream of jobs is no part of the stand-in.

        server/ai_worker.go, RegisterAIWorker: with no secret on either side they are equal.
        """
        if RegisterAIWorkerRequest.FromString(message).secret != self._flags.secret:
            raise RefusedError("invalid secret")
        return b""

    def _segment(self, message: bytes) -> bytes:
        """A segment: an AuthToken in, empty out."""
        token = AuthToken.FromString(message)
        self._check(token)
        self._sessions.segment(token.session_id)
        return b""

    def _report(self, _: bytes) -> bytes:
        return json.dumps(self._sessions.report()).encode()

    def _token(self, session_id: str, expiration: int) -> AuthToken:
        text = f"{session_id}{expiration}".encode()
        token = hmac.digest(self._secret, text, "sha256")
        return AuthToken(token=token, session_id=session_id, expiration=expiration)

    def _check(self, token: AuthToken) -> None:
        expected = self._token(token.session_id, token.expiration).token
        if not hmac.compare_digest(token.token, expected):
            raise RefusedError("Invalid auth token")
        if token.expiration < time.time():
            raise RefusedError("auth token expired")


def _is_signed(request: OrchestratorRequest) -> bool:
    own = hmac.compare_digest(request.sig, standin_signature(request.address))
    return own or eth.signed(request.address, request.sig)


def _generic(
    service: str, methods: dict[str, Callable[[bytes], Message | bytes]]
) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        service,
        {
            name: grpc.unary_unary_rpc_method_handler(_answering(method))
            for name, method in methods.items()
        },
    )


def _answering(method: Callable[[bytes], Message | bytes]) -> Method:
    async def answer(request: bytes, context: Context) -> bytes:
        try:
            result = method(request)
        except (RefusedError, CappedError) as error:
            context.set_code(grpc.StatusCode.UNKNOWN)
            context.set_details(str(error))
            return b""
        except DecodeError:
            context.set_code(grpc.StatusCode.INTERNAL)
            context.set_details("grpc: error unmarshalling request")
            return b""
        return result if isinstance(result, bytes) else result.SerializeToString()

    return answer
