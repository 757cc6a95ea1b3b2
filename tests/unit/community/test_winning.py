"""Logs of a day are read range by range, whatever an RPC caps, and no block twice."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kit.community import Time
from tests.kit.rpc import BROKER, KEY, ChainRpc, serving
from tests.unit.community.checks.test_tickets import ORCHESTRATOR, log

from mediafleet_scheduler.community.tickets import rpc as calls
from mediafleet_scheduler.community.tickets.paid import Paid
from mediafleet_scheduler.community.tickets.rpc import NoTicketsError
from mediafleet_scheduler.community.tickets.winning import (
    SETTLED_BLOCKS,
    UnfinishedError,
    Winning,
)
from mediafleet_scheduler.core.community.checks.ranges import MOST_BLOCKS, Reading

DAY = 86_400
SECONDS = 2
"""Of a block: 43,200 a day, in five ranges."""


def chain(time: Time, **how: Any) -> ChainRpc:
    """A chain on which somebody is paid each ten minutes, for two days."""
    rpc = ChainRpc(time.clock, block_seconds=SECONDS, **how)
    for at in range(0, 2 * DAY, 600):
        block = rpc.newest - at // SECONDS
        rpc.logs.append(log(at, blockNumber=hex(block)))
    return rpc


def values(time: Time, rpc: ChainRpc) -> list[int]:
    """What is paid in the last day, as far as the chain has settled."""
    last = rpc.newest - SETTLED_BLOCKS
    since = (time.now - DAY) / SECONDS
    blocks = {int(each["blockNumber"], 16): each for each in rpc.logs}
    return [int(blocks[each]["data"][2:66], 16) for each in sorted(blocks) if since <= each <= last]


def whole(rpc: ChainRpc) -> bool:
    """Whether the ranges follow each other, none twice and none left out."""
    ends = rpc.ranges
    return all(one[1] + 1 == other[0] for one, other in itertools.pairwise(ends))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"most_blocks": 2000},
        {"most_blocks": 777},
        {"most_logs": 1},
        {"most_logs": 9},
        {"silent_above": 4000},
    ],
)
async def test_every_ticket_of_the_day_is_read_once_whatever_the_provider_caps(
    how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = "silent_above" in how
    if silent:
        monkeypatch.setattr(calls, "TIMEOUT_SECONDS", 1.0)
    time = Time()
    rpc = chain(time, **how)
    async with serving(rpc) as url:
        found = await Winning(url, BROKER, time.clock).tickets()
    assert sorted(each.face_value for each in found) == sorted(values(time, rpc))
    # On a busy machine an answer may come after its time, and its range again.
    assert silent or whole(rpc)
    assert max(end - begin + 1 for begin, end in rpc.ranges) <= MOST_BLOCKS
    # Each halving is remembered: it is not paid again for each range.
    assert rpc.refused <= 15


async def test_the_next_reading_asks_for_new_blocks_alone_and_forgets_old_ones() -> None:
    time = Time()
    rpc = chain(time)
    async with serving(rpc) as url:
        winning = Winning(url, BROKER, time.clock)
        await winning.tickets()
        read = len(rpc.ranges)
        time.now += 600
        rpc.logs.append(log(5, blockNumber=hex(rpc.newest - 100)))
        found = await winning.tickets()
    assert rpc.ranges[read:] == [(rpc.ranges[read - 1][1] + 1, rpc.newest - SETTLED_BLOCKS)]
    assert sorted(each.face_value for each in found) == sorted(values(time, rpc))
    assert whole(rpc)


async def test_a_reading_that_is_cut_goes_on_where_it_was() -> None:
    time = Time()
    rpc = chain(time, calls=34)
    async with serving(rpc) as url:
        winning = Winning(url, BROKER, time.clock)
        with pytest.raises(NoTicketsError, match="HTTP 429"):
            await winning.tickets()
        assert rpc.ranges
        rpc.calls = None
        found = await winning.tickets()
    assert sorted(each.face_value for each in found) == sorted(values(time, rpc))
    assert whole(rpc)


async def test_a_long_reading_pauses_judges_nobody_meanwhile_and_goes_on_at_the_next_look() -> None:
    time = Time()
    rpc = chain(time, silent_above=4000)
    async with serving(rpc) as url:
        first = rpc.newest - 20_000
        winning = Winning(url, BROKER, time.clock, from_block=first)
        paid = Paid(winning, 1000.0, time.clock)
        with pytest.raises(UnfinishedError, match="not all is read yet"):
            await paid.read(seconds=1.0)
        knew = paid.knows
        rpc.silent_above = None
        await paid.read()
        assert (knew, paid.knows) == (False, True)
    assert whole(rpc)


@pytest.mark.parametrize("how", [{"refuses": True}, {"status": 401}, {"status": 503}])
async def test_an_rpc_that_refuses_everything_is_asked_few_times_and_its_key_stays_unsaid(
    how: dict[str, Any],
) -> None:
    time = Time()
    rpc = chain(time, **how)
    async with serving(rpc) as url:
        with pytest.raises(NoTicketsError) as error:
            await Winning(url, BROKER, time.clock).tickets()
    assert KEY not in str(error.value)
    assert len(rpc.asked) == 1


async def test_a_single_block_that_is_refused_ends_the_reading() -> None:
    time = Time()
    rpc = chain(time, most_blocks=0)
    async with serving(rpc) as url:
        with pytest.raises(NoTicketsError, match=r"eth_getLogs is refused \(code -32602\)"):
            await Winning(url, BROKER, time.clock).tickets()
    assert rpc.refused == 14


async def test_tickets_of_one_recipient_are_read_from_a_block_up_to_the_newest() -> None:
    time = Time()
    rpc = chain(time)
    rpc.logs += [log(3, "0x" + "77" * 20, blockNumber=hex(rpc.newest))]
    async with serving(rpc) as url:
        first = rpc.newest - 900
        found = await Winning(url, BROKER, time.clock, ORCHESTRATOR, first).tickets()
    assert sorted(each.face_value for each in found) == [0, 600, 1200, 1800]
    assert rpc.ranges == [(first, rpc.newest)]


async def test_a_log_of_a_block_that_was_not_asked_for_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = Time()
    rpc = chain(time)

    async def answer(_: Any, method: str, *params: Any) -> Any:
        return [log(1, blockNumber="0x1")] if method == "eth_getLogs" else None

    monkeypatch.setattr(calls.Rpc, "call", answer)
    monkeypatch.setattr(calls.Rpc, "block", lambda *_: asyncio.sleep(0, (rpc.newest, time.now)))
    with pytest.raises(NoTicketsError, match="log 0 is of block 1"):
        await Winning("http://rpc", BROKER, time.clock, from_block=100).tickets()


@given(st.integers(0, 30_000), st.integers(1, 3000))
def test_ranges_cover_every_block_once_under_any_cap(blocks: int, cap: int) -> None:
    reading, last, covered, asked = Reading(100), 99 + blocks, 100, 0
    while (span := reading.range(last)) is not None:
        begin, end = span
        asked += 1
        if end - begin + 1 > cap:
            halves = reading.refused(end)
            assert halves is not None
            reading = halves
            continue
        assert begin == covered
        covered = end + 1
        reading = reading.took(end)
    assert covered == 100 + blocks
    assert asked <= 15 + 2 * blocks / cap + 1


def test_wider_ranges_are_tried_again_later() -> None:
    assert Reading(5, 3).later() == Reading(5, 6)
    assert Reading(5).later() == Reading(5, MOST_BLOCKS)
    assert Reading(5, 1).refused(5) is None


async def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "logs.json").write_text("[]")
    assert await Winning(str(tmp_path / "logs.json")).tickets() == []
