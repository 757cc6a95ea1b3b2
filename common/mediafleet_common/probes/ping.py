"""Ask an orchestrator node over gRPC whether it lives, as a gateway would reach it."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Final, Self

from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.formats.reach import OWN_WORD, Reach
from mediafleet_common.probes import certificate
from mediafleet_common.probes.grpc_connection import GrpcConnection
from mediafleet_common.probes.grpc_dial import ConnectError, NoHttp2Error, connect
from mediafleet_common.probes.grpc_reply import LostError, NotGrpcError, Reply

PING: Final = "/net.Orchestrator/Ping"
GET_ORCHESTRATOR: Final = "/net.Orchestrator/GetOrchestrator"
END_TRANSCODING_SESSION: Final = "/net.Orchestrator/EndTranscodingSession"
PING_VALUE: Final = b"\x0a\x04ping"
"""A PingPong with value `ping`; the node answers with its signature over it."""
ADVERTISER: Final = ("mediafleet-advertiser", "1")
"""Trailing metadata of an advertiser's answer to Ping: it takes no work, whatever its address."""
CONNECT_SECONDS: Final = 5.0
"""For a first contact: name, TCP and TLS take several round trips."""
_SILENT_CALLS: Final = 5
"""In a row, after which the connection is given up: a busy node is spared a handshake before that,
and one that vanished without a word would hold it open for minutes."""


class Answer(StrEnum):
    """The outcome of a call."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """A gRPC status of the node."""
    TIMED_OUT = "timed_out"
    """The connection stands, or is not made yet, and no answer came in time."""
    UNREACHABLE = "unreachable"
    """No connection, or no TLS."""
    NOT_GRPC = "not_grpc"
    """It speaks TLS but not HTTP/2, or answers by HTTP, as a proxy does."""

    @property
    def alive(self) -> bool:
        """Whether the node lives: a refusal is an answer."""
        return self in (Answer.ANSWERED, Answer.REFUSED)


class NodeClient:
    """A connection to one node that is kept from call to call and made anew when it breaks.

    One call at a time. Making the connection goes on in the background for up to
    `CONNECT_SECONDS`, over several calls if they are shorter.
    """

    def __init__(self, url: NodeUrl, reach: Reach = OWN_WORD, clock: Clock = SYSTEM) -> None:
        self._url = url
        self._reach = reach
        self._clock = clock
        self._connection: GrpcConnection | None = None
        self._connecting: asyncio.Task[GrpcConnection] | None = None
        self._no_pings = False
        """Whether its server takes PINGs for an attack, as grpc's own do: then only calls tell."""
        self._silent = 0
        """Calls in a row that brought nothing over a connection that stands."""
        self.refusal = ""
        """Why the last call brought no message; any text."""
        self.advertiser = False
        """Whether its last answer said that it is an advertiser of ours, and no node."""
        self.note: str | None = None
        """What is wrong with its certificate, which gateways do not verify."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def reach(self, timeout_seconds: float) -> Answer | None:
        """Wait so long for a connection; `None`: it stands. Never raises but for cancellation."""
        if self._connection is not None and self._connection.open:
            return None
        if self._connection is not None and self._connection.pinged_too_often:
            self._no_pings = True
        self._hang_up()
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        done, _ = await asyncio.wait({self._connecting}, timeout=timeout_seconds)
        if not done:
            self.refusal = "no connection yet"
            return Answer.TIMED_OUT
        connecting, self._connecting = self._connecting, None
        try:
            self._connection = connecting.result()
        except NoHttp2Error as error:
            self.refusal = str(error)
            return Answer.NOT_GRPC
        except ConnectError as error:
            self.refusal = str(error)
            return Answer.UNREACHABLE
        shown = self._connection.certificate
        if shown is not None:
            self.note = certificate.note(shown, self._url.host, self._clock.unix())
        return None

    async def ping_connection(self, timeout_seconds: float) -> Answer | None:
        """An HTTP/2 PING, which no application sees or logs; `None`: its server wants none.

        UNREACHABLE: there is no connection, which says nothing of the node yet.
        """
        connection = self._connection
        if connection is None or not connection.open:
            return Answer.UNREACHABLE
        if self._no_pings:
            return None
        try:
            async with asyncio.timeout(timeout_seconds):
                await connection.ping()
        except TimeoutError:
            self.refusal = f"no answer in {timeout_seconds:g} s"
            return Answer.TIMED_OUT
        except LostError:
            return Answer.UNREACHABLE
        return Answer.ANSWERED

    async def ping(self, timeout_seconds: float) -> Answer:
        """Ping the node once; a connection and the call have so long each."""
        kept = self._connection is not None
        answer, _ = await self.call(PING, PING_VALUE, timeout_seconds)
        if kept and answer is Answer.UNREACHABLE:
            # The node may have been started again since the last call.
            answer, _ = await self.call(PING, PING_VALUE, timeout_seconds)
        return answer

    async def orchestrator_info(self, timeout_seconds: float, request: bytes = b"") -> bytes | None:
        """The serialised OrchestratorInfo for a serialised request, by default one without a
        signature; `None` when it is refused or the node does not answer."""
        _, info = await self.call(GET_ORCHESTRATOR, request, timeout_seconds)
        return info

    async def call(
        self, method: str, request: bytes, timeout_seconds: float
    ) -> tuple[Answer, bytes | None]:
        """One unary call of serialised messages; the answer is there when it succeeded."""
        missing = await self.reach(timeout_seconds)
        if missing is not None or self._connection is None:
            return missing or Answer.UNREACHABLE, None
        self.refusal = ""
        try:
            async with asyncio.timeout(timeout_seconds):
                reply = await self._connection.call(method, request)
        except TimeoutError:
            self.refusal = f"no answer in {timeout_seconds:g} s"
            self._silent += 1
            if self._silent >= _SILENT_CALLS:
                self._hang_up()
            return Answer.TIMED_OUT, None
        except LostError as error:
            self.refusal = str(error)
            self._hang_up()
            return Answer.UNREACHABLE, None
        except NotGrpcError as error:
            self.refusal = str(error)
            return Answer.NOT_GRPC, None
        return self._judge(reply)

    def _judge(self, reply: Reply) -> tuple[Answer, bytes | None]:
        self._silent = 0
        if reply.code:
            self.refusal = reply.details or f"gRPC status {reply.code}"
            return Answer.REFUSED, None
        self.advertiser = ADVERTISER in reply.trailing
        return Answer.ANSWERED, reply.message

    async def _connect(self) -> GrpcConnection:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await connect(self._url, self._reach)
        except TimeoutError:
            raise ConnectError(f"no connection in {CONNECT_SECONDS:g} s") from None

    async def close(self) -> None:
        """Hang up; the next call connects anew."""
        self._hang_up()
        connecting, self._connecting = self._connecting, None
        if connecting is None:
            return
        connecting.cancel()
        (result,) = await asyncio.gather(connecting, return_exceptions=True)
        if isinstance(result, GrpcConnection):
            result.abort()

    def _hang_up(self) -> None:
        connection, self._connection, self._silent = self._connection, None, 0
        if connection is not None:
            connection.abort()
