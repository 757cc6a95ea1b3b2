"""One placement on a virtual clock: each message, and each two, lost, doubled, late or overtaken.

Two desks, two pods, and a client with the three attempts of livekit-server and its real times. A
client that tries again sends more messages: of those, as many as a placement has are numbered too.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import pytest
from tests.kit.egress.meddling import MESSAGES, Fate, Meddling
from tests.kit.egress.scene import fleet, scene, track
from tests.kit.egress.virtual import (
    Records,
    desks,
    livekit_server,
    memory_redis,
    on_loop_time,
)

from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.base.settings import Settings
from mediafleet_testbed.buses import MemoryBus

PODS: Final = ("pod-0", "pod-1")
LATE_SECONDS: Final = (1.6, 12.0)
ASKED_ONCE: Final = replace(
    Settings(), sync_every_seconds=3600, heard_look_seconds=3600, stale_seconds=7200
)
"""Nothing happens by itself: what is numbered are the messages of the placement alone."""
ALL: Final = bool(os.environ.get("MEDIAFLEET_EVERY_PAIR"))
SAMPLE: Final = 300
"""So many pairs are tried otherwise: all of them run on the rules (unit/egress/core/test_start.py),
and this shows that the desk obeys the rules."""
SEED: Final = int(os.environ.get("MEDIAFLEET_SEED") or 0)
pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(900)]


async def place(fates: Mapping[int, Fate]) -> int:
    """One placement under these fates; how many messages it took.

    Raises:
        AssertionError: it was not started, or not once, or its client was not told so.
    """
    bus, records = Meddling(MemoryBus(), fates, LATE_SECONDS), Records()
    async with scene(bus, memory_redis()) as stage, livekit_server(bus, records):
        for name in PODS:
            await stage.standin(name, start_seconds=0.3)
        stage.directory.publish(EgressView((fleet(*PODS),)))
        async with desks(stage, ASKED_ONCE) as both:
            bus.meddles = True
            request = track()
            failure = await stage.call(request)
            assert failure is None, f"{fates}: {failure!r}"
            assert stage.started == [request.egress_id], f"{fates}: {stage.started}"
            # Whoever asks again joins it, also once all that was late has come.
            await asyncio.sleep(max(LATE_SECONDS))
            published = bus.published
            assert await stage.call(request) is None, f"{fates}"
            assert stage.started == [request.egress_id], f"{fates}: {stage.started}"
            assert not both.unanswered(), f"{fates}"
    return published


async def test_a_placement_is_so_many_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    on_loop_time(monkeypatch)
    assert await place({}) == MESSAGES


@pytest.mark.parametrize("fate", Fate)
async def test_whatever_becomes_of_one_message_the_job_is_started_once(
    monkeypatch: pytest.MonkeyPatch, fate: Fate
) -> None:
    on_loop_time(monkeypatch)
    for number in range(MESSAGES):
        await place({number: fate})


async def test_a_try_goes_on_for_the_time_of_the_client_that_has_asked_again_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pod's grant is lost, and so what comes after the second attempt: that one must do."""
    on_loop_time(monkeypatch)
    await place({6: Fate.LOST, 20: Fate.VERY_LATE})


async def test_whatever_becomes_of_two_messages_the_job_is_started_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_loop_time(monkeypatch)
    pairs = itertools.combinations(range(2 * MESSAGES), 2)
    fates = itertools.product(Fate, repeat=2)
    cases = list(itertools.product(pairs, fates))
    failures = []
    chosen = cases if ALL else random.Random(SEED).sample(cases, SAMPLE)
    for (one, two), (first, second) in chosen:
        try:
            await place({one: first, two: second})
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures
