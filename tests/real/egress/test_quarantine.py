"""Pods that fail what they are given, as a whole desk treats them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio as redis
from tests.kit.egress.scene import (
    IMPATIENT,
    QUICK,
    Scene,
    counted,
    eventually,
    fleet,
    scene,
    track,
)

from mediafleet_scheduler.core.egress.quarantine import Rules, Standing
from mediafleet_scheduler.core.egress.views import EgressView
from mediafleet_scheduler.egress.process.branch import EgressService
from mediafleet_testbed.buses import MemoryBus
from mediafleet_testbed.standins.egress_worker import Conduct, Io

NAMES = ("bad", "good-0", "good-1")
RULES = Rules(first_back_off_seconds=1.0)


@pytest.fixture
async def stage(commands: redis.Redis) -> AsyncIterator[Scene]:
    async with scene(MemoryBus(), commands) as made:
        yield made


async def pods(stage: Scene, **conduct: Any) -> None:
    """One pod of this conduct, and two good ones."""
    await stage.standin("bad", **conduct)
    for name in NAMES[1:]:
        await stage.standin(name)
    stage.directory.publish(EgressView((fleet(*NAMES),)))


async def until_out(stage: Scene, desk: EgressService) -> None:
    """Start jobs until the bad pod gets none."""
    for _ in range(40):
        if desk.pods.quarantine.standing("bad") is Standing.OUT:
            return
        await stage.start(track())
    raise AssertionError(f"still given jobs: {desk.pods.quarantine.cases}")


async def test_a_pod_that_fails_three_starts_gets_none_for_its_back_off_and_comes_back(
    stage: Scene,
) -> None:
    await pods(stage, fails="handler failed to start")
    async with stage.desk(replace(QUICK, quarantine=RULES)) as desk:
        await until_out(stage, desk)
        bad = stage.standins["bad"]
        assert bad.refused == 3
        assert counted(desk, "mediafleet_pod_quarantines_total", fault="failed") == 1
        answers = await stage.burst(*(track() for _ in range(8)))
        assert [answer.error for answer in answers] == [None] * 8
        assert bad.refused == 3

        bad.conduct = Conduct(start_seconds=0.0, io=Io.PUBLISH)
        await eventually(lambda: desk.pods.quarantine.standing("bad") is Standing.ON_TRIAL)
        for _ in range(3):
            await stage.start(track())
        assert desk.pods.quarantine.standing("bad") is Standing.WELL
        assert bad.jobs


async def test_a_pod_that_still_fails_on_trial_is_sent_away_for_longer(stage: Scene) -> None:
    await pods(stage, fails="handler failed to start")
    async with stage.desk(replace(QUICK, quarantine=RULES)) as desk:
        await until_out(stage, desk)
        await eventually(lambda: desk.pods.quarantine.standing("bad") is Standing.ON_TRIAL)
        await stage.burst(*(track() for _ in range(8)))
        assert stage.standins["bad"].refused == 4, "one at a time"
        assert desk.pods.quarantine.cases["bad"].times == 2


async def test_an_idle_pod_that_does_not_bid_is_sent_away_too(stage: Scene) -> None:
    await pods(stage, mute=True)
    async with stage.desk(replace(IMPATIENT, ask_last_seconds=0.0, quarantine=RULES)) as desk:
        await until_out(stage, desk)
        assert counted(desk, "mediafleet_pod_faults_total", fault="no_bid") == 3
    assert len(stage.started) == len(set(stage.started))


async def test_when_all_pods_fail_half_of_them_are_still_given_jobs(stage: Scene) -> None:
    for name in NAMES:
        await stage.standin(name, fails="handler failed to start")
    stage.directory.publish(EgressView((fleet(*NAMES),)))
    async with stage.desk(replace(QUICK, quarantine=RULES)) as desk:
        await stage.burst(*(track() for _ in range(30)))
        out = desk.pods.quarantine.left_out(NAMES, ())
        assert len(out) == 1, "at most half of a fleet"
        refused = sum(worker.refused for worker in stage.standins.values())
        await stage.start(track())
        assert sum(worker.refused for worker in stage.standins.values()) == refused + 1
