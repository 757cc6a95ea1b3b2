"""Whole desks on a virtual clock: pods, clients, bus and Redis are in this process.

The Redis is fakeredis, which runs the ledger's very scripts in Lua. A desk can be killed as by
SIGKILL: from that moment on it neither hears nor says anything, on the bus and in Redis, and a call
under way is never answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, cast

import fakeredis
import pytest
import redis.asyncio as redis
from livekit.protocol import egress as livekit
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError
from tests.kit.egress.scene import CLOCK, Scene

from mediafleet_common.wire.egress_pb2 import GetEgressRequest, StartEgressRequest
from mediafleet_scheduler.egress.base.metrics import EgressMetrics
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_scheduler.psrpc import channels
from mediafleet_scheduler.psrpc.bus import Bus, Receiver, Subscription
from mediafleet_scheduler.psrpc.client import Client
from mediafleet_scheduler.psrpc.envelope import Bid, Grant, Request, Response, decode
from mediafleet_scheduler.psrpc.errors import Code, PsrpcError
from mediafleet_scheduler.psrpc.server import Server
from mediafleet_testbed.standins import egress_io, egress_job, egress_metrics, egress_worker

SERVICE: Final = "EgressInternal"
_EPOCH: Final = 1.8e9
_REQUESTS: Final = channels.request(SERVICE, "StartEgress")
_GRANTS: Final = channels.grant(SERVICE, "StartEgress")
_TOLD: Final = tuple(channels.request("IOInfo", m) for m in ("CreateEgress", "UpdateEgress"))


def on_loop_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the time of day follow the running event loop, for all who look at it."""
    loop = asyncio.get_running_loop()

    def now_ns() -> int:
        return int((_EPOCH + loop.time()) * 1e9)

    monkeypatch.setattr(time, "time", lambda: _EPOCH + loop.time())
    monkeypatch.setattr(time, "time_ns", now_ns)
    # The event loop itself goes by time.monotonic, so that has to stay for all but the pods.
    clock = SimpleNamespace(monotonic=loop.time, time_ns=now_ns)
    for module in (egress_io, egress_job, egress_metrics, egress_worker):
        monkeypatch.setattr(module, "time", clock)
    for kind in (Client, Server):
        defaults = kind.__init__.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "clock", CLOCK)


def memory_redis() -> redis.Redis:
    """An empty Redis in memory."""
    return cast("redis.Redis", fakeredis.FakeAsyncRedis(decode_responses=True))


@dataclass(slots=True)
class Granted:
    """What a desk was granted, and what it made of it."""

    egress_id: str
    expiry: float
    """Unix time."""
    answer: Response | None = None


class Records:
    """What livekit-server does for recordings: it is told of them, and may be asked.

    A pod goes on only when livekit-server has its word, so that leg is a sure one; the desks, which
    listen in and ask, do so on the bad bus. Source: livekit/egress pkg/info/io.go.
    """

    def __init__(self) -> None:
        self.infos: dict[str, bytes] = {}

    def take(self, data: bytes) -> None:
        """A pod tells."""
        payload = decode(data, Request).payload
        self.infos[livekit.EgressInfo.FromString(payload).egress_id] = payload

    async def answer(self, request: Request) -> bytes:
        """A desk asks."""
        info = self.infos.get(GetEgressRequest.FromString(request.payload).egress_id)
        if info is None:
            raise PsrpcError(Code.NOT_FOUND, "egress not found")
        return info


class PodBus:
    """The bus as a pod has it: what it tells livekit-server arrives there whatever happens."""

    def __init__(self, inner: Bus, records: Records) -> None:
        self._inner = inner
        self._records = records

    def publish(self, channel: str, data: bytes) -> None:
        """Send."""
        if channel in _TOLD:
            self._records.take(data)
        self._inner.publish(channel, data)

    async def subscribe(self, channel: str, receive: Receiver) -> Subscription:
        """Listen."""
        return await self._inner.subscribe(channel, receive)


