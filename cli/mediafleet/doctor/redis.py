"""Whether a Redis is fit for the egress desk: asked of the server, judged by a pure function.

What the desk needs of it: scripts over hashes, streams and strings under `mediafleet:`, pub/sub on
psrpc's channels, no eviction, a primary.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from redis.exceptions import RedisError

from mediafleet.doctor.findings import Finding, Level, Page, Unread
from mediafleet.doctor.tested import REDIS, VALKEY, Tested
from mediafleet_common.clock import SYSTEM
from mediafleet_scheduler.egress.connections.opening import Connections
from mediafleet_scheduler.psrpc import channels

ANSWER_SECONDS: Final = 5.0
SKEW_SECONDS: Final = 2.0
STARTS: Final = channels.request("EgressInternal", "StartEgress")
RECORDS: Final = channels.request("IOInfo", "GetEgress")
"""livekit-server alone listens here."""

_TRY: Final = """
redis.call('HSET', KEYS[1], 'a', '1') redis.call('HGET', KEYS[1], 'a')
redis.call('HGETALL', KEYS[1]) redis.call('HVALS', KEYS[1])
redis.call('HSETNX', KEYS[1], 'b', '1') redis.call('HINCRBY', KEYS[1], 'c', 1)
redis.call('HEXISTS', KEYS[1], 'a') redis.call('HDEL', KEYS[1], 'a')
redis.call('XADD', KEYS[2], '1-1', 'a', '1') redis.call('XRANGE', KEYS[2], '-', '+')
redis.call('SET', KEYS[3], '1', 'EX', 10) redis.call('GET', KEYS[3]) redis.call('EXISTS', KEYS[3])
redis.call('EXPIRE', KEYS[1], 10) redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
return 1
"""
"""Every command that the ledger's scripts use, on keys that it makes and deletes."""
_TROUBLES: Final = (RedisError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What was seen of one Redis; an `Unread` says why a fact was not."""

    where: str
    """For people: no credentials."""
    db: int
    away: str | None = None
    """Why it does not answer at all."""
    info: Mapping[str, Any] | Unread = field(default_factory=dict)
    ledger: Unread | None = None
    """`None`: the ledger's scripts run."""
    pubsub: Unread | None = None
    """`None`: a message that was published was heard."""
    ledgers: tuple[str, ...] | Unread = ()
    """Numbers of the databases whose fleets have a ledger here."""
    listeners: Mapping[str, int] | Unread = field(default_factory=dict)
    """By channel."""
    ahead_seconds: float | Unread = 0.0
    """The server's clock before ours."""


async def look(redis: Connections) -> RedisFacts:
    """Ask a Redis; takes some seconds at most for each fact."""
    answer = await _read(redis.commands.ping())
    if isinstance(answer, Unread):
        return RedisFacts(redis.where, redis.db, answer.why)
    key = f"mediafleet:{{egress/{redis.db}}}:doctor:{secrets.token_hex(4)}:"
    keys = [key + name for name in ("hash", "stream", "text")]
    ran = await _read(redis.commands.eval(_TRY, len(keys), *keys))
    listeners = await _read(redis.pubsub.pubsub_numsub(STARTS, RECORDS))
    began = SYSTEM.unix()
    server_time = await _read(redis.pubsub.time())
    between = (began + SYSTEM.unix()) / 2
    return RedisFacts(
        redis.where,
        redis.db,
        None,
        await _read(redis.commands.info()),
        ran if isinstance(ran, Unread) else None,
        await _heard(redis),
        await _ledgers(redis),
        listeners if isinstance(listeners, Unread) else dict(listeners),
        server_time
        if isinstance(server_time, Unread)
        else server_time[0] + server_time[1] / 1e6 - between,
    )


async def _read(asked: Awaitable[Any]) -> Any:
    """An answer, or why there is none."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asked
    except TimeoutError:
        return Unread(f"no answer within {ANSWER_SECONDS:g} s")
    except _TROUBLES as error:
        return Unread(str(error) or type(error).__name__)


async def _heard(redis: Connections) -> Unread | None:
    """Whether a message on one of psrpc's channels comes back."""
    channel = channels.answers("EgressInternal", f"mediafleet_doctor_{secrets.token_hex(4)}")
    try:
        async with asyncio.timeout(ANSWER_SECONDS), redis.pubsub.pubsub() as listening:
            await listening.subscribe(channel)
            await redis.pubsub.publish(channel, b"")
            while True:
                message = await listening.get_message(timeout=ANSWER_SECONDS)
                if message is not None and message["type"] == "message":
                    return None
    except TimeoutError:
        return Unread("a message that was published was not heard")
    except _TROUBLES as error:
        return Unread(str(error) or type(error).__name__)


async def _ledgers(redis: Connections) -> tuple[str, ...] | Unread:
    found = set()
    states = redis.commands.scan_iter(match="mediafleet:{egress/*}:state", count=1000)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            async for key in states:
                found.add(str(key).partition("/")[2].partition("}")[0])
    except TimeoutError:
        return Unread("too many keys to look through")
    except _TROUBLES as error:
        return Unread(str(error) or type(error).__name__)
    return tuple(sorted(found))


def examine(facts: RedisFacts) -> Iterator[Finding]:
    """What is wrong with it."""
    who = f"Redis {facts.where}"
    if facts.away is not None:
        fix = "is the address right, does the server run, do password and TLS match?"
        what = f"does not answer: {facts.away}"
        yield Finding(Level.PROBLEM, who, what, fix, Page.REDIS_AWAY)
        return
    if isinstance(facts.info, Unread):
        yield Finding(Level.OK, who, "answers")
        what = f"its settings: {facts.info.why}"
        yield Finding(Level.UNKNOWN, who, what, page=Page.NOT_EXAMINED)
    else:
        yield from _server(facts.info, who)
    yield from _rights(facts, who)
    yield from _bus(facts, who)


def _server(info: Mapping[str, Any], who: str) -> Iterator[Finding]:
    server = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version") or "?"
    yield Finding(Level.OK, who, f"answers: {server} {version}")
    yield from _version(VALKEY if server == "Valkey" else REDIS, str(version), who)
    if info.get("role") == "slave":
        fix = "give the address of the primary, or its sentinels"
        what = "is a replica, which takes no writes"
        yield Finding(Level.PROBLEM, who, what, fix, Page.REDIS_SERVER)
    policy = str(info.get("maxmemory_policy", ""))
    if policy.startswith("allkeys") and int(info.get("maxmemory") or 0):
        yield Finding(
            Level.PROBLEM,
            who,
            f"may throw the ledger away when memory is short ({policy})",
            "CONFIG SET maxmemory-policy noeviction",
            Page.REDIS_SERVER,
        )


def _version(tested: Tested, version: str, who: str) -> Iterator[Finding]:
    found = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    if found is not None and (int(found[1]), int(found[2])) not in tested:
        what = f"{tested.name} {version} is not a version that the tests run on"
        fix = f"use {tested.name} {tested}, or try this one before you rely on it"
        yield Finding(Level.NOTE, who, what, fix, Page.VERSION)


def _rights(facts: RedisFacts, who: str) -> Iterator[Finding]:
    acl = "docs/egress.md, 'Redis as LiveKit has it': the ACL that suffices"
    if isinstance(facts.ledger, Unread):
        what = f"the ledger's scripts do not run: {facts.ledger.why}"
        yield Finding(Level.PROBLEM, who, what, acl, Page.REDIS_RIGHTS)
    if isinstance(facts.pubsub, Unread):
        what = f"pub/sub does not work: {facts.pubsub.why}"
        yield Finding(Level.PROBLEM, who, what, acl, Page.REDIS_RIGHTS)
    if isinstance(facts.ahead_seconds, Unread):
        return
    if abs(facts.ahead_seconds) > SKEW_SECONDS:
        before = "ahead of" if facts.ahead_seconds > 0 else "behind"
        yield Finding(
            Level.NOTE,
            who,
            f"its clock is {abs(facts.ahead_seconds):.0f} s {before} this machine's",
            "synchronise the clocks: times of jobs are compared between machines",
            Page.CLOCK,
        )


def _bus(facts: RedisFacts, who: str) -> Iterator[Finding]:
    if isinstance(facts.ledgers, Unread):
        what = f"other ledgers on it: {facts.ledgers.why}"
        yield Finding(Level.UNKNOWN, who, what, page=Page.NOT_EXAMINED)
    elif others := [each for each in facts.ledgers if each != str(facts.db)]:
        yield Finding(
            Level.NOTE,
            who,
            f"has ledgers of database {', '.join(others)} beside {facts.db}",
            "pub/sub knows no databases: two environments need a Redis each",
            Page.ENVIRONMENTS,
        )
    if isinstance(facts.listeners, Unread):
        what = f"who listens: {facts.listeners.why}"
        yield Finding(Level.UNKNOWN, who, what, page=Page.NOT_EXAMINED)
        return
    if not facts.listeners.get(STARTS):
        yield Finding(
            Level.PROBLEM,
            who,
            "nobody listens for StartEgress: neither a desk nor a worker",
            "start mediafleet egress with this Redis",
            Page.LISTENERS,
        )
    if not facts.listeners.get(RECORDS):
        yield Finding(
            Level.PROBLEM,
            who,
            "no livekit-server listens here",
            "give livekit-server and the egress desk the same Redis",
            Page.LISTENERS,
        )
