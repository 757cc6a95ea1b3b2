"""A stand-in gateway: `python -m mediafleet_testbed.standins.gateway -orchAddr URL …`.

Finds nodes as go-livepeer does, goes on using those it knows after they are unlisted until its
refresh is due (live-video selectors: about 6 minutes; batch AI: 10), and runs sessions on them:
segments, refresh and end go to the node itself, never through who advertised it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from mediafleet_common.formats.node_url import BadNodeUrlError, parse_node_url
from mediafleet_common.probes.ping import END_TRANSCODING_SESSION, Answer, NodeClient
from mediafleet_common.wire.livepeer_pb2 import (
    AuthToken,
    Capabilities,
    EndTranscodingSessionRequest,
    OrchestratorInfo,
    OrchestratorRequest,
)
from mediafleet_testbed.standins.gateway_discovery import Discovery, Found
from mediafleet_testbed.standins.node_capabilities import asking, compatible, selected
from mediafleet_testbed.standins.node_service import SEGMENTS, standin_signature

_CALL_SECONDS: Final = 3.0


class NoNodeError(Exception):
    """No known node takes another session."""


class SessionLostError(Exception):
    """The node of a session is no longer there, or no longer knows it."""


class Connections:
    """What a gateway keeps open: one HTTP/2 connection a node, for all segments of all sessions.

    It is dialled anew once it is lost or ended by the node, not when the node leaves the list
    (livepeer/go-livepeer server/segment_rpc.go, httpClient).
    """

    def __init__(self) -> None:
        self._clients: dict[str, NodeClient] = {}
        self._dialling: dict[str, asyncio.Lock] = {}

    async def call(self, node: str, method: str, message: bytes) -> Answer:
        """A call over the node's connection, made first if there is none."""
        client = self._clients.setdefault(node, NodeClient(parse_node_url(node)))
        async with self._dialling.setdefault(node, asyncio.Lock()):
            missing = await client.reach(_CALL_SECONDS)
        if missing is not None:
            return missing
        answer, _ = await client.call(method, message, _CALL_SECONDS)
        return answer

    async def close(self) -> None:
        """Hang up everywhere."""
        clients, self._clients = self._clients, {}
        await asyncio.gather(*(each.close() for each in clients.values()))


@dataclass(slots=True)
class Session:
    """A session on a node."""

    node: str
    token: AuthToken
    connections: Connections

    @property
    def id(self) -> str:
        """As the node knows it."""
        return self.token.session_id

    async def segment(self) -> None:
        """Send a segment.

        Raises:
            SessionLostError: the node did not take it.
        """
        message = self.token.SerializeToString()
        answer = await self.connections.call(self.node, f"/{SEGMENTS}/Segment", message)
        if answer is not Answer.ANSWERED:
            raise SessionLostError(f"{self.node}: {answer}")

    async def end(self) -> None:
        """End it, at the node, over a connection of its own, as the original does."""
        message = EndTranscodingSessionRequest(auth_token=self.token).SerializeToString()
        async with NodeClient(parse_node_url(self.node)) as client:
            await client.call(END_TRANSCODING_SESSION, message, _CALL_SECONDS)