class Mortal:
    """The bus and the Redis of one desk, cut off at once when it dies; notes its grants."""

    def __init__(self, bus: Bus, commands: redis.Redis) -> None:
        self._bus = bus
        self._commands = commands
        self._asked: dict[str, Request] = {}
        self._bids: dict[str, str] = {}
        self.granted: dict[str, Granted] = {}
        self.died_at: float | None = None

    def die(self) -> None:
        """From now on it does nothing that others see."""
        self.died_at = time.time()

    def publish(self, channel: str, data: bytes) -> None:
        """Send while it lives."""
        if self.died_at is not None:
            return
        if channel.endswith("|CLAIM"):
            bid = decode(data, Bid)
            self._bids[bid.request_id] = bid.server_id
        elif channel.endswith("|RES"):
            response = decode(data, Response)
            if granted := self.granted.get(response.request_id):
                granted.answer = response
        self._bus.publish(channel, data)

    async def subscribe(self, channel: str, receive: Receiver) -> Subscription:
        """Listen while it lives."""

        def hear(data: bytes) -> None:
            if self.died_at is None:
                self._note(channel, data)
                receive(data)

        return await self._bus.subscribe(channel, hear)

    def _note(self, channel: str, data: bytes) -> None:
        if channel == _REQUESTS:
            request = decode(data, Request)
            self._asked[request.request_id] = request
        elif channel == _GRANTS:
            grant = decode(data, Grant)
            request_id = grant.request_id
            asked = self._asked.get(request_id)
            if asked is None or self._bids.get(request_id) != grant.server_id:
                return
            expiry = asked.expiry_ns / 1e9
            if expiry > time.time() and request_id not in self.granted:
                egress_id = StartEgressRequest.FromString(asked.payload).egress_id
                self.granted[request_id] = Granted(egress_id, expiry)

    async def evalsha(self, *arguments: Any) -> Any:
        """Run a script."""
        return await self._living("evalsha", *arguments)

    async def script_load(self, script: str) -> Any:
        """Load a script."""
        return await self._living("script_load", script)

    async def set(self, *arguments: Any, **options: Any) -> Any:
        """Set a key."""
        return await self._living("set", *arguments, **options)

    async def _living(self, name: str, *arguments: Any, **options: Any) -> Any:
        if self.died_at is None:
            result = await getattr(self._commands, name)(*arguments, **options)
            await asyncio.sleep(_REDIS_SECONDS)
            if self.died_at is None:
                return result
        raise RedisConnectionError("the desk is dead")


_REDIS_SECONDS: Final = 0.001
"""A desk may die between what Redis did for it and the news of that."""


@dataclass(slots=True)
class Desks:
    """Two desks or more, that are killed and replaced."""

    stage: Scene
    settings: Settings
    ledger: int = 0
    ever: list[Mortal] = field(default_factory=list)
    _living: dict[Mortal, EgressService] = field(default_factory=dict)
    _dying: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> Mortal:
        """One more desk, from what lies in Redis."""
        mortal = Mortal(self.stage.bus, self.stage.commands)
        service = EgressService(
            mortal,
            cast("redis.Redis", mortal),
            self.stage.directory,
            EgressMetrics(CollectorRegistry()),
            self.settings,
            self.ledger,
            clock=CLOCK,
        )
        await service.__aenter__()
        self._living[mortal] = service
        self.ever.append(mortal)
        return mortal

    def kill(self, mortal: Mortal) -> None:
        """As SIGKILL does."""
        mortal.die()
        service = self._living.pop(mortal)
        # What is left of it is cleared away; nobody sees that.
        task = asyncio.create_task(service.__aexit__(None, None, None))
        self._dying.add(task)
        task.add_done_callback(self._dying.discard)

    async def close(self) -> None:
        """Stop all of them."""
        for service in self._living.values():
            await service.settled()
            await service.__aexit__(None, None, None)
        self._living.clear()
        await asyncio.gather(*self._dying)

    @property
    def services(self) -> list[EgressService]:
        """Those that live."""
        return list(self._living.values())

    def unanswered(self) -> list[Granted]:
        """What was granted to a desk that lived until its expiry, and was not answered."""
        return [
            granted
            for mortal in self.ever
            for granted in mortal.granted.values()
            if granted.answer is None and (mortal.died_at or time.time()) > granted.expiry
        ]

    def delivered(self) -> set[str]:
        """The ids that any desk was ever granted."""
        return {granted.egress_id for mortal in self.ever for granted in mortal.granted.values()}


@asynccontextmanager
async def livekit_server(bus: Bus, records: Records) -> AsyncIterator[None]:
    """Answers IOInfo.GetEgress."""
    async with Server(bus, "IOInfo") as server:
        await server.register("GetEgress", records.answer)
        yield


@asynccontextmanager
async def desks(
    stage: Scene, settings: Settings, count: int = 2, ledger: int = 0
) -> AsyncIterator[Desks]:
    """So many desks, all stopped at the end."""
    all_desks = Desks(stage, settings, ledger)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(all_desks.close)
        for _ in range(count):
            await all_desks.start()
        yield all_desks
