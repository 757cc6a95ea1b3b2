"""Who is asked, how often, and what a failure of the asking does. Virtual time, no sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry
from tests.kit.clock import loop_clock

from mediafleet_common.api.names import PodState
from mediafleet_common.api.pool.advertise import Advertise
from mediafleet_common.formats.node_url import NodeUrl
from mediafleet_common.formats.reach import Reach
from mediafleet_common.probes.ping import Answer
from mediafleet_common.wire.livepeer_pb2 import Capabilities, OrchestratorInfo
from mediafleet_scheduler.advertise.metrics import AdvertiseMetrics
from mediafleet_scheduler.advertise.prober import Manner, Prober, advertises_only, capabilities
from mediafleet_scheduler.core.advertise.listing import Health, to_ask
from mediafleet_scheduler.core.advertise.views import Node, PoolView

pytestmark = pytest.mark.looptime


@dataclass
class FakeNodes:
    """Answers as told, after as long as told, and remembers when each was asked."""

    answers: dict[str, Answer | Exception] = field(default_factory=dict)
    seconds: float = 0.0
    refusals: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[float, str]] = field(default_factory=list)
    described: list[tuple[float, str]] = field(default_factory=list)
    without_pings: set[str] = field(default_factory=set)
    """Whose servers take PINGs for an attack."""
    at_once: int = 0
    most_at_once: int = 0

    @asynccontextmanager
    async def dial(self, url: NodeUrl, _: Reach) -> AsyncIterator[FakeNode]:
        yield FakeNode(self, url.host)

    def times(self, host: str) -> list[float]:
        return [at for at, who in self.asked if who == host]


@dataclass
class FakeNode:
    all: FakeNodes
    host: str
    refusal: str = ""
    note: str | None = None

    async def reach(self, timeout_seconds: float) -> Answer | None:
        return None

    async def ping_connection(self, timeout_seconds: float) -> Answer | None:
        if self.host in self.all.without_pings:
            return None
        answer = self.all.answers.get(self.host, Answer.ANSWERED)
        if isinstance(answer, Exception):
            return Answer.UNREACHABLE
        if answer is Answer.TIMED_OUT:
            await asyncio.sleep(timeout_seconds)
        return Answer.ANSWERED if answer.alive else answer

    async def ping(self, timeout_seconds: float) -> Answer:
        self.all.asked.append((asyncio.get_running_loop().time(), self.host))
        self.all.at_once += 1
        self.all.most_at_once = max(self.all.most_at_once, self.all.at_once)
        await asyncio.sleep(self.all.seconds)
        self.all.at_once -= 1
        answer = self.all.answers.get(self.host, Answer.ANSWERED)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def orchestrator_info(self, timeout_seconds: float, request: bytes = b"") -> bytes | None:
        assert request == b"who are you?"
        self.all.described.append((asyncio.get_running_loop().time(), self.host))
        self.refusal = self.all.refusals.get(self.host, "")
        if self.refusal:
            return None
        return OrchestratorInfo(transcoder=f"https://{self.host}:1").SerializeToString()


class Scene:
    """A prober among fake nodes."""

    def __init__(self) -> None:
        self.nodes = FakeNodes()
        self.registry = CollectorRegistry()
        self.changes = 0
        metrics = AdvertiseMetrics(self.registry)
        manner = Manner(request=b"who are you?", dial=self.nodes.dial)
        self.prober = Prober(manner, metrics, self._changed, clock=loop_clock())

    def _changed(self) -> None:
        self.changes += 1

    def follow(self, *names: str, state: PodState = PodState.READY) -> None:
        nodes = tuple(node(name, state) for name in names)
        outside, _ = to_ask(PoolView("", "pool", Advertise(), nodes))
        self.prober.follow(outside)

    def health(self, name: str) -> Health:
        return self.prober.health[(name, f"https://{name}:1")]

    def results(self, result: str) -> float:
        labels = {"result": result, "place": "address"}
        return self.registry.get_sample_value("mediafleet_node_probes_total", labels) or 0.0


def node(name: str, state: PodState = PodState.READY) -> Node:
    return Node(name, name, f"https://{name}:1", None, state)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    await scene.prober.close()


async def test_a_new_node_is_asked_at_once_and_alive_with_its_first_answer(scene: Scene) -> None:
    scene.follow("a")
    assert [scene.prober.all_asked, scene.health("a").alive] == [False, False]
    await asyncio.sleep(0.01)
    assert scene.nodes.times("a") == [0.0]
    assert [scene.prober.all_asked, scene.health("a").alive] == [True, True]
    assert scene.changes == 1


async def test_a_node_that_does_not_answer_is_asked_every_200_ms_until_it_does(
    scene: Scene,
) -> None:
    scene.nodes.answers["a"] = Answer.UNREACHABLE
    scene.follow("a")
    await asyncio.sleep(2.0)
    times = scene.nodes.times("a")
    gaps = [after - before for before, after in pairwise(times)]
    assert 0.1 <= min(gaps) <= max(gaps) <= 0.2
    scene.nodes.answers["a"] = Answer.REFUSED
    await asyncio.sleep(0.2)
    assert scene.health("a").alive


async def test_a_node_that_answers_is_called_every_ten_seconds_while_its_connection_stands(
    scene: Scene,
) -> None:
    """It logs each call; 7,070 of 7,990 lines of one were ours."""
    scene.follow("a")
    await asyncio.sleep(60.0)
    assert 5 <= len(scene.nodes.times("a")) <= 7
    assert scene.results("connected") > 100


async def test_a_server_that_wants_no_pings_is_called_instead_and_described_as_seldom(
    scene: Scene,
) -> None:
    """Else a frozen one would be noticed after ten seconds; go-livepeer's answers any number."""
    scene.nodes.without_pings.add("a")
    scene.follow("a")
    await asyncio.sleep(60.0)
    assert len(scene.nodes.times("a")) > 100
    assert 5 <= len(scene.nodes.described) <= 7
    scene.nodes.answers["a"] = Answer.TIMED_OUT
    await asyncio.sleep(3.0)
    assert not scene.health("a").alive


