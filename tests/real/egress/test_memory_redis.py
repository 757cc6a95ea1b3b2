"""The Redis in memory, on which whole desks run in tests, keeps the ledger as a real one does."""

from __future__ import annotations

import random
from typing import Any, Final

import pytest
import redis.asyncio as redis
from tests.kit.egress.virtual import memory_redis

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.clock import Clock
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.queue import Waiting
from mediafleet_scheduler.egress.ledger.records import Record
from mediafleet_scheduler.egress.ledger.store import Store

STEPS: Final = 300
IDS: Final = 12
AT_ONE_TIME: Final = Clock(unix=lambda: 1_000_000.0)
PREFIX: Final = "mediafleet:{egress/0}:"


class Pair:
    """Two desks' stores on one Redis, of which each does what chance says."""

    def __init__(self, commands: redis.Redis, seed: int) -> None:
        self.commands = commands
        self._chance = random.Random(seed)
        self._stores = [Store(commands, Ledger(), clock=AT_ONE_TIME) for _ in range(2)]

    async def run(self) -> list[Any]:
        """So many steps; what each came to."""
        for store in self._stores:
            await store.open()
        came_to = [await self._step(number) for number in range(STEPS)]
        for store in self._stores:
            await store.close()
        return came_to

    async def _step(self, number: int) -> Any:
        chance, store = self._chance, self._stores[self._chance.randrange(2)]
        egress_id, token = f"EG_{chance.randrange(IDS)}", f"T{chance.randrange(3)}"
        at, fleet = 1.8e9 + number, f"/rec{chance.randrange(2)}"
        kind = RequestType.TRACK
        job = Job(egress_id, fleet, "pod", "uid", "pod", kind, 0.5, token, at)
        entry = Waiting(egress_id, fleet, kind, 0.5, "room", float(number % 3))
        step = chance.randrange(9)
        match step:
            case 0 | 1:
                return await store.claim([(job, f"T{chance.randrange(3)}")])
            case 2:
                return await store.find(egress_id)
            case 3:
                return await store.wait(entry)
            case 4:
                started = Record(job._replace(started_at=at, server_id="SRV"), b"info")
                await store.write([store.started(started), store.kept(entry)])
            case 5:
                await store.write([store.ended(egress_id, Record(job, b"told"))])
            case 6:
                await store.write([store.released(egress_id, token), store.left(entry)])
            case 7:
                return await store.take("lost", egress_id, 300)
            case _:
                await store.sync()
        return sorted(store.copy.records)

    async def kept(self) -> list[Any]:
        """All that lies in Redis, but for what is random: the epoch."""
        commands = self.commands
        state = await commands.hgetall(PREFIX + "state")
        state.pop("epoch")
        ended = [f"{PREFIX}ended:EG_{number}" for number in range(IDS)]
        return [
            state,
            await commands.hgetall(PREFIX + "jobs"),
            await commands.hgetall(PREFIX + "waiting"),
            await commands.xrange(PREFIX + "log"),
            [await commands.get(key) for key in ended],
            [0 < await commands.ttl(key) <= 120 for key in ended],
            await commands.ttl(PREFIX + "jobs") > 0,
        ]


@pytest.mark.parametrize("seed", range(5))
async def test_the_ledger_is_the_same_in_memory_and_in_a_real_redis(
    commands: redis.Redis, seed: int
) -> None:
    real, memory = Pair(commands, seed), Pair(memory_redis(), seed)
    assert await real.run() == await memory.run()
    assert await real.kept() == await memory.kept()
