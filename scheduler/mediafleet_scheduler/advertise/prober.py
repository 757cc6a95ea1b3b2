"""Pings each ready node at intervals to learn whether it lives."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from mediafleet_common.api.pool.advertise import Probe
from mediafleet_common.clock import SYSTEM, Clock
from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.formats.reach import Reach
from mediafleet_common.keyed_tasks import KeyedTasks
from mediafleet_common.probes.ping import Answer, NodeClient
from mediafleet_common.wire.livepeer_pb2 import OrchestratorInfo
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.core.advertise.capabilities import Capabilities, read
from mediafleet_scheduler.core.advertise.listing import (
    NEVER_ASKED,
    SILENT_FAILURES,
    Health,
    NodeKey,
    Place,
    ProbeRules,
    call_due,
    note_on,
    pause_seconds,
)

_log: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 64
_LATE_SECONDS: Final = 0.15
_RESTART_SECONDS: Final = 1.0


class Asked(Protocol):
    """A node that can be asked; `NodeClient` is the real one."""

    refusal: str
    """Why the last call brought no message, in the node's words or ours."""
    note: str | None
    """What is wrong with its certificate, which gateways do not verify."""

    async def reach(self, timeout_seconds: float) -> Answer | None:
        """Wait so long for a connection; `None`: it stands."""

    async def ping_connection(self, timeout_seconds: float) -> Answer | None:
        """Ask the other end of the connection, without a call; `None`: it wants none of that."""

    async def ping(self, timeout_seconds: float) -> Answer:
        """Ping it once."""

    async def orchestrator_info(self, timeout_seconds: float, request: bytes = b"") -> bytes | None:
        """Its serialised OrchestratorInfo; `None`: it gave none."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How nodes are probed."""

    rules: ProbeRules = field(default_factory=ProbeRules)
    timeout_seconds: float = 0.5
    request: bytes = b""
    """The OrchestratorRequest that asks for their description."""
    dial: Callable[[NodeUrl, Reach], AbstractAsyncContextManager[Asked]] = NodeClient