async def test_a_node_that_no_longer_answers_pings_is_dead_after_three_like_any_other(
    scene: Scene,
) -> None:
    scene.follow("a")
    await asyncio.sleep(3.3)
    scene.nodes.answers["a"] = Answer.TIMED_OUT
    scene.nodes.seconds = 0.5
    await asyncio.sleep(2.5)
    assert not scene.health("a").alive
    assert scene.results("timed_out") >= 3


async def test_a_dead_node_is_noticed_within_a_second(scene: Scene) -> None:
    scene.follow("a")
    await asyncio.sleep(3.3)
    scene.nodes.answers["a"] = Answer.UNREACHABLE
    await asyncio.sleep(1.0)
    assert not scene.health("a").alive


@pytest.mark.parametrize("state", [PodState.PENDING, PodState.DRAINING])
async def test_nobody_asks_a_node_that_is_not_ready(scene: Scene, state: PodState) -> None:
    scene.follow("a")
    await asyncio.sleep(0.1)
    scene.follow("a", state=state)
    await asyncio.sleep(5.0)
    assert len(scene.nodes.asked) == 1
    assert scene.prober.health == {}


async def test_a_node_that_no_longer_drains_must_answer_anew(scene: Scene) -> None:
    scene.follow("a")
    await asyncio.sleep(0.1)
    scene.follow("a", state=PodState.DRAINING)
    scene.nodes.answers["a"] = Answer.TIMED_OUT
    scene.follow("a")
    await asyncio.sleep(0.1)
    assert not scene.health("a").alive


async def test_no_more_than_64_are_asked_at_a_time(scene: Scene) -> None:
    scene.nodes.seconds = 0.1
    scene.follow(*(f"n{index}" for index in range(200)))
    await asyncio.sleep(0.45)
    assert scene.prober.all_asked
    assert scene.nodes.most_at_once == 64


async def test_a_thousand_live_nodes_are_asked_no_more_than_200_times_a_second(
    scene: Scene,
) -> None:
    scene.follow(*(f"n{index}" for index in range(1000)))
    await asyncio.sleep(0.1)
    scene.nodes.asked.clear()
    await asyncio.sleep(10.0)
    assert len(scene.nodes.asked) <= 2600


async def test_a_time_out_that_came_late_tells_nothing(scene: Scene) -> None:
    """Then this process was held up; the answer may have lain there all the time."""
    scene.follow("a")
    await asyncio.sleep(0.1)
    scene.nodes.answers["a"], scene.nodes.seconds = Answer.TIMED_OUT, 1.2
    await asyncio.sleep(10.0)
    assert scene.health("a").alive
    assert scene.results("held_up") > 3
    scene.nodes.seconds = 0.5
    await asyncio.sleep(4.0)
    assert not scene.health("a").alive


async def test_an_error_of_ours_in_asking_one_node_stops_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.nodes.answers["a"] = RuntimeError("a bug")
    scene.follow("a", "b")
    await asyncio.sleep(3.5)
    assert scene.results("error") == 4
    assert set(caplog.messages) == {"probing a:1 failed"}
    assert scene.health("b").alive
    scene.nodes.answers["a"] = Answer.ANSWERED
    await asyncio.sleep(1.0)
    assert scene.health("a").alive


INFOS = {
    "one that works": (OrchestratorInfo(transcoder="https://a:1").SerializeToString(), False),
    "one that advertises": (OrchestratorInfo(nodes=["https://a:1"]).SerializeToString(), True),
    "an empty one": (b"", True),
    "one that refuses": (None, None),
    "one that sends garbage": (b"\xff\xff", None),
}


@pytest.mark.parametrize("name", INFOS)
def test_what_a_node_says_of_itself(name: str) -> None:
    info, expected = INFOS[name]
    assert advertises_only(info) is expected


@pytest.mark.looptime(False)
def test_what_a_node_says_that_it_can_do() -> None:
    said = Capabilities(bitstring=[1 << 35]).SerializeToString()
    told = capabilities(OrchestratorInfo(capabilities=said).SerializeToString())
    assert told is not None
    assert told.numbers == {35}
    for silent in (None, b"\xff", OrchestratorInfo(transcoder="t").SerializeToString()):
        assert capabilities(silent) is None
    assert capabilities(OrchestratorInfo(capabilities=b"\xff").SerializeToString()) is None


async def test_a_node_that_says_it_is_full_is_alive_and_asked_again_soon(scene: Scene) -> None:
    scene.nodes.refusals["a"] = "Invalid orchestrator request: OrchestratorCapped"
    scene.follow("a")
    await asyncio.sleep(0.1)
    assert (scene.health("a").alive, scene.health("a").full) == (True, True)
    changes = scene.changes
    del scene.nodes.refusals["a"]
    await asyncio.sleep(1.5)
    assert (scene.health("a").full, scene.changes) == (False, changes + 1)


async def test_a_refusal_of_another_kind_says_nothing_of_being_full(scene: Scene) -> None:
    scene.nodes.refusals["a"] = "Invalid orchestrator request: orchestrator req sig check failed"
    scene.follow("a")
    await asyncio.sleep(0.1)
    assert (scene.health("a").alive, scene.health("a").full) == (True, None)
