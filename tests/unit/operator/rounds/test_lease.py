"""One operator works at a time, whatever becomes of it or of the API server."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kit.operator.kube_server import KubeServer

from mediafleet_common.clock import Clock
from mediafleet_common.kube.client import Api
from mediafleet_common.kube.errors import UnreachableError
from mediafleet_operator.kube.lease import Lease, LostLeaseError, Terms

PATH = "/apis/coordination.k8s.io/v1/namespaces/ops/leases/op"
TERMS = Terms()


class Passing:
    """Time that passes while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def lease(server: KubeServer, clock: Passing, name: str = "a") -> Lease:
    return Lease(cast("Api", server), "ops", "op", name, TERMS, Clock(monotonic=clock), clock.sleep)


def spec(server: KubeServer) -> dict[str, Any]:
    found: dict[str, Any] = server.objects[PATH]["spec"]
    return found


async def test_the_first_one_takes_it_at_once() -> None:
    server, clock = KubeServer(), Passing()
    mine = lease(server, clock)
    assert not mine.held()
    await mine.acquire()

    assert mine.held()
    assert clock.now == 100.0
    assert spec(server)["holderIdentity"] == "a"
    assert spec(server)["leaseTransitions"] == 0


async def test_the_next_one_waits_until_it_was_not_renewed_for_its_duration() -> None:
    server, clock = KubeServer(), Passing()
    await lease(server, clock).acquire()
    other = lease(server, clock, "b")
    await other.acquire()

    assert clock.now - 100.0 >= TERMS.duration_seconds
    assert spec(server)["holderIdentity"] == "b"
    assert spec(server)["leaseTransitions"] == 1


async def test_given_back_it_is_taken_at_once() -> None:
    server, clock = KubeServer(), Passing()
    mine, other = lease(server, clock), lease(server, clock, "b")
    await mine.acquire()
    await mine.release()
    assert not mine.held()
    await other.acquire()

    assert clock.now == 100.0


async def test_what_another_one_took_is_not_given_back() -> None:
    server, clock = KubeServer(), Passing()
    mine = lease(server, clock)
    await mine.acquire()
    server.put(PATH, {"spec": {"holderIdentity": "b"}})
    await mine.release()

    assert spec(server)["holderIdentity"] == "b"


async def test_a_lease_that_cannot_be_renewed_is_lost_before_another_one_may_take_it() -> None:
    server, clock = KubeServer(), Passing()
    mine = lease(server, clock)
    await mine.acquire()

    def away(verb: str, target: object) -> None:
        raise UnreachableError(f"{verb} {target}")

    server.before_write = away
    with pytest.raises(LostLeaseError, match="renewed"):
        await mine.keep()

    assert clock.now - 100.0 < TERMS.duration_seconds


async def test_a_process_that_was_paused_knows_at_once_that_its_time_is_over() -> None:
    server, clock = KubeServer(), Passing()
    mine = lease(server, clock)
    await mine.acquire()
    clock.now += TERMS.deadline_seconds

    assert not mine.held()


async def test_one_that_is_no_longer_named_ends() -> None:
    server, clock = KubeServer(), Passing()
    mine = lease(server, clock)
    await mine.acquire()
    server.put(PATH, {"spec": {"holderIdentity": "b"}})

    with pytest.raises(LostLeaseError, match="another"):
        await mine.keep()


async def test_of_two_that_take_it_at_the_same_moment_one_gets_it() -> None:
    server, clock = KubeServer(), Passing()
    await lease(server, clock, "gone").acquire()
    two = [lease(server, clock, name) for name in "ab"]
    tasks = [asyncio.create_task(each.acquire()) for each in two]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    assert sum(each.held() for each in two) == 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def race(seed: int) -> None:
    """Two candidates whose calls fail, before or after the deed, and which stop for a while."""
    dice, server, clock = random.Random(seed), KubeServer(), Passing()
    two = [lease(server, clock, name) for name in "ab"]

    def fail(verb: str, target: object) -> None:
        if dice.random() < 0.3:
            raise UnreachableError(f"{verb} {target}")

    server.before_write = server.after_write = fail
    for _ in range(60):
        clock.now += dice.uniform(0.5, 8)
        with contextlib.suppress(UnreachableError):
            await dice.choice(two)._take()
        assert not all(each.held() for each in two)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**20))
def test_two_never_hold_it_at_once(seed: int) -> None:
    asyncio.run(race(seed))
