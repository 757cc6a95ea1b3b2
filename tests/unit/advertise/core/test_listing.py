"""Who is on the list, in which order, and why the others are not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.api.names import PodState
from mediafleet_common.api.pool.advertise import Advertise, Order
from mediafleet_common.formats.node_url import BadNodeUrlError, NodeUrl, parse_node_url
from mediafleet_common.formats.reach import PODS, PUBLIC
from mediafleet_scheduler.core.advertise.listing import (
    NEVER_ASKED,
    SILENT_FAILURES,
    Health,
    LeftOut,
    ProbeRules,
    Remark,
    either,
    listing,
    node_key,
    note_on,
    pause_seconds,
    remarks,
    to_ask,
)
from mediafleet_scheduler.core.advertise.views import Node, PoolView

RULES = ProbeRules()
ALIVE = NEVER_ASKED.after(True, RULES)


def node(name: str, **changes: object) -> Node:
    plain = Node(name, f"uid-{name}", f"https://{name}:8935", None, PodState.READY)
    return replace(plain, **changes)  # type: ignore[arg-type]


def view(*nodes: Node, **advertise: Any) -> PoolView:
    return PoolView("ns", "pool", Advertise(**advertise), nodes)


def alive(*nodes: Node) -> dict[tuple[str, str], Health]:
    return {node_key(one): ALIVE for one in nodes}


def test_the_list_is_ordered_by_name_whatever_the_order_of_the_view() -> None:
    nodes = [node("b"), node("c"), node("a")]
    found = listing(view(*nodes), alive(*nodes))
    assert [one.name for one in found.nodes] == ["a", "b", "c"]
    assert found.urls == ("https://a:8935", "https://b:8935", "https://c:8935")


@pytest.mark.parametrize("order", Order)
def test_max_nodes_leaves_nobody_off_before_it_is_known_who_asks(order: Order) -> None:
    nodes = [node(name) for name in "abcd"]
    found = listing(view(*nodes, order=order, max_nodes=2), alive(*nodes))
    assert (found.nodes, found.left_out) == (tuple(nodes), ())


def test_an_empty_pool_is_an_empty_list() -> None:
    assert listing(view(), {}).urls == ()


@dataclass(frozen=True)
class Case:
    why: LeftOut
    node: Node
    health: Health = ALIVE


DEAD = replace(ALIVE, alive=False, answers=0, failures=3)
CASES = {
    "pending": Case(LeftOut.PENDING, node("x", state=PodState.PENDING)),
    "draining although it answers": Case(LeftOut.DRAINING, node("x", state=PodState.DRAINING)),
    "without an address": Case(LeftOut.NO_ADDRESS, node("x", url="")),
    "a url that does not parse": Case(LeftOut.BAD_URL, node("x", url="https://[::1")),
    "a url with control characters": Case(LeftOut.BAD_URL, node("x", url="https://x:1\r\n")),
    "never asked": Case(LeftOut.UNPROBED, node("x"), NEVER_ASKED),
    "asked in vain": Case(LeftOut.UNPROBED, node("x"), NEVER_ASKED.after(False, RULES)),
    "dead": Case(LeftOut.DEAD, node("x"), DEAD),
    "dead, and answering again once": Case(LeftOut.DEAD, node("x"), DEAD.after(True, RULES)),
    "advertises only": Case(LeftOut.ADVERTISES_ONLY, node("x"), ALIVE.described(True)),
    "its pod alone answers": Case(LeftOut.UNVERIFIED, node("x"), replace(ALIVE, verified=False)),
    "the address of another": Case(LeftOut.DUPLICATE, node("x", url="https://a:8935/")),
}


@pytest.mark.parametrize("name", CASES)
def test_a_node_is_left_out_for_one_reason_that_is_told(name: str) -> None:
    case = CASES[name]
    others = [node("a"), node("b")]
    health = {**alive(*others), node_key(case.node): case.health}
    found = listing(view(*others, case.node, list_unverified=False), health)
    assert found.nodes == tuple(others)
    assert found.left_out == ((case.node, case.why),)


def test_a_pods_answer_alone_lists_its_node_unless_the_pool_says_otherwise() -> None:
    one = node("a")
    inside = either(NEVER_ASKED.after(False, RULES), ALIVE)
    assert (inside.alive, inside.verified) == (True, False)
    assert listing(view(one), {node_key(one): inside}).nodes == (one,)
    assert either(ALIVE, DEAD) is ALIVE
    assert either(DEAD, NEVER_ASKED) is DEAD


def test_where_nobody_is_asked_everybody_ready_with_a_url_is_listed() -> None:
    nodes = (node("a"), node("b", url=""), node("c", state=PodState.DRAINING))
    assert listing(view(*nodes, probe="none"), {}).nodes == nodes[:1]


def test_the_ready_are_asked_at_their_addresses_and_at_their_pods_if_so_wanted() -> None:
    nodes = [
        node("a", pod_url="https://10.0.0.1:8935"),
        node("b", pod_url=None),
        node("c", state=PodState.DRAINING, pod_url="https://10.0.0.3:8935"),
        node("d", url="not a url", pod_url="https://10.0.0.4:8935"),
    ]
    outside = {node_key(one): (parse_node_url(one.url), PUBLIC) for one in nodes[:2]}
    inside = {node_key(nodes[0]): (NodeUrl("https", "10.0.0.1", 8935), PODS)}
    assert to_ask(view(*nodes)) == (outside, {})
    assert to_ask(view(*nodes, probe="pod")) == (outside, inside)
    assert to_ask(view(*nodes, probe="none")) == ({}, {})


def test_a_node_under_another_address_must_answer_there_first() -> None:
    old = node("a")
    moved = replace(old, url="https://elsewhere:8935")
    assert listing(view(moved), alive(old)).left_out == ((moved, LeftOut.UNPROBED),)


def test_a_node_that_refuses_to_tell_of_itself_stays_listed() -> None:
    assert ALIVE.described(None) is ALIVE


def answers(health: Health, text: str) -> Health:
    for letter in text:
        health = health.after(letter == "+", RULES)
    return health


@pytest.mark.parametrize(
    ("pings", "is_alive"),
    [
        ("", False),
        ("+", True),
        ("-", False),
        ("---+", True),
        ("+-", True),
        ("+--", True),
        ("+---", False),
        ("+--+--+--", True),
        ("+---+", False),
        ("+---++", True),
        ("+---+-+", False),
    ],
)
def test_one_lost_ping_is_no_death_and_one_answer_no_return(pings: str, is_alive: bool) -> None:
    assert answers(NEVER_ASKED, pings).alive is is_alive


@given(st.text("+-", max_size=40))
def test_a_node_dies_only_after_enough_failures_in_a_row(pings: str) -> None:
    health = NEVER_ASKED
    for index, letter in enumerate(pings):
        after = health.after(letter == "+", RULES)
        if health.alive and not after.alive:
            assert pings[: index + 1].endswith("-" * RULES.failures_to_die)
        health = after
    assert health.asked is bool(pings)


def test_a_dead_node_is_off_the_list_within_two_seconds() -> None:
    timeout = 0.5
    health, spent = ALIVE, 0.0
    while health.alive:
        spent += pause_seconds(health, 10, RULES, 1.0) + timeout
        health = health.after(False, RULES)
    assert spent <= 2.5  # blackholed, all pings timing out; refused ones take no time-out:
    assert spent - RULES.failures_to_die * timeout <= 1.0


PAUSES = {
    "alive": (ALIVE, 10, RULES.alive_seconds),
    "alive among a thousand": (ALIVE, 1000, 1000 / RULES.pings_per_second),
    "alive and silent once": (ALIVE.after(False, RULES), 1000, RULES.doubt_seconds),
    "dead and heard once": (DEAD.after(True, RULES), 10, RULES.doubt_seconds),
    "new": (NEVER_ASKED.after(False, RULES), 10, RULES.silent_seconds),
    "dead for long": (replace(DEAD, failures=1000), 10, RULES.given_up_seconds),
}


@pytest.mark.parametrize("name", PAUSES)
def test_how_often_a_node_is_asked(name: str) -> None:
    health, nodes, seconds = PAUSES[name]
    assert pause_seconds(health, nodes, RULES, 1.0) == pytest.approx(seconds)
    assert pause_seconds(health, nodes, RULES, 0.0) == pytest.approx(0.8 * seconds)


names = st.text("abc", min_size=1, max_size=2)
nodes_strategy = st.lists(
    st.builds(
        lambda name, uid, host, state: Node(name, str(uid), f"https://{host}:1", None, state),
        names,
        st.integers(0, 99),
        names,
        st.sampled_from(PodState),
    ),
    max_size=12,
    unique_by=lambda one: one.uid,
)


@given(nodes_strategy, st.data())
def test_every_node_is_listed_or_left_out_and_never_a_draining_or_unprobed_one(
    nodes: list[Node], data: st.DataObject
) -> None:
    health = {
        node_key(one): data.draw(st.sampled_from([ALIVE, DEAD, NEVER_ASKED, ALIVE.described(True)]))
        for one in nodes
    }
    found = listing(view(*nodes), health)
    left_out = [one for one, _ in found.left_out]
    assert sorted([*found.nodes, *left_out], key=node_key) == sorted(nodes, key=node_key)
    assert all(one.state is PodState.READY for one in found.nodes)
    assert all(health[node_key(one)].alive for one in found.nodes)
    assert len(set(found.urls)) == len(found.urls)
    shuffled = data.draw(st.permutations(nodes))
    assert listing(view(*shuffled), health) == found


URLS = {
    "https://h:8935": NodeUrl("https", "h", 8935),
    "https://h": NodeUrl("https", "h", 443),
    "https://H:1/": NodeUrl("https", "h", 1),
    "https://10.0.0.5:8935": NodeUrl("https", "10.0.0.5", 8935),
    "https://[::1]:8935": NodeUrl("https", "::1", 8935),
    "http://h:80": NodeUrl("http", "h", 80),
    "HTTPS://NODE.Example:8935": NodeUrl("https", "node.example", 8935),
    "https://[0:0:0:0:0:0:0:1]:8935": NodeUrl("https", "::1", 8935),
    "https://[2001:DB8::00A]:8935": NodeUrl("https", "2001:db8::a", 8935),
    "https://127.1:8935": NodeUrl("https", "127.0.0.1", 8935),
    "https://2130706433:8935": NodeUrl("https", "127.0.0.1", 8935),
}


@pytest.mark.parametrize("url", URLS)
def test_urls_that_can_be_dialled(url: str) -> None:
    assert parse_node_url(url) == URLS[url]


@pytest.mark.parametrize(
    "url",
    [
        *("", "h:8935", "//h:8935", "ftp://h:1", "https://", "https://:1", "https://h:0"),
        *("https://h:x", "https://h:99999", "https://h:-1", "https://[::1", "https://h:1/path"),
        *("https://u@h:1", "https://h:1?q", "https://h:1#f", "https://h :1", " https://h:1"),
        *("https://h:1\n", "https://h\x00:1", "https://hé:1", "https://" + "h" * 400),
    ],
)
def test_urls_that_cannot_be_dialled_are_refused_with_a_reason(url: str) -> None:
    with pytest.raises(BadNodeUrlError, match=r"\w"):
        parse_node_url(url)


@given(st.text(max_size=60))
def test_any_text_is_a_node_url_or_refused(text: str) -> None:
    try:
        target = parse_node_url(text).target
    except BadNodeUrlError:
        return
    assert target.isascii()


NOTES = {
    "https://h:8935": None,
    "https://H:8935/": None,
    "https://h:9000": None,
    "": None,
    "https://0.0.0.0:1": "it tells gateways https://0.0.0.0:1, which is the unspecified address",
    "https://other:8935": "it tells gateways https://other:8935",
    "nonsense": "it tells gateways nonsense, which they cannot use",
}


@pytest.mark.parametrize("told", NOTES)
def test_a_node_that_tells_gateways_another_host_than_its_own_is_noted(told: str) -> None:
    assert note_on(told, NodeUrl("https", "h", 8935)) == NOTES[told]


def test_an_absence_is_said_with_its_reason_unless_it_is_ordinary() -> None:
    silent = Health(failures=SILENT_FAILURES, why="connection refused")
    fresh = Health(failures=1, why="connection refused")
    states = [PodState.READY, PodState.READY, PodState.DRAINING, PodState.READY]
    made = [
        Node(name, name, f"https://{name}:1", None, state)
        for name, state in zip(["silent", "fresh", "gone", "odd"], states, strict=True)
    ]
    health = {
        node_key(made[0]): silent,
        node_key(made[1]): fresh,
        node_key(made[3]): Health(alive=True, answers=1, note="its certificate names no host"),
    }
    assert remarks(listing(view(*made), health), health) == (
        Remark("odd", None, "its certificate names no host"),
        Remark("silent", LeftOut.UNPROBED, "connection refused"),
    )
