"""How fast the API server is written to: bounded, fair, and slower when it suffers."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.kube.errors import ConflictError, KubeError, UnreachableError
from mediafleet_common.kube.pace import Line, Pace, Pacer, Rank, WriteLimits

LIMITS = WriteLimits(in_flight=4, per_second=50.0, burst=10)
FREE = WriteLimits(in_flight=2, per_second=1e6, burst=1000, most_per_second=1e6)


def test_after_a_rest_so_many_go_at_once_and_then_so_many_a_second() -> None:
    pace, now, sent = Pace(LIMITS, 0.0), 0.0, 0
    while now < 2.0:
        wait = pace.wait_seconds(now)
        if wait:
            now += wait
        else:
            pace.take(now)
            sent += 1
    assert sent == pytest.approx(10 + 2 * 50, abs=2)


def test_the_rate_grows_while_writes_wait_and_all_goes_well() -> None:
    pace, now = Pace(LIMITS, 0.0), 0.0
    for _ in range(5 * 75):
        now += 1 / pace.rate
        pace.ended(now, 0.02, well=True, waited_for=True)
    assert pace.rate == pytest.approx(50 + 10 * now, rel=0.05)
    rate = pace.rate
    pace.ended(now, 0.02, well=True, waited_for=False)
    assert pace.rate == rate


@pytest.mark.parametrize(("seconds", "well"), [(0.01, False), (3.0, True)])
def test_the_rate_is_cut_when_a_write_is_refused_for_load_or_slow(
    seconds: float, well: bool
) -> None:
    pace = Pace(LIMITS, 0.0)
    for _ in range(20):
        pace.ended(5.0, seconds, well=well, waited_for=True)
    assert pace.rate == pytest.approx(35.0)
    pace.ended(6.0, seconds, well=well, waited_for=True)
    assert pace.rate == pytest.approx(24.5)
    for later in range(7, 100):
        pace.ended(float(later), seconds, well=well, waited_for=True)
    assert pace.rate == LIMITS.least_per_second


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.booleans(), st.booleans())))
def test_the_rate_stays_within_its_limits(
    ends: list[tuple[float, float, bool, bool]],
) -> None:
    pace, now = Pace(LIMITS, 0.0), 0.0
    for after, seconds, well, waited_for in ends:
        now += after
        pace.ended(now, seconds, well=well, waited_for=waited_for)
        assert LIMITS.least_per_second <= pace.rate <= LIMITS.most_per_second
        assert pace.wait_seconds(now) <= 1 / LIMITS.least_per_second + 1e-9


async def test_so_many_at_a_time_and_the_urgent_ones_first() -> None:
    pacer, order, go_on = Pacer(FREE), [], asyncio.Event()
    at_once = most = 0

    async def write(name: str, rank: Rank) -> None:
        nonlocal at_once, most
        async with pacer.turn(rank):
            order.append(name)
            at_once += 1
            most = max(most, at_once)
            await go_on.wait()
            at_once -= 1

    tasks = [asyncio.create_task(write(f"pod {n}", Rank.PROMPT)) for n in range(5)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(write(f"drain {n}", Rank.URGENT)) for n in range(3)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*tasks)
    assert most == 2
    assert order == ["pod 0", "pod 1", "drain 0", "drain 1", "drain 2", "pod 2", "pod 3", "pod 4"]


async def test_patient_ones_go_one_at_a_time_also_where_many_might() -> None:
    pacer, running, ended = Pacer(FREE), 0, 0
    most = {Rank.PATIENT: 0, Rank.PROMPT: 0}

    async def write(rank: Rank) -> None:
        nonlocal running, ended
        async with pacer.turn(rank):
            running += 1
            most[rank] = max(most[rank], running)
            try:
                await asyncio.sleep(0)
                ended += 1
            finally:
                running -= 1

    for rank in (Rank.PATIENT, Rank.PROMPT):
        await asyncio.gather(*(write(rank) for _ in range(5)))
    given_up = [asyncio.create_task(write(Rank.PATIENT)) for _ in range(3)]
    await asyncio.sleep(0)
    given_up[0].cancel()
    await asyncio.gather(*given_up, return_exceptions=True)
    assert most == {Rank.PATIENT: 1, Rank.PROMPT: 2}
    assert ended == 12


ranks = st.sampled_from(list(Rank))


@given(st.lists(ranks, max_size=60))
def test_each_gets_one_turn_by_rank_and_then_in_the_order_of_coming(
    came: list[Rank],
) -> None:
    line = Line[tuple[Rank, int]]()
    for number, rank in enumerate(came):
        line.push(rank, (rank, number))
    got = []
    while line:
        got.append(line.pop())
    assert [rank for rank, _ in got] == sorted(came, key=list(Rank).index)
    for rank in Rank:
        assert [n for each, n in got if each is rank] == [
            n for n, each in enumerate(came) if each is rank
        ]


def test_nobody_has_a_turn_in_a_line_where_nobody_waits() -> None:
    with pytest.raises(IndexError, match="nobody waits"):
        Line[str]().pop()


@pytest.mark.parametrize(
    ("error", "cut"), [(UnreachableError("HTTP 429"), True), (ConflictError("409"), False)]
)
async def test_what_the_server_says_of_its_load_counts_and_other_refusals_do_not(
    error: KubeError, cut: bool
) -> None:
    rates: list[float] = []
    pacer = Pacer(LIMITS, rates.append)
    with pytest.raises(KubeError):
        async with pacer.turn():
            raise error
    assert (rates[-1] < 50.0) is cut


async def test_who_gives_up_waiting_takes_no_turn_from_others() -> None:
    pacer = Pacer(WriteLimits(in_flight=1, per_second=1e6, burst=100, most_per_second=1e6))
    holding, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with pacer.turn():
            holding.set()
            await go_on.wait()

    async def one() -> None:
        async with pacer.turn():
            pass

    first = asyncio.create_task(hold())
    await holding.wait()
    impatient, last = asyncio.create_task(one()), asyncio.create_task(one())
    await asyncio.sleep(0)
    impatient.cancel()
    go_on.set()
    await asyncio.gather(first, last)
    assert impatient.cancelled()
    # One that is cancelled just when it gets its turn gives it back, too.
    late = asyncio.create_task(one())
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    await one()
