"""`mediafleet doctor` against a real Redis: with the rights that the docs give, and without."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio as redis

from mediafleet.doctor.findings import Level
from mediafleet.doctor.redis import examine, look
from mediafleet_scheduler.egress.connections import opening
from mediafleet_testbed.real_servers import RedisServer

DOCS = Path(__file__).resolve().parents[3] / "docs" / "egress.md"
NAME = "examined"


@pytest.fixture
async def as_user(redis_process: RedisServer) -> AsyncIterator[redis.Redis]:
    """The administrator, who makes the user and takes it away again."""
    admin = redis.Redis.from_url(redis_process.url, decode_responses=True, protocol=2)
    yield admin
    await admin.acl_deluser(NAME)
    await admin.aclose()


async def set_user(admin: redis.Redis, *rights: str) -> None:
    command = ("ACL", "SETUSER", NAME, "on", ">secret", *rights)
    await admin.execute_command(*command)  # type: ignore[no-untyped-call]


async def problems(server: RedisServer) -> list[str]:
    opened = opening.of_url(server.url.replace("redis://", f"redis://{NAME}:secret@"))
    try:
        found = list(examine(await look(opened)))
    finally:
        await opened.close()
    return [each.what for each in found if each.level is Level.PROBLEM]


NOBODY = [
    "nobody listens for StartEgress: neither a desk nor a worker",
    "no livekit-server listens here",
]


async def test_the_rights_that_the_docs_give_are_enough_and_nothing_is_left_behind(
    redis_process: RedisServer, as_user: redis.Redis
) -> None:
    line = re.search(r"user mediafleet on >PASSWORD (.+)", DOCS.read_text())
    assert line is not None
    await set_user(as_user, *line[1].split())
    before = set(await as_user.keys("*"))
    assert await problems(redis_process) == NOBODY
    assert set(await as_user.keys("*")) == before


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (["~other:*", "&*", "+@all"], "the ledger's scripts do not run"),
        (["~mediafleet:*", "&*", "+@all", "-xadd"], "the ledger's scripts do not run"),
        (["~mediafleet:*", "resetchannels", "&IOInfo|*", "+@all"], "pub/sub does not work"),
    ],
)
async def test_a_right_that_is_missing_is_named(
    redis_process: RedisServer, as_user: redis.Redis, missing: list[str], words: str
) -> None:
    await set_user(as_user, *missing)
    assert words in (await problems(redis_process))[0]