class Prober:
    """One task per ready node; the results are in `health`.

    `on_change` is called whenever a node has been asked for the first time or its health has
    changed what may be listed.
    """

    def __init__(
        self,
        manner: Manner,
        metrics: AdvertiseMetrics,
        on_change: Callable[[], None],
        place: Probe = Probe.ADDRESS,
        clock: Clock = SYSTEM,
    ) -> None:
        self._manner = manner
        self._clock = clock
        self._rules = manner.rules
        self._metrics = metrics
        self._place = place.value
        self._on_change = on_change
        self._too_late = manner.timeout_seconds + _LATE_SECONDS
        self._health: dict[NodeKey, Health] = {}
        self._places: dict[NodeKey, Place] = {}
        self._tasks = KeyedTasks[NodeKey]()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @property
    def health(self) -> Mapping[NodeKey, Health]:
        """By node; only those that are asked are there."""
        return self._health

    @property
    def all_asked(self) -> bool:
        """Whether every node that is followed has been asked at least once."""
        return all(health.asked for health in self._health.values())

    def follow(self, wanted: Mapping[NodeKey, Place]) -> None:
        """Probe exactly these from now on, new ones at once."""
        kept = {key for key, place in wanted.items() if self._places.get(key, place) == place}
        for key in self._tasks.keep_only(kept):
            self._health.pop(key, None)
        self._places = dict(wanted)
        for key, place in wanted.items():
            if key not in self._tasks:
                self._health[key] = NEVER_ASKED
                self._start(key, place)

    async def close(self) -> None:
        """Stop asking and wait until every task has ended."""
        self.follow({})
        await self._tasks.close()

    def _start(self, key: NodeKey, place: Place) -> None:
        where, _ = place
        task = self._tasks.start(key, self._ask_forever(key, place), f"probe {where.target}")

        def ended(done: asyncio.Task[None]) -> None:
            if done.cancelled() or (error := done.exception()) is None:
                return
            self._count("error")
            _log.error("probing %s failed", where.target, exc_info=error)
            asyncio.get_running_loop().call_later(_RESTART_SECONDS, again)

        def again() -> None:
            if self._tasks.get(key) is task:
                self._start(key, place)

        task.add_done_callback(ended)

    async def _ask_forever(self, key: NodeKey, place: Place) -> None:
        where, reach = place
        async with self._manner.dial(where, reach) as client:
            described_at = -math.inf
            while True:
                before = self._health[key]
                since = self._clock.monotonic() - described_at
                thorough = call_due(before, since, self._rules)
                after = None if thorough else await self._look(client, before)
                if after is None:
                    if thorough:
                        described_at = self._clock.monotonic()
                    after = await self._call(client, before, where, thorough=thorough)
                self._health[key] = after
                if _matters(before, after):
                    self._on_change()
                pause = pause_seconds(after, len(self._tasks), self._rules, random.random())
                await asyncio.sleep(pause)

    async def _look(self, client: Asked, before: Health) -> Health | None:
        """The health by the connection alone; `None`: a call is needed."""
        began = self._clock.monotonic()
        answer = await client.ping_connection(self._manner.timeout_seconds)
        if answer is Answer.ANSWERED:
            self._count("connected")
            return before
        if answer is Answer.TIMED_OUT and not self._was_held_up(began):
            self._count(answer.value)
            return replace(before.after(answered=False, rules=self._rules), why=client.refusal)
        return None

    async def _call(
        self, client: Asked, before: Health, where: NodeUrl, *, thorough: bool
    ) -> Health:
        # Outside of the turns: a far node needs several round trips, a gone one never ends.
        missing = await client.reach(self._manner.timeout_seconds)
        if missing is not None:
            self._count(missing.value)
            return replace(before.after(missing.alive, self._rules), why=client.refusal)
        async with self._turns:
            return await self._ask(client, before, where, thorough=thorough)

    def _was_held_up(self, began: float) -> bool:
        """Whether this process was, so that the answer may have been there in time."""
        return self._clock.monotonic() - began > self._too_late

    async def _ask(
        self, client: Asked, before: Health, where: NodeUrl, *, thorough: bool
    ) -> Health:
        began = self._clock.monotonic()
        answer = await client.ping(self._manner.timeout_seconds)
        if answer is Answer.TIMED_OUT and self._was_held_up(began):
            self._count("held_up")
            return before
        self._count(answer.value)
        after = before.after(answer.alive, self._rules)
        if not answer.alive:
            return replace(after, why=client.refusal)
        # A certificate comes with the connection, what it tells only with its description.
        after = replace(after, why="", note=before.note or client.note)
        if thorough and after.alive and (after.answers - 1) % after.describe_every == 0:
            request = self._manner.request
            info = await client.orchestrator_info(self._manner.timeout_seconds, request)
            if info is None and client.refusal:
                return after.refused(client.refusal)
            after = after.described(advertises_only(info), capabilities(info))
            if info is not None and self._place == Probe.ADDRESS:
                notes = (client.note, note_on(_transcoder(info), where))
                after = replace(after, note="; ".join(each for each in notes if each) or None)
        return after

    def _count(self, result: str) -> None:
        self._metrics.probes.labels(result, self._place).inc()


def advertises_only(info: bytes | None) -> bool | None:
    """Whether a node's OrchestratorInfo says that it takes no work; `None`: it did not say."""
    if info is None:
        return None
    try:
        return not OrchestratorInfo.FromString(info).transcoder
    except DecodeError:
        return None


def capabilities(info: bytes | None) -> Capabilities | None:
    """What a node's OrchestratorInfo says that it can do; `None`: it did not say."""
    if info is None:
        return None
    try:
        parsed = OrchestratorInfo.FromString(info)
        return read(parsed.capabilities) if parsed.HasField("capabilities") else None
    except DecodeError:
        return None


def _transcoder(info: bytes) -> str:
    try:
        return OrchestratorInfo.FromString(info).transcoder
    except DecodeError:
        return ""


def _matters(before: Health, after: Health) -> bool:
    return (
        before.asked != after.asked
        or before.note != after.note
        or (not after.ever_alive and after.failures == SILENT_FAILURES)
        or before.alive != after.alive
        or before.advertises_only != after.advertises_only
        or before.capabilities != after.capabilities
        or before.full != after.full
    )
