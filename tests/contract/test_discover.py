"""`mediafleet discover` over real gRPC: the matrix of go-livepeer's pull request 3719, and more."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from tests.kit.advertise.scene import desk, entry, write

from mediafleet_common.clock import Clock
from mediafleet_scheduler.core.advertise.discovery import Failure, Offer, Report, Why, Wishes
from mediafleet_scheduler.discover import gateway_call
from mediafleet_scheduler.discover.rounds import discover
from mediafleet_testbed.standins.node import StandInNode
from mediafleet_testbed.standins.node_flags import parse_flags

pytestmark = pytest.mark.asyncio(loop_scope="module")
BAD_URL = "https://h:1\nCRITICAL forged line"


@dataclass
class World:
    """Stand-in nodes by letter, and the two orchestrators that list them."""

    urls: dict[str, str]
    mute: set[str]
    """Those that accept a connection and never say a word."""

    def letters(self, report: Report) -> list[str]:
        by_url = {url: letter for letter, url in self.urls.items()}
        return [by_url[each.offer.transcoder] for each in report.found]


async def node(stack: AsyncExitStack, *flags: str) -> StandInNode:
    listen = ("-serviceAddr=http://127.0.0.1:0", "-httpAddr=http://127.0.0.1:0", "-cliAddr=:0")
    return await stack.enter_async_context(StandInNode(parse_flags([*listen, *flags])))


async def silence(stack: AsyncExitStack) -> str:
    """Where somebody listens and never answers."""
    ended = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    stack.push_async_callback(server.wait_closed)
    stack.callback(server.close)
    stack.callback(ended.set)
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def nobody(stack: AsyncExitStack) -> str:
    """Where nobody listens."""
    async with AsyncExitStack() as short:
        return await silence(short)


@asynccontextmanager
async def build() -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        urls = {letter: (await node(stack)).url for letter in "abcdefghi"}
        mute = {f"mute{i}": await silence(stack) for i in range(3)}
        urls |= mute
        urls |= {f"dead{i}": await nobody(stack) for i in range(2)}
        nested = await node(stack, "-serviceAddr=none", f"-nodes={urls['e']}")
        urls |= {"nested": nested.url, "bad": BAD_URL, "junk": "127.0.0.1:8935"}

        def listed(text: str) -> str:
            return "-nodes=" + ",".join(urls[name] for name in text.split())

        # P only advertises: dead, mute, twice the same, malformed, itself an advertiser; F is 11th.
        p = await node(
            stack, "-serviceAddr=none", listed("a dead0 a mute0 b bad c nested mute1 d f")
        )
        # Q takes work itself, and lists B as well.
        q = await node(stack, listed("g b mute1 dead1 h junk i"))
        yield World(urls | {"P": p.url, "Q": q.url}, set(mute.values()))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with build() as built:
        yield built


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ours(world: World, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Our advertiser, with what P lists in its file."""
    path = tmp_path_factory.mktemp("ours") / "nodes.yaml"
    names = ["a", "dead0", "a", "mute0", "b", "bad", "c", "nested", "mute1", "d", "f"]
    write(path, *(entry(f"{at:02}", world.urls[name]) for at, name in enumerate(names)))
    async with desk(path) as one:
        yield f"http://127.0.0.1:{one.serving.grpc_port}"


@dataclass
class Patience:
    """A clock that stands while anybody who will answer has not: a busy machine changes nothing."""

    world: World
    now: float = 0.0
    asked: list[str] = field(default_factory=list)
    _busy: int = 0
    _quiet: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._message = gateway_call.request(())
        self._quiet.set()

    @property
    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now)

    async def ask(self, url: str) -> Offer | Failure:
        self.asked.append(url)
        if url in self.world.mute:
            return await gateway_call.ask(url, self._message)
        self._busy += 1
        self._quiet.clear()
        try:
            return await gateway_call.ask(url, self._message)
        finally:
            self._busy -= 1
            if not self._busy:
                self._quiet.set()

    async def pause(self, seconds: float) -> None:
        # A few turns of the loop let the next ones be asked before it is called quiet.
        for _ in range(5):
            await asyncio.sleep(0)
            await self._quiet.wait()
        self.now += seconds


