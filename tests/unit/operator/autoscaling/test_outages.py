"""Outages of desk, Redis and API server under load: none takes a pod away, on virtual time.

The poller and the policy are the product's. The fleet is played (mediafleet_operator.simulate), and
so are the outages. A scale-down is right when the fleet truly needed no more for the whole
stabilisation window before it.
"""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import pytest
from prometheus_client import CollectorRegistry

from mediafleet_common.api.names import Kind
from mediafleet_common.api.scaling.autoscaling import Autoscaling
from mediafleet_common.clock import Clock
from mediafleet_common.probes.http_client import Failure, FetchError
from mediafleet_common.reports.demand import Demand
from mediafleet_operator.core.autoscaling.decision import decide
from mediafleet_operator.core.autoscaling.model import Past, Situation, policy
from mediafleet_operator.core.autoscaling.need import need
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.rounds.desks.demand import DemandPoller, Silence
from mediafleet_operator.rounds.metrics import OperatorMetrics
from mediafleet_operator.settings import DemandTimes
from mediafleet_operator.simulate.world import Terms, World

SEED: Final = int(os.environ.get("MEDIAFLEET_SEED") or 6)
OUTAGES: Final = 50
CYCLE_SECONDS: Final = 90
"""Load for one part of it, none for the other: each has a right scale-down."""
STABILIZATION_SECONDS: Final = 15
MIN: Final = 1
ASKED: Final = Autoscaling.model_validate(
    {
        "min": MIN,
        "max": 30,
        "buffer": {"slots": 2},
        "behavior": {"scaleDown": {"stabilization": f"{STABILIZATION_SECONDS}s"}},
    }
)
METRICS = OperatorMetrics(CollectorRegistry())
KEY: Final = FleetKey(Kind.EGRESS_FLEET, "media", "rec")


class Fault(StrEnum):
    """What is away."""

    DESK_REFUSES = "desk refuses"
    DESK_HANGS = "desk hangs"
    REDIS = "redis"
    API_SERVER = "api server"
    OPERATOR = "operator"
    """Killed, and another one takes over: it knows what is in the status."""


@dataclass(frozen=True)
class Outage:
    fault: Fault
    begins: float
    ends: float


@dataclass
class Story:
    """One run: a world, an operator that asks, decides and writes, and outages."""

    world: World
    outages: list[Outage]
    past: Past = field(default_factory=Past)
    saved: Past = field(default_factory=Past)
    """What lies in the status."""
    needs: list[tuple[float, int]] = field(default_factory=list)
    """What the fleet truly needed, second by second."""
    right: int = 0
    wrong: list[str] = field(default_factory=list)

    def fault(self, *kinds: Fault) -> bool:
        now = self.world.now
        return any(each.begins <= now < each.ends and each.fault in kinds for each in self.outages)

    async def ask(self, url: str) -> Demand:
        del url
        if self.fault(Fault.DESK_REFUSES):
            raise FetchError(Failure.UNREACHABLE, "connection refused")
        if self.fault(Fault.DESK_HANGS):
            await asyncio.sleep(1.0)
            raise FetchError(Failure.TIMED_OUT, "no answer in 1 s")
        said = self.world.demand()
        if self.fault(Fault.REDIS):
            said = said.model_copy(
                update={"known": False, "reason": "Redis is away", "work": 0, "busy": 0, "free": {}}
            )
        return Demand(fleets=[said])

    def note_need(self) -> None:
        needed = need(policy(ASKED), self.world.demand())
        assert needed is not None
        self.needs.append((self.world.now, max(needed.pods, MIN)))

    def decide(self, poller: DemandPoller) -> None:
        heard = poller.heard(KEY)
        silent = isinstance(heard, Silence)
        verdict = decide(
            Situation(
                policy(ASKED),
                self.world.replicas,
                None if isinstance(heard, Silence) else heard,
                self.past,
                self.world.now,
                silence=heard.why if isinstance(heard, Silence) else "",
            )
        )
        self.past = verdict.past
        if self.fault(Fault.API_SERVER):
            return
        self.saved = Past(verdict.past.replicas, verdict.past.changes)
        if verdict.replicas < self.world.replicas:
            self.judge(verdict.replicas, silent=silent)
        self.world.replicas = verdict.replicas

    def judge(self, replicas: int, *, silent: bool) -> None:
        # What the desk said last counts for a few seconds more, and is as old as that.
        since = self.world.now - STABILIZATION_SECONDS
        until = self.world.now - DemandTimes().valid_seconds
        needed = max(pods for at, pods in self.needs if since < at <= until)
        if silent or replicas < needed:
            what = f"{self.world.now}: {self.world.replicas} -> {replicas}, needed {needed}"
            self.wrong.append(what)
        else:
            self.right += 1