@dataclass(slots=True)
class Gateway:
    """A gateway in this process."""

    orchestrators: Sequence[str]
    """Its -orchAddr."""
    extra_nodes: int = 0
    webhook: str | None = None
    """Its -orchWebhookUrl, in place of `orchestrators`."""
    refresh_seconds: float = 360.0
    address: bytes = field(default_factory=lambda: secrets.token_bytes(20))
    discovery_seconds: float = 0.5
    sign: bool = True
    job: tuple[str, str] | None = None
    """Pipeline and model of its AI jobs; `None`: it transcodes."""
    last: Discovery | None = None
    """The last round of discovery, for those who want to know whom it visited."""
    connections: Connections = field(default_factory=Connections)
    _known: list[Found] = field(default_factory=list)
    _known_since: float = float("-inf")

    async def discover(self, wanted: int = 100) -> list[Found]:
        """Ask who there is, now."""
        self.last = Discovery(
            self._ask, self.extra_nodes, self.discovery_seconds, compatible=self._compatible
        )
        found = await self.last.run(await self._top_level(), wanted)
        return [each for each in found if self._selects(each.info)]

    def _compatible(self, info: OrchestratorInfo) -> bool:
        if self.job is None:
            return True
        can = Capabilities.FromString(info.capabilities) if info.capabilities else None
        return compatible(asking(*self.job), can)

    def _selects(self, info: OrchestratorInfo) -> bool:
        if self.job is None:
            return True
        return selected(asking(*self.job), Capabilities.FromString(info.capabilities))

    async def nodes(self) -> list[Found]:
        """Whom it would use: those it knows, until the refresh is due."""
        if time.monotonic() - self._known_since >= self.refresh_seconds or not self._known:
            self._known = await self.discover()
            self._known_since = time.monotonic()
        return self._known

    async def start(self) -> Session:
        """Begin a session on the first node that takes it.

        Raises:
            NoNodeError: none does.
        """
        nodes = list(await self.nodes())
        random.shuffle(nodes)
        for node in nodes:
            info = await self._ask(node.info.transcoder)
            if info is None:
                continue
            session = Session(node.info.transcoder, info.auth_token, self.connections)
            try:
                await session.segment()
            except SessionLostError:
                continue
            return session
        raise NoNodeError(f"none of {len(nodes)} nodes")

    async def _ask(self, url: str) -> OrchestratorInfo | None:
        signature = standin_signature(self.address) if self.sign else b""
        request = OrchestratorRequest(address=self.address, sig=signature)
        if self.job is not None:
            request.capabilities = asking(*self.job).SerializeToString()
        try:
            where = parse_node_url(url)
        except BadNodeUrlError:
            return None
        # Dialled anew each time, as the original does.
        async with NodeClient(where) as client:
            info = await client.orchestrator_info(_CALL_SECONDS, request.SerializeToString())
        return None if info is None else OrchestratorInfo.FromString(info)

    async def _top_level(self) -> list[str]:
        if self.webhook is None:
            return list(self.orchestrators)
        async with aiohttp.ClientSession() as session, session.get(self.webhook) as response:
            return [entry["address"] for entry in await response.json()]


def _say(event: str, **more: object) -> None:
    print(json.dumps({"at": round(time.time(), 3), "event": event, **more}), flush=True)


async def keep_busy(
    gateway: Gateway, options: argparse.Namespace, chance: random.Random, stop: asyncio.Event
) -> None:
    """Run one session after the other until `stop`, and tell of each."""
    while not stop.is_set():
        try:
            session = await gateway.start()
        except NoNodeError as error:
            _say("refused", why=str(error))
            await _sleep(stop, 0.5)
            continue
        _say("started", node=session.node, session=session.id)
        until = time.monotonic() + chance.uniform(*options.standinSeconds)
        try:
            while time.monotonic() < until and not stop.is_set():
                await _sleep(stop, options.standinSegmentSeconds)
                await session.segment()
        except SessionLostError as error:
            _say("lost", node=session.node, session=session.id, why=str(error))
            continue
        await session.end()
        _say("ended", node=session.node, session=session.id)


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="standin-gateway", allow_abbrev=False)
    parser.add_argument("-orchAddr", type=lambda text: text.split(","), default=[])
    parser.add_argument("-orchWebhookUrl", default=None)
    parser.add_argument("-extraNodes", type=int, default=0, help="as upstream, 0 by default")
    own = parser.add_argument_group("of the stand-in only")
    own.add_argument("-standinSessions", type=int, default=1, help="sessions at a time")
    own.add_argument("-standinSeconds", type=float, nargs=2, default=(2.0, 10.0))
    own.add_argument("-standinSegmentSeconds", type=float, default=1.0)
    own.add_argument("-standinRefreshSeconds", type=float, default=360.0)
    own.add_argument("-standinSeed", type=int, default=None)
    return parser.parse_args(arguments)


async def _main(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    gateway = Gateway(
        options.orchAddr,
        options.extraNodes,
        options.orchWebhookUrl,
        options.standinRefreshSeconds,
    )
    nodes = await gateway.nodes()
    _say("discovered", nodes=[node.info.transcoder for node in nodes])
    print(f"stand-in gateway ready: {len(nodes)} nodes", flush=True)
    chance = random.Random(options.standinSeed)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(options.standinSessions):
            tasks.create_task(keep_busy(gateway, options, chance, stop))
    await gateway.connections.close()


def main() -> None:
    """Run until a signal."""
    asyncio.run(_main(_options(sys.argv[1:])))


if __name__ == "__main__":
    main()