async def test_several_are_given_as_to_a_gateway_by_comma(world: World) -> None:
    both = f"{world.urls['a']}, {world.urls['b']}"
    code, out, _ = await command("--orch", both, "-o", "json")
    assert code == 0
    assert {each["transcoder"] for each in json.loads(out)["found"]} == {
        world.urls["a"],
        world.urls["b"],
    }


NUMBERS = (-5, -1, 0, 1, 2, 5, 10)
# By hand from the rules: of P's list `a dead0 a mute0 b bad c nested mute1 d f` and of Q's
# `g b mute1 dead1 h junk i` the first extraNodes entries count, whatever they are; P is no node; Q
# is. A top-level entry of its own never answers.
GOOD = {
    -5: "",
    -1: "",
    0: "Q",
    1: "Q a g",
    2: "Q a g b",
    5: "Q a g b h",
    10: "Q a g b h c d i",
}
# Who is asked: the above, P, the mute one at the top, and of the lists the dead, the mute, the
# nested; twice the same, the malformed and 127.0.0.1:8935 (no URL to Go) never are.
ASKED = {
    -5: "",
    -1: "",
    0: "P Q mute2",
    1: "P Q mute2 a g",
    2: "P Q mute2 a g b dead0",
    5: "P Q mute2 a g b dead0 mute0 mute1 dead1 h",
    10: "P Q mute2 a g b dead0 mute0 mute1 dead1 h c d i nested",
}


@pytest.mark.parametrize("count", NUMBERS)
@pytest.mark.parametrize("extra_nodes", NUMBERS)
async def test_the_matrix_of_extra_nodes_and_count(
    world: World, extra_nodes: int, count: int
) -> None:
    patience = Patience(world)
    top = [world.urls[name] for name in ("P", "Q", "mute2")]
    wishes = Wishes(extra_nodes=extra_nodes, count=count)
    report = await discover(top, wishes, patience.ask, patience.clock, patience.pause)
    letters, good = world.letters(report), GOOD[extra_nodes].split()
    assert len(letters) == len(set(letters)) == min(max(count, 0), len(good))
    assert set(letters) <= set(good)
    asked = [world.urls[name] for name in ASKED[extra_nodes].split()]
    if count > len(good):
        assert set(letters) == set(good)
        assert sorted(patience.asked) == sorted(asked)
        # One never answers, so that the places are never full: the first time-out ends it.
        assert patience.now == (0.5 if extra_nodes >= 0 else 0.0)
    else:
        # Enough: nobody is waited for.
        assert set(patience.asked) <= set(asked)
        assert patience.now == 0.0


# The same nodes in the file of our advertiser, which keeps from its list what costs a gateway a
# place: the dead, the mute, the double, the malformed, the one that advertises itself. What is left
# is `a b c d f`, and of Q's list as before `g b mute1 dead1 h junk i`.
THROUGH_US = {
    -5: "",
    -1: "",
    0: "Q",
    1: "Q a g",
    2: "Q a b g",
    5: "Q a b c d f g h",
    10: "Q a b c d f g h i",
}


@pytest.mark.parametrize("count", NUMBERS)
@pytest.mark.parametrize("extra_nodes", NUMBERS)
async def test_the_matrix_through_our_own_advertiser(
    world: World, ours: str, extra_nodes: int, count: int
) -> None:
    patience = Patience(world)
    top = [ours, world.urls["Q"], world.urls["mute2"]]
    wishes = Wishes(extra_nodes=extra_nodes, count=count)
    report = await discover(top, wishes, patience.ask, patience.clock, patience.pause)
    letters, good = world.letters(report), THROUGH_US[extra_nodes].split()
    assert len(letters) == len(set(letters)) == min(max(count, 0), len(good))
    assert set(letters) <= set(good)
    if count > len(good):
        assert set(letters) == set(good)
        assert patience.now == (0.5 if extra_nodes >= 0 else 0.0)