def load(now: float, chance: random.Random) -> list[float]:
    """Jobs that come in a second: many in the first half of a cycle, few after."""
    busy = now % CYCLE_SECONDS < CYCLE_SECONDS / 2
    count = 3 if busy and chance.random() < 0.5 else int(chance.random() < 0.05)
    return [chance.uniform(5, 20) for _ in range(count)]


async def play(outages: list[Outage], seconds: int, seed: int) -> Story:
    chance = random.Random(seed)
    story = Story(World(Terms(start_seconds=4), MIN, 0.0), outages)
    loop = asyncio.get_running_loop()
    poller = DemandPoller(
        story.ask,
        lambda key: None,
        METRICS,
        Clock(monotonic=loop.time),
    )
    poller.follow(KEY, "http://desk/demand", 1.0)
    for _ in range(seconds):
        await asyncio.sleep(1.0)
        away = story.fault(Fault.API_SERVER, Fault.OPERATOR)
        story.world.step(load(story.world.now, chance), operated=not away)
        story.note_need()
        if story.fault(Fault.OPERATOR):
            story.past = story.saved
            continue
        story.decide(poller)
    await poller.close()
    return story


def outages(count: int, chance: random.Random) -> tuple[list[Outage], int]:
    """Outages one after the other, short and longer than any window, and the time they take."""
    found, at = [], 60.0
    for index in range(count):
        fault = list(Fault)[index % len(Fault)]
        lasts = chance.choice([2.0, 8.0, 20.0, 45.0])
        found.append(Outage(fault, at, at + lasts))
        at += lasts + chance.uniform(40, 110)
    return found, int(at) + CYCLE_SECONDS


@pytest.mark.looptime
async def test_fifty_outages_cause_no_scale_down_while_right_ones_happen() -> None:
    chance = random.Random(SEED)
    planned, seconds = outages(OUTAGES, chance)
    story = await play(planned, seconds, SEED)
    assert story.wrong == []
    assert story.right >= 20
    assert story.world.tally.cut_off == 0


@pytest.mark.looptime
@pytest.mark.parametrize("fault", Fault)
async def test_an_outage_of_any_kind_and_of_any_length_keeps_the_pods(fault: Fault) -> None:
    """It begins when demand ends, the worst moment: what is last heard is that many are needed."""
    begins = CYCLE_SECONDS * 1.5
    story = await play([Outage(fault, begins, begins + 600)], int(begins + 590), SEED)
    assert story.wrong == []
    held = story.world.replicas
    assert held > MIN, "nothing was left to keep"
    again = await play([Outage(fault, begins, begins + 600)], int(begins + 600 + 300), SEED)
    assert again.wrong == []
    assert again.right >= 2, "and afterwards it goes on"


@pytest.mark.looptime
async def test_an_autoscaler_that_takes_unknown_for_zero_is_found_out() -> None:
    """The same run finds fault with what this is all against."""

    class Blind(Story):
        async def ask(self, url: str) -> Demand:
            demand = await super().ask(url)
            (said,) = demand.fleets
            if said.known:
                return demand
            blind = {"known": True, "each": {"web": 4}, "busy": 0, "work": 0, "free": {"web": 400}}
            return Demand(fleets=[said.model_copy(update=blind)])

    begins = CYCLE_SECONDS * 1.25
    chance = random.Random(SEED)
    loop = asyncio.get_running_loop()
    story = Blind(
        World(Terms(start_seconds=4), MIN, 0.0), [Outage(Fault.REDIS, begins, begins + 60)]
    )
    poller = DemandPoller(
        story.ask,
        lambda key: None,
        METRICS,
        Clock(monotonic=loop.time),
    )
    poller.follow(KEY, "http://desk/demand", 1.0)
    for _ in range(int(begins) + 60):
        await asyncio.sleep(1.0)
        story.world.step(load(story.world.now, chance))
        story.note_need()
        story.decide(poller)
    await poller.close()
    assert story.wrong
