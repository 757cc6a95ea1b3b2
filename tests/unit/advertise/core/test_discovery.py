"""A round of discovery, told what was answered when (go-livepeer discovery/discovery.go)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.formats.node_url import BadNodeUrlError, NodeUrl, parse_node_url
from mediafleet_scheduler.core.advertise.capabilities import (
    Capabilities,
    UnknownCapabilityError,
    wanted,
)
from mediafleet_scheduler.core.advertise.discovery import (
    CUT_OFF_SECONDS,
    Ended,
    Failure,
    Offer,
    Report,
    Round,
    Visit,
    Why,
    Wishes,
)
from mediafleet_scheduler.core.advertise.gateway_url import NotAUrlError, gateway_target


@dataclass
class World:
    """Who answers what after how many seconds; who is not here never answers."""

    offers: dict[str, Offer | Failure] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    visited: list[str] = field(default_factory=list)
    took: float = 0.0

    def works(self, *urls: str, seconds: float = 0.0, **more: object) -> None:
        for url in urls:
            self.offers[url] = Offer(url, **more)  # type: ignore[arg-type]
            self.seconds[url] = seconds

    def advertises(self, url: str, *nodes: str, transcoder: str = "") -> None:
        self.offers[url] = Offer(transcoder, nodes)

    def discover(self, top: list[str], **wishes: object) -> Report:
        """Play a round, moment by moment."""
        this = Round(Wishes(**wishes))  # type: ignore[arg-type]
        asked: list[tuple[float, int, Visit, float]] = []

        def ask(visits: list[Visit], now: float) -> None:
            for visit in visits:
                self.visited.append(visit.url)
                if visit.url in self.offers:
                    seconds = self.seconds.get(visit.url, 0.0)
                    asked.append((now + seconds, len(self.visited), visit, seconds))

        ask(this.begin(top, 0.0), 0.0)
        while this.ended is None:
            asked.sort(key=lambda each: each[:2])
            if asked and asked[0][0] <= this.wake_at:
                self.took, _, visit, latency = asked.pop(0)
                ask(this.hear(visit, self.offers[visit.url], latency, self.took), self.took)
            else:
                self.took = this.wake_at
                this.wake(self.took)
        return this.report()


def found(report: Report) -> list[str]:
    return [each.offer.transcoder for each in report.found]


def left_out(report: Report) -> list[tuple[str, Why]]:
    return [(each.visit.url, each.why) for each in report.left_out]


def test_an_entry_that_advertises_only_is_skipped_and_its_nodes_are_asked() -> None:
    world = World()
    world.advertises("p", "https://a", "https://b")
    world.works("https://a", "https://b")
    report = world.discover(["p"], extra_nodes=2)
    assert found(report) == ["https://a", "https://b"]
    assert left_out(report) == [("p", Why.ADVERTISES_ONLY)]
    assert report.ended is Ended.ALL_ANSWERED


def test_places_are_by_position_whoever_is_there() -> None:
    world = World()
    world.works("https://a", "https://b", "https://c")
    world.advertises("p", "https://a", "https://a", "https://h:x", "p", "https://b", "https://c")
    report = world.discover(["p"], extra_nodes=5)
    assert found(report) == ["https://a", "https://b"]
    assert left_out(report) == [
        ("https://c", Why.BEYOND_EXTRA_NODES),
        ("https://a", Why.SEEN),
        ("https://h:x", Why.BAD_URL),
        ("p", Why.SEEN),
        ("p", Why.ADVERTISES_ONLY),
    ]
    assert (report.ended, world.took) == (Ended.TIMED_OUT, 0.5)


def test_a_gateway_without_extra_nodes_looks_at_no_list() -> None:
    world = World()
    world.works("https://a")
    world.advertises("p", "https://a", transcoder="p")
    report = world.discover(["p"], extra_nodes=0)
    assert (found(report), world.visited) == (["p"], ["p"])
    assert left_out(report) == [("https://a", Why.BEYOND_EXTRA_NODES)]


def test_the_same_node_under_another_string_is_asked_again() -> None:
    """Why an advertiser must tell an address in one form only."""
    world = World()
    world.works("https://a")
    world.offers["https://a/"] = Offer("https://a")
    world.advertises("p", "https://a", "https://a/")
    assert found(world.discover(["p"], extra_nodes=2)) == ["https://a", "https://a"]


def test_nodes_of_nodes_are_told_of_and_not_asked() -> None:
    world = World()
    world.advertises("p", "https://a")
    world.advertises("https://a", "https://z", "p", transcoder="https://a")
    report = world.discover(["p"], extra_nodes=5)
    assert world.visited == ["p", "https://a"]
    assert left_out(report) == [("p", Why.ADVERTISES_ONLY), ("https://z", Why.TOO_DEEP)]


def test_a_failure_of_one_costs_nobody_else() -> None:
    world = World()
    world.advertises("p", "https://full", "https://a")
    world.works("https://a")
    world.offers["https://full"] = Failure(Why.REFUSED, "OrchestratorCapped")
    report = world.discover(["p"], extra_nodes=2)
    assert found(report) == ["https://a"]
    assert [(each.why, each.detail) for each in report.left_out][1:] == [
        (Why.REFUSED, "OrchestratorCapped")
    ]


def test_it_ends_with_as_many_as_are_wanted_and_the_rest_is_not_waited_for() -> None:
    world = World()
    world.works("a", seconds=0.2)
    world.works("b", seconds=0.1)
    world.works("c", seconds=0.3)
    report = world.discover(["a", "b", "c"], count=2)
    assert found(report) == ["b", "a"]
    assert left_out(report) == [("c", Why.NOT_WAITED_FOR)]
    assert (report.ended, world.took) == (Ended.ENOUGH, 0.2)


@pytest.mark.parametrize(
    ("answers_after", "took", "ended"),
    [
        (0.1, 0.5, Ended.TIMED_OUT),
        (0.7, 1.0, Ended.TIMED_OUT),
        (1.7, 2.0, Ended.TIMED_OUT),
        (2.1, 4.0, Ended.TIMED_OUT),
        (4.1, 6.0, Ended.CUT_OFF),
        (7.0, 6.0, Ended.CUT_OFF),
    ],
)
def test_the_time_out_doubles_until_somebody_is_found(
    answers_after: float, took: float, ended: Ended
) -> None:
    world = World()
    world.works("a", seconds=answers_after)
    report = world.discover(["a", "mute"])
    assert world.took == pytest.approx(took)
    assert report.ended is ended
    assert len(report.found) == (answers_after < CUT_OFF_SECONDS)


def test_the_suspended_come_last_and_only_when_needed() -> None:
    world = World()
    world.works("a", seconds=0.1)
    world.works("b", seconds=0.2)
    world.works("c", seconds=0.3)
    top, suspended = ["a", "b", "c"], {"a": 1}
    report = world.discover(top, suspended=suspended)
    assert found(report) == ["b", "c", "a"]
    assert [each.suspended for each in report.found] == [False, False, True]
    enough = world.discover(top, suspended=suspended, count=2)
    assert found(enough) == ["b", "c"]
    assert left_out(enough) == [("a", Why.SUSPENDED)]


def test_the_suspended_with_the_least_penalty_come_first() -> None:
    """discovery/discovery.go: a heap by penalty."""
    world = World()
    world.works("a", "b", "c")
    penalties = {"a": 3, "b": 1, "c": 2}
    assert found(world.discover(["a", "b", "c"], suspended=penalties)) == ["b", "c", "a"]


def test_one_that_cannot_be_reached_counts_once_the_dial_is_given_up() -> None:
    """server/rpc.go: a refused connection is dialled again for 3 s."""
    world = World()
    world.offers["dead"] = Failure(Why.UNREACHABLE, "connection refused")
    report = world.discover(["dead"])
    assert (world.took, report.ended) == (3.0, Ended.ALL_ANSWERED)
    assert left_out(report) == [("dead", Why.UNREACHABLE)]
    world.works("a")
    assert world.discover(["dead", "a"]).ended is Ended.TIMED_OUT
    assert world.took == 0.5


SOFTWARE = Capabilities(frozenset({0, *range(27, 33), 34, 36}))


@pytest.mark.parametrize("text", ["text-to-image/m", "text-to-image"])
def test_a_software_transcoder_is_taken_by_discovery_and_dropped_by_selection(text: str) -> None:
    """It stands in the place of another."""
    world = World()
    world.works("software", capabilities=SOFTWARE)
    model = {27: frozenset({"m"})}
    world.works("ai", seconds=0.1, capabilities=Capabilities(frozenset({0, 27}), model))
    wishes = (wanted(text),)
    behind = world.discover(["software", "ai"], capabilities=wishes, count=1)
    assert (found(behind), behind.ended) == ([], Ended.ENOUGH)
    assert ("software", Why.NOT_SELECTED) in left_out(behind)
    assert found(world.discover(["software", "ai"], capabilities=wishes)) == ["ai"]


def test_an_address_on_the_block_list_is_no_orchestrator() -> None:
    world = World()
    world.works("a", eth_address="0xAB")
    world.works("b", eth_address="0xcd")
    report = world.discover(["a", "b"], blocked=frozenset({"ab"}))
    assert (found(report), left_out(report)) == (["b"], [("a", Why.BLOCKED)])


def test_only_the_suspended_are_waited_with_until_all_have_answered_or_the_cut_off() -> None:
    world = World()
    world.works("a")
    report = world.discover(["a", "mute"], suspended={"a": 1})
    assert (found(report), world.took) == (["a"], 6.0)


LIVE = Capabilities(frozenset({0, 35}), {35: frozenset({"noop"})})
CAPABILITIES = {
    "a pipeline it has": ("live-video-to-video", LIVE, True),
    "by number": ("35", LIVE, True),
    "a model it has": ("live-video-to-video/noop", LIVE, True),
    "a model with a slash that it has not": ("35/stabilityai/sd", LIVE, False),
    "a pipeline it has not": ("llm", LIVE, False),
    "it told nothing, and all can do it": ("0", None, True),
    "it told nothing, and not all can": ("llm", None, False),
}


@pytest.mark.parametrize("name", CAPABILITIES)
def test_who_lacks_what_is_wanted_is_no_good_answer(name: str) -> None:
    text, capabilities, met = CAPABILITIES[name]
    world = World()
    world.works("a", capabilities=capabilities)
    report = world.discover(["a"], capabilities=(wanted(text),))
    assert (len(report.found) == 1) is met
    assert left_out(report) == ([] if met else [("a", Why.INCOMPATIBLE)])


@pytest.mark.parametrize("text", ["", "no-such-thing", "-1", "1234", "٣"])
def test_a_capability_that_nobody_knows_is_refused(text: str) -> None:
    with pytest.raises(UnknownCapabilityError, match="give a number or one of"):
        wanted(text)


def test_behind_one_entry_a_gateway_keeps_the_first_that_answers() -> None:
    """Seen on 0.9.1: it asks for as many as it has top-level entries."""
    world = World()
    world.advertises("p", "https://a", "https://b")
    world.works("https://a", "https://b")
    report = world.discover(["p"], extra_nodes=5, count=None)
    assert len(report.found) == 1
    assert report.ended is Ended.ENOUGH


TARGETS: dict[str, NodeUrl | None] = {
    "https://h:8935": NodeUrl("https", "h", 8935),
    "https://h:8935/path?q#f": NodeUrl("https", "h", 8935),
    "HTTP://h:1": NodeUrl("http", "h", 1),
    "https://h": NodeUrl("https", "h", 443),
    "http://h:": NodeUrl("http", "h", 443),
    "//h:1": NodeUrl("https", "h", 1),
    "https://u:p@h:1": NodeUrl("https", "h", 1),
    "https://%75:%40p@h:1": NodeUrl("https", "h", 1),
    "https://a@b@h:1": NodeUrl("https", "h", 1),
    "https://h%C3%A9:1": NodeUrl("https", "hé", 1),
    "https://hé:1": NodeUrl("https", "hé", 1),
    "https://h:1?q=%zz": NodeUrl("https", "h", 1),
    "https://h:1/%41": NodeUrl("https", "h", 1),
    "https://[::1]:8935": NodeUrl("https", "::1", 8935),
    "https://[fe80::1%25eth0]:1": NodeUrl("https", "fe80::1%eth0", 1),
    "https://h:99999": None,
    "https://h:0": None,
    "h:8935": None,
    "": None,
    "https:///x": None,
    "/path": None,
}


@pytest.mark.parametrize("url", TARGETS)
def test_what_go_parses_and_where_it_dials(url: str) -> None:
    assert gateway_target(url) == TARGETS[url]


@pytest.mark.parametrize(
    "url",
    [
        *("https://h\n:1", "\x00", "https://h:1\x7f", ":8935", "127.0.0.1:8935", "a_b:1"),
        *("https://h:x", "https://[::1", "https://[::1]x", "https://h h:1", "https://h/%zz"),
        *("https://%zz", "https://%41:1", "https://h:1:x", "https://h:1#%zz", "https://%2e:1"),
        *("https://u r@h:1", "https://u<@h:1", "https://ü@h:1", "https://%zz@h:1"),
        *("https://[::1%41]:1", "https://[::1%eth0]:1"),
    ],
)
def test_what_go_refuses(url: str) -> None:
    with pytest.raises(NotAUrlError, match=r"\w"):
        gateway_target(url)


@given(st.text(max_size=40))
def test_what_we_would_list_every_gateway_takes(url: str) -> None:
    try:
        ours = parse_node_url(url)
    except BadNodeUrlError:
        try:
            gateway_target(url)
        except NotAUrlError:
            return
    else:
        theirs = gateway_target(url)
        assert theirs is not None
        again = parse_node_url(str(theirs))
        assert (again.scheme, again.host) == (ours.scheme, ours.host)


@given(
    st.lists(st.sampled_from(["a", "b", "p", "q", "https://h:x", "mute"]), max_size=8),
    st.integers(-5, 10),
    st.integers(-5, 10),
)
def test_every_entry_is_found_or_left_out_for_one_reason(
    nodes: list[str], extra_nodes: int, count: int
) -> None:
    world = World()
    world.works("a", "b", "q")
    world.advertises("p", *nodes)
    report = world.discover(["p", "q"], extra_nodes=extra_nodes, count=count)
    told = [each.visit for each in report.found] + [each.visit for each in report.left_out]
    assert len(told) == len(set(told))
    assert {visit.url for visit in told if visit.via is None} == {"p", "q"}
    assert len(report.found) <= max(0, count)
    if any(each.why is Why.ADVERTISES_ONLY for each in report.left_out):
        assert len([visit for visit in told if visit.via == "p"]) == len(nodes)


def test_nothing_is_reported_before_the_end_and_nothing_changes_after_it() -> None:
    this = Round(Wishes())
    (visit,) = this.begin(["a"], 0.0)
    with pytest.raises(RuntimeError, match="goes on"):
        this.report()
    this.hear(visit, Offer("a"), 0.1, 0.1)
    ended = this.report()
    assert this.hear(Visit("b"), Offer("b"), 0.2, 0.2) == []
    this.wake(this.wake_at + 1)
    assert this.report() == ended
    assert (ended.ended, ended.answers) == (Ended.ENOUGH, 1)


def test_waking_before_the_time_changes_nothing() -> None:
    this = Round(Wishes(timeout_seconds=1.0, count=2))
    visits = this.begin(["a", "b"], 0.0)
    this.hear(visits[0], Offer("a"), 0.1, 0.1)
    this.wake(0.99)
    assert (this.ended, this.wake_at) == (None, 1.0)
    this.wake(1.0)
    assert this.ended is Ended.TIMED_OUT