@pytest.mark.parametrize("turn", [0, 1])
async def test_who_answers_and_who_times_out_by_turns(world: World, turn: int) -> None:
    """Every second entry times out: half of the places are lost, whichever half it is."""
    names = [("mute0", "a"), ("mute1", "b"), ("mute2", "c")]
    listed = [world.urls[name] for pair in names for name in (pair if turn else pair[::-1])]
    async with AsyncExitStack() as stack:
        parent = await node(stack, "-serviceAddr=none", "-nodes=" + ",".join(listed))
        for extra_nodes, good in ((0, ""), (1, "a"), (3, "ab"), (4, "ab"), (6, "abc")):
            patience = Patience(world)
            report = await discover(
                [parent.url],
                Wishes(extra_nodes=extra_nodes),
                patience.ask,
                patience.clock,
                patience.pause,
            )
            # With turn 1 the list begins with one that times out.
            expected = "abc"[: extra_nodes // 2] if turn else good
            assert sorted(world.letters(report)) == list(expected)


async def test_each_who_is_left_out_has_its_reason(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    patience = Patience(world)
    report = await discover(
        [world.urls["P"]],
        Wishes(extra_nodes=10),
        patience.ask,
        patience.clock,
        patience.pause,
    )
    names = {url: name for name, url in world.urls.items()}
    assert sorted((names[each.visit.url], each.why) for each in report.left_out) == sorted(
        [
            ("P", Why.ADVERTISES_ONLY),
            ("a", Why.SEEN),
            ("bad", Why.BAD_URL),
            ("dead0", Why.UNREACHABLE),
            ("e", Why.TOO_DEEP),
            ("f", Why.BEYOND_EXTRA_NODES),
            ("mute0", Why.NOT_WAITED_FOR),
            ("mute1", Why.NOT_WAITED_FOR),
            ("nested", Why.ADVERTISES_ONLY),
        ]
    )
    (told,) = (message for message in caplog.messages if "forged" in message)
    assert "\n" not in told


async def test_a_node_that_refuses_is_told_with_its_words() -> None:
    async with AsyncExitStack() as stack:
        full = await node(stack, "-maxSessions=1")
        full.sessions.segment("one")
        unsigned = await node(stack, "-network=mainnet")
        message = gateway_call.request(())
        refusals = [await gateway_call.ask(each.url, message) for each in (full, unsigned)]
    assert [each.why for each in refusals if isinstance(each, Failure)] == [Why.REFUSED] * 2
    assert "OrchestratorCapped" in str(refusals[0])
    assert "sig check failed" in str(refusals[1])


async def test_over_tls_with_the_certificate_of_a_node() -> None:
    async with AsyncExitStack() as stack:
        listen = ("-serviceAddr=127.0.0.1:0", "-httpAddr=127.0.0.1:0", "-cliAddr=:0")
        secure = await stack.enter_async_context(StandInNode(parse_flags(listen)))
        reply = await gateway_call.ask(secure.url, gateway_call.request(()))
    assert isinstance(reply, Offer)
    assert (reply.transcoder, reply.price_per_unit, reply.pixels_per_unit) == (secure.url, 0, 1)


async def command(*arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mediafleet.main", "discover", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


async def test_the_command_as_json_and_as_a_table(world: World) -> None:
    top = ("--orch", world.urls["Q"], "--extra-nodes", "2")
    code, out, _ = await command(*top, "--count", "3", "-o", "json")
    told = json.loads(out)
    assert (code, told["ended"], told["places"]) == (0, "enough", 3)
    assert {each["transcoder"] for each in told["found"]} == {world.urls[name] for name in "Qgb"}
    assert all(each["latency_ms"] >= 0 and each["price_per_unit"] == 0 for each in told["found"])
    assert {each["why"] for each in told["left_out"]} == {"beyond_extra_nodes"}
    # A stand-in tells no capabilities, and so no sessions: unknown is not 0.
    assert {each["sessions"] for each in told["found"]} == {None}
    code, out, _ = await command(*top, "--count", "3")
    assert code == 0
    assert "3 found, 5 left out; ended: enough" in out


async def test_the_command_finds_nobody_or_is_told_nonsense(world: World) -> None:
    results = await asyncio.gather(
        command("--orch", world.urls["P"], "--count", "0"),
        command("--webhook", world.urls["dead0"]),
        command("--orch", "a:1", "--webhook", "http://b"),
        command("--orch", "a:1", "--capability", "cooking"),
    )
    assert [code for code, _, _ in results] == [1, 2, 2, 2]
    assert "looks at no list" in results[0][1]
